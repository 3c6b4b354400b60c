//! What the guest's service manager says of itself: the text of `sd_notify`, lines of `NAME=VALUE`, on a connection a
//! message (systemd's `vmm.notify_socket`). Only `READY=1` is listened for; a guest may say so without being it.

/// The most text of one connection, in bytes.
pub const TEXT_MAX: usize = 4096;

const READY: &[u8] = b"READY=1";

/// What has been said on one connection.
#[derive(Debug, Default)]
pub struct Text(Vec<u8>);

/// More was said than anybody listens to.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Text {
    /// How much more may be said, in bytes.
    pub fn room(&self) -> usize {
        TEXT_MAX - self.0.len()
    }

    /// Hears `bytes`.
    ///
    /// # Errors
    /// They are more than there is room for.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if bytes.len() > self.room() {
            return Err(TooLong);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether a line says that the guest is ready. The last line counts once the connection has `ended`, whether it was
    /// ended itself or not.
    pub fn says_ready(&self, ended: bool) -> bool {
        let whole = match (ended, self.0.iter().rposition(|&byte| byte == b'\n')) {
            (true, _) => &*self.0,
            (false, Some(end)) => self.0.get(..end).unwrap_or_default(),
            (false, None) => return false,
        };
        whole.split(|&byte| byte == b'\n').any(|line| line == READY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(said: &[u8]) -> Text {
        let mut text = Text::default();
        text.hear(said).unwrap();
        text
    }

    #[test]
    fn a_line_of_its_own_says_ready_and_nothing_like_it_does() {
        for said in [
            "READY=1",
            "READY=1\n",
            "STATUS=up\nREADY=1\nX_SYSTEMD_UNIT_ACTIVE=a.target",
        ] {
            assert!(text(said.as_bytes()).says_ready(true), "{said}");
        }
        for said in [
            "",
            "READY=0",
            "READY=10",
            "XREADY=1",
            "STATUS=READY=1",
            "ready=1",
            "READY=1\r",
        ] {
            assert!(!text(said.as_bytes()).says_ready(true), "{said}");
        }
    }

    #[test]
    fn the_beginning_of_a_line_is_no_line() {
        let mut said = text(b"READY=1");
        assert!(!said.says_ready(false));
        said.hear(b"0\n").unwrap();
        assert!(!said.says_ready(false));
        said.hear(b"READY=1\n").unwrap();
        assert!(said.says_ready(false));
    }

    proptest! {
        #[test]
        fn no_guest_says_more_than_is_kept(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..12)) {
            let mut said = Text::default();
            let mut whole = 0;
            for piece in pieces {
                let fits = whole + piece.len() <= TEXT_MAX;
                prop_assert_eq!(said.hear(&piece).is_ok(), fits);
                whole += if fits { piece.len() } else { 0 };
                prop_assert_eq!(said.room(), TEXT_MAX - whole);
                said.says_ready(true);
            }
        }
    }
}
