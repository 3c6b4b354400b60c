//! The host's end of a connection: a socket that doesn't block, and the bytes that it does not take yet.

use crate::virtio::queue::{Buffer, cursor};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use vm_memory::{Bytes, GuestMemoryError, GuestMemoryMmap, ReadVolatile, VolatileMemoryError, WriteVolatile};

/// What a turn at the socket came to.
enum Turn {
    Moved(usize),
    Later,
    /// Nothing goes this way any more.
    Over,
}

impl Turn {
    fn of(result: Result<usize, VolatileMemoryError>) -> Self {
        match result {
            Ok(count) => Self::Moved(count),
            Err(VolatileMemoryError::IOError(error)) => Self::failed(&error),
            Err(_) => Self::Over,
        }
    }

    fn failed(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Later,
            // It is tried again with the next turn.
            ErrorKind::Interrupted => Self::Moved(0),
            _ => Self::Over,
        }
    }
}

/// The socket of a connection.
#[derive(Debug)]
pub struct Stream {
    socket: UnixStream,
    readable: bool,
    writable: bool,
    /// What the guest sent and the socket did not take.
    pending: VecDeque<u8>,
    /// The guest will send no more.
    finishing: bool,
    /// Nothing more will be read.
    ended: bool,
    /// Nothing more will be taken; what was sent is dropped.
    deaf: bool,
}

impl Stream {
    /// On this socket; it may be read and written until it says otherwise.
    pub fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            readable: true,
            writable: true,
            pending: VecDeque::new(),
            finishing: false,
            ended: false,
            deaf: false,
        }
    }

    /// To be watched for edges.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Edges came.
    pub fn woken(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.readable |= readable | hung_up;
        self.writable |= writable;
        if hung_up {
            self.go_deaf();
        }
    }

    /// How many bytes wait for the socket.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether there may be something to read.
    pub fn is_readable(&self) -> bool {
        self.readable && !self.ended
    }

    /// Whether nothing more will be read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing more will be taken.
    pub fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Whether all that the guest will ever send has been passed on.
    pub fn is_finished(&self) -> bool {
        self.deaf || self.finishing && self.pending.is_empty()
    }

    /// The guest receives no more.
    pub fn stop_reading(&mut self) {
        self.ended = true;
        // A peer that has gone needs no telling.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// The guest sends no more: once all is passed on, the peer is told.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.finishing, true) {
            self.tell_when_finished();
        }
    }

    fn tell_when_finished(&self) {
        if self.finishing && self.pending.is_empty() {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    fn go_deaf(&mut self) {
        self.deaf = true;
        self.pending = VecDeque::new();
    }

    /// Reads into `buffers` what has come; says how many bytes.
    pub fn read(&mut self, memory: &GuestMemoryMmap, buffers: &[Buffer]) -> usize {
        let mut read = 0;
        for slice in cursor::slices(memory, buffers).map_while(Result::ok) {
            let mut slice = slice;
            let mut socket = &self.socket;
            match Turn::of(socket.read_volatile(&mut slice)) {
                Turn::Moved(0) | Turn::Over => {
                    self.ended = true;
                    break;
                }
                Turn::Moved(count) => read += count,
                Turn::Later => {
                    self.readable = false;
                    break;
                }
            }
        }
        read
    }

    /// Writes what is in `buffers`, or keeps what the socket does not take.
    ///
    /// # Errors
    /// The memory is gone.
    pub fn write(&mut self, memory: &GuestMemoryMmap, buffers: &[Buffer]) -> Result<(), GuestMemoryError> {
        for slice in cursor::slices(memory, buffers) {
            let slice = slice?;
            let mut taken = 0;
            if self.writable && self.pending.is_empty() && !self.deaf {
                let mut socket = &self.socket;
                match Turn::of(socket.write_volatile(&slice)) {
                    Turn::Moved(count) => taken = count,
                    Turn::Later => self.writable = false,
                    Turn::Over => self.go_deaf(),
                }
            }
            if !self.deaf && taken < slice.len() {
                let mut rest = vec![0; slice.len() - taken];
                slice.read_slice(&mut rest, taken)?;
                self.pending.extend(rest);
            }
        }
        Ok(())
    }

    /// Passes on what waits, as much as the socket takes.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        while self.writable && !self.pending.is_empty() {
            let written = (&self.socket).write(self.pending.as_slices().0);
            match written.map_or_else(|error| Turn::failed(&error), Turn::Moved) {
                Turn::Moved(count) => drop(self.pending.drain(..count)),
                Turn::Later => self.writable = false,
                Turn::Over => self.go_deaf(),
            }
        }
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        self.tell_when_finished();
    }
}
