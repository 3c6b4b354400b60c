//! Standard output and standard error: data on the one, talk on the other.

use super::error::CommandError;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// Where a verb's data goes, and in which shape.
pub struct Output {
    /// Whether the API's JSON is wanted.
    pub json: bool,
    colour: bool,
}

/// The colours that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Good,
    /// On its way, or to be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Less important.
    Dim,
}

impl Output {
    /// Standard output, coloured where it is a terminal that can and nobody asked for none.
    pub fn new(json: bool) -> Output {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Output {
            json,
            colour: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// Writes a line.
    pub fn line(&self, text: &str) -> Result<(), CommandError> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(CommandError::Output)
    }

    /// Writes the API's answer.
    pub fn answer(&self, answer: &Value) -> Result<(), CommandError> {
        self.line(&format!("{answer:#}"))
    }

    /// Text in a colour, where there are colours.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Warn => "33",
            Colour::Bad => "31",
            Colour::Dim => "2",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// Says a line on standard error; nobody is harmed if it can't be written.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says a line on standard error if a person sits there: next steps, which scripts don't want.
pub fn hint(text: &str) {
    if std::io::stderr().is_terminal() {
        tell(text);
    }
}
