//! Reading and writing a volume: engines that take operations on a file and give them back when they are done.
//!
//! Device threads own one engine each (`virtio::blk` one a queue). [`open`] makes the io_uring engine, or, where the
//! host refuses io_uring, one that does each operation at once on the thread that submits it. Engines own an operation
//! with all its memory until it is complete.

mod buffers;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
mod lock;
mod sync;
mod uring;

pub use buffers::{Buffers, BuffersError};
pub use lock::{LockError, lock};
pub use sync::SyncEngine;
pub use uring::UringEngine;

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

/// The system calls that engines make, on the thread that uses them.
pub const SYSCALLS: [libc::c_long; 6] = [
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_preadv,
    libc::SYS_pwritev2,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
];

/// The system calls that [`open`] makes.
pub const OPEN_SYSCALLS: [libc::c_long; 2] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_register];

/// What is to be done to the file.
#[derive(Debug)]
pub enum Kind {
    /// Fill the buffers from the file.
    Read(Buffers),
    /// Write the buffers to the file; if `durable`, they are stable when it completes.
    Write {
        /// What is written.
        buffers: Buffers,
        /// Whether it must be stable.
        durable: bool,
    },
    /// Make all that was written before stable (fdatasync).
    Sync,
    /// Give the space back; it reads as zero from now on.
    Punch {
        /// How many bytes.
        length: u64,
    },
    /// Make it read as zero, and keep the space.
    Zero {
        /// How many bytes.
        length: u64,
    },
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// By which the submitter knows it.
    pub tag: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// What it does.
    pub kind: Kind,
}

/// An operation that is done, or was tried: short and interrupted ones are the submitter's to continue.
#[derive(Debug)]
pub struct Completed {
    /// The operation, given back.
    pub operation: Operation,
    /// How many bytes it moved, for reads and writes.
    pub result: io::Result<usize>,
}

/// Does operations. Used by one thread.
pub trait Engine: Send {
    /// Takes an operation. No more than the engine's depth may be under way.
    fn submit(&mut self, operation: Operation);
    /// Lets what was submitted begin.
    fn begin(&mut self);
    /// Gives back one that is complete, if any is.
    fn completed(&mut self) -> Option<Completed>;
    /// Waits until one is complete, if any is under way.
    fn wait(&mut self);
    /// A descriptor on which an edge tells that something completed; none if everything completes within `submit`.
    fn event(&self) -> Option<RawFd>;
}

/// An engine for `file`, with up to `depth` operations under way.
pub fn open(file: &Arc<File>, depth: u16) -> Box<dyn Engine> {
    match UringEngine::new(Arc::clone(file), depth) {
        Ok(engine) => Box::new(engine),
        Err(_) => Box::new(SyncEngine::new(Arc::clone(file))),
    }
}

#[cfg(test)]
mod tests;
