//! A Unix stream whose first bytes carry open files (`SCM_RIGHTS`): how a disk image reaches the daemon without the
//! daemon opening a path for anybody.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// The most files that one request carries.
const FILES_MAX: usize = 8;

/// A connection, and the files that still wait for the first byte.
pub struct FileStream {
    stream: UnixStream,
    files: Vec<OwnedFd>,
}

impl FileStream {
    /// Connects to `socket`; `files` go with the first bytes that are written.
    pub async fn connect(socket: &Path, files: Vec<OwnedFd>) -> io::Result<FileStream> {
        debug_assert!(files.len() <= FILES_MAX);
        Ok(FileStream {
            stream: UnixStream::connect(socket).await?,
            files,
        })
    }
}

/// Sends the beginning of `bytes` together with all `files`.
fn send_with_files(stream: &UnixStream, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<BorrowedFd> = files.iter().map(OwnedFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many files for one request",
        ));
    }
    Ok(sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?)
}

impl AsyncWrite for FileStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.files.is_empty() || bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let FileStream { stream, files } = &*self;
            match stream.try_io(Interest::WRITABLE, || send_with_files(stream, bytes, files)) {
                Ok(sent) => {
                    self.files.clear();
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for FileStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}
