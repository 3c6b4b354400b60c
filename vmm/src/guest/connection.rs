//! One connection to the metadata service: bounded buffers both ways, requests in, answers out, and never waiting.
//!
//! The guest may send anything, half of it, or nothing, and need not read. So the next request is looked at only when
//! the last answer is gone, and for everything a connection waits for there is a time. When it is over nothing stays
//! behind in the host's kernel: what was not taken by then is thrown away, not offered on for minutes.

use super::facts::Board;
use super::http::{Answer, HEAD_MAX, Head, Status};
use super::service;
use super::tokens::Tokens;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{set_ip_ttl, set_socket_linger};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the rest of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a connection may do nothing, and how long a client may take to read an answer.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long a client may take to get the last answer and to hang up.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// What a buffer that was emptied may keep of its memory.
const KEPT_CAPACITY: usize = 2 << 10;

/// What requests are answered from.
pub struct Desk {
    /// What the guest is told.
    pub board: Arc<Board>,
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
    /// The client to get the last answer and to hang up.
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
    ///
    /// # Errors
    /// The socket is gone already.
    pub fn new(socket: OwnedFd, now: Instant) -> io::Result<Self> {
        // Sockets that are closed with something unsent count against a bound that all of the host shares.
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        Ok(Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            body: 0,
            finished: false,
            last: false,
            wait: Wait::Request,
            deadline: now + Wait::Request.time(),
        })
    }

    /// When its time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What epoll should wait for; none is nothing at all, when both sides have hung up and only time is given to what
    /// is still on its way.
    pub fn interest(&self) -> Option<EventFlags> {
        match self.wait {
            Wait::Reader => Some(EventFlags::OUT),
            Wait::Farewell if self.finished => None,
            Wait::Request | Wait::Rest | Wait::Farewell => Some(EventFlags::IN),
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
        // Nothing more can be asked. The answers may still be on their way, and closing would throw them away.
        self.last |= self.finished && self.output.is_empty();
        let wait = self.waits_for();
        if wait == Wait::Farewell && self.wait != wait {
            // What the client may still be sending is read: a reset could overtake the answer.
            shutdown(&self.socket, Shutdown::Write).map_err(|_| Over)?;
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
        let facts = desk.board.facts(now);
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

#[cfg(test)]
mod tests {
    use super::super::testing::told;
    use super::*;
    use rustix::net::sockopt::ip_ttl;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    const BOTH: EventFlags = EventFlags::IN.union(EventFlags::OUT);

    struct Pair {
        client: TcpStream,
        connection: Connection,
        desk: Desk,
        begun: Instant,
    }

    impl Pair {
        fn new() -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            let begun = Instant::now();
            let mut story = told();
            story
                .metadata
                .leaves
                .insert("meta-data/long".into(), "x".repeat(32 << 10));
            Self {
                client,
                connection: Connection::new(socket.into(), begun).unwrap(),
                desk: Desk {
                    board: Arc::new(Board::new(story).unwrap()),
                    tokens: Tokens::new().unwrap(),
                    since: begun,
                },
                begun,
            }
        }

        /// Lets the connection act at this second; loopback has delivered what was sent before.
        fn act(&mut self, second: u64) -> Result<(), Over> {
            let now = self.begun + Duration::from_secs(second);
            self.connection.exchange(BOTH, &self.desk, now)
        }

        fn send(&mut self, text: &str, second: u64) -> Result<(), Over> {
            self.client.write_all(text.as_bytes()).unwrap();
            self.act(second)
        }

        /// What waits for the client.
        fn received(&mut self) -> String {
            self.client.set_nonblocking(true).unwrap();
            let mut bytes = Vec::new();
            // It ends with the connection, or where reading would have to wait.
            let _ = self.client.read_to_end(&mut bytes);
            self.client.set_nonblocking(false).unwrap();
            String::from_utf8(bytes).unwrap()
        }

        /// In how many seconds from the beginning its time is over.
        fn deadline(&self) -> u64 {
            (self.connection.deadline() - self.begun).as_secs()
        }
    }

    #[test]
    fn a_head_may_come_byte_by_byte_within_its_time() {
        let mut pair = Pair::new();
        assert_eq!(pair.deadline(), 60);
        let request = "GET /latest/meta-data/ami-id HTTP/1.1\r\n\r\n";
        for (byte, second) in request.chars().zip(20..) {
            pair.send(&byte.to_string(), second).unwrap();
            let last = second == 20 + request.len() as u64 - 1;
            // The time runs from the first byte on, and from the answer on for the next request.
            assert_eq!(pair.deadline(), if last { second + 60 } else { 30 });
        }
        assert!(pair.received().ends_with("\r\n\r\nami-1"));
        pair.send(request, 90).unwrap();
        assert_eq!(pair.deadline(), 150);
    }

    #[test]
    fn a_body_is_passed_over_however_it_comes() {
        let mut pair = Pair::new();
        let post = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
        let get = "GET /latest/meta-data/ami-id HTTP/1.1\r\n\r\n";
        pair.send(&format!("{post}GET {get}"), 0).unwrap();
        let answers = pair.received();
        assert!(
            answers.starts_with("HTTP/1.1 405 ") && answers.ends_with("\r\n\r\nami-1"),
            "{answers}"
        );
        pair.send(&format!("{post}GE"), 1).unwrap();
        assert_eq!(pair.deadline(), 11);
        pair.send(&format!("T {get}"), 2).unwrap();
        let answers = pair.received();
        assert!(
            answers.starts_with("HTTP/1.1 405 ") && answers.ends_with("\r\n\r\nami-1"),
            "{answers}"
        );
        assert_eq!(pair.deadline(), 62);
    }

    #[test]
    fn an_answer_with_a_token_and_all_after_it_get_over_no_more_hops_than_allowed() {
        let mut pair = Pair::new();
        let others = ip_ttl(&pair.connection).unwrap();
        pair.send("GET / HTTP/1.1\r\n\r\n", 0).unwrap();
        assert_eq!(ip_ttl(&pair.connection).unwrap(), others);
        let put = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
        pair.send(put, 0).unwrap();
        assert_eq!(ip_ttl(&pair.connection).unwrap(), 2);
        pair.send("GET / HTTP/1.1\r\n\r\n", 0).unwrap();
        assert_eq!(ip_ttl(&pair.connection).unwrap(), 2);
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_either_and_holds_one_answer() {
        let mut pair = Pair::new();
        pair.client.set_nonblocking(true).unwrap();
        let request = b"GET /latest/meta-data/long HTTP/1.1\r\n\r\n";
        let requests = request.repeat(100);
        let mut sent = 0;
        loop {
            match pair.client.write(&requests[sent % request.len()..]) {
                Ok(count) => {
                    sent += count;
                    pair.act(5).unwrap();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    pair.act(6).unwrap();
                    if pair.connection.interest() == Some(EventFlags::OUT) {
                        break;
                    }
                }
            }
        }
        assert!(pair.connection.input.len() <= HEAD_MAX);
        assert!(pair.connection.output.len() < 33 << 10);
        let deadline = pair.deadline();
        assert!(deadline <= 66);
        pair.act(50).unwrap();
        assert_eq!(pair.deadline(), deadline);
    }

    #[test]
    fn the_last_answer_is_followed_by_a_farewell() {
        let mut pair = Pair::new();
        pair.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", 7)
            .unwrap();
        assert_eq!(pair.deadline(), 12);
        assert_eq!(pair.received().matches("HTTP/1.1 200 OK").count(), 1);
        pair.send("and so on", 8).unwrap();
        assert_eq!((pair.deadline(), pair.received().len()), (12, 0));
        pair.client.shutdown(std::net::Shutdown::Write).unwrap();
        pair.act(9).unwrap();
        assert_eq!((pair.deadline(), pair.connection.interest()), (12, None));
    }

    #[test]
    fn a_client_that_hangs_up_after_its_requests_gets_its_answers() {
        let mut pair = Pair::new();
        pair.client.write_all(b"GET / HTTP/1.1\r\n\r\nGET ").unwrap();
        pair.client.shutdown(std::net::Shutdown::Write).unwrap();
        pair.act(0).unwrap();
        pair.act(0).unwrap();
        assert!(pair.received().starts_with("HTTP/1.1 200 OK"));
        assert_eq!((pair.deadline(), pair.connection.interest()), (5, None));
    }

    /// The states (`/proc/net/tcp`) of sockets between these ports that no descriptor refers to any more. One port would
    /// not do: a socket of another test, long over, may have had it.
    fn left_behind(local: u16, remote: u16) -> Vec<String> {
        let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ports = [format!(":{local:04X}"), format!(":{remote:04X}")];
        let ours = fields
            .filter(|fields| fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]) && fields[9] == "0");
        ours.map(|fields| fields[3].to_owned()).collect()
    }

    #[test]
    fn an_answer_that_the_client_did_not_take_leaves_nothing_behind() {
        // The client still takes answers, or has hung up on its side.
        for (hangs_up, interest) in [(false, Some(EventFlags::IN)), (true, None)] {
            let mut pair = Pair::new();
            let ports = [pair.client.peer_addr(), pair.client.local_addr()].map(|address| address.unwrap().port());
            // More than the client's kernel takes, and no more than the connection's does.
            let requests = "GET /latest/meta-data/long HTTP/1.1\r\n\r\n".repeat(20);
            pair.send(&requests, 0).unwrap();
            if hangs_up {
                pair.client.shutdown(std::net::Shutdown::Write).unwrap();
                pair.act(1).unwrap();
            }
            assert_eq!(pair.connection.interest(), interest);
            drop(pair.connection);
            assert_eq!(left_behind(ports[0], ports[1]), [""; 0]);
        }
    }

    #[test]
    fn a_client_that_leaves_with_its_answer_unread_ends_the_connection() {
        let mut pair = Pair::new();
        pair.send("GET / HTTP/1.1\r\n\r\n", 0).unwrap();
        drop(pair.client);
        let ended = pair.connection.exchange(BOTH, &pair.desk, pair.begun);
        assert_eq!(ended, Err(Over));
    }
}
