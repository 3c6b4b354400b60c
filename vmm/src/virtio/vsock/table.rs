//! All connections of a device: finds the one that a packet is for, refuses what is for none, and lets each have its
//! turn at the driver's buffers.

use super::config::Config;
use super::connection::{Connection, Heard};
use super::dial::Call;
use super::packet::{HEADER, HOST_CID, Header, Op, STREAM};
use crate::virtio::queue::{Buffer, cursor};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::os::fd::AsRawFd;
use std::time::Instant;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// The most connections at one time.
pub const CONNECTIONS_MAX: usize = 64;
/// Of those, the most at which the guest's service manager is listened to.
pub const NOTIFYING_MAX: usize = 8;
/// Refusals that wait for a buffer; when there are so many, no more packets are taken.
pub const RESETS_MAX: usize = 64;
/// The ports of the host that its own connections come from.
const OWN_PORTS: std::ops::Range<u32> = 1 << 30..u32::MAX;

/// A connection's ports: the host's and the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ports {
    host: u32,
    guest: u32,
}

impl Ports {
    /// By which epoll knows the connection. No port of the host is 0, so what epoll knows by less is something else.
    fn token(self) -> u64 {
        u64::from(self.host) << 32 | u64::from(self.guest)
    }

    fn of(token: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = token.to_be_bytes();
        Self {
            host: u32::from_be_bytes([a, b, c, d]),
            guest: u32::from_be_bytes([e, f, g, h]),
        }
    }
}

/// Tokens below this are not those of connections.
pub const FIRST_TOKEN: u64 = 1 << 32;

/// The connections.
pub struct Table {
    config: Config,
    connections: BTreeMap<Ports, Connection>,
    /// Refusals of packets that belong to none.
    resets: VecDeque<Header>,
    /// Whose turn was last.
    last: Ports,
    next_port: u32,
}

impl Table {
    /// None yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            resets: VecDeque::new(),
            last: Ports { host: 0, guest: 0 },
            next_port: OWN_PORTS.start,
        }
    }

    /// Asks the guest for the connection that `call` wants.
    pub fn connect(&mut self, call: Call) {
        if self.connections.len() >= CONNECTIONS_MAX {
            return call.refuse(format!(
                "{CONNECTIONS_MAX} connections to the guest are open; close one first"
            ));
        }
        let ports = self.free_ports(call.port);
        self.connections.insert(ports, Connection::outgoing(call));
    }

    /// There are far more ports than connections.
    fn free_ports(&mut self, guest: u32) -> Ports {
        loop {
            let host = self.next_port;
            self.next_port = if host + 1 < OWN_PORTS.end {
                host + 1
            } else {
                OWN_PORTS.start
            };
            let ports = Ports { host, guest };
            if Some(host) != self.config.notify_port && !self.connections.contains_key(&ports) {
                return ports;
            }
        }
    }

    /// Whether packets of the guest's must wait until refusals have gone.
    pub fn is_saturated(&self) -> bool {
        self.resets.len() >= RESETS_MAX
    }

    /// Takes a packet of the guest's: its header, and the bytes behind it. Says whether the guest says that it is ready.
    pub fn hear(&mut self, memory: &GuestMemoryMmap, header: &Header, rest: &[Buffer], epoll: &Epoll) -> bool {
        if header.from_cid != self.config.guest_cid.get() {
            return false;
        }
        if header.kind != STREAM || header.to_cid != HOST_CID {
            self.refuse(header);
            return false;
        }
        let ports = Ports {
            host: header.to_port,
            guest: header.from_port,
        };
        let connection = self.connections.get_mut(&ports);
        let Some(connection) = connection.filter(|connection| !connection.has_ended()) else {
            self.hear_of_none(ports, header);
            return false;
        };
        let payload = cursor::part(rest, 0, header.length.into());
        let is_whole = |op: &Op| *op != Op::Data || cursor::length(&payload) == u64::from(header.length);
        let op = Op::of(header.op).filter(is_whole);
        let heard = op.and_then(|op| connection.hear(memory, (header, op), &payload).ok());
        match heard {
            Some(Heard::Taken) if !watch(connection, ports, epoll) => connection.fail(),
            Some(heard) => return heard == Heard::Ready,
            None => connection.fail(),
        }
        false
    }

    /// A packet for a connection that there is not.
    fn hear_of_none(&mut self, ports: Ports, header: &Header) {
        let notifying = self.connections.values().filter(|other| other.is_notifying()).count();
        let welcome = header.op == Op::Request.number()
            && ports.host != 0
            && Some(ports.host) == self.config.notify_port
            && notifying < NOTIFYING_MAX
            && self.connections.len() < CONNECTIONS_MAX
            && !self.connections.contains_key(&ports);
        if welcome {
            self.connections.insert(ports, Connection::notifying(header));
        } else {
            self.refuse(header);
        }
    }

    fn refuse(&mut self, header: &Header) {
        if header.op != Op::Reset.number() && !self.is_saturated() {
            self.resets.push_back(header.reset());
        }
    }

    /// Edges came for the connection that epoll knows by `token`.
    pub fn woken(&mut self, token: u64, edges: EventSet) {
        let stream = self.connections.get_mut(&Ports::of(token)).and_then(Connection::stream);
        if let Some(stream) = stream {
            let readable = edges.intersects(EventSet::IN | EventSet::READ_HANG_UP);
            let hung_up = edges.intersects(EventSet::HANG_UP | EventSet::ERROR);
            stream.woken(readable, edges.contains(EventSet::OUT), hung_up);
        }
    }

    /// Passes on what sockets take, and forgets what is over.
    pub fn settle(&mut self) {
        self.connections.values_mut().for_each(Connection::settle);
        self.connections.retain(|_, connection| !connection.is_over());
    }

    /// When [`Self::expire`] must be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.connections.values().filter_map(Connection::deadline).min()
    }

    /// Ends what has waited for the guest for too long.
    pub fn expire(&mut self) {
        let now = Instant::now();
        for connection in self.connections.values_mut() {
            if connection.deadline().is_some_and(|deadline| deadline <= now) {
                connection.expire();
            }
        }
    }

    /// Ends all, as the guest knows of none any more.
    pub fn cut(&mut self, reason: &str) {
        self.resets.clear();
        for connection in std::mem::take(&mut self.connections).into_values() {
            connection.cut(reason);
        }
    }

    /// Whether there may be a packet for the guest.
    pub fn has_packet(&self) -> bool {
        !self.resets.is_empty() || self.connections.values().any(Connection::has_packet)
    }

    /// How many connections and refusals there are, and the most that waits for a socket.
    #[cfg(test)]
    pub fn sizes(&mut self) -> (usize, usize, usize) {
        let streams = self.connections.values_mut().filter_map(Connection::stream);
        let pending = streams.map(|stream| stream.pending()).max().unwrap_or(0);
        (self.connections.len(), self.resets.len(), pending)
    }

    /// The next packet for the guest: its header, whose bytes have been put into `rest` already.
    pub fn next_packet(&mut self, memory: &GuestMemoryMmap, rest: &[Buffer]) -> Option<Header> {
        if let Some(reset) = self.resets.pop_front() {
            return Some(reset);
        }
        let after = (Bound::Excluded(self.last), Bound::Unbounded);
        let order = self
            .connections
            .range(after)
            .chain(self.connections.range(..=self.last));
        let ready = order.filter(|(_, connection)| connection.has_packet());
        let ready: Vec<Ports> = ready.map(|(ports, _)| *ports).collect();
        for ports in ready {
            let connection = self.connections.get_mut(&ports)?;
            // To read is how it shows that nothing more will come, which is to be said next.
            let mut said = connection.next_packet(memory, rest);
            connection.settle();
            said = said.or_else(|| connection.next_packet(memory, rest));
            if let Some(said) = said {
                self.last = ports;
                return Some(Header {
                    from_cid: HOST_CID,
                    to_cid: self.config.guest_cid.get(),
                    from_port: ports.host,
                    to_port: ports.guest,
                    length: said.length,
                    kind: STREAM,
                    op: said.op.number(),
                    flags: said.flags,
                    room: super::connection::BUFFER,
                    forwarded: said.forwarded,
                });
            }
        }
        None
    }
}

/// Has the socket of `connection` watched; false if that can't be.
fn watch(connection: &mut Connection, ports: Ports, epoll: &Epoll) -> bool {
    let edges = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
    let event = EpollEvent::new(edges, ports.token());
    connection.stream().is_some_and(|stream| {
        let socket = stream.socket().as_raw_fd();
        epoll.ctl(ControlOperation::Add, socket, event).is_ok()
    })
}

/// A packet as it lies in the driver's buffers: the header, then what follows it.
pub fn behind_header(buffers: &[Buffer]) -> Vec<Buffer> {
    cursor::part(buffers, HEADER as u64, u64::MAX)
}
