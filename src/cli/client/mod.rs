//! A small HTTP/1.1 client to the daemon's Unix socket: operations, open files along with them, streams of JSON lines
//! and the console's raw connection. A connection a request: the socket is near, and nothing has to be kept.

mod stream;

use super::error::CommandError;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use stream::FileStream;
use tokio::io::{AsyncRead, AsyncWrite};

/// The most that an answer may hold; the daemon's own lists stay far below.
const ANSWER_MAX: usize = 64 << 20;
/// The longest line of a stream.
const LINE_MAX: usize = 1 << 20;

/// The daemon, as seen from the command.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon on `socket`; nothing is opened yet.
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Carries out an operation of EC2's.
    pub async fn call(&self, operation: &str, request: &Value) -> Result<Value, CommandError> {
        self.call_with_files(operation, request, Vec::new()).await
    }

    /// Carries out an operation; its request names `files` as `fd:0`, `fd:1` and so on.
    pub async fn call_with_files(
        &self,
        operation: &str,
        request: &Value,
        files: Vec<OwnedFd>,
    ) -> Result<Value, CommandError> {
        let body = Full::from(request.to_string());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/{operation}"))
            .header(header::CONTENT_TYPE, "application/json");
        let response = self.send(operation, request, body, files).await?;
        answer(operation, response).await
    }

    /// Reads one of kiln's own resources.
    pub async fn get(&self, path: &str) -> Result<Value, CommandError> {
        let response = self
            .send(path, Request::builder().uri(path), Full::default(), Vec::new())
            .await?;
        answer(path, response).await
    }

    /// Makes one of kiln's own resources.
    pub async fn post(&self, path: &str) -> Result<Value, CommandError> {
        let request = Request::builder().method(Method::POST).uri(path);
        answer(path, self.send(path, request, Full::default(), Vec::new()).await?).await
    }

    /// Deletes one of kiln's own resources.
    pub async fn delete(&self, path: &str) -> Result<Value, CommandError> {
        let request = Request::builder().method(Method::DELETE).uri(path);
        answer(path, self.send(path, request, Full::default(), Vec::new()).await?).await
    }

    /// Reads a stream of JSON lines.
    pub async fn lines(&self, path: &str) -> Result<Lines, CommandError> {
        let response = self
            .send(path, Request::builder().uri(path), Full::default(), Vec::new())
            .await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(path, response).await);
        }
        Ok(Lines {
            path: path.into(),
            body: response.into_body(),
            buffer: Vec::new(),
        })
    }

    /// Turns a connection into a raw one of the given protocol.
    pub async fn upgrade(
        &self,
        path: &str,
        protocol: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, CommandError> {
        let request = Request::builder()
            .uri(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, protocol);
        let response = self.send(path, request, Full::default(), Vec::new()).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(path, response).await);
        }
        let lost = |error: hyper::Error| CommandError::Lost {
            request: path.into(),
            source: error.into(),
        };
        Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(lost)?))
    }

    async fn send(
        &self,
        what: &str,
        request: hyper::http::request::Builder,
        body: Full<Bytes>,
        files: Vec<OwnedFd>,
    ) -> Result<Response<Incoming>, CommandError> {
        let unreachable = |source| CommandError::Unreachable {
            socket: self.socket.clone(),
            source,
        };
        let lost = |error: hyper::Error| CommandError::Lost {
            request: what.into(),
            source: error.into(),
        };
        let stream = FileStream::connect(&self.socket, files).await.map_err(unreachable)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(lost)?;
        tokio::spawn(connection.with_upgrades());
        let request = request
            .header(header::HOST, "kiln")
            .body(body)
            .map_err(|error| CommandError::Usage(format!("The request {what:?} can't be made: {error}")))?;
        sender.send_request(request).await.map_err(lost)
    }
}

/// A stream of JSON lines.
pub struct Lines {
    path: String,
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line, without its end; none when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Value>, CommandError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| CommandError::Answer {
                        request: self.path.clone(),
                        source: error.into(),
                    });
            }
            if self.buffer.len() > LINE_MAX {
                let source = format!("a line is longer than {LINE_MAX} bytes").into();
                return Err(CommandError::Answer {
                    request: self.path.clone(),
                    source,
                });
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self.buffer.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(error)) => {
                    return Err(CommandError::Lost {
                        request: self.path.clone(),
                        source: error.into(),
                    });
                }
            }
        }
    }
}

/// The JSON of an answer, or the refusal that it is.
async fn answer(what: &str, response: Response<Incoming>) -> Result<Value, CommandError> {
    if response.status() != StatusCode::OK {
        return Err(refusal(what, response).await);
    }
    let bytes = body(what, response).await?;
    serde_json::from_slice(&bytes).map_err(|error| CommandError::Answer {
        request: what.into(),
        source: error.into(),
    })
}

async fn body(what: &str, response: Response<Incoming>) -> Result<Bytes, CommandError> {
    let limited = http_body_util::Limited::new(response.into_body(), ANSWER_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(source) => Err(CommandError::Lost {
            request: what.into(),
            source,
        }),
    }
}

/// The error that a refusal says: `{"Error":{"Code":…,"Message":…},"RequestId":…}`.
async fn refusal(what: &str, response: Response<Incoming>) -> CommandError {
    let status = response.status();
    let bytes = match body(what, response).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(String::from);
    match (text("/Error/Code"), text("/Error/Message")) {
        (Some(code), Some(message)) => CommandError::Refused {
            operation: what.into(),
            code,
            message,
            request_id: text("/RequestId").unwrap_or_default(),
        },
        _ => CommandError::Answer {
            request: what.into(),
            source: format!("it is HTTP status {status}").into(),
        },
    }
}

#[cfg(test)]
mod tests;
