//! What the machine and console threads tell the control thread: a channel, and an eventfd that wakes its epoll.

use crate::console::Console;
use crate::protocol::{Event, Failure, Report, Stage};
use crate::virtio::net::Mac;
use crate::virtio::vsock::Dialer;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Something that happened.
pub enum Notice {
    /// The console exists now.
    Console(Arc<Console>),
    /// The machine's socket device can be dialled from now on.
    Dialer(Arc<Dialer>),
    /// The launch came to this.
    Launched(Result<(), Failure>),
    /// A step of the boot was reached, at this time in microseconds since 1970.
    Reached(Stage, u64),
    /// What the connection of this number asked of the machine came to this.
    Answered(u64, Result<(), Failure>),
    /// The machine is being taken down to be built again.
    Resetting,
    /// The machine is being taken down for good.
    Stopping,
    /// A device has something for subscribers.
    Device(Event),
    /// The interface with this hardware address has its lease, since this time in microseconds since 1970.
    Leased(Mac, u64),
    /// Attached consoles have bytes, or the guest takes input again.
    ConsoleReady,
    /// The machine thread has ended; without a report if there never was a machine.
    Ended(Option<Report>),
}

/// The sending side. Its [`Self::send`] writes to an eventfd: no thread of a CPU may have one.
#[derive(Clone)]
pub struct Notifier {
    sender: Sender<Notice>,
    event: Arc<OwnedFd>,
}

/// The receiving side.
pub struct Notices {
    receiver: Receiver<Notice>,
    event: Arc<OwnedFd>,
}

/// A channel of notices.
pub fn notices() -> io::Result<(Notifier, Notices)> {
    let event = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    let (sender, receiver) = channel();
    Ok((
        Notifier {
            sender,
            event: Arc::clone(&event),
        },
        Notices { receiver, event },
    ))
}

impl Notifier {
    /// Sends `notice` and wakes the control thread.
    pub fn send(&self, notice: Notice) {
        // Both fail only when the control thread has ended, and the process with it.
        let _ = self.sender.send(notice);
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }
}

impl Notices {
    /// What epoll waits for.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// All that has come since the last call.
    pub fn take(&self) -> Vec<Notice> {
        // The counter only wakes; there may be nothing to reset.
        let _ = rustix::io::read(&*self.event, &mut [0u8; 8]);
        self.receiver.try_iter().collect()
    }
}
