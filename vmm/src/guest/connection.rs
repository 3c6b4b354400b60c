//! One connection to the metadata service: bounded buffers both ways, requests in, answers out, and never waiting.
//!
//! The guest may send anything, half of it, or nothing, and need not read. So the next request is looked at only when
//! the last answer is gone, and for everything a connection waits for there is a time.

use super::facts::Board;
use super::http::{Answer, HEAD_MAX, Head, Status};
use super::service;
use super::tokens::Tokens;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::set_ip_ttl;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the rest of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a connection may do nothing, and how long a client may take to read an answer.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long a client may take to hang up after the last answer.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// What a buffer that was emptied may keep of its memory.
const KEPT_CAPACITY: usize = 2 << 10;

/// What requests are answered from.
pub struct Desk {
    /// What the guest is told.
    pub board: std::sync::Arc<Board>,
    /// The tokens of this process.
    pub tokens: Tokens,
    /// The moment from which the tokens' times count.
    pub since: Instant,
}

/// The connection is over: the client is gone, or its time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A request to begin.
    Request,
    /// The rest of one.
    Rest,
    /// The client to read its answer.
    Reader,
    /// The client to hang up.
    Farewell,
}

impl Wait {
    fn time(self) -> Duration {
        match self {
            Self::Request | Self::Reader => IDLE_TIME,
            Self::Rest => REQUEST_TIME,
            Self::Farewell => FAREWELL_TIME,
        }
    }
}

/// A connection.
pub struct Connection {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output is sent.
    sent: usize,
    /// How much of a body is still to come.
    body: usize,
    /// The client sends no more.
    finished: bool,
    /// No request is answered any more.
    last: bool,
    wait: Wait,
    deadline: Instant,
}

impl Connection {
    /// A connection on an accepted socket.
    pub fn new(socket: OwnedFd, now: Instant) -> Self {
        Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            body: 0,
            finished: false,
            last: false,
            wait: Wait::Request,
            deadline: now + Wait::Request.time(),
        }
    }

    /// When its time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What epoll should wait for.
    pub fn interest(&self) -> EventFlags {
        match self.wait {
            Wait::Reader => EventFlags::OUT,
            Wait::Request | Wait::Rest | Wait::Farewell => EventFlags::IN,
        }
    }

    /// Reads what came, and answers what is asked.
    ///
    /// # Errors
    /// It is over.
    pub fn exchange(&mut self, flags: EventFlags, desk: &Desk, now: Instant) -> Result<(), Over> {
        if flags.contains(EventFlags::ERR) {
            return Err(Over);
        }
        self.flush()?;
        if self.output.is_empty() && flags.intersects(EventFlags::IN | EventFlags::HUP) {
            self.receive()?;
        }
        let mut answered = false;
        while self.output.is_empty() && self.answer_next(desk, now)? {
            answered = true;
            self.flush()?;
        }
        let wait = self.waits_for();
        if wait == Wait::Farewell && self.wait != wait {
            // What the client may still be sending is read: a reset could overtake the answer.
            shutdown(&self.socket, Shutdown::Write).map_err(|_| Over)?;
        }
        if self.finished && wait != Wait::Reader {
            return Err(Over);
        }
        if answered || wait != self.wait {
            self.deadline = now + wait.time();
        }
        self.wait = wait;
        Ok(())
    }

    fn waits_for(&self) -> Wait {
        match (self.output.is_empty(), self.last) {
            (false, _) => Wait::Reader,
            (true, true) => Wait::Farewell,
            (true, false) if self.input.is_empty() && self.body == 0 => Wait::Request,
            (true, false) => Wait::Rest,
        }
    }

    /// Reads once, at most as much as one head may have.
    fn receive(&mut self) -> Result<(), Over> {
        let mut buffer = [0; HEAD_MAX];
        let room = HEAD_MAX.saturating_sub(self.input.len());
        let Some(place) = buffer.get_mut(..room).filter(|place| !place.is_empty()) else {
            return Ok(());
        };
        match recv(&self.socket, place, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.finished = true,
            Ok((_, count)) => {
                let received = buffer.get(..count).unwrap_or_default();
                let (_, rest) = received.split_at_checked(self.body).unwrap_or((received, &[]));
                self.body -= received.len() - rest.len();
                if !self.last {
                    self.input.extend_from_slice(rest);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Err(Over),
        }
        Ok(())
    }

    /// Answers the request at the beginning of the input; says whether there was one.
    fn answer_next(&mut self, desk: &Desk, now: Instant) -> Result<bool, Over> {
        if self.last {
            return Ok(false);
        }
        let head = match Head::parse(&self.input) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(false),
            Err(status) => {
                self.refuse(status);
                return Ok(true);
            }
        };
        let facts = desk.board.facts();
        let answer = service::answer(&head.request, &facts, &desk.tokens, now.duration_since(desk.since));
        if let Some(hops) = answer.hop_limit {
            // It stays so: what is sent again later must not get farther than what was sent first.
            set_ip_ttl(&self.socket, hops.into()).map_err(|_| Over)?;
        }
        answer.write(head.request.method != "HEAD", head.keep, &mut self.output);
        let (keep, end) = (head.keep, head.length + head.body.unwrap_or(0));
        self.body = end.saturating_sub(self.input.len());
        self.input.drain(..end.min(self.input.len()));
        self.input.shrink_to(KEPT_CAPACITY);
        self.last = !keep;
        if self.last {
            self.input.clear();
        }
        Ok(true)
    }

    /// Answers what can't be understood, for the last time.
    fn refuse(&mut self, status: Status) {
        Answer::only(status).write(true, false, &mut self.output);
        self.input.clear();
        self.last = true;
    }

    /// Sends what the client takes.
    fn flush(&mut self) -> Result<(), Over> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        self.output.clear();
        self.output.shrink_to(KEPT_CAPACITY);
        self.sent = 0;
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
