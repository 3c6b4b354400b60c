//! Tokens of blocks and of pages. They say what they are of, so that a mistaken one is found out; they are no secrets.

use super::error::{DirectError, Reason};
use crate::model::SnapshotId;
use sha2::{Digest, Sha256};

/// How much of a digest is in a token, in bytes.
const LENGTH: usize = 16;

fn digest(parts: &[&str]) -> String {
    let sum = Sha256::digest(parts.join(" "));
    hex::encode(&sum[..LENGTH])
}

/// The token of a block.
pub(super) fn block(snapshot: SnapshotId, index: u32) -> String {
    digest(&["block", &snapshot.to_string(), &index.to_string()])
}

/// Checks the token of a block.
pub(super) fn check_block(token: &str, snapshot: SnapshotId, index: u32) -> Result<(), DirectError> {
    if token == block(snapshot, index) {
        return Ok(());
    }
    let message = format!("The block token is not that of the block {index} of the snapshot '{snapshot}'");
    Err(DirectError::validation(Reason::BlockToken, message))
}

/// The token of the page of `list` that begins at a block.
pub(super) fn page(list: &str, next: u32) -> String {
    format!("{}{next:08x}", digest(&["page", list]))
}

/// At which block the page of a token begins.
pub(super) fn check_page(token: &str, list: &str) -> Result<u32, DirectError> {
    let next = token.strip_prefix(digest(&["page", list]).as_str());
    let next = next.filter(|next| next.len() == 8 && next.bytes().all(|digit| digit.is_ascii_hexdigit()));
    next.and_then(|next| u32::from_str_radix(next, 16).ok()).ok_or_else(|| {
        DirectError::validation(
            Reason::PageToken,
            "The page token is malformed, or belongs to another list",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_of_one_block_of_one_snapshot() {
        let (one, other) = (SnapshotId::from_random(1), SnapshotId::from_random(2));
        let token = block(one, 7);
        assert_eq!(check_block(&token, one, 7), Ok(()));
        for (snapshot, index) in [(one, 8), (other, 7)] {
            let error = check_block(&token, snapshot, index).unwrap_err();
            assert_eq!(error.reason, Some(Reason::BlockToken));
        }
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()) && token.len() <= 256);
    }

    proptest! {
        #[test]
        fn a_page_goes_on_where_the_last_one_ended(next: u32, token in "\\PC*") {
            prop_assert_eq!(check_page(&page("a", next), "a"), Ok(next));
            prop_assert!(check_page(&page("a", next), "b").is_err());
            prop_assert!(check_page(&token, "a").is_err());
        }
    }
}
