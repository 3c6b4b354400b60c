//! Queries on their way to the host's name servers and back. A guest's identifiers are not passed on, and an answer must be
//! to the question that was asked, from the server that was asked. No input and no output here but on the host's sockets.

use super::dns::{self, HEADER};
use hmac::{Hmac, Mac as _};
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, recv, send};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The most queries under way. When one more comes, that is forgotten which has waited longest.
const PENDING_MAX: usize = 128;
/// How long each server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest datagram.
const DATAGRAM: usize = 65535;
/// The longest name and what follows it in a question (RFC 1035, 3.1, 4.1.2).
const NAME_MAX: usize = 255;
const TYPE_AND_CLASS: usize = 4;
/// The bytes of our key.
const KEY: usize = 32;

/// A socket of the name server: which of those behind the interface at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsSocket {
    /// The place; no other interface ever has it.
    pub place: usize,
    /// Which one, from 0.
    pub which: usize,
}

/// Who asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The socket.
    pub socket: DnsSocket,
    /// Its address.
    pub address: SocketAddrAny,
}

struct Pending {
    client: Client,
    query: Vec<u8>,
    server: usize,
    deadline: Instant,
}

/// The queries under way.
pub struct Forwarder {
    servers: Vec<OwnedFd>,
    pending: BTreeMap<u16, Pending>,
    /// Identifiers that nobody can guess: a counter under a key of this process.
    key: Hmac<Sha256>,
    count: u64,
    buffer: Vec<u8>,
}

impl Forwarder {
    /// To these servers, the preferred first: UDP sockets that are connected to them.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(servers: Vec<OwnedFd>) -> io::Result<Self> {
        let mut key = [0; KEY];
        getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(Self {
            servers,
            pending: BTreeMap::new(),
            key: Hmac::new_from_slice(&key).map_err(io::Error::other)?,
            count: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// The servers' sockets.
    pub fn servers(&self) -> &[OwnedFd] {
        &self.servers
    }

    /// Passes a query on. Gives the answer at once if there is no server.
    pub fn ask(&mut self, query: &[u8], client: Client, now: Instant) -> Option<Vec<u8>> {
        if self.servers.is_empty() {
            return dns::failure(query);
        }
        if self.pending.len() >= PENDING_MAX {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.deadline);
            let oldest = oldest.map(|(&id, _)| id);
            oldest.and_then(|id| self.pending.remove(&id));
        }
        let pending = Pending {
            client,
            query: query.to_vec(),
            server: 0,
            deadline: now + PATIENCE,
        };
        self.send(pending);
        None
    }

    /// An answer that `server` has for a client; none when there is no more to read.
    pub fn receive(&mut self, server: usize) -> Option<Result<(Client, Vec<u8>), NotOurs>> {
        let socket = self.servers.get(server)?;
        let length = match recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length)) => length,
            Err(rustix::io::Errno::AGAIN) => return None,
            // That an earlier query did not get through is said here; it is asked anew when its time is up.
            Err(_) => return Some(Err(NotOurs)),
        };
        let answer = self.buffer.get(..length).unwrap_or_default().to_vec();
        let client = self.client_of(server, &answer);
        Some(client.ok_or(NotOurs))
    }

    fn client_of(&mut self, server: usize, answer: &[u8]) -> Option<(Client, Vec<u8>)> {
        const RESPONSE: u8 = 0x80;
        let &[id0, id1, flags, ..] = answer.first_chunk::<HEADER>()?;
        let id = u16::from_be_bytes([id0, id1]);
        let pending = self.pending.get(&id)?;
        let asked = question(&pending.query)?;
        if pending.server != server || flags & RESPONSE == 0 || question(answer) != Some(asked) {
            return None;
        }
        let pending = self.pending.remove(&id)?;
        Some((pending.client, with_id(answer, pending.query.first_chunk()?)))
    }

    /// When the next query has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    /// Asks the next server what one has not answered; gives the answers to what none has.
    pub fn overdue(&mut self, now: Instant) -> Vec<(Client, Vec<u8>)> {
        let over = |pending: &Pending| pending.deadline <= now;
        let ids: Vec<u16> = self
            .pending
            .iter()
            .filter_map(|(&id, pending)| over(pending).then_some(id))
            .collect();
        let mut failures = Vec::new();
        for id in ids {
            let Some(mut pending) = self.pending.remove(&id) else {
                continue;
            };
            pending.server += 1;
            pending.deadline = now + PATIENCE;
            if pending.server < self.servers.len() {
                self.send(pending);
            } else if let Some(failure) = dns::failure(&pending.query) {
                failures.push((pending.client, failure));
            }
        }
        failures
    }

    /// Sends a query under an identifier of its own. One that gets lost is asked again when its time is up.
    fn send(&mut self, pending: Pending) {
        let id = self.fresh_id();
        if let Some(server) = self.servers.get(pending.server) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = send(server, &with_id(&pending.query, &id.to_be_bytes()), flags);
        }
        self.pending.insert(id, pending);
    }

    fn fresh_id(&mut self) -> u16 {
        loop {
            self.count = self.count.wrapping_add(1);
            let mut code = self.key.clone();
            code.update(&self.count.to_be_bytes());
            let code: [u8; 32] = code.finalize().into_bytes().into();
            let [first, second, ..] = code;
            let id = u16::from_be_bytes([first, second]);
            // Far fewer are under way than there are identifiers.
            if !self.pending.contains_key(&id) {
                return id;
            }
        }
    }
}

/// A datagram that is the answer to nothing that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

/// The message under another identifier.
fn with_id(message: &[u8], id: &[u8; 2]) -> Vec<u8> {
    [id, message.get(2..).unwrap_or_default()].concat()
}

/// The bytes of a message's first question, whose name nobody shortens (RFC 1035, 4.1.4), for nothing stands before it.
fn question(message: &[u8]) -> Option<&[u8]> {
    const LABEL_MAX: u8 = 63;
    let mut end = HEADER;
    loop {
        let length = *message.get(end)?;
        end += 1 + usize::from(length);
        match length {
            0 => break,
            1..=LABEL_MAX if end - HEADER <= NAME_MAX => {}
            _ => return None,
        }
    }
    message.get(HEADER..end + TYPE_AND_CLASS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06debian\x03org\x00\x00\x01\x00\x01";

    /// A name server on this host, and the socket that is connected to it.
    fn server() -> (UdpSocket, OwnedFd) {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        server.connect(client.local_addr().unwrap()).unwrap();
        (server, client.into())
    }

    fn client(port: u16) -> Client {
        Client {
            socket: DnsSocket { place: 0, which: 0 },
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(),
        }
    }

    fn heard(server: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 512];
        let length = server.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn an_answer_comes_back_under_the_clients_identifier_and_another_does_not() {
        let (server, socket) = server();
        let mut forwarder = Forwarder::new(vec![socket]).unwrap();
        assert_eq!(forwarder.ask(QUERY, client(1), Instant::now()), None);
        let asked = heard(&server);
        assert_eq!(asked[2..], QUERY[2..]);
        let mut answer = asked.clone();
        answer[2] |= 0x80;
        let mut other = answer.clone();
        other[13] = b'D';
        for wrong in [&asked, &other, &answer[..11].to_vec()] {
            server.send(wrong).unwrap();
            assert_eq!(forwarder.receive(0), Some(Err(NotOurs)), "{wrong:?}");
        }
        server.send(&answer).unwrap();
        let (who, said) = forwarder.receive(0).unwrap().unwrap();
        assert_eq!((who, &said[..2], &said[2..]), (client(1), &QUERY[..2], &answer[2..]));
        // Nothing is under way any more.
        server.send(&answer).unwrap();
        assert_eq!(forwarder.receive(0), Some(Err(NotOurs)));
        assert_eq!(forwarder.receive(0), None);
        assert_eq!(forwarder.deadline(), None);
    }

    #[test]
    fn the_next_server_is_asked_and_then_the_client_is_told() {
        let ((_silent, one), (second, two)) = (server(), server());
        let mut forwarder = Forwarder::new(vec![one, two]).unwrap();
        let start = Instant::now();
        forwarder.ask(QUERY, client(1), start);
        assert!(forwarder.overdue(start).is_empty());
        assert!(forwarder.overdue(start + PATIENCE).is_empty());
        assert_eq!(heard(&second)[2..], QUERY[2..]);
        let failures = forwarder.overdue(start + 2 * PATIENCE);
        let [(who, said)] = &failures[..] else {
            panic!("{failures:?}")
        };
        assert_eq!((who, &said[..2], said[3] & 0xf), (&client(1), &QUERY[..2], 2));
        assert!(Forwarder::new(vec![]).unwrap().ask(QUERY, client(1), start).is_some());
    }

    #[test]
    fn a_flood_fills_up_nothing() {
        let (_server, socket) = server();
        let mut forwarder = Forwarder::new(vec![socket]).unwrap();
        for port in 0..5000 {
            forwarder.ask(QUERY, client(port), Instant::now());
        }
        assert_eq!(forwarder.pending.len(), PENDING_MAX);
    }
}
