//! What a message shows of a client's own text: a bounded beginning, on one line, with nothing that could move a cursor.

/// How much is shown as a rule, in characters.
const SHOWN: usize = 64;

/// The beginning of a text.
#[must_use]
pub fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN)
}

/// The beginning of a text that is longer as a rule, in characters.
#[must_use]
pub fn shown_up_to(text: &str, most: usize) -> String {
    text.chars().take(most).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_its_control_characters_are_written_out() {
        assert_eq!(shown("a\n\u{1b}[2J\u{202e}"), "a\\n\\u{1b}[2J\\u{202e}");
        assert_eq!(shown(&"ü".repeat(100)), "ü".repeat(64));
        assert_eq!(shown_up_to("abc", 2), "ab");
    }
}
