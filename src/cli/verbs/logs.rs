//! `kiln logs`: what an instance wrote to its serial console (GetConsoleOutput).

use super::super::Context;
use super::super::api::Instance;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::sanitize::Sanitizer;
use super::console::PROTOCOL;
use crate::base64;
use serde_json::{Value, json};
use std::io::IsTerminal;
use tokio::io::AsyncReadExt;

/// Show what an instance wrote to its serial console.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln logs web
  kiln logs -f web              go on until the instance stops
  kiln logs web -n 20           the last 20 lines")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// Go on with what comes, until the instance stops.
    #[arg(short, long, conflicts_with_all = ["lines", "json"])]
    follow: bool,
    /// The last so many lines only.
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    if arguments.follow && instance.state.name == "running" {
        return follow(context, &instance).await;
    }
    let request = json!({ "InstanceId": instance.instance_id, "Latest": true });
    let answer = context.client.call("GetConsoleOutput", &request).await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let text = answer.get("Output").and_then(Value::as_str).unwrap_or_default();
    let bytes = base64::decode(text).ok_or_else(|| CommandError::Answer {
        request: "GetConsoleOutput".into(),
        source: "the output is not base64".into(),
    })?;
    let bytes = arguments
        .lines
        .map_or(bytes.as_slice(), |count| last_lines(&bytes, count));
    show(context, &mut Sanitizer::default(), bytes)
}

async fn follow(context: &Context, instance: &Instance) -> Result<(), CommandError> {
    let path = format!("/instances/{}/console", instance.instance_id);
    let mut console = context.client.upgrade(&path, PROTOCOL).await?;
    let mut sanitizer = Sanitizer::default();
    let mut buffer = [0; 16384];
    // The console's end, however it comes, is the log's.
    while let Ok(count @ 1..) = console.read(&mut buffer).await {
        show(context, &mut sanitizer, &buffer[..count])?;
    }
    Ok(())
}

/// Writes it as it is into files and pipes; onto a terminal only what can't harm.
fn show(context: &Context, sanitizer: &mut Sanitizer, bytes: &[u8]) -> Result<(), CommandError> {
    if std::io::stdout().is_terminal() {
        context.out.bytes(&sanitizer.feed(bytes))
    } else {
        context.out.bytes(bytes)
    }
}

fn last_lines(bytes: &[u8], count: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let Some(nth) = count.checked_sub(1) else { return &[] };
    let mut ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.nth(nth).map_or(bytes, |(place, _)| &bytes[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(last_lines(b"a\nb\n", 0), b"");
        assert_eq!(last_lines(b"", 3), b"");
    }
}
