//! The canonical form of a request, of which the signature is made.

use super::presented::Presented;
use super::{SignatureError, Signed, hex};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};

/// What is encoded: all but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes stay.
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The canonical request.
pub(super) fn request(presented: &Presented, signed: &Signed<'_>) -> Result<String, SignatureError> {
    let uri = &signed.head.uri;
    let path = match uri.path() {
        "" => "/",
        path => path,
    };
    Ok([
        signed.head.method.as_str().to_owned(),
        // The path as it came is encoded once more.
        percent_encode(path.as_bytes(), ENCODED_IN_PATH).to_string(),
        query(uri.query().unwrap_or_default()),
        headers(presented, signed)?,
        presented.headers.join(";"),
        payload(signed)?,
    ]
    .join("\n"))
}

/// All parameters but the signature, by name and value.
fn query(text: &str) -> String {
    let again = |part: &str| {
        let decoded: Vec<u8> = percent_decode(part.as_bytes()).collect();
        percent_encode(&decoded, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (again(name), again(value)))
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// A line for each header that is covered. What says for whom and when a request is must be among them.
fn headers(presented: &Presented, signed: &Signed<'_>) -> Result<String, SignatureError> {
    let needed: &[&str] = if presented.in_query {
        &["host"]
    } else {
        &["host", "x-amz-date"]
    };
    if let Some(missing) = needed
        .iter()
        .find(|name| !presented.headers.iter().any(|own| own == *name))
    {
        return Err(SignatureError::Incomplete(format!(
            "it does not cover the header {missing}"
        )));
    }
    let mut lines = String::new();
    for name in &presented.headers {
        let values = signed.head.headers.get_all(name);
        let values: Vec<String> = values
            .iter()
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes());
                text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        if values.is_empty() {
            return Err(SignatureError::Incomplete(format!(
                "it covers a header {name}, and there is none"
            )));
        }
        lines.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    Ok(lines)
}

/// The digest of the body. A client that says what it is has to be right.
fn payload(signed: &Signed<'_>) -> Result<String, SignatureError> {
    let digest = hex(&Sha256::digest(signed.body));
    match signed.head.headers.get("x-amz-content-sha256") {
        Some(said) if said.as_bytes() != digest.as_bytes() => Err(SignatureError::Mismatch),
        _ => Ok(digest),
    }
}
