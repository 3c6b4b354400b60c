//! `kiln images`: the images (DescribeImages), made by recipe and removed (DeregisterImage).

use super::super::Context;
use super::super::api;
use super::super::error::CommandError;
use super::super::output::{Colour, hint, tell};
use super::super::recipes::{self, Recipe};
use super::super::table::{Cell, Table, age};
use super::super::{progress, resolve, terminal};
use super::import::{self, Import};
use super::{done, members, text};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// List images; make and remove them.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln images
  kiln images --owner self           without those of Quick Start and of catalogs
  kiln images make                   the recipes that there are
  kiln images make debian-12
  kiln images create web golden      an image of the instance web, with all that is on it
  kiln images rm my-image",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// The kernels and RAM disks that images carry, too.
    #[arg(short, long)]
    all: bool,
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
    /// Only those of this owner: self (My AMIs), amazon (Quick Start), aws-marketplace, or an account (Community).
    #[arg(long, value_name = "OWNER")]
    owner: Vec<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Make(MakeArguments),
    Create(CreateArguments),
    Rm(RmArguments),
}

/// Make a Quick Start image from its distribution's packages.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln images make debian-12
  kiln images make debian-12 --disk ~/debian-12.raw     keep the disk, and use it again")]
struct MakeArguments {
    /// The recipe; without one, those that there are are listed.
    recipe: Option<String>,
    /// Keep the disk in this file; if it is there already, it is imported as it is.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
}

/// Make an image of an instance, with all its volumes.
///
/// One that runs is rebooted for it, so that its file systems are clean in the image.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln images create web golden
  kiln images create web golden --no-reboot     as after a power failure, which file systems stand")]
struct CreateArguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The image's name.
    name: String,
    /// For people.
    #[arg(short, long)]
    description: Option<String>,
    /// Don't reboot a guest that runs.
    #[arg(long)]
    no_reboot: bool,
    /// Return as soon as the request was taken on.
    #[arg(long)]
    no_wait: bool,
}

/// Deregister images. Instances of them run on.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln images rm my-image
  kiln images rm --yes ami-0abc")]
struct RmArguments {
    /// The images: names, identifiers or beginnings of either.
    #[arg(required = true)]
    images: Vec<String>,
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    match arguments.verb {
        None => list(context, &arguments).await,
        Some(Verb::Make(MakeArguments { recipe: None, .. })) => recipes(context),
        Some(Verb::Make(MakeArguments {
            recipe: Some(recipe),
            disk,
        })) => make(context, &recipe, disk.as_deref()).await,
        Some(Verb::Create(arguments)) => create(context, arguments).await,
        Some(Verb::Rm(arguments)) => remove(context, &arguments).await,
    }
}

async fn list(context: &Context, arguments: &Arguments) -> Result<(), CommandError> {
    let Arguments { all, quiet, owner, .. } = arguments;
    let (all, quiet) = (*all, *quiet);
    let request = match owner.as_slice() {
        [] => json!({}),
        owners => json!({ "Owners": owners }),
    };
    let mut answer = api::pages(&context.client, "DescribeImages", &request, "Images").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut images: Vec<api::Image> = api::view("DescribeImages", answer["Images"].take())?;
    images.retain(|one| all || one.is_machine());
    images.sort_by(|a, b| (&a.name, &a.image_id).cmp(&(&b.name, &b.image_id)));
    if quiet {
        return images.iter().try_for_each(|one| context.out.line(&one.image_id));
    }
    if images.is_empty() {
        hint("no images; kiln images make debian-12 makes one, kiln import FILE takes one in");
    }
    // Which account is this host's own, only the daemon knows.
    let own = api::pages(
        &context.client,
        "DescribeImages",
        &json!({ "Owners": ["self"] }),
        "Images",
    )
    .await?;
    let own: Vec<&str> = members(&own, "Images").iter().map(|one| text(one, "ImageId")).collect();
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(["ID", "KIND", "NAME", "OWNER", "STATE", "SIZE", "ARCH", "AGE"]);
    for one in &images {
        let colour = if one.state == "available" {
            Colour::Good
        } else {
            Colour::Warn
        };
        table.row([
            one.image_id.as_str().into(),
            if all { one.image_type.as_str() } else { "" }.into(),
            one.name.as_str().into(),
            owner_of(one, &own).into(),
            Cell::from(one.state.as_str()).coloured(colour),
            one.size().map_or_else(String::new, |gib| format!("{gib} GiB")).into(),
            one.architecture.as_str().into(),
            age(&one.creation_date, now).into(),
        ]);
    }
    table.print(&context.out)
}

/// The owner, as `--owner` takes it.
fn owner_of<'i>(image: &'i api::Image, own: &[&str]) -> &'i str {
    match &image.image_owner_alias {
        Some(alias) => alias,
        None if own.contains(&image.image_id.as_str()) => "self",
        None => &image.owner_id,
    }
}

/// Lists the recipes.
fn recipes(context: &Context) -> Result<(), CommandError> {
    let recipes = recipes::recipes();
    if context.out.json {
        let list: Vec<Value> = recipes
            .iter()
            .map(|one| json!({ "Name": one.name, "Description": one.about }))
            .collect();
        return context.out.answer(&json!(list));
    }
    let mut table = Table::new(["RECIPE", "WHAT"]);
    recipes
        .iter()
        .for_each(|one| table.row([one.name.as_str().into(), one.about.as_str().into()]));
    table.print(&context.out)
}

async fn make(context: &Context, name: &str, disk: Option<&Path>) -> Result<(), CommandError> {
    let recipe = recipes::recipe(name)?;
    if let Some(image) = api::images(&context.client)
        .await?
        .into_iter()
        .find(|one| one.name == name && one.image_owner_alias.as_deref() == Some("amazon") && one.state == "available")
    {
        tell(&format!(
            "{name} is there already; kiln images rm {name} makes room for a new one"
        ));
        return context.out.line(&image.image_id);
    }
    // The disk is large, so it does not go into a /tmp that may be memory.
    let folder = tempfile::Builder::new().prefix("kiln-image-").tempdir_in("/var/tmp");
    let folder = folder.map_err(|source| CommandError::File {
        path: "/var/tmp".into(),
        source,
    })?;
    let disk = disk.map_or_else(|| folder.path().join(format!("{name}.raw")), Path::to_path_buf);
    if !disk.exists() {
        tell(&format!(
            "making {name} from its distribution's packages; this takes a minute or more"
        ));
        cook(&recipe, &disk).await?;
    }
    let file = File::open(&disk).map_err(|source| CommandError::File {
        path: disk.clone(),
        source,
    })?;
    let import = Import::quick_start(&recipe, file);
    import::carry_out(context, import).await
}

/// How long it takes between two looks at an image that is being made, of which there are no events.
const LOOK: Duration = Duration::from_millis(500);

async fn create(context: &Context, arguments: CreateArguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let mut request = json!({
        "InstanceId": instance.instance_id, "Name": arguments.name, "NoReboot": arguments.no_reboot,
    });
    if let Some(description) = arguments.description {
        request["Description"] = description.into();
    }
    let answer = context.client.call("CreateImage", &request).await?;
    let id = text(&answer, "ImageId").to_owned();
    if !arguments.no_wait {
        let spinner = progress::spinner(&format!("making {} of {}", arguments.name, instance.handle()));
        let made = until_made(context, &id).await;
        spinner.finish_and_clear();
        made?;
    }
    done(context, &answer, &id)
}

async fn until_made(context: &Context, id: &str) -> Result<(), CommandError> {
    loop {
        let answer = context
            .client
            .call("DescribeImages", &json!({"ImageIds": [id]}))
            .await?;
        let image = answer.pointer("/Images/0").unwrap_or(&Value::Null);
        match text(image, "State") {
            "pending" => tokio::time::sleep(LOOK).await,
            "available" => return Ok(()),
            state => {
                let why = image.pointer("/StateReason/Message").and_then(Value::as_str);
                return Err(CommandError::ImageNotMade {
                    image: id.into(),
                    state: state.into(),
                    why: why.unwrap_or_default().into(),
                });
            }
        }
    }
}

/// Runs a recipe; what it says goes to standard error.
async fn cook(recipe: &Recipe, disk: &Path) -> Result<(), CommandError> {
    let failed = |status: String| CommandError::Program {
        program: recipe.program.display().to_string(),
        status,
    };
    let status = tokio::process::Command::new(&recipe.program)
        .arg(disk)
        .stdin(std::process::Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(status.to_string()))
    }
}

async fn remove(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    let mut images = Vec::new();
    for name in &arguments.images {
        images.push(resolve::any_image(&context.client, name).await?);
    }
    let names: Vec<String> = images
        .iter()
        .map(|one| format!("{} {}", one.image_id, one.name).trim().to_string())
        .collect();
    if !arguments.yes && !terminal::confirm(&format!("Deregister {}?", names.join(", ")))? {
        return Err(CommandError::Usage("Nothing was deregistered".into()));
    }
    for one in &images {
        // The snapshot goes too: nobody would find it otherwise.
        let request = json!({ "ImageId": one.image_id, "DeleteAssociatedSnapshots": true });
        let answer = context.client.call("DeregisterImage", &request).await?;
        if context.out.json {
            context.out.answer(&answer)?
        } else {
            context.out.line(&one.image_id)?
        }
    }
    Ok(())
}
