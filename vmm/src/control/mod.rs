//! The control socket's server: one thread, one epoll, no waiting for anybody.
//!
//! `main` runs it on the process's first thread. It knows the machine only by what [`notice::Notice`]s say, and acts on
//! it only by [`Signal`]s, so no guest and no device can make it stand still.

pub mod connection;
pub mod notice;
mod requests;
mod state;
pub mod termination;

use crate::console::Console;
use crate::guest::Board;
use crate::machine::supervisor::Signal;
use crate::protocol::{Answer, Event, Failure, MachineState, Report, Response};
use crate::virtio::vsock::Dialer;
use connection::{Closed, Connection, Mode};
use notice::{Notice, Notices};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use state::MachineView;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use termination::Termination;

/// The most connections at one time.
const CONNECTIONS_MAX: usize = 32;
/// How long a monitor waits, with nobody connected, for its launch.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the last words to slow peers may take.
const FAREWELL: Duration = Duration::from_secs(2);

const LISTENER: u64 = 0;
const NOTICES: u64 = 1;
const TERMINATION: u64 = 2;
const FIRST_CONNECTION: u64 = 3;

/// How a process's one machine came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, or failed to, and this was reported.
    Ended(Report),
    /// Nobody launched anything.
    NeverLaunched,
}

/// The server.
pub struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    /// Who may connect beside root.
    owner: u32,
    connections: BTreeMap<u64, Connection>,
    next_token: u64,
    notices: Notices,
    termination: Termination,
    machine: Sender<Signal>,
    console: Option<Arc<Console>>,
    dialer: Option<Arc<Dialer>>,
    /// What the guest is told; none before the launch, or where it has no network.
    board: Option<Arc<Board>>,
    view: MachineView,
    /// The connection that waits for the launch's outcome.
    launcher: Option<u64>,
    over: Option<Outcome>,
}

impl Server {
    /// A server on the listening socket `listener` for root and the user `owner`.
    pub fn new(
        listener: OwnedFd,
        owner: u32,
        notices: Notices,
        termination: Termination,
        machine: Sender<Signal>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&listener, true)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, notices.event(), EventData::new_u64(NOTICES), EventFlags::IN)?;
        epoll::add(&epoll, &termination, EventData::new_u64(TERMINATION), EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            owner,
            connections: BTreeMap::new(),
            next_token: FIRST_CONNECTION,
            notices,
            termination,
            machine,
            console: None,
            dialer: None,
            board: None,
            view: MachineView::default(),
            launcher: None,
            over: None,
        })
    }

    /// Serves until the machine has ended and everybody who reads has been told.
    pub fn serve(mut self) -> io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.over.take() {
                self.farewell()?;
                return Ok(outcome);
            }
            let idle = self.view.is_waiting() && self.connections.is_empty();
            if !self.turn(idle.then_some(LAUNCH_TIMEOUT))? && idle {
                return Ok(Outcome::NeverLaunched);
            }
        }
    }

    /// Waits for something and handles it; says whether anything came before the time was up.
    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = Vec::with_capacity(16);
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(true),
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => self.accept(),
                NOTICES => self.notices.take().into_iter().for_each(|notice| self.notice(notice)),
                TERMINATION => self.terminate(),
                token => self.handle(token, event.flags),
            }
        }
        Ok(!events.is_empty())
    }

    /// After the end: what is queued goes out, to those who read it soon.
    fn farewell(&mut self) -> io::Result<()> {
        let end = Instant::now() + FAREWELL;
        loop {
            self.connections.retain(|_, connection| connection.owes());
            let left = end.saturating_duration_since(Instant::now());
            if self.connections.is_empty() || left.is_zero() {
                return Ok(());
            }
            self.turn(Some(left))?;
        }
    }

    fn accept(&mut self) {
        // Whatever keeps one from being accepted is the peer's loss alone.
        let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return;
        };
        let allowed = sockopt::socket_peercred(&socket).is_ok_and(|peer| [0, self.owner].contains(&peer.uid.as_raw()));
        if !allowed || self.connections.len() >= CONNECTIONS_MAX || self.over.is_some() {
            return;
        }
        let token = self.next_token;
        if epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN).is_ok() {
            self.next_token += 1;
            self.connections.insert(token, Connection::new(socket));
        }
    }

    /// The host goes down: the guest is asked to do the same; a monitor without one ends.
    fn terminate(&self) {
        if self.termination.take() {
            let waiting = self.view.is_waiting();
            self.tell(if waiting { Signal::Stop } else { Signal::PowerButton });
        }
    }

    fn connection(&mut self, token: u64) -> Result<&mut Connection, Closed> {
        self.connections.get_mut(&token).ok_or(Closed::Gone)
    }

    /// Something came on a connection, or may go out on it.
    fn handle(&mut self, token: u64, flags: EventFlags) {
        let result = self.exchange(token, flags);
        self.settle(token, result);
    }

    fn exchange(&mut self, token: u64, flags: EventFlags) -> Result<(), Closed> {
        let connection = self.connection(token)?;
        if flags.contains(EventFlags::OUT) {
            connection.flush()?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            connection.receive()?;
        }
        if flags.contains(EventFlags::ERR) {
            return Err(Closed::Gone);
        }
        self.advance(token)
    }

    /// Works off what was received.
    fn advance(&mut self, token: u64) -> Result<(), Closed> {
        while matches!(self.connection(token)?.mode, Mode::Requests) {
            let Some(line) = self.connection(token)?.next_line()? else {
                return Ok(());
            };
            self.line(token, &line)?;
        }
        let console = self.console.clone();
        let type_in = |bytes: &[u8]| console.map_or(bytes.len(), |console| console.input(bytes));
        self.connection(token)?.pump_console(type_in)
    }

    /// Closes a connection that is over, or waits for what it needs next.
    fn settle(&mut self, token: u64, result: Result<(), Closed>) {
        let Some(connection) = self.connections.get(&token) else {
            return;
        };
        let keep = result.is_ok()
            && !connection.is_over()
            && epoll::modify(
                &self.epoll,
                connection,
                EventData::new_u64(token),
                connection.interest(),
            )
            .is_ok();
        if !keep
            && let Some(gone) = self.connections.remove(&token)
            && gone.quiesces
        {
            self.tell(Signal::Release(token));
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Console(console) => self.console = Some(console),
            Notice::Dialer(dialer) => self.dialer = Some(dialer),
            Notice::Launched(result) => self.launched(result),
            Notice::Answered(token, result) => self.answered(token, result.map(|()| Answer::Done)),
            Notice::Reached(stage, at) => {
                self.view.set_state(MachineState::Running);
                let event = self.view.reached(stage, at);
                self.publish(&event);
            }
            Notice::Resetting => {
                let event = self.view.reset();
                self.publish(&event);
            }
            Notice::Stopping => self.view.set_state(MachineState::Stopping),
            Notice::Device(event) => self.publish(&event),
            Notice::Leased(mac, at) => {
                let event = self.view.leased(mac, at);
                self.publish(&event);
            }
            Notice::ConsoleReady => self.each(|connection| matches!(connection.mode, Mode::Console(_)), Self::advance),
            Notice::Ended(report) => self.ended(report),
        }
    }

    fn launched(&mut self, result: Result<(), Failure>) {
        if let Some(token) = self.launcher.take() {
            let status = self.view.status().clone();
            self.answered(token, result.map(|()| Answer::Status(status)));
        }
    }

    /// Answers a connection that waits for it, if it is still there.
    fn answered(&mut self, token: u64, result: Result<Answer, Failure>) {
        let response = match result {
            Ok(answer) => Response::Ok(answer),
            Err(failure) => Response::Error(failure),
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        connection.waiting = false;
        let sent = connection.send_line(&response);
        let advanced = sent.and_then(|()| self.advance(token));
        self.settle(token, advanced);
    }

    fn ended(&mut self, report: Option<Report>) {
        // The console's last bytes go out before the end does.
        self.each(|connection| matches!(connection.mode, Mode::Console(_)), Self::advance);
        self.over = Some(match report {
            Some(report) => {
                self.view.ended = Some(report.clone());
                self.publish(&Event::Ended(report.clone()));
                Outcome::Ended(report)
            }
            None => Outcome::NeverLaunched,
        });
    }

    /// Sends `event` to all subscribers.
    fn publish(&mut self, event: &Event) {
        self.each(
            |connection| matches!(connection.mode, Mode::Events),
            |server, token| server.connection(token)?.send_line(event),
        );
    }

    /// Does something to each connection of a kind.
    fn each(&mut self, kind: impl Fn(&Connection) -> bool, mut act: impl FnMut(&mut Self, u64) -> Result<(), Closed>) {
        let tokens: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| kind(c))
            .map(|(&token, _)| token)
            .collect();
        for token in tokens {
            let result = act(self, token);
            self.settle(token, result);
        }
    }
}
