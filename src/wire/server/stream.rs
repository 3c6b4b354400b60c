//! A Unix stream that also takes the open files sent with its bytes (`SCM_RIGHTS`), and gives up on clients that do not
//! read their answers.

use super::files::{FileBag, MAX_FILES};
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep};

/// How many bytes are read at once.
const CHUNK: usize = 8 * 1024;

/// The connection as hyper sees it.
#[derive(Debug)]
pub struct FileStream {
    socket: UnixStream,
    files: FileBag,
    stall_time: Duration,
    /// Runs while the client takes nothing of what we write.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl FileStream {
    /// Wraps a connection; files that arrive are put into `files`.
    #[must_use]
    pub fn new(socket: UnixStream, files: FileBag, stall_time: Duration) -> Self {
        Self {
            socket,
            files,
            stall_time,
            stalled: None,
        }
    }

    /// The connection itself, for bytes that are not HTTP any more.
    #[must_use]
    pub fn into_socket(self) -> UnixStream {
        self.socket
    }

    /// Lets a write that waits for the client wait only so long.
    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_time = self.stall_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_time)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "The client does not read its answer",
        )))
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
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.bounded(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, parts);
        this.bounded(cx, written)
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
