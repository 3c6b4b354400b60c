//! Metadata tokens (IMDSv2): the time at which one expires, under a key that only this process has.
//!
//! So no token has to be remembered, and a guest that asks for millions of them fills nothing. [`super::service`] makes
//! and checks them.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, Mac as _};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use std::io;
use std::time::Duration;

/// The longest life of a token, in seconds: EC2's own bound.
pub const SECONDS_MAX: u32 = 21_600;

/// Bytes of the time, of the code, and of both.
const TIME: usize = 8;
const CODE: usize = 32;
const TOKEN: usize = TIME + CODE;

/// The maker of tokens. Times are such since a moment that the caller chose, and must not run backwards.
pub struct Tokens(Hmac<Sha256>);

impl Tokens {
    /// A maker with a key of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> io::Result<Self> {
        let mut key = [0; CODE];
        getrandom(&mut key, GetRandomFlags::empty())?;
        Hmac::new_from_slice(&key).map(Self).map_err(io::Error::other)
    }

    /// A token that is good for `seconds` from `now` on.
    pub fn issue(&self, now: Duration, seconds: u32) -> String {
        let expiry = now.saturating_add(Duration::from_secs(seconds.into()));
        let expiry = u64::try_from(expiry.as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
        let code = self.code(&expiry).finalize().into_bytes();
        Base64UrlUnpadded::encode_string(&[expiry.as_slice(), code.as_slice()].concat())
    }

    /// For how many seconds from `now` on `token` is good, rounded up; none if it is not, or not one of ours.
    pub fn seconds_left(&self, now: Duration, token: &[u8]) -> Option<u32> {
        let mut bytes = [0; TOKEN];
        let bytes = Base64UrlUnpadded::decode(token, &mut bytes).ok()?;
        let (expiry, code) = bytes.split_first_chunk::<TIME>()?;
        self.code(expiry).verify_slice(code).ok()?;
        let expiry = Duration::from_nanos(u64::from_be_bytes(*expiry));
        let left = expiry.checked_sub(now).filter(|left| !left.is_zero())?;
        u32::try_from(left.as_nanos().div_ceil(1_000_000_000)).ok()
    }

    fn code(&self, expiry: &[u8; TIME]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        code.update(expiry);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_good_until_it_expires(
            now in 0u64..1 << 40, seconds in 1..=SECONDS_MAX, passed in 0u64..30_000_000
        ) {
            let tokens = Tokens::new().unwrap();
            let (now, passed) = (Duration::from_millis(now), Duration::from_millis(passed));
            let token = tokens.issue(now, seconds);
            let left = tokens.seconds_left(now + passed, token.as_bytes());
            let life = Duration::from_secs(seconds.into());
            prop_assert_eq!(left.is_some(), passed < life);
            if let Some(left) = left {
                let exact = (life - passed).as_millis().div_ceil(1000);
                prop_assert_eq!(u128::from(left), exact);
            }
        }

        #[test]
        fn a_token_that_was_changed_or_is_of_another_process_is_not_good(at in 0usize..54, to in "[A-Za-z0-9_-]") {
            let (tokens, others) = (Tokens::new().unwrap(), Tokens::new().unwrap());
            let token = tokens.issue(Duration::ZERO, 60);
            prop_assert_eq!(tokens.seconds_left(Duration::ZERO, token.as_bytes()), Some(60));
            prop_assert_eq!(others.seconds_left(Duration::ZERO, token.as_bytes()), None);
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(tokens.seconds_left(Duration::ZERO, changed.as_bytes()).is_some(), changed == token);
        }

        #[test]
        fn no_bytes_are_a_token_by_chance(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Tokens::new().unwrap().seconds_left(Duration::ZERO, &bytes), None);
        }
    }
}
