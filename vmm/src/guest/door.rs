//! How interfaces come to the guest thread and leave it while it serves: a channel, and an eventfd that wakes its epoll.
//!
//! The machine thread sends, when it attaches a network device or has taken one away.

use super::server::Interface;
use crate::virtio::net::Mac;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What happened.
pub enum Change {
    /// This interface is served from now on.
    Come(Interface),
    /// The interface with this hardware address is served no more.
    Gone(Mac),
}

/// The sending side.
pub struct Door {
    sender: Sender<Change>,
    bell: Arc<OwnedFd>,
}

/// The receiving side.
pub struct Changes {
    receiver: Receiver<Change>,
    bell: Arc<OwnedFd>,
}

/// A door, and what comes through it.
pub fn door() -> io::Result<(Door, Changes)> {
    let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    let (sender, receiver) = channel();
    let door = Door {
        sender,
        bell: Arc::clone(&bell),
    };
    Ok((door, Changes { receiver, bell }))
}

impl Door {
    /// Tells the guest thread.
    pub fn send(&self, change: Change) {
        // Both fail only when the guest thread has ended: then nobody is served.
        let _ = self.sender.send(change);
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }
}

impl Changes {
    /// What epoll waits for, edge by edge: the guest thread may not read, so the count is never taken.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// All that has come since the last call.
    pub fn all(&self) -> impl Iterator<Item = Change> {
        self.receiver.try_iter()
    }
}
