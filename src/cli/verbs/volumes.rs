//! `kiln volumes`: listed (DescribeVolumes), made (CreateVolume), attached and detached (AttachVolume, DetachVolume), grown and limited
//! (ModifyVolume) and deleted (DeleteVolume).

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::{Colour, hint};
use super::super::table::{Cell, Table, age};
use super::super::{api, resolve};
use super::{delete, done, members, name, text};
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;

/// List volumes; make them, attach and detach them, let them grow, limit and delete them.
///
/// A guest finds a volume as /dev/disk/by-id/virtio-vol…: its serial number is its identifier without the dash.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln volumes
  kiln volumes create 20 --name data          20 GiB; it takes the space that is written to
  kiln volumes attach data web                also while web runs
  kiln volumes grow data 40
  kiln volumes limit data --iops 3000 --throughput 125
  kiln volumes detach data
  kiln volumes rm data",
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
    /// Make a volume.
    Create {
        /// Its size in GiB; as large as its snapshot when not given.
        #[arg(required_unless_present = "snapshot")]
        size: Option<u64>,
        /// What it is a copy of; it is empty without.
        #[arg(long)]
        snapshot: Option<String>,
        /// Its name.
        #[arg(short, long)]
        name: Option<String>,
    },
    /// Give a volume to an instance, whether it runs or not.
    Attach {
        /// The volume: its name, its identifier or the beginning of either.
        volume: String,
        /// The instance: its name, its identifier or the beginning of either.
        instance: String,
        /// The name by which EC2 knows its place; the next one that is free, from /dev/sdf on, when not given.
        #[arg(long)]
        device: Option<String>,
    },
    /// Take a volume from its instance. A guest that runs keeps it until it lets go: unmount it there first.
    Detach {
        /// The volume: its name, its identifier or the beginning of either.
        volume: String,
        /// Take it at once; what the guest has not written is lost.
        #[arg(long)]
        force: bool,
    },
    /// Let a volume grow, also while its guest uses it.
    Grow {
        /// The volume: its name, its identifier or the beginning of either.
        volume: String,
        /// Its new size in GiB.
        size: u64,
    },
    /// Limit how much a volume is used, as gp3 volumes of EC2 are, also while its guest uses it. Without a limit it does as much as
    /// the host can.
    #[command(group(clap::ArgGroup::new("limits").args(["iops", "throughput"]).required(true).multiple(true)))]
    Limit {
        /// The volume: its name, its identifier or the beginning of either.
        volume: String,
        /// Operations a second, 3000 to 80000; or none.
        #[arg(long, value_name = "N|none", value_parser = limit)]
        iops: Option<u32>,
        /// MiB a second, 125 to 2000; or none.
        #[arg(long, value_name = "MIB|none", value_parser = limit)]
        throughput: Option<u32>,
    },
    /// Delete volumes, with what is on them.
    Rm {
        /// The volumes: names, identifiers or beginnings of either.
        #[arg(required = true)]
        volumes: Vec<String>,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let client = &context.client;
    match arguments.verb {
        None => list(context, arguments.quiet).await,
        Some(Verb::Create { size, snapshot, name }) => create(context, size, snapshot, name).await,
        Some(Verb::Attach {
            volume,
            instance,
            device,
        }) => {
            let volume = resolve::volume(client, &volume).await?;
            let instance = resolve::instance(client, &instance).await?;
            let device = match device {
                Some(device) => device,
                None => free_device(context, &instance.instance_id).await?,
            };
            let request = json!({"VolumeId": volume, "InstanceId": instance.instance_id, "Device": device});
            let answer = client.call("AttachVolume", &request).await?;
            done(context, &answer, &device)
        }
        Some(Verb::Detach { volume, force }) => {
            let volume = resolve::volume(client, &volume).await?;
            let request = json!({"VolumeId": volume, "Force": force});
            let answer = client.call("DetachVolume", &request).await?;
            done(context, &answer, &volume)
        }
        Some(Verb::Grow { volume, size }) => {
            let volume = resolve::volume(client, &volume).await?;
            let request = json!({"VolumeId": volume, "Size": size});
            let answer = client.call("ModifyVolume", &request).await?;
            done(context, &answer, &volume)
        }
        Some(Verb::Limit {
            volume,
            iops,
            throughput,
        }) => {
            let volume = resolve::volume(client, &volume).await?;
            let mut request = json!({"VolumeId": volume});
            let asked = [("Iops", iops), ("Throughput", throughput)];
            for (member, value) in asked.into_iter().filter_map(|(member, value)| Some((member, value?))) {
                request[member] = value.into();
            }
            let answer = client.call("ModifyVolume", &request).await?;
            done(context, &answer, &volume)
        }
        Some(Verb::Rm { volumes, yes }) => remove(context, &volumes, yes).await,
    }
}

/// A limit as people write it; as the API has it, 0 is none.
fn limit(text: &str) -> Result<u32, String> {
    match text {
        "none" => Ok(0),
        text => text.parse().map_err(|_| "expecting a number, or none".to_owned()),
    }
}

async fn create(
    context: &Context,
    size: Option<u64>,
    snapshot: Option<String>,
    name: Option<String>,
) -> Result<(), CommandError> {
    let client = &context.client;
    let zones = client.call("DescribeAvailabilityZones", &json!({})).await?;
    let zone = zones.pointer("/AvailabilityZones/0/ZoneName");
    let mut request = json!({"AvailabilityZone": zone});
    if let Some(size) = size {
        request["Size"] = size.into();
    }
    if let Some(snapshot) = snapshot {
        request["SnapshotId"] = resolve::snapshot(client, &snapshot).await?.into();
    }
    if let Some(name) = name {
        let tags = json!([{"Key": "Name", "Value": name}]);
        request["TagSpecifications"] = json!([{"ResourceType": "volume", "Tags": tags}]);
    }
    let answer = client.call("CreateVolume", &request).await?;
    let id = text(&answer, "VolumeId");
    until_there(context, id).await?;
    done(context, &answer, id)
}

/// How long it takes between two looks at a volume that is being made, of which there are no events.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until a volume can be attached: where the file system shares no blocks, copying its snapshot takes a while.
async fn until_there(context: &Context, id: &str) -> Result<(), CommandError> {
    loop {
        let answer = context
            .client
            .call("DescribeVolumes", &json!({"VolumeIds": [id]}))
            .await?;
        let state = answer.pointer("/Volumes/0/State").and_then(Value::as_str);
        match state.unwrap_or_default() {
            "creating" => tokio::time::sleep(LOOK).await,
            "error" => return Err(CommandError::VolumeNotMade { volume: id.into() }),
            _ => return Ok(()),
        }
    }
}

/// The first device name from /dev/sdf on, as EC2 recommends for data volumes, that is free in an instance.
async fn free_device(context: &Context, instance: &str) -> Result<String, CommandError> {
    let filter = json!({"Filters": [{"Name": "attachment.instance-id", "Values": [instance]}]});
    let volumes = api::pages(&context.client, "DescribeVolumes", &filter, "Volumes").await?;
    let volumes = members(&volumes, "Volumes");
    let taken = volumes.iter().flat_map(|one| members(one, "Attachments"));
    let taken: Vec<&str> = taken
        .map(|one| text(one, "Device").trim_start_matches("/dev/"))
        .collect();
    let free = ('f'..='z').find(|letter| {
        let names = [format!("sd{letter}"), format!("xvd{letter}")];
        !names.iter().any(|name| taken.contains(&name.as_str()))
    });
    free.map(|letter| format!("/dev/sd{letter}"))
        .ok_or_else(|| CommandError::Usage("No device name is free: name one with --device".into()))
}

async fn remove(context: &Context, names: &[String], yes: bool) -> Result<(), CommandError> {
    let mut volumes = Vec::with_capacity(names.len());
    for name in names {
        volumes.push(resolve::volume(&context.client, name).await?);
    }
    let question = format!("Delete {} and what is on them?", volumes.join(", "));
    delete(
        context,
        ("DeleteVolume", "VolumeId"),
        &volumes,
        (!yes).then_some(question),
    )
    .await
}

async fn list(context: &Context, quiet: bool) -> Result<(), CommandError> {
    let answer = api::pages(&context.client, "DescribeVolumes", &json!({}), "Volumes").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let volumes = members(&answer, "Volumes");
    if quiet {
        return volumes
            .iter()
            .try_for_each(|one| context.out.line(text(one, "VolumeId")));
    }
    if volumes.is_empty() {
        hint("no volumes; kiln volumes create 20 --name data makes one");
    }
    let now = OffsetDateTime::now_utc();
    let mut table = Table::new([
        "ID", "NAME", "SIZE", "STATE", "INSTANCE", "DEVICE", "SNAPSHOT", "IOPS", "MiB/S", "AGE",
    ]);
    for one in volumes {
        let attachment = members(one, "Attachments").first().unwrap_or(&Value::Null);
        let state = match text(attachment, "State") {
            passing @ ("attaching" | "detaching") => passing,
            _ => text(one, "State"),
        };
        let colour = match state {
            "available" | "in-use" => Colour::Good,
            _ => Colour::Warn,
        };
        table.row([
            text(one, "VolumeId").into(),
            name(one).into(),
            format!("{} GiB", one["Size"]).into(),
            Cell::from(state).coloured(colour),
            text(attachment, "InstanceId").into(),
            text(attachment, "Device").into(),
            text(one, "SnapshotId").into(),
            number(one, "Iops").into(),
            number(one, "Throughput").into(),
            age(text(one, "CreateTime"), now).into(),
        ]);
    }
    table.print(&context.out)
}

/// A number of an answer; nothing where there is none.
fn number(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_u64)
        .map_or_else(String::new, |number| number.to_string())
}
