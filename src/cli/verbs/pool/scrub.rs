//! `kiln pool scrub`: whether snapshots, those of images among them, are still what was written.

use super::super::super::Context;
use super::super::super::error::CommandError;
use super::super::super::output::Colour;
use super::super::super::table::{Cell, Table};
use super::super::super::{api, progress, resolve};
use super::super::{members, text};
use serde_json::{Value, json};

pub(super) async fn scrub(context: &Context, names: &[String]) -> Result<(), CommandError> {
    let mut snapshots = Vec::with_capacity(names.len());
    for name in names {
        snapshots.push(resolve::snapshot(&context.client, name).await?);
    }
    if names.is_empty() {
        let filter = json!({"Filters": [{"Name": "status", "Values": ["completed"]}]});
        let all = api::pages(&context.client, "DescribeSnapshots", &filter, "Snapshots").await?;
        snapshots.extend(
            members(&all, "Snapshots")
                .iter()
                .map(|one| text(one, "SnapshotId").to_owned()),
        );
    }
    let (mut found, mut damaged) = (Vec::new(), 0);
    for (number, id) in snapshots.iter().enumerate() {
        let spinner = progress::spinner(&format!("reading {id}, {} of {}", number + 1, snapshots.len()));
        let answer = context.client.call(&format!("pool/scrub/{id}"), &json!({})).await;
        spinner.finish_and_clear();
        let answer = answer?;
        damaged += usize::from(text(&answer, "Outcome") == "damaged");
        found.push(answer);
    }
    match context.out.json {
        true => context.out.answer(&Value::Array(found))?,
        false => {
            table(&found).print(&context.out)?;
        }
    }
    match damaged {
        0 => Ok(()),
        damaged => Err(CommandError::Damaged(damaged)),
    }
}

fn table(found: &[Value]) -> Table {
    let mut table = Table::new(["SNAPSHOT", "FOUND", "WHAT THAT MEANS"]);
    for one in found {
        let (colour, meaning) = match text(one, "Outcome") {
            "intact" => (Colour::Good, "it is what was written"),
            "noted" => (Colour::Good, "it had no digest, and has one now"),
            _ => (
                Colour::Bad,
                "it is not what was written: nothing is made of it any more",
            ),
        };
        let outcome = Cell::from(text(one, "Outcome")).coloured(colour);
        table.row([text(one, "SnapshotId").into(), outcome, meaning.into()]);
    }
    table
}
