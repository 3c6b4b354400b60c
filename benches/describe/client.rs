//! A client of either wire: JSON on the Unix socket, or EC2's query protocol on TCP, signed. It keeps its connection.

use hmac::{Hmac, Mac};
use kiln::model::InstanceId;
use kiln_harness::Daemon;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use time::OffsetDateTime;
use time::macros::format_description;

/// What a daemon is asked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// JSON on the Unix socket.
    Json,
    /// EC2's query protocol on TCP.
    Query,
}

impl Wire {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Json, Self::Query];

    /// As the table has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Query => "query",
        }
    }
}

/// A DescribeInstances.
pub struct Question {
    /// As the table has it.
    pub name: &'static str,
    /// The parameters of the JSON face.
    json: Value,
    /// And those of the query protocol.
    form: String,
    /// Whether all pages are wanted.
    all: bool,
    /// How many instances are to be in the answers.
    expected: u32,
}

impl Question {
    /// One instance by its id.
    pub fn one(id: InstanceId) -> Self {
        Self {
            name: "by id",
            json: json!({"InstanceIds": [id.to_string()]}),
            form: format!("&InstanceId.1={id}"),
            all: false,
            expected: 1,
        }
    }

    /// The one instance with a tag.
    pub fn tagged((key, value): (&str, &str)) -> Self {
        Self {
            name: "by tag",
            json: json!({"Filters": [{"Name": format!("tag:{key}"), "Values": [value]}]}),
            form: format!("&Filter.1.Name=tag%3A{key}&Filter.1.Value.1={value}"),
            all: false,
            expected: 1,
        }
    }

    /// The first page.
    pub fn page(size: u32, expected: u32) -> Self {
        Self {
            name: "a page",
            json: json!({"MaxResults": size}),
            form: format!("&MaxResults={size}"),
            all: false,
            expected,
        }
    }

    /// All pages, however many there are.
    pub fn all(expected: u32) -> Self {
        Self {
            name: "all",
            json: json!({}),
            form: String::new(),
            all: true,
            expected,
        }
    }

    fn json(&self, token: Option<&str>) -> String {
        let mut request = self.json.clone();
        if let Some(token) = token {
            request["NextToken"] = token.into();
        }
        request.to_string()
    }

    fn form(&self, token: Option<&str>) -> String {
        let mut form = format!("Action=DescribeInstances&Version=2016-11-15{}", self.form);
        if let Some(token) = token {
            let _ = write!(form, "&NextToken={token}");
        }
        form
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection of one wire.
pub struct Client {
    wire: Wire,
    signer: Signer,
    stream: BufReader<Box<dyn Stream>>,
    /// The last answer.
    body: Vec<u8>,
}

impl Client {
    /// Connects to a daemon; `home` is where a client's access key is kept.
    pub fn connect(daemon: &Daemon, wire: Wire, home: &Path) -> Self {
        let signer = Signer::new(daemon, home);
        let stream: Box<dyn Stream> = match wire {
            Wire::Json => Box::new(UnixStream::connect(daemon.socket()).expect("The daemon listens")),
            Wire::Query => {
                let connect = || TcpStream::connect(&signer.host);
                let stream = daemon.network().map_or_else(connect, |network| network.run(connect));
                let stream = stream.expect("The daemon listens");
                stream.set_nodelay(true).expect("It is TCP");
                Box::new(stream)
            }
        };
        Self {
            wire,
            signer,
            stream: BufReader::with_capacity(1 << 16, stream),
            body: Vec::new(),
        }
    }

    /// Asks once, and looks at the answer; gives its bytes.
    pub fn check(&mut self, question: &Question) -> usize {
        let (mut found, mut bytes) = (0, 0);
        self.pages(question, |body, mark| {
            found += body.windows(mark.len()).filter(|window| *window == mark).count();
            bytes += body.len();
        });
        assert_eq!(found, question.expected as usize, "{}: {}", question.name, self.said());
        bytes
    }

    /// Asks, page by page if it is to be all.
    pub fn ask(&mut self, question: &Question) {
        self.pages(question, |_, _| {});
    }

    /// `look` gets each body, and what stands in it once an instance.
    fn pages(&mut self, question: &Question, mut look: impl FnMut(&[u8], &[u8])) {
        let (instance, next): (&[u8], &[u8]) = match self.wire {
            Wire::Json => (b"\"InstanceId\":\"", b"\"NextToken\":\""),
            Wire::Query => (b"<instanceId>", b"<nextToken>"),
        };
        let mut token = None;
        loop {
            self.request(question, token.as_deref());
            look(&self.body, instance);
            token = after(&self.body, next).filter(|_| question.all);
            if token.is_none() {
                return;
            }
        }
    }

    fn request(&mut self, question: &Question, token: Option<&str>) {
        let request = match self.wire {
            Wire::Json => {
                let body = question.json(token);
                let length = body.len();
                format!("POST /DescribeInstances HTTP/1.1\r\nHost: kiln\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            Wire::Query => self.signer.request(&question.form(token)),
        };
        let sent = self.stream.get_mut().write_all(request.as_bytes());
        sent.expect("The daemon takes the request");
        self.receive();
    }

    fn receive(&mut self) {
        let mut length = 0;
        let mut head = String::new();
        loop {
            let begin = head.len();
            self.stream.read_line(&mut head).expect("The daemon answers");
            let line = head[begin..].trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(said) = line.strip_prefix("content-length: ") {
                length = said.parse().expect("It is a number");
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("The answer comes whole");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}{}", self.said());
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(2000).collect()
    }
}

/// The text between `mark` and the next character that is none of a token; the answers have it at their beginning or end.
fn after(body: &[u8], mark: &[u8]) -> Option<String> {
    let near = |part: &[u8]| {
        let at = part.windows(mark.len()).position(|window| window == mark)?;
        let token = part[at + mark.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit());
        Some(token.map(|byte| char::from(*byte)).collect())
    };
    let edge = body.len().min(1024);
    near(&body[..edge]).or_else(|| near(&body[body.len() - edge..]))
}

/// Signs requests by AWS Signature Version 4.
struct Signer {
    host: String,
    region: String,
    access_key: String,
    secret: String,
}

impl Signer {
    fn new(daemon: &Daemon, home: &Path) -> Self {
        let env = daemon.kiln(&["env", "--json"]).env("XDG_CONFIG_HOME", home).output();
        let env: Value = serde_json::from_slice(&env.expect("kiln can be run").stdout).expect("It says JSON");
        let text = |name: &str| env[name].as_str().expect("It names all of them").to_owned();
        Self {
            host: text("AWS_ENDPOINT_URL").trim_start_matches("http://").to_owned(),
            region: text("AWS_REGION"),
            access_key: text("AWS_ACCESS_KEY_ID"),
            secret: text("AWS_SECRET_ACCESS_KEY"),
        }
    }

    fn request(&self, form: &str) -> String {
        let now = OffsetDateTime::now_utc();
        let date = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"));
        let date = date.expect("A time has these parts");
        let (day, host) = (&date[..8], &self.host);
        let canonical = format!(
            "POST\n/\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}",
            hex(&Sha256::digest(form))
        );
        let scope = format!("{day}/{}/ec2/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let first = format!("AWS4{}", self.secret).into_bytes();
        let parts = [day, &self.region, "ec2", "aws4_request", &text];
        let signature = parts.into_iter().fold(first, |key, part| mac(&key, part));
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Date: {date}\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={}\r\n\
             Content-Length: {}\r\n\r\n{form}",
            self.access_key,
            hex(&signature),
            form.len()
        )
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("A key may have any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
