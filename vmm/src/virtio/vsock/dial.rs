//! How a connection to a port of the guest begins: the control thread dials, and the device of the machine that runs
//! takes the call, with the socket of whoever asked.

use super::worker::Command;
use crate::protocol::{Answer, Failure, FailureKind, Response};
use rustix::net::{SendFlags, send};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use vmm_sys_util::eventfd::EventFd;

/// A way to the device that has one now. It outlives every machine of the process.
#[derive(Default)]
pub struct Dialer(Mutex<Option<Line>>);

/// A way to a device's thread.
#[derive(Clone)]
pub(super) struct Line {
    pub commands: Sender<Command>,
    pub wake: Arc<EventFd>,
}

impl Line {
    /// Sends `command`; a thread that has ended drops it, by which whoever waits for an answer learns of that.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = self.wake.write(1);
    }
}

impl Dialer {
    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Hands `call` to the device, which answers it; refuses it if there is none.
    pub fn dial(&self, call: Call) {
        match &*self.lock() {
            Some(line) => line.send(Command::Connect(call)),
            None => call.refuse("The machine has no vsock device".into()),
        }
    }

    /// From now on calls go to `line`: a machine has one socket device, the last if it has more.
    pub(super) fn plug_in(&self, line: Line) {
        *self.lock() = Some(line);
    }

    /// Takes `line` back, unless another has taken its place.
    pub(super) fn unplug(&self, line: &Line) {
        let mut now = self.lock();
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(&now.wake, &line.wake)) {
            *now = None;
        }
    }
}

/// Somebody who asked for a connection to a port of the guest.
#[derive(Debug)]
pub struct Call {
    /// The port.
    pub port: u32,
    socket: UnixStream,
}

impl Call {
    /// On a connection of the control socket that doesn't block, and on which nothing waits to be sent: so there is room
    /// for the answer.
    pub fn new(port: u32, socket: OwnedFd) -> Self {
        Self {
            port,
            socket: socket.into(),
        }
    }

    /// Answers that the connection is made, and gives the socket that carries it; none if the caller has gone.
    pub fn accept(self) -> Option<UnixStream> {
        self.answer(&Response::Ok(Answer::Done)).then_some(self.socket)
    }

    /// Answers why there is no connection, and hangs up.
    pub fn refuse(self, message: String) {
        let kind = FailureKind::NotConnected;
        self.answer(&Response::Error(Failure { kind, message }));
    }

    /// Whether the answer went out whole.
    fn answer(&self, response: &Response) -> bool {
        let mut line = serde_json::to_vec(response).unwrap_or_default();
        line.push(b'\n');
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(&self.socket, &line, flags).is_ok_and(|sent| sent == line.len())
    }
}
