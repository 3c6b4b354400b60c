//! What `kiln doctor` looks at: one function a check, each with what it found and, where that is not well, the remedy.

mod daemon;
mod host;
mod kvm;
mod network;
mod storage;

use super::client::Client;
use crate::config::Config;
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
    fn pass(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Pass,
            found: found.into(),
            remedy: String::new(),
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
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
