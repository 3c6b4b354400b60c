//! `kiln pool`: what is on the pool.

use super::super::super::Context;
use super::super::super::api;
use super::super::super::error::CommandError;
use super::super::super::output::{Colour, hint};
use super::super::super::table::{Cell, Table};
use super::super::{members, text};
use crate::config::Size;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;

/// The daemon's answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pool {
    pub(super) path: String,
    file_system: String,
    pub(super) backing_file: Option<String>,
    clones_share_blocks: bool,
    pub(super) size_bytes: u64,
    free_bytes: u64,
    uses: Vec<Use>,
    freeable: Vec<Freeable>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Use {
    kind: String,
    count: u64,
    size_bytes: u64,
    on_disk_bytes: u64,
    own_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Freeable {
    resource_id: String,
    bytes: u64,
}

pub(super) async fn pool(context: &Context) -> Result<Pool, CommandError> {
    api::view("/pool", context.client.get("/pool").await?)
}

pub(super) async fn show(context: &Context) -> Result<(), CommandError> {
    if context.out.json {
        return context.out.answer(&context.client.get("/pool").await?);
    }
    let pool = pool(context).await?;
    let names = names(context).await?;
    about(&pool).print(&context.out)?;
    context.out.line("")?;
    uses(&pool).print(&context.out)?;
    if !pool.freeable.is_empty() {
        context.out.line("")?;
        let name = |id: &str| names.get(id).cloned().unwrap_or_default();
        freeable(&pool, name).print(&context.out)?;
    }
    if !pool.clones_share_blocks {
        hint("each launch copies its image here; sudo kiln pool init makes a file system on which it copies nothing");
    }
    Ok(())
}

/// What users call their things, by identifier.
async fn names(context: &Context) -> Result<HashMap<String, String>, CommandError> {
    let filter = json!({"Filters": [{"Name": "key", "Values": ["Name"]}]});
    let tags = api::pages(&context.client, "DescribeTags", &filter, "Tags").await?;
    let tags = members(&tags, "Tags").iter();
    Ok(tags
        .map(|tag| (text(tag, "ResourceId").into(), text(tag, "Value").into()))
        .collect())
}

fn about(pool: &Pool) -> Table {
    let bytes = |count| Size::from_bytes(count).to_string();
    let mut table = Table::new(["", ""]);
    let lies = match &pool.backing_file {
        Some(file) => format!("{}, {} in the file {file}", pool.path, pool.file_system),
        None => format!("{}, {}", pool.path, pool.file_system),
    };
    table.row(["pool".into(), lies.into()]);
    let colour = match pool.free_bytes {
        free if free < pool.size_bytes / 20 => Colour::Bad,
        free if free < pool.size_bytes / 5 => Colour::Warn,
        _ => Colour::Good,
    };
    let free = format!("{} of {}", bytes(pool.free_bytes), bytes(pool.size_bytes));
    table.row(["free".into(), Cell::from(free).coloured(colour)]);
    let clones = match pool.clones_share_blocks {
        true => "share their blocks until one of them is written to",
        false => "are copies",
    };
    table.row(["clones".into(), clones.into()]);
    table
}

fn uses(pool: &Pool) -> Table {
    let bytes = |count| Size::from_bytes(count).to_string();
    let mut table = Table::new(["WHAT", "COUNT", "SIZE", "DATA", "SHARED", "OWN"]);
    for one in &pool.uses {
        let shared = one.on_disk_bytes.saturating_sub(one.own_bytes);
        table.row([
            one.kind.as_str().into(),
            one.count.to_string().into(),
            bytes(one.size_bytes).into(),
            bytes(one.on_disk_bytes).into(),
            bytes(shared).into(),
            bytes(one.own_bytes).into(),
        ]);
    }
    table
}

fn freeable(pool: &Pool, name: impl Fn(&str) -> String) -> Table {
    let mut table = Table::new(["COULD BE FREED", "NAME", "GIVES BACK", "WHY", "HOW"]);
    for one in &pool.freeable {
        let id = one.resource_id.as_str();
        let (why, verb) = match id.starts_with("vol-") {
            true => ("no instance has it", "volumes"),
            false => ("no image has it", "snapshots"),
        };
        table.row([
            id.into(),
            name(id).into(),
            Size::from_bytes(one.bytes).to_string().into(),
            why.into(),
            Cell::from(format!("kiln {verb} rm {id}")).coloured(Colour::Dim),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::super::super::output::Output;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_person_reads_what_is_shared_and_what_could_go() {
        let answer = json!({
            "Path": "/var/lib/kiln", "FileSystem": "xfs", "BackingFile": "/var/lib/kiln-pool.xfs", "ClonesShareBlocks": true,
            "SizeBytes": 100_u64 << 30, "FreeBytes": 60_u64 << 30,
            "Uses": [
                {"Kind": "snapshots", "Count": 2, "SizeBytes": 11_u64 << 30, "OnDiskBytes": 1_u64 << 30, "OwnBytes": 0},
                {"Kind": "volumes", "Count": 1, "SizeBytes": 8_u64 << 30, "OnDiskBytes": 3_u64 << 29, "OwnBytes": 1_u64 << 29},
            ],
            "Freeable": [{"ResourceId": "vol-00000000000000001", "Bytes": 5 << 20}],
        });
        let pool: Pool = api::view("/pool", answer).unwrap();
        let out = Output::new(false);
        let about = about(&pool).lines(&out);
        assert_eq!(
            about[0],
            "pool    /var/lib/kiln, xfs in the file /var/lib/kiln-pool.xfs"
        );
        assert_eq!(about[1], "free    60 GiB of 100 GiB");
        let uses = uses(&pool).lines(&out);
        assert_eq!(uses[0], "WHAT       COUNT  SIZE    DATA     SHARED  OWN");
        assert_eq!(uses[2], "volumes    1      8 GiB   1.5 GiB  1 GiB   512 MiB");
        let freeable = freeable(&pool, |_| "data".into()).lines(&out);
        assert_eq!(
            freeable[1],
            "vol-00000000000000001  data  5 MiB       no instance has it  kiln volumes rm vol-00000000000000001"
        );
    }
}
