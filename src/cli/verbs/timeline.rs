//! `kiln timeline`: how long an instance's last start took, step by step.

use super::super::Context;
use super::super::api::{self, Milestone};
use super::super::error::CommandError;
use super::super::resolve;
use super::super::table::Table;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Show how long the last start of an instance took, step by step.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln timeline web")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let answer = api::timeline(&context.client, &instance.instance_id).await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let mut table = Table::new(["STAGE", "AFTER", "TOOK", "WHAT"]);
    for step in steps(&api::milestones(&answer)?) {
        table.row([
            step.stage.as_str().into(),
            step.after.into(),
            step.took.into(),
            meaning(&step.stage).into(),
        ]);
    }
    table.print(&context.out)
}

/// A row of the table: when a stage was reached after the first, and how long it took since the one before.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    stage: String,
    after: String,
    took: String,
}

fn steps(milestones: &[Milestone]) -> Vec<Step> {
    let time = |milestone: &Milestone| OffsetDateTime::parse(&milestone.time, &Rfc3339).ok();
    let mut reached: Vec<_> = milestones
        .iter()
        .filter_map(|milestone| Some((time(milestone)?, &milestone.stage)))
        .collect();
    reached.sort();
    let first = reached.first().map(|(moment, _)| *moment);
    let mut before = first;
    let mut steps = Vec::new();
    for (moment, stage) in reached {
        let since = |other: Option<OffsetDateTime>| other.map_or_else(String::new, |other| seconds(moment - other));
        steps.push(Step {
            stage: stage.clone(),
            after: since(first),
            took: since(before),
        });
        before = Some(moment);
    }
    steps
}

fn seconds(span: time::Duration) -> String {
    format!("{:8.3} s", span.as_seconds_f64())
}

/// What a stage means.
fn meaning(stage: &str) -> &'static str {
    match stage {
        "request" => "the request was taken on",
        "volume" => "the root volume is there",
        "monitor" => "the machine's process waits",
        "kernel" => "the first vCPU enters the kernel",
        "init" => "the first process runs",
        "lease" => "the guest has its address",
        "login" => "the console asks for a login",
        "ready" => "the guest says that it is ready",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_from_the_request_and_from_each_other() {
        let at = |stage: &str, time: &str| Milestone {
            stage: stage.into(),
            time: format!("2026-01-01T00:00:{time}Z"),
        };
        let steps = steps(&[at("request", "10"), at("kernel", "10.250"), at("login", "15.750")]);
        let told: Vec<_> = steps
            .iter()
            .map(|s| (s.stage.as_str(), s.after.trim(), s.took.trim()))
            .collect();
        assert_eq!(
            told,
            [
                ("request", "0.000 s", "0.000 s"),
                ("kernel", "0.250 s", "0.250 s"),
                ("login", "5.750 s", "5.500 s")
            ]
        );
    }
}
