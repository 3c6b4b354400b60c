//! What `kiln doctor` looks at: one function a check, each with what it found and, where that is not well, the remedy. `kiln why`
//! tells of its steps in the same form.

mod daemon;
mod host;
mod kvm;
mod network;
mod storage;

use super::Context;
use super::client::Client;
use super::error::CommandError;
use super::output::Colour;
use super::table::{Cell, Table};
use crate::config::Config;
use serde_json::{Value, json};
use std::path::Path;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// kiln works, but not as well as it could.
    Warn,
    /// kiln can't work.
    Fail,
}

/// One line of the doctor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing has to be done.
    pub remedy: String,
}

impl Verdict {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        }
    }
}

impl Finding {
    /// All is well.
    pub fn pass(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Pass,
            found: found.into(),
            remedy: String::new(),
        }
    }

    /// Something could be better.
    pub fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    /// Something is not as it must be.
    pub fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Fail,
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// All checks, in the order in which things are needed.
pub async fn all(client: &Client, socket: &Path, config: &Config) -> Vec<Finding> {
    vec![
        kvm::device(),
        kvm::kind(config).await,
        host::cgroups(),
        host::systemd(),
        host::io_uring(),
        storage::reflink(&config.state_dir),
        storage::space(&config.state_dir),
        network::taps(),
        network::vhost(config),
        network::firewall(),
        network::forwarding(),
        host::memory(),
        host::recipe_tools(),
        host::group(&config.socket.group),
        daemon::answers(client, socket).await,
    ]
}

/// Prints findings.
///
/// # Errors
/// Standard output can't be written to.
pub fn show(context: &Context, findings: &[Finding]) -> Result<(), CommandError> {
    if context.out.json {
        return context.out.answer(&findings.iter().map(as_json).collect());
    }
    table(findings).print(&context.out)
}

/// How many of them came out badly.
pub fn failed(findings: &[Finding]) -> usize {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    failed.count()
}

/// Two lines a finding where something is to be done: what was found, and below it what to do.
fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(["", "", ""]);
    for finding in findings {
        let colour = match finding.verdict {
            Verdict::Pass => Colour::Good,
            Verdict::Warn => Colour::Warn,
            Verdict::Fail => Colour::Bad,
        };
        let verdict = Cell::from(finding.verdict.name()).coloured(colour);
        table.row([verdict, finding.check.into(), finding.found.as_str().into()]);
        if !finding.remedy.is_empty() {
            table.row(["".into(), "".into(), format!("-> {}", finding.remedy).into()]);
        }
    }
    table
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "Check": finding.check,
        "Verdict": finding.verdict.name(),
        "Found": finding.found,
        "Remedy": finding.remedy,
    })
}
