//! The serial console of a guest: waiting for what it says, and typing.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How much of the end is shown when a wait was in vain.
const TAIL: usize = 4000;
/// What a guest says that will get no further by itself.
const LOST: [&str; 2] = ["You are in emergency mode", "Kernel panic - not syncing"];
/// Numbers the commands, of all consoles: a console that is opened again begins with what was said before.
static ASKED: AtomicU32 = AtomicU32::new(1);

/// An open console.
pub struct Console {
    instance: String,
    connection: BufReader<UnixStream>,
    seen: String,
    /// What was waited for successfully lies before this place.
    read: usize,
}

impl Console {
    pub(crate) fn new(instance: &str, connection: BufReader<UnixStream>) -> Self {
        let (seen, read) = (String::new(), 0);
        Self {
            instance: instance.into(),
            connection,
            seen,
            read,
        }
    }

    /// Everything that was seen so far.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Waits until the guest says `text`; returns what it said since the last wait, up to there.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(place) = self.seen[self.read..].find(text) {
                let from = self.read;
                self.read += place + text.len();
                return self.seen[from..self.read].to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let lost = LOST.into_iter().find(|lost| self.seen[self.read..].contains(lost));
            let problem = match lost {
                Some(lost) => Some(format!("said {lost:?}")),
                None if left.is_zero() => Some(format!("did not say it in {patience:?}")),
                None => self.fill(left),
            };
            if let Some(problem) = problem {
                panic!(
                    "Waiting for {text:?}, the console of {} {problem}; its end:\n{}",
                    self.instance,
                    self.tail()
                );
            }
        }
    }

    /// Waits until the console is closed, for the guest is off; returns all that it ever said.
    #[track_caller]
    pub fn wait_for_end(&mut self, patience: Duration) -> &str {
        let deadline = Instant::now() + patience;
        while self.fill(deadline.saturating_duration_since(Instant::now())).is_none() {
            assert!(
                Instant::now() < deadline,
                "The console of {} was still open after {patience:?}; its end:\n{}",
                self.instance,
                self.tail()
            );
        }
        &self.seen
    }

    /// Types a line.
    #[track_caller]
    pub fn type_line(&mut self, line: &str) {
        let typed = format!("{line}\n");
        if let Err(error) = self.connection.get_mut().write_all(typed.as_bytes()) {
            panic!(
                "Can't type at the console of {}: {error}; its end:\n{}",
                self.instance,
                self.tail()
            );
        }
    }

    /// Waits for the root shell of a test image, and makes it quiet enough to be talked to.
    #[track_caller]
    pub fn wait_for_shell(&mut self, patience: Duration) {
        self.wait_for("login:", patience);
        self.wait_for("# ", patience);
        self.type_line("bind 'set enable-bracketed-paste off'; PS1=; stty -echo; dmesg -n 1; echo KILN-'SHELL'");
        self.wait_for("KILN-SHELL", patience);
    }

    /// Runs a command in that shell; returns what it printed. It must succeed.
    ///
    /// Others write to the console meanwhile, so the command's own lines are told by a mark before each.
    #[track_caller]
    pub fn shell(&mut self, command: &str, patience: Duration) -> String {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let (line, end) = (format!("KILN-{asked}>"), format!("KILN-{asked}-STATUS "));
        // The marks are typed in two parts, so that they are not found where the line is echoed; the last one begins a line
        // also when the command did not end its own.
        self.type_line(&format!(
            "{{ {command}; }} | sed 's/^/KILN-'{asked}'>/'; echo $'\\n'\"KILN-{asked}\"\"-STATUS ${{PIPESTATUS[0]}}.\"",
        ));
        let said = self.wait_for(&end, patience).replace('\r', "");
        let status = self.wait_for(".", patience);
        assert_eq!(
            status, "0.",
            "{command:?} failed in {}; it said:\n{said}",
            self.instance
        );
        let lines = said.lines().filter_map(|said| said.split_once(&line));
        lines.map(|(_, own)| own.trim()).collect::<Vec<_>>().join("\n")
    }

    /// Reads what there is, waiting for it at most so long. Says what went wrong, if something did.
    fn fill(&mut self, patience: Duration) -> Option<String> {
        let patience = patience.max(Duration::from_millis(1));
        self.connection
            .get_ref()
            .set_read_timeout(Some(patience))
            .expect("The time is not zero");
        let mut bytes = [0; 4096];
        match self.connection.read(&mut bytes) {
            Ok(0) => Some("was closed".into()),
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(format!("broke ({error})")),
        }
    }

    fn tail(&self) -> &str {
        tail(&self.seen, TAIL)
    }
}

/// The end of a text, at most so many bytes.
pub(crate) fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
