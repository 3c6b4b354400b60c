//! Signs requests as clients do, for tests.

use super::{Presented, Signed};
use hyper::http::request::Parts;
use hyper::http::{HeaderValue, Request};

/// A head with these headers, by the names that they have in a signature: all in small letters, and in order.
pub fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// Signs all headers of a request that has a date among them, for a scope that begins with the access key's id.
pub fn sign(mut head: Parts, body: &[u8], scope: &str, secret: &str) -> Parts {
    let names: Vec<&str> = head.headers.keys().map(hyper::header::HeaderName::as_str).collect();
    let names = names.join(";");
    let with = |signature: &str| {
        let text = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}");
        HeaderValue::from_str(&text).unwrap()
    };
    head.headers.insert("authorization", with("00"));
    let presented = Presented::parse(&head).unwrap().unwrap();
    // What can't be signed is left with a signature that does not hold.
    if let Ok(signature) = presented.made(&Signed { head: &head, body }, secret) {
        let digits = hex::encode(hmac::Mac::finalize(signature).into_bytes());
        head.headers.insert("authorization", with(&digits));
    }
    head
}
