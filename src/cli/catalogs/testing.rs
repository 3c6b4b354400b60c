//! For the tests of this folder: a server on this host's loopback that says what a test has it say.

use super::address::Address;
use super::http::Http;
use super::index::{Index, Offer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is answered to a request.
pub enum Answer {
    /// These bytes, and the end of the connection.
    Whole(Vec<u8>),
    /// These bytes, and silence.
    Silence(Vec<u8>),
}

/// An answer of that status, with these header lines and this body.
pub fn answer(status: u16, headers: &[&str], body: &[u8]) -> Answer {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} -\r\nConnection: close\r\n{lines}\r\n");
    Answer::Whole([head.as_bytes(), body].concat())
}

/// A server; it ends with the test's process.
pub struct Server {
    origin: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One without TLS.
    pub fn plain(answers: impl Fn(&str) -> Answer + Send + 'static) -> Server {
        Server::new("http", answers, |stream| Some(Box::new(stream)))
    }

    /// One with TLS, and a client that trusts its certificate.
    pub fn tls(answers: impl Fn(&str) -> Answer + Send + 'static) -> (Server, Http) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate: CertificateDer = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![certificate.clone()], key).unwrap());
        let server = Server::new("https", answers, move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Box::new(StreamOwned::new(session, stream)))
        });
        (server, Http::trusting(vec![certificate]))
    }

    fn new<A, S>(scheme: &str, answers: A, wrap: S) -> Server
    where
        A: Fn(&str) -> Answer + Send + 'static,
        S: Fn(std::net::TcpStream) -> Option<Box<dyn Duplex>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let Some(mut stream) = wrap(stream) else { continue };
                // A client that does not trust the certificate says no more.
                let Some(head) = read_head(stream.as_mut()) else {
                    continue;
                };
                heard.lock().unwrap().push(head.clone());
                match answers(&head) {
                    Answer::Whole(bytes) => {
                        let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                    }
                    Answer::Silence(bytes) => {
                        let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                        silent.push(stream);
                    }
                }
            }
        });
        Server { origin, asked }
    }

    /// The address of a path.
    pub fn address(&self, path: &str) -> Address {
        Address::parse(&format!("{}{path}", self.origin)).unwrap()
    }

    /// The heads of the requests until now, in small letters.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A connection.
trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// A request's head, in small letters; nothing if the client hung up before its end.
fn read_head(stream: &mut dyn Duplex) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// A client that has little patience with silence.
pub fn impatient() -> Http {
    Http::with_patience(Duration::from_secs(10), Duration::from_millis(300))
}

/// An image of an index whose disk has these contents.
pub fn offer(url: &str, contents: &[u8]) -> Offer {
    let digits = hex::encode(Sha256::digest(contents));
    let index = json!({ "version": 1, "images": [{
        "name": "disk", "architecture": "x86_64", "category": "community", "owner": "123456789012",
        "format": "raw", "url": url, "size": contents.len(), "digest": format!("sha256:{digits}"),
    }]});
    Index::parse(index.to_string().as_bytes(), false)
        .unwrap()
        .offers
        .remove(0)
}
