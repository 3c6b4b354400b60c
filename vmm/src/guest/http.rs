//! Heads of HTTP/1 messages (RFC 9112): what a request asks for, and what an answer begins with.
//!
//! [`super::connection`] reads and writes them; [`super::service`] sees a [`Request`] and gives an [`Answer`].

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest head of a request, in bytes.
pub const HEAD_MAX: usize = 8 << 10;
/// The longest body of a request, in bytes. Nothing is done with it.
const BODY_MAX: usize = 1 << 10;
/// The most header fields of a request.
const FIELDS_MAX: usize = 64;

/// The field in which a client shows its token.
const TOKEN: &str = "X-aws-ec2-metadata-token";
/// The field with a token's life in seconds.
const TOKEN_SECONDS: &str = "X-aws-ec2-metadata-token-ttl-seconds";

/// A status code and its reason phrase (RFC 9110, section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

/// 200.
pub const OK: Status = Status(200, "OK");
/// 400.
pub const BAD_REQUEST: Status = Status(400, "Bad Request");
/// 401.
pub const UNAUTHORIZED: Status = Status(401, "Unauthorized");
/// 403.
pub const FORBIDDEN: Status = Status(403, "Forbidden");
/// 404.
pub const NOT_FOUND: Status = Status(404, "Not Found");
/// 405.
pub const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
/// 413.
pub const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
/// 431.
pub const FIELDS_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
/// 501.
pub const NOT_IMPLEMENTED: Status = Status(501, "Not Implemented");

/// What a client asks.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, `GET` for instance.
    pub method: &'a str,
    /// The target as it was sent.
    pub target: &'a str,
    /// The token that it shows.
    pub token: Option<&'a [u8]>,
    /// The life that it wants for a token.
    pub token_seconds: Option<&'a [u8]>,
    /// Whether a proxy says that it passed this on.
    pub forwarded: bool,
}

/// A request and how it lies on the connection.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// What is asked.
    pub request: Request<'a>,
    /// The head's length in bytes.
    pub length: usize,
    /// The length of the body that follows it, in bytes; none is no body, too.
    pub body: Option<usize>,
    /// Whether the client wants more answers on this connection.
    pub keep: bool,
}

impl<'a> Head<'a> {
    /// The head at the beginning of `bytes`; none while there is only a part of it.
    ///
    /// # Errors
    /// It is none, or one that is not served; nothing after it can be understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Status> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(FIELDS_TOO_LARGE),
            Err(_) => return Err(BAD_REQUEST),
        };
        let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(BAD_REQUEST);
        };
        let mut head = Self {
            request: Request {
                method,
                target,
                token: None,
                token_seconds: None,
                forwarded: false,
            },
            length,
            body: None,
            keep: version == 1,
        };
        parsed.headers.iter().try_for_each(|field| head.field(*field))?;
        Ok(Some(head))
    }

    fn field(&mut self, field: httparse::Header<'a>) -> Result<(), Status> {
        let is = |name| field.name.eq_ignore_ascii_case(name);
        let request = &mut self.request;
        if is(TOKEN) {
            request.token.get_or_insert(field.value);
        } else if is(TOKEN_SECONDS) {
            request.token_seconds.get_or_insert(field.value);
        } else if is("X-Forwarded-For") {
            request.forwarded = true;
        } else if is("Content-Length") {
            let length = body_length(field.value)?;
            if *self.body.get_or_insert(length) != length {
                return Err(BAD_REQUEST);
            }
        } else if is("Transfer-Encoding") {
            return Err(NOT_IMPLEMENTED);
        } else if is("Connection") {
            let mut wishes = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            let close = wishes.clone().any(|wish| wish.eq_ignore_ascii_case(b"close"));
            let keep = wishes.any(|wish| wish.eq_ignore_ascii_case(b"keep-alive"));
            self.keep = (self.keep || keep) && !close;
        }
        Ok(())
    }
}

fn body_length(value: &[u8]) -> Result<usize, Status> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits).ok_or(BAD_REQUEST)?;
    // A number of digits that does not fit is a number too large.
    let length = text.parse().unwrap_or(usize::MAX);
    (length <= BODY_MAX).then_some(length).ok_or(CONTENT_TOO_LARGE)
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// How it went.
    pub status: Status,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'a, [u8]>,
    /// The methods that are allowed, where the one used was not.
    pub allow: Option<&'static str>,
    /// For how many seconds the token is good that was shown or made.
    pub token_seconds: Option<u32>,
    /// Over how many hops this may get; none for as many as anything else.
    pub hop_limit: Option<u8>,
}

impl<'a> Answer<'a> {
    /// An answer with a text of its own.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self {
            status: OK,
            content_type: "text/plain",
            body,
            allow: None,
            token_seconds: None,
            hop_limit: None,
        }
    }

    /// An answer that says only how it went.
    pub fn only(status: Status) -> Self {
        Self {
            status,
            ..Self::text(status.1)
        }
    }

    /// Writes it to the end of `output`: its head, and its body where `with_body` says so.
    pub fn write(&self, with_body: bool, keep: bool, output: &mut Vec<u8>) {
        let Status(code, reason) = self.status;
        let connection = if keep { "keep-alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {code} {reason}\r\nServer: EC2ws\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\n",
            self.content_type,
            self.body.len(),
        );
        // Writing to a string does not fail.
        let _ = self.allow.map(|methods| write!(head, "Allow: {methods}\r\n"));
        let _ = self
            .token_seconds
            .map(|left| write!(head, "{TOKEN_SECONDS}: {left}\r\n"));
        head.push_str("\r\n");
        output.extend_from_slice(head.as_bytes());
        if with_body {
            output.extend_from_slice(&self.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &str) -> Result<Option<Head<'_>>, Status> {
        Head::parse(head.as_bytes())
    }

    #[test]
    fn a_head_says_what_is_asked_and_what_follows() {
        let text = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nx-AWS-ec2-metadata-token-TTL-seconds: 60\r\n\
                    content-length: 3\r\n\r\nabc";
        let head = parse(text).unwrap().unwrap();
        assert_eq!((head.request.method, head.request.target), ("PUT", "/latest/api/token"));
        assert_eq!(head.request.token_seconds, Some(b"60".as_slice()));
        assert_eq!((head.length, head.body, head.keep), (text.len() - 3, Some(3), true));
        assert!(!head.request.forwarded && head.request.token.is_none());
        let forwarded = "GET / HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-aws-ec2-metadata-token: t\r\n\r\n";
        let request = parse(forwarded).unwrap().unwrap().request;
        assert!(request.forwarded && request.token == Some(b"t"));
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_its_wishes_say() {
        for (version, wish, keep) in [
            ("1.1", "", true),
            ("1.0", "", false),
            ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: upgrade, close\r\n", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let text = format!("GET / HTTP/{version}\r\n{wish}\r\n");
            assert_eq!(parse(&text).unwrap().unwrap().keep, keep, "{text}");
        }
    }

    #[test]
    fn heads_that_are_none_or_too_much_are_refused() {
        let field = |field: &str| format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
        let refused = |text: &str| parse(text).unwrap_err();
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), BAD_REQUEST);
        assert_eq!(refused("\u{1}\r\n\r\n"), BAD_REQUEST);
        assert_eq!(refused(&field("Content-Length: -1")), BAD_REQUEST);
        assert_eq!(refused(&field("Content-Length: +1")), BAD_REQUEST);
        assert_eq!(refused(&field("Content-Length: 0\r\nContent-Length: 1")), BAD_REQUEST);
        assert_eq!(refused(&field("Content-Length: 1025")), CONTENT_TOO_LARGE);
        let enormous = field(&format!("Content-Length: {}", "9".repeat(99)));
        assert_eq!(refused(&enormous), CONTENT_TOO_LARGE);
        assert_eq!(refused(&field("Transfer-Encoding: chunked")), NOT_IMPLEMENTED);
        assert_eq!(
            refused(&field(&["A: b"; FIELDS_MAX + 1].join("\r\n"))),
            FIELDS_TOO_LARGE
        );
        let endless = format!("GET /{}", "x".repeat(HEAD_MAX));
        assert_eq!(refused(&endless), FIELDS_TOO_LARGE);
        assert!(parse("GET / HTTP/1.1\r\nHost:").unwrap().is_none());
    }

    #[test]
    fn an_answer_to_head_has_the_length_of_the_body_and_not_the_body() {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let answer = Answer::text("i-1");
        answer.write(true, true, &mut with);
        answer.write(false, true, &mut without);
        without.extend_from_slice(b"i-1");
        assert_eq!(with, without);
        let text = String::from_utf8(with).unwrap();
        assert!(
            text.contains("\r\nContent-Length: 3\r\n") && text.ends_with("\r\n\r\ni-1"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser_and_a_head_lies_within_its_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            start in prop::sample::select(vec!["", "GET / HTTP/1.1\r\n", "PUT /x HTTP/1.0\r\nContent-Length:"]),
            end in prop::sample::select(vec!["", "\r\n\r\n"]),
        ) {
            let bytes = [start.as_bytes(), &bytes, end.as_bytes()].concat();
            if let Ok(Some(head)) = Head::parse(&bytes) {
                prop_assert!(head.length <= bytes.len() && head.body <= Some(BODY_MAX));
            }
        }
    }
}
