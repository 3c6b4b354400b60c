//! The last word on a machine: why it ended, durable in its report file.

use crate::console::Console;
use crate::protocol::{EndReason, Report};
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much of the console a report quotes, in bytes.
const CONSOLE_TAIL: usize = 4096;
/// How many lines of it.
const CONSOLE_LINES: usize = 30;

/// Now, in microseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// An error and all that caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A report that a machine ended for `reason`, now.
pub fn report(reason: EndReason, detail: Option<String>) -> Report {
    Report {
        reason,
        at: now(),
        detail,
    }
}

/// `what` killed a guest, and what its console said last.
pub fn with_console(what: &str, console: &Console) -> String {
    let tail = console.tail(CONSOLE_TAIL).unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
    let clean = |line: &&str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let console: Vec<String> = last.iter().map(clean).collect();
    format!("{what}\nLast lines of the console:\n{}", console.join("\n"))
}

/// Writes `report` to `file` and makes it durable.
pub fn write(file: &File, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    file.write_all_at(&line, 0)?;
    file.sync_all()
}
