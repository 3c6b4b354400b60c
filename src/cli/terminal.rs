//! The terminal: raw while the interactive console uses it and as it was afterwards; and questions to who sits there.

use super::error::CommandError;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Write};

/// `Ctrl-]`, which leaves the console.
pub const ESCAPE: u8 = 0x1d;

/// Standard input in raw mode; dropped, it is as it was.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Makes standard input raw; none if it is no terminal.
    pub fn enter() -> io::Result<Option<RawTerminal>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(RawTerminal { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // What is typed but not read belongs to the guest, not to the shell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// The part of typed bytes that goes to the guest, and whether the user wants to leave.
pub fn until_escape(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|byte| *byte == ESCAPE) {
        Some(place) => (&typed[..place], true),
        None => (typed, false),
    }
}

/// Asks a question that is answered with yes or no; no is what Enter means.
///
/// # Errors
/// Nobody sits there to answer: a script must say `--yes`.
pub fn confirm(question: &str) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        let message = format!("{question} Nobody is there to answer; say --yes");
        return Err(CommandError::Usage(message));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(CommandError::Terminal)?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(CommandError::Terminal)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_before_the_escape_reaches_the_guest() {
        assert_eq!(until_escape(b"ls\r"), (&b"ls\r"[..], false));
        assert_eq!(until_escape(b"ls\x1dmore"), (&b"ls"[..], true));
    }
}
