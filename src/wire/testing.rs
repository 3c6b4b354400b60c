//! The endpoint over real connections, for tests: requests as they stand on the wire go in, answers are taken apart.

use super::Routes;
use super::server::{Limits, serve};
use super::signature::testing::{head, sign};
use crate::api::testing::TestWorld;
use crate::api::{Caller, access_keys, operations};
use crate::model::AccessKey;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first answer of these bytes, once all of it is there.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            return Self::parse(&bytes[end + 4..]);
        }
        let lines = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
        let headers: BTreeMap<String, String> = lines
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
        Some(Self { status, headers, body })
    }

    /// The answer to these bytes; none if there is no whole one within `patience`.
    pub async fn to<S: AsyncRead + AsyncWrite + Unpin>(
        mut stream: S,
        request: &[u8],
        patience: Duration,
    ) -> Option<Self> {
        let mut bytes = Vec::new();
        let answered = async {
            // A server that refuses by the head may not read the rest.
            let _ = stream.write_all(request).await;
            loop {
                let read = stream.read_buf(&mut bytes).await;
                let answer = Self::parse(&bytes);
                if answer.is_some() || !read.is_ok_and(|read| read > 0) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(patience, answered).await.ok().flatten()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str, reason: Option<&str>) {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.headers["x-amzn-errortype"], kind, "{body}");
        assert_eq!(body.get("Reason").and_then(Value::as_str), reason, "{body}");
        assert!(
            body["Message"].as_str().is_some_and(|text| text.chars().count() <= 256),
            "{body}"
        );
    }

    #[track_caller]
    pub fn invalid(&self, reason: &str) {
        self.refused(400, "ValidationException", Some(reason));
    }

    /// Whether it is no fault of ours, and what a client can read: XML 1.0, or JSON.
    pub fn is_sound(&self) -> Result<(), String> {
        if self.status >= 500 {
            return Err(format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)));
        }
        match self.headers.get("content-type").map(String::as_str) {
            Some("text/xml;charset=UTF-8") => xml(self.text()),
            Some("application/json" | "application/x-amz-json-1.1") => {
                let parsed = serde_json::from_slice::<Value>(&self.body);
                parsed.map(drop).map_err(|error| error.to_string())
            }
            Some("application/octet-stream") => Ok(()),
            // Of what is no HTTP the server itself says nothing.
            None if self.body.is_empty() && matches!(self.status, 400 | 414 | 431) => Ok(()),
            other => Err(format!("{}: a body of {other:?}", self.status)),
        }
    }
}

/// Whether this is XML 1.0 of one element (sections 2.1, 2.2).
fn xml(text: &str) -> Result<(), String> {
    let forbidden = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.contains(forbidden) {
        return Err(format!("a character that XML has not: {text:?}"));
    }
    let mut reader = Reader::from_str(text);
    let (mut depth, mut roots) = (0, 0);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += usize::from(depth == 0);
                depth += 1;
            }
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) if (depth, roots) == (0, 1) => return Ok(()),
            Ok(Event::Eof) => return Err(format!("{roots} roots, {depth} open: {text:?}")),
            Ok(_) => {}
            Err(error) => return Err(format!("{error}: {text:?}")),
        }
    }
}

/// A world whose endpoint is served on TCP, and a key of root's.
pub struct Endpoint {
    pub world: TestWorld,
    pub key: AccessKey,
    address: SocketAddr,
}

impl Endpoint {
    pub async fn start() -> Self {
        let world = TestWorld::new().await;
        let root = Caller {
            uid: 0,
            gid: 0,
            pid: None,
        };
        let key = access_keys::create(&world.world, root).await.unwrap();
        let endpoint = Routes::new(Arc::clone(&world.world), operations()).endpoint();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let never = std::future::pending();
        tokio::spawn(serve(listener, Arc::new(endpoint), Limits::default(), never));
        Self { world, key, address }
    }

    /// What is answered to these bytes.
    pub async fn raw(&self, request: &[u8], patience: Duration) -> Option<Answer> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Answer::to(stream, request, patience).await
    }

    /// What is answered to a request that is signed for a service. It is sound.
    pub async fn ask(&self, service: &str, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let bytes = self.signed(service, request, headers, body);
        let answer = self.raw(&bytes, Duration::from_secs(60)).await.unwrap();
        if let Err(wrong) = answer.is_sound() {
            panic!("{wrong}: {request} {headers:?} {}", String::from_utf8_lossy(body));
        }
        answer
    }

    /// The bytes of a request that is signed for a service.
    pub fn signed(&self, service: &str, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let now = OffsetDateTime::now_utc();
        let date = format_description!("[year][month][day]T[hour][minute][second]Z");
        let date = now.format(date).unwrap();
        let scope = format!("{}/{}/local-1/{service}/aws4_request", self.key.id, &date[..8]);
        let (method, uri) = request.split_once(' ').unwrap();
        let own = [("host", "kiln"), ("x-amz-date", date.as_str())];
        let head = head(method, uri, &[&own, headers].concat());
        let head = sign(head, body, &scope, self.key.secret.reveal());
        let mut bytes = format!("{request} HTTP/1.1\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        for (name, value) in &head.headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", body].concat());
        bytes
    }
}
