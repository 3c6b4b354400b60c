//! The HTTP client that fetches indices and disks: GET only, one connection a request, TLS by rustls with the host's own
//! root certificates. There is a limit to how long a server may say nothing, and none to how long a disk may take.

use super::address::Address;
use super::error::CatalogError;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// The client.
pub struct Http {
    tls: OnceLock<TlsConnector>,
    /// For TCP and TLS together.
    connect: Duration,
    /// For the answer's head, and for each next piece of it.
    stall: Duration,
}

/// An answer whose head is here.
pub struct Reply {
    /// Where it came from, after redirects.
    address: Address,
    response: Response<Incoming>,
    stall: Duration,
}

impl Http {
    /// A client with the patience that users have. Certificates are read when they are first needed.
    pub fn new() -> Http {
        Http::with_patience(Duration::from_secs(30), Duration::from_secs(60))
    }

    /// A client with other limits.
    pub fn with_patience(connect: Duration, stall: Duration) -> Http {
        Http {
            tls: OnceLock::new(),
            connect,
            stall,
        }
    }

    /// A client that trusts these certificates and no others.
    #[cfg(test)]
    pub fn trusting(roots: Vec<CertificateDer<'static>>) -> Http {
        let http = Http::with_patience(Duration::from_secs(10), Duration::from_secs(10));
        let _ = http.tls.set(connector(roots).unwrap());
        http
    }

    fn tls(&self) -> Result<TlsConnector, CatalogError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let fresh = connector(rustls_native_certs::load_native_certs().certs)?;
        Ok(self.tls.get_or_init(|| fresh).clone())
    }

    /// Asks for a file, and follows redirects. Any status is an answer.
    pub async fn get(&self, address: &Address, headers: &[(HeaderName, HeaderValue)]) -> Result<Reply, CatalogError> {
        let mut at = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&at, headers).await?;
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            match location.filter(|_| is_redirect(response.status())) {
                Some(location) => {
                    at = at.redirected(location).map_err(|source| CatalogError::Address {
                        address: at.to_string(),
                        source,
                    })?;
                }
                None => {
                    return Ok(Reply {
                        address: at,
                        response,
                        stall: self.stall,
                    });
                }
            }
        }
        Err(CatalogError::Redirects {
            address: address.to_string(),
            max: MAX_REDIRECTS,
        })
    }

    /// Reads a file that has at most `max` bytes.
    pub async fn read(&self, address: &Address, max: usize) -> Result<Vec<u8>, CatalogError> {
        let mut reply = self.get(address, &[]).await?;
        if reply.status() != StatusCode::OK {
            return Err(reply.unexpected());
        }
        let mut text = Vec::new();
        while let Some(piece) = reply.next().await? {
            if text.len() + piece.len() > max {
                let address = address.to_string();
                return Err(CatalogError::TooLarge { address, max });
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    async fn once(
        &self,
        address: &Address,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, CatalogError> {
        let connecting = tokio::time::timeout(self.connect, self.connect(address)).await;
        let failed = |source| CatalogError::Connect {
            address: address.to_string(),
            source,
        };
        match connecting.unwrap_or_else(|_| Err(failed(io::ErrorKind::TimedOut.into())))? {
            Stream::Plain(stream) => self.ask(stream, address, headers).await,
            Stream::Tls(stream) => self.ask(*stream, address, headers).await,
        }
    }

    async fn connect(&self, address: &Address) -> Result<Stream, CatalogError> {
        let failed = |source| CatalogError::Connect {
            address: address.to_string(),
            source,
        };
        let found = tokio::net::lookup_host((address.host(), address.port()));
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for ip in found.await.map_err(failed)? {
            // Whatever `localhost` resolves to: what is not encrypted does not leave the host.
            if !address.is_tls() && !ip.ip().is_loopback() {
                continue;
            }
            match TcpStream::connect(ip).await {
                Ok(stream) if address.is_tls() => {
                    let name = ServerName::try_from(address.host().to_owned());
                    let name = name.map_err(|error| failed(io::Error::other(error)))?;
                    let stream = self.tls()?.connect(name, stream).await.map_err(failed)?;
                    return Ok(Stream::Tls(Box::new(stream)));
                }
                Ok(stream) => return Ok(Stream::Plain(stream)),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: &Address,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, CatalogError> {
        let broken = |source| CatalogError::Broken {
            address: address.to_string(),
            source,
        };
        let asking = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the answer's body; what was wrong with it, the body says too.
            tokio::spawn(connection);
            let mut request = Request::new(Empty::<Bytes>::new());
            *request.uri_mut() = address.path().parse().unwrap_or_default();
            let fixed = [
                (header::HOST, HeaderValue::from_str(address.authority())),
                (
                    header::USER_AGENT,
                    HeaderValue::from_str(concat!("kiln/", env!("CARGO_PKG_VERSION"))),
                ),
                (header::ACCEPT_ENCODING, HeaderValue::from_str("identity")),
            ];
            let fixed = fixed.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
            request.headers_mut().extend(fixed.chain(headers.iter().cloned()));
            sender.send_request(request).await
        };
        let asked = tokio::time::timeout(self.stall, asking).await;
        asked.map_err(|_| stalled(address, self.stall))?.map_err(broken)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Reply {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of its body; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CatalogError> {
        loop {
            let frame = tokio::time::timeout(self.stall, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| stalled(&self.address, self.stall))?;
            let Some(frame) = frame.transpose().map_err(|source| CatalogError::Broken {
                address: self.address.to_string(),
                source,
            })?
            else {
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// What to say of a status that is not the one wanted.
    pub fn unexpected(&self) -> CatalogError {
        CatalogError::Status {
            address: self.address.to_string(),
            status: self.status().as_u16(),
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn stalled(address: &Address, patience: Duration) -> CatalogError {
    CatalogError::Stalled {
        address: address.to_string(),
        seconds: patience.as_secs(),
    }
}

/// TLS 1.2 and 1.3 with these roots.
fn connector(certificates: Vec<CertificateDer<'static>>) -> Result<TlsConnector, CatalogError> {
    let mut roots = rustls::RootCertStore::empty();
    // Old ones in the host's store that rustls can't read are passed over.
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(CatalogError::Roots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CatalogError::Tls)?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Server, answer};
    use super::*;

    #[tokio::test]
    async fn only_a_trusted_certificate_is_spoken_to() {
        let (server, http) = Server::tls(|_| answer(200, &["Content-Length: 2"], b"{}"));
        let address = server.address("/index.json?a=b");
        assert_eq!(http.read(&address, 100).await.unwrap(), b"{}");
        let asked = server.asked();
        assert!(
            asked[0].starts_with("get /index.json?a=b http/1.1\r\nhost: 127.0.0.1:"),
            "{}",
            asked[0]
        );
        let (_, stranger) = Server::tls(|_| answer(200, &[], b""));
        let error = stranger.read(&address, 100).await.unwrap_err();
        assert!(matches!(error, CatalogError::Connect { .. }), "{error}");
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn redirects_are_followed_a_few_times_and_not_out_of_tls() {
        let (server, http) = Server::tls(|head| match head.split(' ').nth(1).unwrap() {
            "/old" => answer(301, &["Location: new", "Content-Length: 0"], b""),
            "/new" => answer(200, &["Content-Length: 3"], b"new"),
            "/down" => answer(302, &["Location: http://127.0.0.1/new", "Content-Length: 0"], b""),
            _ => answer(302, &["Location: /round", "Content-Length: 0"], b""),
        });
        assert_eq!(http.read(&server.address("/old"), 100).await.unwrap(), b"new");
        let error = http.read(&server.address("/down"), 100).await.unwrap_err();
        assert!(matches!(error, CatalogError::Address { .. }), "{error}");
        let error = http.read(&server.address("/round"), 100).await.unwrap_err();
        assert!(matches!(error, CatalogError::Redirects { .. }), "{error}");
        assert_eq!(server.asked().len(), 2 + 1 + MAX_REDIRECTS + 1);
    }

    #[tokio::test]
    async fn what_is_too_large_or_not_there_or_no_http_is_an_error() {
        let server = Server::plain(|head| match head.split(' ').nth(1).unwrap() {
            "/large" => answer(200, &[], &[b'x'; 101]),
            "/garbage" => super::super::testing::Answer::Whole(b"\x00\xff\r\n\r\n".to_vec()),
            _ => answer(404, &["Content-Length: 0"], b""),
        });
        let http = Http::new();
        for (path, word) in [
            ("/large", "larger than 100"),
            ("/garbage", "broke off"),
            ("/", "status 404"),
        ] {
            let error = http.read(&server.address(path), 100).await.unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
