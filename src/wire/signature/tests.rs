//! Signatures against the examples of AWS's own documents, and against what a forger would try.

use super::testing::{head, sign};
use super::*;
use crate::wire::tests::python;
use hyper::http::Request;
use hyper::http::request::Parts;
use proptest::prelude::*;
use serde_json::Value;
use time::macros::datetime;

/// The key, secret and moment of AWS's published test suite of Signature Version 4.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2015-08-30 12:36:00 UTC);
const SCOPE: &str = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";

fn authorization(headers: &str, signature: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={headers}, Signature={signature}")
}

fn check(head: &Parts, body: &[u8], secret: &str, now: OffsetDateTime) -> Result<(), SignatureError> {
    let presented = Presented::parse(head)?.ok_or(SignatureError::Missing)?;
    presented.verify(&Signed { head, body }, secret, now)
}

/// `get-vanilla` of the suite.
fn vanilla() -> Parts {
    let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let authorization = authorization("host;x-amz-date", signature);
    let headers = [
        ("Host", "example.amazonaws.com"),
        ("X-Amz-Date", "20150830T123600Z"),
        ("Authorization", authorization.as_str()),
    ];
    head("GET", "/", &headers)
}

#[test]
fn the_published_example_holds_and_says_for_what_it_was_made() {
    let head = vanilla();
    assert_eq!(check(&head, b"", SECRET, NOW), Ok(()));
    let presented = Presented::parse(&head).unwrap().unwrap();
    assert_eq!(
        (presented.access_key.as_str(), presented.scope.service.as_str()),
        ("AKIDEXAMPLE", "service")
    );
}

#[test]
fn another_secret_body_header_path_or_query_does_not() {
    let mismatch = Err(SignatureError::Mismatch);
    assert_eq!(check(&vanilla(), b"", "another", NOW), mismatch);
    assert_eq!(check(&vanilla(), b"Action=RunInstances", SECRET, NOW), mismatch);
    let mut host = vanilla();
    host.headers.insert("host", "evil".parse().unwrap());
    assert_eq!(check(&host, b"", SECRET, NOW), mismatch);
    for uri in ["/x", "/?a=1"] {
        let mut other = vanilla();
        other.uri = uri.parse().unwrap();
        assert_eq!(check(&other, b"", SECRET, NOW), mismatch, "{uri}");
    }
    let mut said = vanilla();
    said.headers.insert("x-amz-content-sha256", "00".parse().unwrap());
    assert_eq!(check(&said, b"", SECRET, NOW), mismatch);
}

#[test]
fn a_clock_that_is_wrong_by_a_quarter_of_an_hour_is_too_wrong() {
    let minutes = time::Duration::minutes;
    for (now, holds) in [
        (NOW + minutes(14), true),
        (NOW - minutes(14), true),
        (NOW + minutes(16), false),
        (NOW - minutes(16), false),
    ] {
        let checked = check(&vanilla(), b"", SECRET, now);
        assert_eq!(checked.is_ok(), holds, "{now}: {checked:?}");
        assert!(holds || matches!(checked, Err(SignatureError::Expired(_))));
    }
}

/// Signs as a client does, for what the suite has no example of.
fn presigned(expires: &str) -> Parts {
    let uri = format!(
        "/?Action=DescribeRegions&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20150830T123600Z\
         &X-Amz-Expires={expires}&X-Amz-SignedHeaders=host",
        SCOPE.replace('/', "%2F")
    );
    let unsigned = head("GET", &format!("{uri}&X-Amz-Signature=00"), &[("host", "localhost")]);
    let Ok(Some(presented)) = Presented::parse(&unsigned) else {
        return unsigned;
    };
    let signed = Signed {
        head: &unsigned,
        body: b"",
    };
    let signature = presented.made(&signed, SECRET).unwrap();
    let signature = hex::encode(signature.finalize().into_bytes());
    head(
        "GET",
        &format!("{uri}&X-Amz-Signature={signature}"),
        &[("host", "localhost")],
    )
}

#[test]
fn a_presigned_request_holds_as_long_as_it_says() {
    let head = presigned("3600");
    let seconds = time::Duration::seconds;
    assert_eq!(check(&head, b"", SECRET, NOW + seconds(3599)), Ok(()));
    let late = check(&head, b"", SECRET, NOW + seconds(3601));
    assert!(matches!(late, Err(SignatureError::Expired(_))), "{late:?}");
    for bad in ["0", "-1", "604801", "x"] {
        let refused = check(&presigned(bad), b"", SECRET, NOW);
        assert!(
            matches!(refused, Err(SignatureError::Incomplete(_))),
            "{bad}: {refused:?}"
        );
    }
}

#[test]
fn what_is_missing_or_of_another_kind_is_said() {
    assert_eq!(Presented::parse(&head("GET", "/", &[])), Ok(None));
    let date = ("X-Amz-Date", "20150830T123600Z");
    for bad in [
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=AKID/20150831/r/s/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256",
    ] {
        let refused = Presented::parse(&head("GET", "/", &[date, ("Authorization", bad)]));
        assert!(
            matches!(refused, Err(SignatureError::Incomplete(_))),
            "{bad}: {refused:?}"
        );
    }
    for unsupported in [
        head("GET", "/", &[date, ("Authorization", "Basic eDp5")]),
        head("GET", "/?AWSAccessKeyId=x&Signature=y", &[]),
        head("GET", "/", &[("X-Amz-Security-Token", "t")]),
    ] {
        let refused = Presented::parse(&unsupported);
        assert!(matches!(refused, Err(SignatureError::Unsupported(_))), "{refused:?}");
    }
    let uncovered = authorization("host", "00");
    let uncovered = head("GET", "/", &[("host", "h"), date, ("Authorization", &uncovered)]);
    let refused = check(&uncovered, b"", SECRET, NOW);
    assert!(matches!(refused, Err(SignatureError::Incomplete(_))), "{refused:?}");
}

#[test]
fn a_path_is_signed_without_what_means_nothing_in_it() {
    for (came, path) in [
        ("/", "/"),
        ("/example/..", "/"),
        ("/./", "/"),
        ("/../a", "/a"),
        ("//example//", "/example/"),
        ("/ex%20ample/%C3%BC", "/ex%2520ample/%25C3%25BC"),
        ("/a~b-c.d_e", "/a~b-c.d_e"),
    ] {
        assert_eq!(canonical::path(came), path, "{came}");
    }
}

/// A request with the suite's key.
fn signed(method: &str, service: &str, headers: &[(&str, &str)], body: &[u8]) -> Parts {
    let scope = SCOPE.replace("service", service);
    sign(head(method, "/", headers), body, &scope, SECRET)
}

#[test]
fn the_body_of_a_block_alone_may_be_left_out_of_the_signature() {
    const HEADERS: &[(&str, &str)] = &[
        ("host", "h"),
        ("x-amz-checksum", "c"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-date", "20150830T123600Z"),
    ];
    let block = signed("PUT", "ebs", HEADERS, b"a block");
    assert_eq!(check(&block, b"a block", SECRET, NOW), Ok(()));
    assert_eq!(check(&block, b"another", SECRET, NOW), Ok(()));
    let mut other = block;
    other.headers.insert("x-amz-checksum", "d".parse().unwrap());
    assert_eq!(check(&other, b"a block", SECRET, NOW), Err(SignatureError::Mismatch));
    for (method, service) in [("POST", "ebs"), ("POST", "ec2"), ("PUT", "ec2")] {
        let refused = check(&signed(method, service, HEADERS, b""), b"", SECRET, NOW);
        assert!(matches!(refused, Err(SignatureError::Unsupported(_))), "{refused:?}");
    }
    let without = [HEADERS[0], HEADERS[2], HEADERS[3]];
    let refused = check(&signed("PUT", "ebs", &without, b""), b"", SECRET, NOW);
    assert!(matches!(refused, Err(SignatureError::Incomplete(_))), "{refused:?}");
}

#[test]
fn what_botocore_signs_holds() {
    let output = python("signer.py")
        .args(["AKIDEXAMPLE", SECRET, "40"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let (mut count, mut without_body) = (0, 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| request[name].as_str().unwrap();
        let headers = request["headers"].as_object().unwrap().iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let (head, body) = (head(text("method"), text("uri"), &headers), text("body").as_bytes());
        let presented = Presented::parse(&head).unwrap().unwrap();
        let said = head.headers.get("x-amz-content-sha256");
        let unsigned = said.is_some_and(|said| said == "UNSIGNED-PAYLOAD");
        for (body, holds) in [(body, true), (b"another".as_slice(), unsigned)] {
            let signed = Signed { head: &head, body };
            let verified = presented.verify(&signed, SECRET, presented.at);
            assert_eq!(verified.is_ok(), holds, "{verified:?}: {request}");
        }
        count += 1;
        without_body += usize::from(unsigned);
    }
    assert!(count > without_body && without_body > 0, "{without_body} of {count}");
}

proptest! {
    #[test]
    fn no_head_panics(
        query in "(X-Amz-[A-Z][a-z]{0,12}=|[%&=/a-zA-Z0-9;]){0,12}",
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=|SignedHeaders=|Signature=|[a-zA-Z0-9/;, ]){0,12}",
        date in "[0-9TZ]{0,20}",
    ) {
        let Ok(request) = Request::builder()
            .uri(format!("/?{query}"))
            .header("authorization", authorization)
            .header("x-amz-date", date)
            .body(())
        else {
            return Ok(());
        };
        let _ = check(&request.into_parts().0, b"", SECRET, NOW);
    }
}
