//! HTTP/1.1 on a Unix socket, a connection a request: as little of it as the daemon's answers need.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The most files that a request of a test carries.
const FILES_MAX: usize = 4;

/// An answer whose head was read.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Whether the body comes in chunks.
    chunked: bool,
    /// The connection, at the beginning of the body.
    pub body: BufReader<UnixStream>,
}

impl Answer {
    /// Reads the whole body.
    pub fn text(mut self) -> io::Result<String> {
        let mut text = String::new();
        if self.chunked {
            Chunks::new(self.body).read_to_string(&mut text)?;
        } else {
            self.body.read_to_string(&mut text)?;
        }
        Ok(text)
    }

    /// The body as a stream of lines.
    pub fn lines(self) -> BufReader<Chunks> {
        BufReader::new(Chunks::new(self.body))
    }
}

/// Sends a request, and reads the head of its answer within `patience`. `files` go with the first byte.
pub fn send(socket: &Path, head: &str, body: &str, files: &[File], patience: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    let request = format!("{head}Host: kiln\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let sent = send_with_files(&stream, request.as_bytes(), files)?;
    stream.write_all(&request.as_bytes()[sent..])?;
    let mut body = BufReader::new(stream);
    let status = line(&mut body)?
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut chunked = false;
    loop {
        let header = line(&mut body)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        chunked |= header == "transfer-encoding: chunked";
    }
    Ok(Answer { status, chunked, body })
}

fn send_with_files(stream: &UnixStream, bytes: &[u8], files: &[File]) -> io::Result<usize> {
    let borrowed: Vec<_> = files.iter().map(File::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(
        borrowed.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)),
        "A request carries {FILES_MAX} files at most"
    );
    Ok(sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?)
}

/// A line without its end.
fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A body in chunks (RFC 9112, 7.1), as one stream.
pub struct Chunks {
    stream: BufReader<UnixStream>,
    left: u64,
    ended: bool,
}

impl Chunks {
    fn new(stream: BufReader<UnixStream>) -> Self {
        let (left, ended) = (0, false);
        Self { stream, left, ended }
    }

    /// The connection, to set how long a read may take.
    pub fn connection(&self) -> &UnixStream {
        self.stream.get_ref()
    }
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.left = u64::from_str_radix(&line(&mut self.stream)?, 16).map_err(io::Error::other)?;
            self.ended = self.left == 0;
        }
        if self.ended {
            return Ok(0);
        }
        let count = (&mut self.stream).take(self.left).read(into)?;
        self.left -= u64::try_from(count).map_err(io::Error::other)?;
        if self.left == 0 {
            line(&mut self.stream)?;
        }
        Ok(count)
    }
}
