//! Loading nftables rules: one JSON document, one transaction, through the `nft` program.

use crate::namespace::Namespace;
use serde::Serialize;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// Why rules were not loaded; then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadRulesError {
    /// The program did not run.
    #[error("Can't run nft: kiln needs the nftables package")]
    Run(#[source] io::Error),
    /// It refused the rules.
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// The most of what `nft` says that is kept, in characters.
const MAX_WORDS: usize = 2000;

/// Loads `rules` (as `libnftables-json(5)` has them) in a namespace, or in the host's.
///
/// # Errors
/// See [`LoadRulesError`].
pub async fn load(namespace: Option<&Namespace>, rules: &impl Serialize) -> Result<(), LoadRulesError> {
    let rules = serde_json::to_vec(rules).map_err(|error| LoadRulesError::Run(error.into()))?;
    let work = move || run(&rules);
    let output = match namespace {
        Some(namespace) => namespace.run(work).await,
        None => tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error))),
    };
    let output = output.map_err(LoadRulesError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LoadRulesError::Refused(said.trim().chars().take(MAX_WORDS).collect()))
}

/// The program inherits the namespace of the calling thread.
fn run(rules: &[u8]) -> io::Result<Output> {
    let mut nft = Command::new("nft")
        .args(["--json", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        // One that ends before it has read everything says why on its standard error.
        let _ = input.write_all(rules);
    }
    nft.wait_with_output()
}
