//! Idempotency by `ClientToken`: the same token and the same request give the first answer again.
//!
//! The token and the request's digest are kept with the resource that the request made, so that they live as long as
//! it does, across restarts of the daemon.

use super::call::Digest;
use super::error::{ApiError, Code};
use crate::store::StoreError;

/// The longest token, in characters.
const MAX_LENGTH: usize = 64;

/// What makes a request the same as an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// As the client gave it.
    pub token: String,
    /// The digest of the request that it came with.
    pub digest: Digest,
}

impl ClientToken {
    /// The token of a request; an empty one is none.
    ///
    /// # Errors
    /// `InvalidParameterValue` for one that is too long or has other characters than printable ASCII.
    pub fn new(token: Option<String>, digest: Digest) -> Result<Option<Self>, ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if token.len() > MAX_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            let message = format!("The ClientToken must be at most {MAX_LENGTH} printable ASCII characters");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        Ok(Some(Self { token, digest }))
    }

    /// What the same request has made before: `look` finds what was made with a token, and the digest of the request that did.
    ///
    /// # Errors
    /// As [`Self::same_request`]; the store's.
    pub fn made_before<T>(
        token: Option<&Self>,
        look: impl FnOnce(&str) -> Result<Option<(T, String)>, StoreError>,
    ) -> Result<Option<T>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        let Some((made, digest)) = look(&token.token)? else {
            return Ok(None);
        };
        token.same_request(&digest)?;
        Ok(Some(made))
    }

    /// A resource was made with this very token: with the same request, too?
    ///
    /// # Errors
    /// `IdempotentParameterMismatch` if it was another request.
    pub fn same_request(&self, recorded: &str) -> Result<(), ApiError> {
        if recorded == self.digest.to_string() {
            return Ok(());
        }
        let message = format!(
            "The ClientToken '{}' was used before, with other parameters",
            self.token
        );
        Err(ApiError::new(Code::IdempotentParameterMismatch, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_token_with_another_request_is_a_mismatch() {
        let token = ClientToken::new(Some("t".into()), Digest(1)).unwrap().unwrap();
        assert_eq!(token.same_request(&Digest(1).to_string()), Ok(()));
        assert_eq!(
            token.same_request(&Digest(2).to_string()).unwrap_err().code,
            Code::IdempotentParameterMismatch
        );
    }

    #[test]
    fn an_empty_token_is_none_and_a_long_or_binary_one_is_refused() {
        assert_eq!(ClientToken::new(Some(String::new()), Digest(1)), Ok(None));
        for bad in ["x".repeat(65), "a\n".into()] {
            assert_eq!(
                ClientToken::new(Some(bad), Digest(1)).unwrap_err().code,
                Code::InvalidParameterValue
            );
        }
    }
}
