//! `kiln snapshots`: listed (DescribeSnapshots), made of volumes (CreateSnapshot) and deleted (DeleteSnapshot).

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::{Colour, hint};
use super::super::table::{Cell, Table, age};
use super::super::{api, resolve};
use super::{delete, done, members, name, text};
use serde_json::json;
use time::OffsetDateTime;

/// List snapshots; make them of volumes, and delete them.
///
/// A snapshot is a volume as it was at one moment, also of one that a guest writes to: then it is as after a power failure,
/// which file systems stand. kiln volumes create --snapshot makes a volume of it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln snapshots
  kiln snapshots create data --description 'before the upgrade'
  kiln snapshots rm snap-0abc",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Identifiers only.
    #[arg(short, long)]
    quiet: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a snapshot of a volume.
    Create {
        /// The volume: its name, its identifier or the beginning of either.
        volume: String,
        /// For people.
        #[arg(short, long)]
        description: Option<String>,
    },
    /// Delete snapshots. Volumes that were made of them stay.
    Rm {
        /// The snapshots: names, identifiers or beginnings of either.
        #[arg(required = true)]
        snapshots: Vec<String>,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let client = &context.client;
    match arguments.verb {
        None => list(context, arguments.quiet).await,
        Some(Verb::Create { volume, description }) => {
            let volume = resolve::volume(client, &volume).await?;
            let request = match description {
                Some(description) => json!({"VolumeId": volume, "Description": description}),
                None => json!({"VolumeId": volume}),
            };
            let answer = client.call("CreateSnapshot", &request).await?;
            done(context, &answer, text(&answer, "SnapshotId"))
        }
        Some(Verb::Rm { snapshots, yes }) => remove(context, &snapshots, yes).await,
    }
}

async fn remove(context: &Context, names: &[String], yes: bool) -> Result<(), CommandError> {
    let mut snapshots = Vec::with_capacity(names.len());
    for name in names {
        snapshots.push(resolve::snapshot(&context.client, name).await?);
    }
    let question = format!("Delete {}?", snapshots.join(", "));
    delete(
        context,
        ("DeleteSnapshot", "SnapshotId"),
        &snapshots,
        (!yes).then_some(question),
    )
    .await
}

async fn list(context: &Context, quiet: bool) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeSnapshots", &json!({}), "Snapshots").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let snapshots = members(&answer, "Snapshots");
    if quiet {
        return snapshots
            .iter()
            .try_for_each(|one| context.out.line(text(one, "SnapshotId")));
    }
    if snapshots.is_empty() {
        hint("no snapshots; kiln snapshots create VOLUME makes one");
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new(["ID", "NAME", "SIZE", "STATE", "VOLUME", "DESCRIPTION", "AGE"]);
    for one in snapshots {
        let state = text(one, "State");
        let colour = if state == "completed" {
            Colour::Good
        } else {
            Colour::Warn
        };
        // EC2 shows this one for those that were made of no volume.
        let volume = Some(text(one, "VolumeId")).filter(|volume| *volume != "vol-ffffffff");
        table.row([
            text(one, "SnapshotId").into(),
            name(one).into(),
            format!("{} GiB", one["VolumeSize"]).into(),
            Cell::from(state).coloured(colour),
            volume.unwrap_or_default().into(),
            text(one, "Description").into(),
            age(text(one, "StartTime"), now).into(),
        ]);
    }
    table.print(&context.out)
}
