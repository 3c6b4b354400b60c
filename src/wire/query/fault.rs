//! What a message shows of a client's own text.

/// How much is shown, in characters.
const SHOWN: usize = 64;

/// The beginning of a text: bounded, and on one line.
pub(super) fn show(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}
