//! `kiln console`: the serial console, both ways.

use super::super::Context;
use super::super::api::Instance;
use super::super::error::CommandError;
use super::super::output::tell;
use super::super::resolve;
use super::super::terminal::{RawTerminal, until_escape};
use std::io::IsTerminal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The protocol that a connection to the console is turned into.
pub const PROTOCOL: &str = "kiln-console";

/// Use the serial console of an instance.
///
/// Shows what was written so far, then what comes; what is typed goes to the guest. Ctrl-] leaves, and the guest runs
/// on.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln console web
  echo 'uptime' | kiln console web      type a line, then watch; end with Ctrl-C")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    attach(context, &instance).await
}

/// How a session at the console ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The user left.
    Left,
    /// The machine ended.
    Closed,
}

/// Connects the terminal to the instance's console until the user leaves or the machine ends.
pub async fn attach(context: &Context, instance: &Instance) -> Result<(), CommandError> {
    let path = format!("/instances/{}/console", instance.instance_id);
    let console = context.client.upgrade(&path, PROTOCOL).await?;
    let handle = instance.handle();
    if std::io::stdin().is_terminal() {
        tell(&format!("console of {handle}; Ctrl-] leaves"));
    }
    let terminal = RawTerminal::enter().map_err(CommandError::Terminal)?;
    let end = session(console, tokio::io::stdin(), tokio::io::stdout()).await;
    drop(terminal);
    match end? {
        End::Left => tell(&format!("\nleft the console; {handle} runs on")),
        End::Closed => tell(&format!(
            "\nthe console of {handle} was closed; kiln ps -a shows its state"
        )),
    }
    Ok(())
}

/// Passes bytes both ways. The end of `typed` ends nothing: a script may type a line and then watch.
async fn session(
    console: impl AsyncRead + AsyncWrite,
    mut typed: impl AsyncRead + Unpin,
    mut shown: impl AsyncWrite + Unpin,
) -> Result<End, CommandError> {
    let (mut from_guest, mut to_guest) = tokio::io::split(Box::pin(console));
    let typing = async {
        let mut buffer = [0; 1024];
        loop {
            let count = typed.read(&mut buffer).await.map_err(CommandError::Terminal)?;
            let (bytes, left) = until_escape(&buffer[..count]);
            // A console that has just closed is noticed by the other side.
            let _ = to_guest.write_all(bytes).await;
            let _ = to_guest.flush().await;
            if left {
                return Ok(End::Left);
            }
            if count == 0 {
                std::future::pending::<()>().await;
            }
        }
    };
    let showing = async {
        let mut buffer = [0; 16384];
        loop {
            match from_guest.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(End::Closed),
                Ok(count) => {
                    shown.write_all(&buffer[..count]).await.map_err(CommandError::Output)?;
                    shown.flush().await.map_err(CommandError::Output)?;
                }
            }
        }
    };
    tokio::select! {
        end = showing => end,
        end = typing => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_typed_reaches_the_guest_and_the_escape_leaves() {
        let (ours, mut guest) = tokio::io::duplex(64);
        let end = session(ours, &b"ls\r\x1dnot this"[..], tokio::io::sink())
            .await
            .unwrap();
        assert_eq!(end, End::Left);
        let mut typed = Vec::new();
        guest.read_to_end(&mut typed).await.unwrap();
        assert_eq!(typed, b"ls\r");
    }

    #[tokio::test]
    async fn the_log_is_shown_to_its_end_when_nothing_is_typed() {
        let (ours, mut guest) = tokio::io::duplex(64);
        guest.write_all(b"Debian GNU/Linux 12\r\nlogin: ").await.unwrap();
        drop(guest);
        let mut shown = Vec::new();
        let end = session(ours, tokio::io::empty(), &mut shown).await.unwrap();
        assert_eq!(end, End::Closed);
        assert_eq!(shown, b"Debian GNU/Linux 12\r\nlogin: ");
    }
}
