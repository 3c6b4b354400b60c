//! One connection to the control socket: bounded buffers both ways, lines in, lines or raw bytes out.
//!
//! The peer is root or the daemon, yet it may be slow, or gone, or wrong: nothing here waits for it, and what it may
//! make us hold is bounded.

use crate::console::Feed;
use crate::protocol::{MAX_FILES, MAX_MESSAGE};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use serde::Serialize;
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The most bytes that wait to be sent to one peer.
const OUTPUT_MAX: usize = 1 << 20;
/// Above this no more requests are read: the peer must read its answers first.
const OUTPUT_HIGH: usize = 256 << 10;
/// The most typed input that waits for the guest.
const TYPED_MAX: usize = 4 << 10;

/// What a connection carries.
pub enum Mode {
    /// Requests and their answers.
    Requests,
    /// Event lines, one way.
    Events,
    /// The serial console, both ways.
    Console(Arc<Feed>),
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer went away, or the socket failed.
    Gone,
    /// The peer reads too slowly.
    TooSlow,
    /// The peer sent a line or files beyond all bounds.
    TooMuch,
}

/// A connection.
pub struct Connection {
    socket: OwnedFd,
    /// What it carries.
    pub mode: Mode,
    /// Whether an answer is owed that comes later; no further request is read before it.
    pub waiting: bool,
    /// Whether devices rest for as long as it lasts.
    pub quiesces: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    files: Vec<File>,
    /// The peer has shut its side; what is owed is sent, then the connection goes.
    finished: bool,
}

impl Connection {
    /// A connection on an accepted, non-blocking socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            mode: Mode::Requests,
            waiting: false,
            quiesces: false,
            input: Vec::new(),
            output: Vec::new(),
            files: Vec::new(),
            finished: false,
        }
    }

    /// What epoll should wait for.
    pub fn interest(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.wants_input());
        flags.set(EventFlags::OUT, !self.output.is_empty());
        flags
    }

    fn wants_input(&self) -> bool {
        let room = match self.mode {
            Mode::Requests => !self.waiting && self.output.len() < OUTPUT_HIGH,
            Mode::Events => true,
            Mode::Console(_) => self.input.len() < TYPED_MAX,
        };
        room && !self.finished
    }

    /// Reads what has come.
    pub fn receive(&mut self) -> Result<(), Closed> {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        while self.wants_input() && self.input.len() <= MAX_MESSAGE {
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let got = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags);
            let count = match got {
                Ok(message) => message.bytes,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(Closed::Gone),
            };
            self.take_files(&mut ancillary)?;
            match (count, &self.mode) {
                (0, _) => self.finished = true,
                // Whoever listens to events has nothing to say.
                (_, Mode::Events) => {}
                (_, _) => self.input.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(())
    }

    fn take_files(&mut self, ancillary: &mut RecvAncillaryBuffer<'_>) -> Result<(), Closed> {
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files.map(File::from));
            }
        }
        if self.files.len() > MAX_FILES {
            Err(Closed::TooMuch)
        } else {
            Ok(())
        }
    }

    /// The next line, without its newline.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Closed> {
        if self.waiting || self.output.len() >= OUTPUT_HIGH {
            return Ok(None);
        }
        match self.input.iter().position(|&byte| byte == b'\n') {
            Some(end) if end < MAX_MESSAGE => {
                let rest = self.input.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                line.pop();
                Ok(Some(line))
            }
            None if self.input.len() < MAX_MESSAGE => Ok(None),
            _ => Err(Closed::TooMuch),
        }
    }

    /// The files that came with the lines so far.
    pub fn take_received_files(&mut self) -> Vec<File> {
        std::mem::take(&mut self.files)
    }

    /// Queues `message` as one line.
    pub fn send_line(&mut self, message: &impl Serialize) -> Result<(), Closed> {
        let mut line = serde_json::to_vec(message).map_err(|_| Closed::TooMuch)?;
        line.push(b'\n');
        self.send_bytes(&line)
    }

    /// Queues raw bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        if self.output.len() + bytes.len() > OUTPUT_MAX {
            return Err(Closed::TooSlow);
        }
        self.output.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends as much as the socket takes now.
    pub fn flush(&mut self) -> Result<(), Closed> {
        while !self.output.is_empty() {
            match send(&self.socket, &self.output, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Closed::Gone),
            }
        }
        self.output = Vec::new();
        Ok(())
    }

    /// Moves console bytes on, both ways; `type_in` returns how many bytes the guest took.
    pub fn pump_console(&mut self, type_in: impl FnOnce(&[u8]) -> usize) -> Result<(), Closed> {
        let Mode::Console(feed) = &self.mode else { return Ok(()) };
        // While the socket is full, bytes stay in the feed, which is bounded.
        if self.output.len() < OUTPUT_HIGH {
            feed.take(&mut self.output).map_err(|_| Closed::TooSlow)?;
        }
        if !self.input.is_empty() {
            let taken = type_in(&self.input);
            self.input.drain(..taken.min(self.input.len()));
        }
        self.flush()
    }

    /// Whether all that was owed is sent and the peer has nothing more to say.
    pub fn is_over(&self) -> bool {
        self.finished && self.output.is_empty() && !self.waiting
    }

    /// Whether nothing more was said by either side, and nothing waits to be sent.
    pub fn is_quiet(&self) -> bool {
        self.input.is_empty() && self.output.is_empty() && !self.finished
    }

    /// The socket, for whoever goes on with it.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Whether something waits to be sent.
    pub fn owes(&self) -> bool {
        !self.output.is_empty()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
