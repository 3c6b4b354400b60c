//! The canonical form of a request, of which the signature is made.

use super::presented::Presented;
use super::{SignatureError, Signed};
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};

/// What is encoded: all but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes stay.
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// What stands in the place of the digest of a body that the signature does not cover.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The canonical request.
pub(super) fn request(presented: &Presented, signed: &Signed<'_>) -> Result<String, SignatureError> {
    let uri = &signed.head.uri;
    let payload = payload(presented, signed)?;
    Ok([
        signed.head.method.as_str().to_owned(),
        path(uri.path()),
        query(uri.query().unwrap_or_default()),
        headers(presented, signed, payload == UNSIGNED)?,
        presented.headers.join(";"),
        payload,
    ]
    .join("\n"))
}

/// The path without empty and dot segments (RFC 3986, section 5.2.4), encoded once more than it came.
pub(super) fn path(came: &str) -> String {
    let mut segments = Vec::new();
    for segment in came.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if came.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    let path = format!("/{}{end}", segments.join("/"));
    percent_encode(path.as_bytes(), ENCODED_IN_PATH).to_string()
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

/// A line for each header that is covered. What says for whom and when a request is must be among them, and the checksum of a
/// body that is not.
fn headers(presented: &Presented, signed: &Signed<'_>, unsigned: bool) -> Result<String, SignatureError> {
    let date = (!presented.in_query).then_some("x-amz-date");
    let checksum = unsigned.then_some("x-amz-checksum");
    let mut needed = ["host"].into_iter().chain(date).chain(checksum);
    if let Some(missing) = needed.find(|name| !presented.headers.iter().any(|own| own == name)) {
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
fn payload(presented: &Presented, signed: &Signed<'_>) -> Result<String, SignatureError> {
    let said = signed.head.headers.get("x-amz-content-sha256");
    let said = said.map(|said| said.as_bytes());
    if said == Some(UNSIGNED.as_bytes()) {
        // PutSnapshotBlock: its data has a checksum of its own.
        let may_be = presented.scope.service == "ebs" && signed.head.method == Method::PUT;
        let refused = SignatureError::Unsupported("The signature must cover the body, and says UNSIGNED-PAYLOAD");
        return may_be.then(|| UNSIGNED.to_owned()).ok_or(refused);
    }
    let digest = hex::encode(Sha256::digest(signed.body));
    match said {
        Some(said) if said != digest.as_bytes() => Err(SignatureError::Mismatch),
        _ => Ok(digest),
    }
}
