//! A Unix stream that also takes the open files sent with its bytes (`SCM_RIGHTS`).

use super::files::{FileBag, MAX_FILES};
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::UnixStream;

/// How many bytes are read at once.
const CHUNK: usize = 8 * 1024;

/// The connection as hyper sees it.
#[derive(Debug)]
pub struct FileStream {
    socket: UnixStream,
    files: FileBag,
}

impl FileStream {
    /// Wraps a connection; files that arrive are put into `files`.
    #[must_use]
    pub fn new(socket: UnixStream, files: FileBag) -> Self {
        Self { socket, files }
    }

    /// The connection itself, for bytes that are not HTTP any more.
    #[must_use]
    pub fn into_socket(self) -> UnixStream {
        self.socket
    }
}

/// One read: bytes into `bytes`, the files that came with them into `files`.
fn receive(socket: &UnixStream, bytes: &mut [u8], files: &FileBag) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            files.put(came);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        tracing::debug!("More files came at once than a request may carry; the kernel closed the rest");
    }
    Ok(received.bytes)
}

impl Read for FileStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut chunk = [0; CHUNK];
        let room = buf.remaining().min(CHUNK);
        let chunk = &mut chunk[..room];
        loop {
            ready!(this.socket.poll_read_ready(cx))?;
            match this
                .socket
                .try_io(Interest::READABLE, || receive(&this.socket, chunk, &this.files))
            {
                Ok(read) => {
                    buf.put_slice(&chunk[..read]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Write for FileStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
