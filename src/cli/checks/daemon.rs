//! Does kilnd answer?

use super::super::client::Client;
use super::super::error::CommandError;
use super::super::verbs::status;
use super::Finding;
use std::path::Path;

pub async fn answers(client: &Client, socket: &Path) -> Finding {
    let check = "kilnd";
    let own = env!("CARGO_PKG_VERSION");
    match client.get("/status").await {
        Ok(answer) if status::version(&answer) == own => {
            Finding::pass(check, format!("version {own} answers on {}", socket.display()))
        }
        Ok(answer) => {
            let found = format!("it has version {}, this command {own}", status::version(&answer));
            Finding::warn(check, found, "systemctl restart kilnd; guests run on")
        }
        Err(CommandError::Unreachable { source, .. }) => Finding::fail(
            check,
            format!("it does not answer on {}: {source}", socket.display()),
            "systemctl enable --now kilnd.socket kilnd, or name its socket with --socket",
        ),
        Err(error) => Finding::fail(check, error.to_string(), "journalctl -u kilnd"),
    }
}
