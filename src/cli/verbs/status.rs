//! `kiln status`: the daemon, and what the host has left.

use super::super::Context;
use super::super::error::CommandError;
use super::super::table::Table;
use super::super::{api, output};
use crate::config::Size;
use serde::Deserialize;
use serde_json::Value;

/// Show the daemon's version and what the host has left.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln status
  kiln status --json | jq .VCpusFree")]
pub struct Arguments {}

/// The part of the answer that is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    version: String,
    availability_zone: String,
    owner_id: String,
    #[serde(rename = "Ec2Endpoint")]
    ec2_endpoint: Option<String>,
    state_dir: String,
    clones_share_blocks: bool,
    images: u64,
    instances_running: u64,
    instances_stopped: u64,
    #[serde(rename = "VCpus")]
    vcpus: u64,
    #[serde(rename = "VCpusFree")]
    vcpus_free: u64,
    #[serde(rename = "MemoryMiB")]
    memory: u32,
    #[serde(rename = "MemoryFreeMiB")]
    memory_free: u32,
}

pub(in super::super) async fn run(context: &Context, _: Arguments) -> Result<(), CommandError> {
    let answer = context.client.get("/status").await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    table(api::view("/status", answer)?).print(&context.out)?;
    output::hint("next: kiln ps, kiln images");
    Ok(())
}

fn table(status: Status) -> Table {
    let mut table = Table::new(["", ""]);
    let mut row = |what: &str, value: String| table.row([what.into(), value.into()]);
    row("kilnd", status.version);
    row(
        "zone",
        format!("{}, account {}", status.availability_zone, status.owner_id),
    );
    let endpoint = status.ec2_endpoint;
    row(
        "endpoint",
        endpoint.unwrap_or_else(|| "none for EC2's own clients".into()),
    );
    let shares = if status.clones_share_blocks {
        "share blocks with their images"
    } else {
        "are copies of their images"
    };
    row("state", format!("{}; volumes {shares}", status.state_dir));
    row("images", status.images.to_string());
    row(
        "instances",
        format!(
            "{} running, {} stopped",
            status.instances_running, status.instances_stopped
        ),
    );
    row("vCPUs", format!("{} of {} free", status.vcpus_free, status.vcpus));
    let (free, memory) = (Size::from_mib(status.memory_free), Size::from_mib(status.memory));
    row("memory", format!("{free} of {memory} free"));
    table
}

/// The version that the daemon says it has.
pub fn version(status: &Value) -> &str {
    status.get("Version").and_then(Value::as_str).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::super::super::output::Output;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_person_reads_what_is_free() {
        let answer = json!({
            "Version": "0.1.0", "Region": "local-1", "AvailabilityZone": "local-1a", "OwnerId": "000000000000",
            "Ec2Endpoint": "http://127.0.0.1:8773", "StateDir": "/var/lib/kiln", "ClonesShareBlocks": true, "Images": 2, "InstancesRunning": 1,
            "InstancesStopped": 0, "VCpus": 8, "VCpusFree": 6, "MemoryMiB": 6144, "MemoryFreeMiB": 5120,
        });
        let lines = table(api::view("/status", answer).unwrap()).lines(&Output::new(false));
        assert_eq!(lines[0], "kilnd      0.1.0");
        assert_eq!(lines[2], "endpoint   http://127.0.0.1:8773");
        assert_eq!(
            lines[3],
            "state      /var/lib/kiln; volumes share blocks with their images"
        );
        assert_eq!(lines[6], "vCPUs      6 of 8 free");
        assert_eq!(lines[7], "memory     5 GiB of 6 GiB free");
    }
}
