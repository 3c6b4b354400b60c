//! `kiln images`: the images (DescribeImages), made by recipe and removed (DeregisterImage).

use super::super::Context;
use super::super::api;
use super::super::catalog::{self, Recipe};
use super::super::error::CommandError;
use super::super::output::{Colour, hint, tell};
use super::super::table::{Cell, Table, age};
use super::super::{resolve, terminal};
use super::import::{self, Import};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// List images; make and remove them.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln images
  kiln images make                   the recipes that there are
  kiln images make debian-12
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
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Make(MakeArguments),
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
        None => list(context, arguments.all, arguments.quiet).await,
        Some(Verb::Make(MakeArguments { recipe: None, .. })) => recipes(context),
        Some(Verb::Make(MakeArguments {
            recipe: Some(recipe),
            disk,
        })) => make(context, &recipe, disk.as_deref()).await,
        Some(Verb::Rm(arguments)) => remove(context, &arguments).await,
    }
}

async fn list(context: &Context, all: bool, quiet: bool) -> Result<(), CommandError> {
    if context.out.json {
        let answer = api::pages(&context.client, "DescribeImages", &json!({}), "Images").await?;
        return context.out.answer(&answer);
    }
    let mut images = api::images(&context.client).await?;
    images.retain(|one| all || one.is_machine());
    images.sort_by(|a, b| (&a.name, &a.image_id).cmp(&(&b.name, &b.image_id)));
    if quiet {
        return images.iter().try_for_each(|one| context.out.line(&one.image_id));
    }
    if images.is_empty() {
        hint("no images; kiln images make debian-12 makes one, kiln import FILE takes one in");
    }
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
            one.image_owner_alias.as_deref().unwrap_or("self").into(),
            Cell::from(one.state.as_str()).coloured(colour),
            one.size().map_or_else(String::new, |gib| format!("{gib} GiB")).into(),
            one.architecture.as_str().into(),
            age(&one.creation_date, now).into(),
        ]);
    }
    table
        .lines(&context.out)
        .iter()
        .try_for_each(|line| context.out.line(line))
}

/// Lists the recipes.
fn recipes(context: &Context) -> Result<(), CommandError> {
    let recipes = catalog::recipes();
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
    table
        .lines(&context.out)
        .iter()
        .try_for_each(|line| context.out.line(line))
}

async fn make(context: &Context, name: &str, disk: Option<&Path>) -> Result<(), CommandError> {
    let recipe = catalog::recipe(name)?;
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
