//! What each request does.

use super::Server;
use super::connection::{Closed, Mode};
use crate::guest::SendKeyError;
use crate::machine::plan::{Plan, PlanError, PlannedDevice};
use crate::machine::report::{chain, now};
use crate::machine::supervisor::Signal;
use crate::protocol::{
    ActiveKey, Answer, DeviceSpec, Failure, FailureKind, MAX_MESSAGE, MachineSpec, MachineState, Request, Response,
    Stage, Told, VERSION,
};
use crate::registry::BuildDeviceError;
use crate::virtio::vsock::Call;
use rustix::event::epoll;
use std::fs::File;
use std::time::Instant;

/// How much of the log a console client sees first, and [`Request::ConsoleLog`] at most, in bytes. EC2 gives 64 KiB.
const CONSOLE_TAIL: usize = 64 << 10;
const NOT_LAUNCHED: &str = "The machine was not launched yet";
const NOBODY_TO_TELL: &str = "There is no guest here that could be told anything";
/// What a JSON string may take in a message beside the rest of it.
const STRING_MAX: usize = MAX_MESSAGE - 1024;

impl Server {
    /// Carries out one line of the connection `token`.
    pub(super) fn line(&mut self, token: u64, line: &[u8]) -> Result<(), Closed> {
        let files = self.connection(token)?.take_received_files();
        let request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(e) => return self.refuse(token, format!("The message is not one of this protocol: {e}")),
        };
        match request {
            Request::Launch(spec) => self.launch(token, *spec, files),
            Request::Attach { device } => self.attach(token, *device, files),
            _ if !files.is_empty() => self.refuse(token, "Only a launch or a device may carry files".into()),
            Request::Detach { id, force } => {
                let asker = token;
                self.ask_machine(token, Signal::Detach { id, force, asker })
            }
            Request::Quiesce { ids, after_reset } => self.quiesce(token, ids, after_reset),
            Request::Limit { id, limits } => self.ask_machine(
                token,
                Signal::Limit {
                    id,
                    limits,
                    asker: token,
                },
            ),
            Request::Resize { id } => self.ask_machine(token, Signal::Resize { id, asker: token }),
            Request::Hello => self.answer(token, self.hello()),
            Request::Status => self.answer(token, Answer::Status(self.view.status().clone())),
            Request::ConsoleLog => self.console_log(token),
            Request::Console => self.attach_console(token),
            Request::Vsock { port } => self.connect_to_guest(token, port),
            Request::Subscribe => self.subscribe(token),
            Request::PowerButton => self.signal(token, Signal::PowerButton),
            Request::Reboot => self.signal(token, Signal::Reboot),
            Request::Reset => self.signal(token, Signal::Reset),
            Request::Tell(told) => self.tell_guest(token, *told),
            Request::SendKey(key) => self.send_key(token, key),
            Request::Stop => self.stop(token),
        }
    }

    fn answer(&mut self, token: u64, answer: Answer) -> Result<(), Closed> {
        self.connection(token)?.send_line(&Response::Ok(answer))
    }

    fn refuse(&mut self, token: u64, message: String) -> Result<(), Closed> {
        let failure = Failure {
            kind: FailureKind::BadRequest,
            message,
        };
        self.connection(token)?.send_line(&Response::Error(failure))
    }

    fn hello(&self) -> Answer {
        let instance_id = self.view.instance_id.clone();
        Answer::Hello {
            version: VERSION,
            instance_id,
            pid: std::process::id(),
        }
    }

    fn launch(&mut self, token: u64, spec: MachineSpec, files: Vec<File>) -> Result<(), Closed> {
        if !self.view.is_waiting() {
            return self.refuse(token, "The machine was launched before".into());
        }
        let (plan, files) = match Plan::new(spec, files) {
            Ok(planned) => planned,
            Err(error) => return self.refuse_plan(token, &error),
        };
        self.view.instance_id = Some(plan.instance_id.clone());
        self.board.clone_from(&plan.board);
        self.view.set_state(MachineState::Running);
        let event = self.view.reached(Stage::Launched, now());
        self.publish(&event);
        self.launcher = Some(token);
        self.connection(token)?.waiting = true;
        self.tell(Signal::Launch(Box::new((plan, files))));
        Ok(())
    }

    fn refuse_plan(&mut self, token: u64, error: &PlanError) -> Result<(), Closed> {
        let kind = match error {
            PlanError::Device(BuildDeviceError::UnknownKind { .. } | BuildDeviceError::Config { .. }) => {
                FailureKind::Device
            }
            _ => FailureKind::BadRequest,
        };
        let message = chain(error);
        let failure = Failure { kind, message };
        self.connection(token)?.send_line(&Response::Error(failure))
    }

    fn attach(&mut self, token: u64, spec: DeviceSpec, files: Vec<File>) -> Result<(), Closed> {
        match PlannedDevice::new(spec, files) {
            Ok(device) => self.ask_machine(token, Signal::Attach(Box::new(device), token)),
            Err(error) => self.refuse_plan(token, &error),
        }
    }

    fn quiesce(&mut self, token: u64, ids: Vec<String>, after_reset: bool) -> Result<(), Closed> {
        self.connection(token)?.quiesces = true;
        let signal = Signal::Quiesce {
            ids,
            after_reset,
            asker: token,
        };
        self.ask_machine(token, signal)
    }

    /// Hands `signal` to the machine thread, which answers the connection by [`super::Notice::Answered`].
    fn ask_machine(&mut self, token: u64, signal: Signal) -> Result<(), Closed> {
        if self.view.is_waiting() {
            return self.refuse(token, NOT_LAUNCHED.into());
        }
        self.connection(token)?.waiting = true;
        self.tell(signal);
        Ok(())
    }

    fn console_log(&mut self, token: u64) -> Result<(), Closed> {
        let log = self
            .console
            .as_ref()
            .and_then(|console| console.tail(CONSOLE_TAIL).ok())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        self.answer(token, Answer::ConsoleLog(last_that_fits(&text).to_owned()))
    }

    fn attach_console(&mut self, token: u64) -> Result<(), Closed> {
        let Some(attached) = self.console.as_ref().map(|console| console.attach(CONSOLE_TAIL)) else {
            return self.refuse(token, "There is no console before the launch".into());
        };
        let Ok((replay, feed)) = attached else {
            return self.refuse(token, "The console log can't be read".into());
        };
        self.answer(token, Answer::Done)?;
        let connection = self.connection(token)?;
        connection.mode = Mode::Console(feed);
        connection.send_bytes(&replay)
    }

    /// Hands the connection itself to the device, which answers and then carries it.
    fn connect_to_guest(&mut self, token: u64, port: u32) -> Result<(), Closed> {
        let Some(dialer) = self.dialer.clone() else {
            return self.refuse(token, "The machine was not launched yet".into());
        };
        if !self.connection(token)?.is_quiet() {
            let message = "Nothing may be said between a request for a connection to the guest and its answer";
            return self.refuse(token, message.into());
        }
        let connection = self.connections.remove(&token).ok_or(Closed::Gone)?;
        epoll::delete(&self.epoll, &connection).map_err(|_| Closed::Gone)?;
        dialer.dial(Call::new(port, connection.into_socket()));
        Ok(())
    }

    fn subscribe(&mut self, token: u64) -> Result<(), Closed> {
        self.answer(token, Answer::Done)?;
        let history = self.view.history();
        let connection = self.connection(token)?;
        connection.mode = Mode::Events;
        history.iter().try_for_each(|event| connection.send_line(event))
    }

    fn signal(&mut self, token: u64, signal: Signal) -> Result<(), Closed> {
        if self.view.is_waiting() {
            return self.refuse(token, NOT_LAUNCHED.into());
        }
        self.tell(signal);
        self.answer(token, Answer::Done)
    }

    fn tell_guest(&mut self, token: u64, told: Told) -> Result<(), Closed> {
        let Some(board) = &self.board else {
            return self.refuse(token, NOBODY_TO_TELL.into());
        };
        match board.tell(told) {
            Ok(()) => self.answer(token, Answer::Done),
            Err(error) => self.refuse(token, chain(&error)),
        }
    }

    fn send_key(&mut self, token: u64, key: ActiveKey) -> Result<(), Closed> {
        let Some(board) = &self.board else {
            return self.refuse(token, NOBODY_TO_TELL.into());
        };
        match board.send_key(key, Instant::now()) {
            Ok(()) => self.answer(token, Answer::Done),
            Err(error @ SendKeyError::Full(_)) => {
                let failure = Failure {
                    kind: FailureKind::Full,
                    message: chain(&error),
                };
                self.connection(token)?.send_line(&Response::Error(failure))
            }
            Err(error) => self.refuse(token, chain(&error)),
        }
    }

    fn stop(&mut self, token: u64) -> Result<(), Closed> {
        self.tell(Signal::Stop);
        self.answer(token, Answer::Done)
    }

    /// Hands `signal` to the machine thread; one that has ended needs none.
    pub(super) fn tell(&self, signal: Signal) {
        let _ = self.machine.send(signal);
    }
}

/// The longest end of `text` that fits into a message as a JSON string.
fn last_that_fits(text: &str) -> &str {
    let mut room = STRING_MAX;
    let escaped = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    };
    let start = text.char_indices().rev().find(|&(_, c)| {
        let fits = escaped(c) <= room;
        room = room.saturating_sub(escaped(c));
        !fits
    });
    start.map_or(text, |(at, c)| &text[at + c.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_control_characters_still_fits_into_a_message() {
        let text = "\u{1}".repeat(CONSOLE_TAIL);
        let answer = Response::Ok(Answer::ConsoleLog(last_that_fits(&text).to_owned()));
        let length = serde_json::to_vec(&answer).unwrap().len();
        assert!(length < MAX_MESSAGE && length > MAX_MESSAGE - 4096, "{length}");
        assert_eq!(last_that_fits("login: "), "login: ");
    }
}
