//! How a machine ended, by the monitor's last word.

use crate::machine::presentable;
use kiln_vmm::protocol::{EndReason, Report};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most of a report that is read, in bytes. A monitor that was taken over may have written anything.
const MAX_REPORT: u64 = 256 << 10;
/// The most of its text that is kept.
const MAX_DETAIL: usize = 8 << 10;

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered itself off.
    PoweredOff,
    /// The monitor was asked to end it.
    Ended,
    /// It could not be built, or found nothing to boot.
    BootFailed(String),
    /// The guest did what no CPU survives.
    Crashed(String),
    /// The monitor failed, and says how.
    Failed(String),
    /// The monitor was gone without a word: it was killed, or the host went down.
    Vanished,
}

impl Ending {
    /// Reads the report at `path`. Blocks.
    pub(super) fn read(path: &Path) -> Self {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_REPORT).read_to_end(&mut text));
        match read.ok().and_then(|_| serde_json::from_slice::<Report>(&text).ok()) {
            Some(report) => Self::from(&report),
            None => Self::Vanished,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::PoweredOff => "The guest powered itself off".into(),
            Self::Ended => "The machine was ended by a request to its monitor".into(),
            Self::BootFailed(why) => why.clone(),
            Self::Crashed(detail) => format!("The guest crashed: {detail}"),
            Self::Failed(detail) => format!("The machine monitor failed: {detail}"),
            Self::Vanished => "The machine monitor ended without a report: it was killed, or the host went down".into(),
        }
    }
}

impl From<&Report> for Ending {
    fn from(report: &Report) -> Self {
        let detail = || match report.detail.as_deref() {
            Some(detail) => presentable(detail, MAX_DETAIL),
            None => "no details were reported".into(),
        };
        match report.reason {
            EndReason::PowerOff => Self::PoweredOff,
            EndReason::Stopped => Self::Ended,
            EndReason::BootFailed => Self::BootFailed(detail()),
            EndReason::Crashed => Self::Crashed(detail()),
            EndReason::Failed => Self::Failed(detail()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Ending {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Ending::read(file.path())
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = Report {
            reason: EndReason::Crashed,
            at: 1,
            detail: Some("rip 0\u{7}".into()),
        };
        assert_eq!(
            read(&serde_json::to_vec(&report).unwrap()),
            Ending::Crashed("rip 0\u{fffd}".into())
        );
    }

    #[test]
    fn an_absent_empty_broken_or_endless_report_is_none() {
        assert_eq!(Ending::read(Path::new("/nonexistent/report.json")), Ending::Vanished);
        for text in [&b""[..], b"{\"reason\":\"power_off\"", &vec![b'['; 1 << 20]] {
            assert_eq!(read(text), Ending::Vanished);
        }
    }
}
