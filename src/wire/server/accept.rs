//! Where connections come from, and who is at their other end: the Unix socket, whose kernel knows the process there, and TCP.

use super::files::FileBag;
use super::stream::FileStream;
use crate::api::Caller;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listening socket.
pub trait Accept: Send + 'static {
    /// Its connections.
    type Stream: Read + Write + Unpin + Send + 'static;
    /// What is known of who connects.
    type Peer: Copy + Debug + Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Stream, Self::Peer>>> + Send;
}

/// A connection.
#[derive(Debug)]
pub struct Accepted<S, P> {
    /// Its bytes.
    pub stream: S,
    /// Its other end.
    pub peer: P,
    /// Where files go that come with the bytes.
    pub files: FileBag,
}

impl Accept for UnixListener {
    type Stream = FileStream;
    type Peer = Caller;

    async fn accept(&self) -> io::Result<Accepted<FileStream, Caller>> {
        let (stream, _) = Self::accept(self).await?;
        let (peer, files) = (caller(&stream)?, FileBag::default());
        Ok(Accepted {
            stream: FileStream::new(stream, files.clone()),
            peer,
            files,
        })
    }
}

/// Who connected, as the kernel noted it then.
fn caller(stream: &UnixStream) -> io::Result<Caller> {
    let peer = stream.peer_cred()?;
    Ok(Caller {
        uid: peer.uid(),
        gid: peer.gid(),
        pid: peer.pid(),
    })
}

impl Accept for TcpListener {
    type Stream = TokioIo<TcpStream>;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<Accepted<TokioIo<TcpStream>, SocketAddr>> {
        let (stream, peer) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(Accepted {
            stream: TokioIo::new(stream),
            peer,
            files: FileBag::default(),
        })
    }
}
