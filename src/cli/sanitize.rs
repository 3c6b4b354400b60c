//! What a guest wrote, made fit for a terminal: text, line ends, tabs and colours pass; whatever else could move the
//! cursor, set a title or ask the terminal for an answer does not. The interactive console does without: there the
//! guest is meant to have the whole terminal.

/// A filter with a memory, so that a sequence may lie across two pieces.
#[derive(Debug, Default)]
pub struct Sanitizer {
    state: State,
    sequence: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// `ESC [ … final`: the one kind of which a part passes.
    Control,
    /// `ESC ] …`, ended by BEL or `ESC \`, and its like.
    Command,
    CommandEscape,
}

/// The longest colour sequence that passes.
const LONGEST: usize = 32;

impl Sanitizer {
    /// The part of `bytes` that may reach a terminal.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.state = self.step(byte, &mut out);
        }
        out
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::Text, 0x1b) => State::Escape,
            (State::Text, b'\n' | b'\r' | b'\t' | 0x20..=0x7e | 0x80..) => {
                out.push(byte);
                State::Text
            }
            (State::Text, _) => State::Text,
            (State::Escape, b'[') => {
                self.sequence = vec![0x1b, b'['];
                State::Control
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Command,
            (State::Escape, 0x1b) => State::Escape,
            (State::Escape, 0x20..=0x2f) => State::Escape,
            (State::Escape, _) => State::Text,
            (State::Control, 0x40..=0x7e) => {
                if byte == b'm' && self.sequence.len() < LONGEST {
                    out.append(&mut self.sequence);
                    out.push(byte);
                }
                State::Text
            }
            (State::Control, 0x20..=0x3f) => {
                if self.sequence.len() < LONGEST {
                    self.sequence.push(byte);
                }
                State::Control
            }
            (State::Control, 0x1b) => State::Escape,
            (State::Control, _) => State::Text,
            (State::Command, 0x07) => State::Text,
            (State::Command, 0x1b) => State::CommandEscape,
            // A line end closes what was never closed, else one stray byte would hide the rest of a log.
            (State::Command | State::CommandEscape, b'\n') => {
                out.push(byte);
                State::Text
            }
            (State::Command, _) => State::Command,
            (State::CommandEscape, b'\\') => State::Text,
            (State::CommandEscape, _) => State::Command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(text: &str) -> String {
        String::from_utf8(Sanitizer::default().feed(text.as_bytes())).unwrap()
    }

    #[test]
    fn text_and_colours_pass() {
        let text = "[\x1b[0;32m  OK  \x1b[0m] Grüße\tfrom init\r\n";
        assert_eq!(clean(text), text);
    }

    #[test]
    fn cursor_moves_titles_and_questions_do_not() {
        assert_eq!(clean("a\x1b[2J\x1b[1;1Hb\x1b[6nc\x07\x08"), "abc");
        assert_eq!(clean("a\x1b]0;title\x07b\x1bP1$tx\x1b\\c\x1bcd"), "abcd");
        assert_eq!(clean("a\x1b]52;c;never closed\nb"), "a\nb");
    }

    proptest! {
        #[test]
        fn only_colour_sequences_are_left_however_the_bytes_are_cut(bytes: Vec<u8>, cut in 0usize..64) {
            let whole = Sanitizer::default().feed(&bytes);
            let mut pieces = Sanitizer::default();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            let mut joined = pieces.feed(a);
            joined.extend(pieces.feed(b));
            prop_assert_eq!(&whole, &joined);
            for (place, _) in whole.iter().enumerate().filter(|(_, byte)| **byte == 0x1b) {
                let rest = &whole[place + 1..];
                prop_assert_eq!(rest.first(), Some(&b'['));
                let end = rest[1..].iter().position(|b| (0x40..=0x7e).contains(b));
                prop_assert_eq!(end.map(|end| rest[1 + end]), Some(b'm'));
            }
        }
    }
}
