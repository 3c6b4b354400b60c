//! `kiln replace-root`: a running instance goes on from another root volume (CreateReplaceRootVolumeTask).

use super::super::Context;
use super::super::error::CommandError;
use super::super::{progress, resolve};
use super::{done, text};
use serde_json::{Value, json};

/// Give a running instance another root volume: as it was launched, or of an image, a snapshot or a volume.
///
/// Its guest reboots; addresses, other volumes and the identifier stay. If nothing boots from the new root volume, the instance goes
/// on from the one that it had.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln replace-root web                       as it was launched; the root volume it had is kept
  kiln replace-root web --image golden
  kiln replace-root web --snapshot snap-0a1 --delete-replaced")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The image whose root it gets.
    #[arg(long, conflicts_with_all = ["snapshot", "volume"])]
    image: Option<String>,
    /// The snapshot that its root is made of.
    #[arg(long, conflicts_with = "volume")]
    snapshot: Option<String>,
    /// The volume that is its root then; no instance may have it.
    #[arg(long)]
    volume: Option<String>,
    /// Delete the root volume that it had, once the guest runs from the new one.
    #[arg(long)]
    delete_replaced: bool,
    /// Don't wait for it.
    #[arg(long)]
    no_wait: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let client = &context.client;
    let instance = resolve::instance(client, &arguments.instance).await?;
    let mut request = json!({
        "InstanceId": instance.instance_id,
        "DeleteReplacedRootVolume": arguments.delete_replaced,
    });
    if let Some(image) = arguments.image {
        request["ImageId"] = resolve::image(client, &image).await?.image_id.into();
    }
    if let Some(snapshot) = arguments.snapshot {
        request["SnapshotId"] = resolve::snapshot(client, &snapshot).await?.into();
    }
    if let Some(volume) = arguments.volume {
        request["VolumeId"] = resolve::volume(client, &volume).await?.into();
    }
    // Listening first, nothing can fall in between.
    let events = client.lines("/events").await?;
    let answer = client.call("CreateReplaceRootVolumeTask", &request).await?;
    let task = text(&answer["ReplaceRootVolumeTask"], "ReplaceRootVolumeTaskId").to_owned();
    if !arguments.no_wait {
        let spinner = progress::spinner(&format!("replacing the root volume of {}", instance.handle()));
        let ended = until_ended(context, events, &task).await;
        spinner.finish_and_clear();
        ended?;
    }
    done(context, &answer, &task)
}

/// Waits for a task to end. Events say when to look, and why it failed; what is believed is what the API says.
async fn until_ended(
    context: &Context,
    mut events: super::super::client::Lines,
    task: &str,
) -> Result<(), CommandError> {
    let mut why = None;
    loop {
        let Some(event) = events.next().await? else {
            return Err(CommandError::Lost {
                request: "/events".into(),
                source: "the stream of events ended".into(),
            });
        };
        if text(&event, "Event") != "missed" && text(&event, "ReplaceRootVolumeTaskId") != task {
            continue;
        }
        why = why.or_else(|| event.get("Reason").and_then(Value::as_str).map(ToOwned::to_owned));
        let ids = json!({"ReplaceRootVolumeTaskIds": [task]});
        let answer = context.client.call("DescribeReplaceRootVolumeTasks", &ids).await?;
        match text(&answer["ReplaceRootVolumeTasks"][0], "TaskState") {
            "succeeded" => return Ok(()),
            "failed" => {
                let why = why.unwrap_or_else(|| "the daemon's log says why".into());
                return Err(CommandError::RootNotReplaced { task: task.into(), why });
            }
            _ => {}
        }
    }
}
