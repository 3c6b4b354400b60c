//! `kiln catalog`: subscriptions to catalogs, and what they offer.

use super::super::Context;
use super::super::api::{self, Image};
use super::super::catalogs::{self, Folders, Http, Offered, Source, Subscription, Subscriptions, category};
use super::super::error::CommandError;
use super::super::output::{Colour, hint, tell};
use super::super::recipes;
use super::super::table::{Cell, Table, age};
use super::super::{progress, terminal};
use crate::model::{Architecture, ImageOwner};
use serde_json::{Value, json};
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Subscribe to catalogs of images, and see what they offer; kiln pull brings an image here.
///
/// A catalog is an index that somebody publishes: a JSON file at an https address, or on this host. With the publisher's
/// minisign key only an index that they signed is taken.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln catalog add lab https://images.example/index.json --key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  kiln catalog add mine ~/images/index.json      one of this host, unsigned
  kiln catalog images                            what there is to pull, and to make
  kiln catalog refresh")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Subscribe to a catalog, and fetch its index.
    Add {
        /// What to call it: lower-case letters, digits, - _ and .
        name: String,
        /// Where its index is: an https address, or a file.
        #[arg(value_name = "URL-OR-PATH")]
        source: String,
        /// The minisign public key that the index must be signed with; its signature lies beside it, as .minisig.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// List the catalogs that are subscribed to.
    List,
    /// Fetch indices anew. One that can't be trusted leaves the one before in place.
    Refresh {
        /// The catalog; all of them when not given.
        name: Option<String>,
    },
    /// End subscriptions. Images that were pulled stay.
    Rm {
        /// The catalogs.
        #[arg(required = true)]
        names: Vec<String>,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// List what the catalogs and the recipes offer, and whether it is here.
    Images {
        /// Only one catalog's.
        catalog: Option<String>,
        /// Names only.
        #[arg(short, long)]
        quiet: bool,
    },
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let folders = Folders::of_user()?;
    match arguments.verb {
        Verb::Add { name, source, key } => add(context, &folders, name, &source, key.as_deref()).await,
        Verb::List => list(context, &folders),
        Verb::Refresh { name } => refresh(context, &folders, name.as_deref()).await,
        Verb::Rm { names, yes } => remove(context, &folders, &names, yes),
        Verb::Images { catalog, quiet } => images(context, &folders, catalog.as_deref(), quiet).await,
    }
}

async fn add(
    context: &Context,
    folders: &Folders,
    name: String,
    source: &str,
    key: Option<&str>,
) -> Result<(), CommandError> {
    if !Subscriptions::is_name(&name) {
        let message = format!("{name:?} can't be a catalog's name: lower-case letters, digits, - _ and .");
        return Err(CommandError::Usage(message));
    }
    let key = key.map(str::parse).transpose();
    let key = key.map_err(|problem| CommandError::Usage(format!("The key can't be used: {problem}")))?;
    let subscription = Subscription {
        source: absolute(source)?,
        name,
        key,
    };
    let _lock = folders.lock()?;
    let mut all = Subscriptions::read(folders)?;
    if all.get(&subscription.name).is_some() {
        let name = &subscription.name;
        let message = format!("There is a catalog {name} already; kiln catalog rm {name} ends it");
        return Err(CommandError::Usage(message));
    }
    // An index that can't be had, or not be trusted, is not subscribed to.
    let count = bring(&Http::new(), folders, &subscription).await?;
    all.put(subscription.clone());
    all.write(folders)?;
    hint(&format!("{count} images; kiln catalog images lists them"));
    super::done(context, &shown(&subscription), &subscription.name)
}

/// Where an index is; a path in full, so that it is found from any folder.
fn absolute(source: &str) -> Result<Source, CommandError> {
    let parsed = Source::parse(source);
    match parsed.map_err(|error| CommandError::Usage(format!("The catalog can't be fetched: {error}")))? {
        Source::Local(path) => {
            let whole = std::fs::canonicalize(&path).map_err(|source| CommandError::File { path, source })?;
            if whole.to_str().is_none() {
                return Err(CommandError::Usage(format!("{} is not UTF-8", whole.display())));
            }
            Ok(Source::Local(whole))
        }
        remote => Ok(remote),
    }
}

/// Fetches an index and keeps it; how many images it has.
async fn bring(http: &Http, folders: &Folders, subscription: &Subscription) -> Result<usize, CommandError> {
    let Subscription { name, source, key } = subscription;
    let spinner = progress::spinner(&format!("fetching the index of {name}"));
    let fetched = catalogs::fetch(http, subscription).await;
    spinner.finish_and_clear();
    let fetched = fetched?;
    if key.is_none() {
        tell(&format!(
            "{name} is unsigned: whoever can change {source} can change what you run"
        ));
    }
    catalogs::keep(folders, name, &fetched.text)?;
    Ok(fetched.index.offers.len())
}

async fn refresh(context: &Context, folders: &Folders, name: Option<&str>) -> Result<(), CommandError> {
    let all = Subscriptions::read(folders)?;
    let wanted = match name {
        Some(name) => vec![named(&all, name)?.clone()],
        None => all.all().to_vec(),
    };
    let http = Http::new();
    let mut failed = None;
    let mut done = Vec::new();
    for subscription in wanted {
        match bring(&http, folders, &subscription).await {
            Ok(count) if context.out.json => done.push(json!({ "Name": subscription.name, "Images": count })),
            Ok(_) => context.out.line(&subscription.name)?,
            // One that is down keeps nobody from the others.
            Err(error) => {
                if let Some(before) = failed.replace(error) {
                    tell(before.report().trim_end());
                }
            }
        }
    }
    if context.out.json {
        context.out.answer(&json!(done))?;
    }
    failed.map_or(Ok(()), Err)
}

fn remove(context: &Context, folders: &Folders, names: &[String], yes: bool) -> Result<(), CommandError> {
    let _lock = folders.lock()?;
    let mut all = Subscriptions::read(folders)?;
    for name in names {
        named(&all, name)?;
    }
    if !yes && !terminal::confirm(&format!("End the subscription to {}?", names.join(", ")))? {
        return Err(CommandError::Usage("Nothing was ended".into()));
    }
    names.iter().for_each(|name| all.remove(name));
    all.write(folders)?;
    for name in names {
        catalogs::forget(folders, name)?;
    }
    if context.out.json {
        return context.out.answer(&json!(names));
    }
    names.iter().try_for_each(|name| context.out.line(name))
}

fn named<'s>(all: &'s Subscriptions, name: &str) -> Result<&'s Subscription, CommandError> {
    all.get(name).ok_or_else(|| CommandError::NotFound {
        noun: "catalog",
        name: name.into(),
        alike: all
            .all()
            .iter()
            .map(|one| one.name.clone())
            .filter(|one| strsim::damerau_levenshtein(one, name) <= 2)
            .collect(),
        advice: "kiln catalog list shows the catalogs; kiln catalog add NAME URL subscribes to one".into(),
    })
}

fn shown(subscription: &Subscription) -> Value {
    let mut value = json!({ "Name": subscription.name, "Source": subscription.source.to_string() });
    if let Some(key) = &subscription.key {
        value["Key"] = key.to_string().into();
    }
    value
}

fn list(context: &Context, folders: &Folders) -> Result<(), CommandError> {
    let all = Subscriptions::read(folders)?;
    let now = OffsetDateTime::now_utc();
    let mut answer = Vec::new();
    let mut table = Table::new(["NAME", "IMAGES", "SIGNED", "FETCHED", "INDEX"]);
    for one in all.all() {
        let held = catalogs::read(folders, one)?;
        let count = held.as_ref().map(|(index, _)| index.offers.len());
        let fetched = held.and_then(|(_, at)| instant(at));
        let mut value = shown(one);
        value["Images"] = json!(count);
        value["Fetched"] = json!(fetched);
        answer.push(value);
        table.row([
            one.name.as_str().into(),
            count.map_or_else(String::new, |count| count.to_string()).into(),
            match one.key {
                Some(_) => Cell::from("yes").coloured(Colour::Good),
                None => Cell::from("unsigned").coloured(Colour::Warn),
            },
            fetched.map_or_else(String::new, |at| age(&at, now)).into(),
            one.source.to_string().into(),
        ]);
    }
    if context.out.json {
        return context.out.answer(&json!(answer));
    }
    if all.all().is_empty() {
        hint("no catalogs; kiln catalog add NAME URL subscribes to one");
    }
    table.print(&context.out)
}

fn instant(at: SystemTime) -> Option<String> {
    OffsetDateTime::from(at).format(&Rfc3339).ok()
}

/// What can be had, by whatever way.
struct Row {
    name: String,
    about: String,
    owner: ImageOwner,
    architecture: &'static str,
    size: Option<u64>,
    digest: Option<String>,
    /// None for a recipe.
    catalog: Option<String>,
}

async fn images(context: &Context, folders: &Folders, catalog: Option<&str>, quiet: bool) -> Result<(), CommandError> {
    let all = Subscriptions::read(folders)?;
    if let Some(catalog) = catalog {
        named(&all, catalog)?;
    }
    let mut rows: Vec<Row> = catalogs::offered(folders, &all)?.into_iter().map(Row::from).collect();
    rows.extend(recipes::recipes().into_iter().map(|recipe| Row {
        name: recipe.name,
        about: recipe.about,
        owner: ImageOwner::QuickStart,
        // A recipe makes an image for the host that it runs on, and there are hosts of one kind only.
        architecture: Architecture::X86_64.name(),
        size: None,
        digest: None,
        catalog: None,
    }));
    rows.retain(|row| catalog.is_none() || row.catalog.as_deref() == catalog);
    rows.sort_by(|a, b| (&a.name, &a.catalog).cmp(&(&b.name, &b.catalog)));
    if quiet {
        return rows.iter().try_for_each(|row| context.out.line(&row.name));
    }
    // What there is to pull is worth knowing without a daemon, too.
    let here = match api::images(&context.client).await {
        Ok(here) => here,
        Err(error @ CommandError::Unreachable { .. }) => {
            tell(&format!("{error}, so it is not said what is here already"));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    if context.out.json {
        let answer: Vec<Value> = rows.iter().map(|row| row.json(&here)).collect();
        return context.out.answer(&json!(answer));
    }
    let mut table = Table::new(["NAME", "CATEGORY", "ARCH", "SIZE", "CATALOG", "HERE", "WHAT"]);
    for row in &rows {
        table.row([
            row.name.as_str().into(),
            category(row.owner).into(),
            row.architecture.into(),
            row.size.map_or_else(String::new, mebibytes).into(),
            row.catalog.as_deref().unwrap_or("(recipe)").into(),
            row.here(&here).into(),
            row.about.as_str().into(),
        ]);
    }
    table.print(&context.out)
}

fn mebibytes(size: u64) -> String {
    format!("{} MiB", size.div_ceil(1 << 20))
}

impl From<Offered> for Row {
    fn from(one: Offered) -> Row {
        Row {
            name: one.offer.name,
            about: one.offer.description.unwrap_or_default(),
            owner: one.offer.owner,
            architecture: one.offer.architecture.name(),
            size: Some(one.offer.size),
            digest: Some(one.offer.digest.to_string()),
            catalog: Some(one.subscription.name),
        }
    }
}

impl Row {
    /// Its image on this host; one of another digest is said to be another version.
    fn here(&self, here: &[Image]) -> String {
        let Some(image) = here.iter().find(|one| one.is_of(self.owner) && one.name == self.name) else {
            return String::new();
        };
        match (&self.digest, image.tag(catalogs::DIGEST_TAG)) {
            (Some(digest), Some(had)) if digest != had => format!("{} (another version)", image.image_id),
            _ => image.image_id.clone(),
        }
    }

    fn json(&self, here: &[Image]) -> Value {
        let image = here.iter().find(|one| one.is_of(self.owner) && one.name == self.name);
        json!({
            "Name": self.name, "Description": self.about, "Category": category(self.owner),
            "Owner": self.owner.to_string(), "Architecture": self.architecture, "Size": self.size,
            "Digest": self.digest, "Catalog": self.catalog, "ImageId": image.map(|image| &image.image_id),
        })
    }
}
