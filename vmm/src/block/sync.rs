//! The engine that works at once, on the thread of the queue: where the host refuses io_uring.

use super::{Completed, Engine, Kind, Operation};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// Does each operation within [`Engine::submit`].
pub struct SyncEngine {
    file: Arc<File>,
    done: VecDeque<Completed>,
}

impl SyncEngine {
    /// An engine for `file`.
    pub fn new(file: Arc<File>) -> Self {
        Self {
            file,
            done: VecDeque::new(),
        }
    }

    fn run(&self, operation: &Operation) -> io::Result<usize> {
        let fd = self.file.as_raw_fd();
        let offset = signed(operation.offset)?;
        match &operation.kind {
            Kind::Read(buffers) => {
                let pieces = buffers.pieces();
                let count = count(pieces)?;
                // SAFETY: the pieces are mapped, writable memory as long as `buffers` lives.
                check(unsafe { libc::preadv(fd, pieces.as_ptr(), count, offset) })
            }
            Kind::Write { buffers, durable } => {
                let pieces = buffers.pieces();
                let count = count(pieces)?;
                let flags = if *durable { libc::RWF_DSYNC } else { 0 };
                // SAFETY: the pieces are mapped memory as long as `buffers` lives.
                check(unsafe { libc::pwritev2(fd, pieces.as_ptr(), count, offset, flags) })
            }
            Kind::Sync => self.file.sync_data().map(|()| 0),
            Kind::Punch { length } => allocate(fd, PUNCH, offset, *length),
            Kind::Zero { length } => allocate(fd, ZERO, offset, *length),
        }
    }
}

/// fallocate's mode that gives space back.
pub(super) const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
/// fallocate's mode that makes zeroes.
pub(super) const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

fn allocate(fd: RawFd, mode: i32, offset: i64, length: u64) -> io::Result<usize> {
    let length = signed(length)?;
    // SAFETY: the call touches no memory of ours.
    let result = unsafe { libc::fallocate(fd, mode, offset, length) };
    check(isize::try_from(result).unwrap_or(-1))
}

fn signed(value: u64) -> io::Result<i64> {
    i64::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn count(pieces: &[libc::iovec]) -> io::Result<i32> {
    i32::try_from(pieces.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

impl Engine for SyncEngine {
    fn submit(&mut self, operation: Operation) {
        let result = self.run(&operation);
        self.done.push_back(Completed { operation, result });
    }

    fn begin(&mut self) {}

    fn completed(&mut self) -> Option<Completed> {
        self.done.pop_front()
    }

    fn wait(&mut self) {}

    fn event(&self) -> Option<RawFd> {
        None
    }
}
