//! Signature Version 4: who signed a request, and whether the signature holds (AWS General Reference, "Signature Version 4
//! signing process"), in its header and its presigned form.
//!
//! The TCP endpoint lets nobody in without one. On the Unix socket the kernel says who asks; there only the scope is read,
//! which says what service is meant.

mod canonical;
mod presented;
#[cfg(test)]
pub(in crate::wire) mod testing;
#[cfg(test)]
mod tests;

pub use presented::{Presented, Scope};

use hmac::{Hmac, Mac};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// How far a client's clock may be from ours, in minutes.
const SKEW_MINUTES: i64 = 15;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error(
        "The request is not signed: this endpoint wants AWS Signature Version 4 with an access key; \
         'kiln access-key create' makes one, and 'kiln env' puts it into a shell"
    )]
    Missing,
    /// It is there, and something of it is not.
    #[error("The signature is incomplete: {0}")]
    Incomplete(String),
    /// Nobody has that key.
    #[error("There is no access key '{0}' here; 'kiln access-key list' shows those there are")]
    UnknownKey(String),
    /// Of a kind that kiln does not check.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Another secret, or another request.
    #[error("The signature that came with the request is not the one that its access key's secret makes")]
    Mismatch,
    /// The clocks are too far apart, or the request is old.
    #[error("The request was signed for another time: {0}")]
    Expired(String),
}

/// A signed request, as its signature sees it.
#[derive(Debug)]
pub struct Signed<'a> {
    /// Method, path, query and headers.
    pub head: &'a Parts,
    /// All of its body.
    pub body: &'a [u8],
}

impl Presented {
    /// Checks the signature with the secret that belongs to its access key.
    ///
    /// # Errors
    /// `Expired` for another time than `now`, `Mismatch` for another secret or another request, `Incomplete` for headers that
    /// it does not cover.
    pub fn verify(&self, signed: &Signed<'_>, secret: &str, now: OffsetDateTime) -> Result<(), SignatureError> {
        self.must_be_of_now(now)?;
        let signature = hex::decode(&self.signature).map_err(|_| SignatureError::Mismatch)?;
        // In constant time.
        let verified = self.made(signed, secret)?.verify_slice(&signature);
        verified.map_err(|_| SignatureError::Mismatch)
    }

    /// The signature that the secret makes.
    fn made(&self, signed: &Signed<'_>, secret: &str) -> Result<Hmac<Sha256>, SignatureError> {
        let canonical = canonical::request(self, signed)?;
        let mut text = format!("{}\n{}\n{}\n", presented::ALGORITHM, self.date, self.scope);
        text.push_str(&hex::encode(Sha256::digest(canonical)));
        let mut mac = keyed(&self.signing_key(secret));
        mac.update(text.as_bytes());
        Ok(mac)
    }

    fn signing_key(&self, secret: &str) -> Vec<u8> {
        let Scope { day, region, service } = &self.scope;
        let first = format!("AWS4{secret}").into_bytes();
        [day.as_str(), region, service, presented::TERMINATOR]
            .into_iter()
            .fold(first, |key, part| {
                let mut mac = keyed(&key);
                mac.update(part.as_bytes());
                mac.finalize().into_bytes().to_vec()
            })
    }

    fn must_be_of_now(&self, now: OffsetDateTime) -> Result<(), SignatureError> {
        let skew = time::Duration::minutes(SKEW_MINUTES);
        let signed = self.at;
        let until = signed + self.expires.unwrap_or(skew);
        if signed > now + skew {
            let message = format!("{} is more than {SKEW_MINUTES} minutes from now", self.date);
            return Err(SignatureError::Expired(message));
        }
        if now > until {
            let message = match self.expires {
                Some(expires) => format!("{}, for {} seconds", self.date, expires.whole_seconds()),
                None => format!("{} is more than {SKEW_MINUTES} minutes ago", self.date),
            };
            return Err(SignatureError::Expired(message));
        }
        Ok(())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes a key of any length"),
    }
}
