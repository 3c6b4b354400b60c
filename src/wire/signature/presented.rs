//! What a request says of its signature: in the header `Authorization`, or in the query of a presigned one.

use super::SignatureError;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What a scope ends with.
pub(super) const TERMINATOR: &str = "aws4_request";
/// The longest that a presigned request may hold: a week.
const MAX_EXPIRES: i64 = 7 * 24 * 3600;
/// The longest name of anything in a credential; access keys are of 16 to 128 characters.
const MAX_NAME: usize = 128;

const DATE: &[FormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// The signature of a request, and all that it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The access key's id.
    pub access_key: String,
    /// For what it was made.
    pub scope: Scope,
    /// When, as it stands in the request.
    pub(super) date: String,
    pub(super) at: OffsetDateTime,
    /// For how long, if it is presigned.
    pub(super) expires: Option<Duration>,
    /// The names of the headers that it covers, in order.
    pub(super) headers: Vec<String>,
    /// The signature, in hexadecimal digits.
    pub(super) signature: String,
    /// Whether it stands in the query.
    pub(super) in_query: bool,
}

/// A credential's scope: `20260102/local-1/ec2/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The day.
    pub day: String,
    /// The region.
    pub region: String,
    /// The service, as it signs: `ec2`, `sts`, `ssm`.
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}

impl Presented {
    /// The signature of a request, if it has one.
    ///
    /// # Errors
    /// `Incomplete` if something of it is missing or malformed; `Unsupported` for another version, or a session's token.
    pub fn parse(head: &Parts) -> Result<Option<Self>, SignatureError> {
        let query = query(head.uri.query().unwrap_or_default());
        if head.headers.contains_key("x-amz-security-token") || query.contains_key("X-Amz-Security-Token") {
            return Err(SignatureError::Unsupported(
                "The request has a session's token, and kiln issues none: unset AWS_SESSION_TOKEN",
            ));
        }
        if let Some(authorization) = head.headers.get("authorization") {
            let text = authorization.to_str();
            let text = text.map_err(|_| incomplete("the header Authorization is not readable"))?;
            return Self::in_header(text, &head.headers).map(Some);
        }
        if query.contains_key("X-Amz-Signature") {
            return Self::in_query(&query).map(Some);
        }
        if query.contains_key("AWSAccessKeyId") {
            return Err(SignatureError::Unsupported(
                "The request is signed with another version than 4, which is the one that kiln checks",
            ));
        }
        Ok(None)
    }

    fn in_header(text: &str, headers: &HeaderMap) -> Result<Self, SignatureError> {
        let Some(rest) = text.strip_prefix(ALGORITHM) else {
            return Err(SignatureError::Unsupported(
                "The header Authorization is of another kind than AWS4-HMAC-SHA256, which is the one that kiln checks",
            ));
        };
        let parts: BTreeMap<&str, &str> = rest.split(',').filter_map(|part| part.trim().split_once('=')).collect();
        let part = |name: &str| {
            let found = parts.get(name).copied();
            found.ok_or_else(|| incomplete(&format!("the header Authorization has no {name}")))
        };
        let date = headers.get("x-amz-date").and_then(|date| date.to_str().ok());
        let date = date.ok_or_else(|| incomplete("there is no header X-Amz-Date"))?;
        Self::new(
            [part("Credential")?, part("SignedHeaders")?, part("Signature")?],
            date,
            None,
        )
    }

    fn in_query(query: &BTreeMap<String, String>) -> Result<Self, SignatureError> {
        let part = |name: &str| {
            let found = query.get(name).map(String::as_str);
            found.ok_or_else(|| incomplete(&format!("the query has no {name}")))
        };
        if part("X-Amz-Algorithm")? != ALGORITHM {
            return Err(SignatureError::Unsupported("X-Amz-Algorithm must be AWS4-HMAC-SHA256"));
        }
        let expires: Option<i64> = part("X-Amz-Expires")?.parse().ok();
        let expires = expires.filter(|seconds| (1..=MAX_EXPIRES).contains(seconds));
        let expires = expires.ok_or_else(|| incomplete(&format!("X-Amz-Expires must be from 1 to {MAX_EXPIRES}")))?;
        Self::new(
            [
                part("X-Amz-Credential")?,
                part("X-Amz-SignedHeaders")?,
                part("X-Amz-Signature")?,
            ],
            part("X-Amz-Date")?,
            Some(Duration::seconds(expires)),
        )
    }

    fn new(
        [credential, headers, signature]: [&str; 3],
        date: &str,
        expires: Option<Duration>,
    ) -> Result<Self, SignatureError> {
        let at = PrimitiveDateTime::parse(date, DATE);
        let at = at.map_err(|_| incomplete("the date is not of the form 20260102T030405Z"))?;
        let (access_key, scope) = credential_of(credential)?;
        if !date.starts_with(&scope.day) {
            return Err(incomplete("the day of the credential is not that of the date"));
        }
        Ok(Self {
            access_key,
            scope,
            date: date.into(),
            at: at.assume_utc(),
            expires,
            headers: headers.split(';').map(str::to_owned).collect(),
            signature: signature.into(),
            in_query: expires.is_some(),
        })
    }
}

fn credential_of(text: &str) -> Result<(String, Scope), SignatureError> {
    // An access key's id may have any letter but a slash.
    let parts: Vec<&str> = text.split('/').collect();
    let fits = |part: &&str| (1..=MAX_NAME).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_graphic());
    match parts.as_slice() {
        [key, day, region, service, TERMINATOR] if parts.iter().all(fits) => Ok((
            (*key).into(),
            Scope {
                day: (*day).into(),
                region: (*region).into(),
                service: (*service).into(),
            },
        )),
        _ => Err(incomplete(
            "the credential is not of the form KEY/DAY/REGION/SERVICE/aws4_request",
        )),
    }
}

/// The query's parameters; of one that comes twice the first.
fn query(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |part| percent_decode_str(part).decode_utf8_lossy().into_owned();
        parameters.entry(decoded(name)).or_insert_with(|| decoded(value));
    }
    parameters
}

fn incomplete(what: &str) -> SignatureError {
    SignatureError::Incomplete(what.into())
}
