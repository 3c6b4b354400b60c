//! The guest thread: one epoll over the sockets of all interfaces and the connections that they accept.
//!
//! Nothing here waits but `epoll`, and what one wake-up does is bounded, whatever the guest sends. Interfaces may come and
//! go; a place that one had is never another's.

use super::connection::{Connection, Desk, Over};
use super::dhcp;
use super::dns::{self, Reply};
use super::door::{Change, Changes, Door, door};
use super::facts::Board;
use super::forward::{Client, DnsSocket, Forwarder};
use super::tokens::Tokens;
use crate::protocol::InterfaceService;
use crate::virtio::net::Mac;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, recvfrom, sendto};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most connections at one time. When one more comes, that goes whose time would be over first.
const CONNECTIONS_MAX: usize = 64;
/// The most messages of one interface, and the most new connections, that one wake-up looks at.
const BATCH: usize = 16;
/// For how long no connections are accepted after one could not be, for a reason that is not its own.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The sockets behind one interface of the guest.
pub struct Interface {
    /// Its hardware address.
    pub mac: Mac,
    /// UDP, bound to its tap.
    pub dhcp: OwnedFd,
    /// TCP, listening, bound to its tap.
    pub metadata: OwnedFd,
    /// UDP, bound to its tap, one for each address of the name server.
    pub dns: Vec<OwnedFd>,
}

impl Interface {
    /// Has none of its sockets wait: accepting has no flag of its own against it, as receiving has. The guest thread may not
    /// do this itself.
    ///
    /// # Errors
    /// The socket is none.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        let flags = fcntl_getfl(&self.metadata)? | OFlags::NONBLOCK;
        Ok(fcntl_setfl(&self.metadata, flags)?)
    }
}

/// All sockets of the guest thread.
#[derive(Default)]
pub struct Sockets {
    /// Those behind the guest's interfaces.
    pub interfaces: Vec<Interface>,
    /// UDP, connected to the host's name servers, the preferred first.
    pub name_servers: Vec<OwnedFd>,
}

/// What an event of epoll belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Dhcp(usize),
    Listener(usize),
    Connection(u64),
    /// A socket of the name server.
    Dns(DnsSocket),
    /// One of the host's name servers.
    Upstream(usize),
    /// The door.
    Door,
}

impl Source {
    /// The bits that tell the kind; the number stands above them.
    const SHIFT: u32 = 3;

    fn data(self) -> EventData {
        let (number, kind) = match self {
            Self::Dhcp(interface) => (interface as u64, 0),
            Self::Listener(interface) => (interface as u64, 1),
            Self::Connection(token) => (token, 2),
            Self::Dns(DnsSocket { place, which }) => ((place * InterfaceService::NAME_SERVERS_MAX + which) as u64, 3),
            Self::Upstream(server) => (server as u64, 4),
            Self::Door => (0, 5),
        };
        EventData::new_u64(number << Self::SHIFT | kind)
    }

    fn of(data: u64) -> Self {
        let number = data >> Self::SHIFT;
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        match data & 7 {
            0 => Self::Dhcp(place),
            1 => Self::Listener(place),
            3 => Self::Dns(DnsSocket {
                place: place / InterfaceService::NAME_SERVERS_MAX,
                which: place % InterfaceService::NAME_SERVERS_MAX,
            }),
            4 => Self::Upstream(place),
            5 => Self::Door,
            _ => Self::Connection(number),
        }
    }
}

/// The server.
pub struct Server {
    epoll: OwnedFd,
    /// By their places.
    interfaces: BTreeMap<usize, Interface>,
    next_place: usize,
    changes: Changes,
    desk: Desk,
    forwarder: Forwarder,
    connections: BTreeMap<u64, Connection>,
    next_token: u64,
    /// When connections are accepted again; none while they are.
    paused_until: Option<Instant>,
}

impl Server {
    /// A server on these sockets, of what `board` says; more come through the door.
    ///
    /// # Errors
    /// The sockets can't be waited for, or the system has no random numbers.
    pub fn new(sockets: Sockets, board: Arc<Board>) -> io::Result<(Self, Door)> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let (door, changes) = door()?;
        let edges = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, changes.bell(), Source::Door.data(), edges)?;
        let forwarder = Forwarder::new(sockets.name_servers)?;
        for (number, socket) in forwarder.servers().iter().enumerate() {
            epoll::add(&epoll, socket, Source::Upstream(number).data(), EventFlags::IN)?;
        }
        let desk = Desk {
            board,
            tokens: Tokens::new()?,
            since: Instant::now(),
        };
        let mut server = Self {
            epoll,
            interfaces: BTreeMap::new(),
            next_place: 0,
            changes,
            desk,
            forwarder,
            connections: BTreeMap::new(),
            next_token: 0,
            paused_until: None,
        };
        for interface in sockets.interfaces {
            interface.set_nonblocking()?;
            server.serve_interface(interface)?;
        }
        Ok((server, door))
    }

    fn serve_interface(&mut self, interface: Interface) -> io::Result<()> {
        let place = self.next_place;
        epoll::add(&self.epoll, &interface.dhcp, Source::Dhcp(place).data(), EventFlags::IN)?;
        for (which, socket) in interface.dns.iter().enumerate() {
            let source = Source::Dns(DnsSocket { place, which });
            epoll::add(&self.epoll, socket, source.data(), EventFlags::IN)?;
        }
        if self.paused_until.is_none() {
            self.listen(place, &interface)?;
        }
        self.next_place += 1;
        self.interfaces.insert(place, interface);
        Ok(())
    }

    /// Takes up what came through the door.
    fn change(&mut self) {
        for change in self.changes.all().collect::<Vec<_>>() {
            match change {
                Change::Come(interface) => {
                    // The system has no memory for it: its guest asks again and again, in vain.
                    if let Err(error) = self.serve_interface(interface) {
                        eprintln!("kiln-vmm: An interface that was attached is not answered: {error}");
                    }
                }
                Change::Gone(mac) => {
                    self.interfaces.retain(|_, interface| interface.mac != mac);
                    self.desk.board.forget_lease(mac);
                }
            }
        }
    }

    /// Serves for ever; `on_lease` is told of each interface that was given its lease, once a life of the machine.
    /// Returns only why it can't any more.
    pub fn serve(mut self, on_lease: &dyn Fn(Mac)) -> io::Error {
        loop {
            if let Err(error) = self.turn(on_lease) {
                return error;
            }
        }
    }

    fn turn(&mut self, on_lease: &dyn Fn(Mac)) -> io::Result<()> {
        let mut events = Vec::with_capacity(32);
        let timeout = self.timeout(Instant::now());
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        for event in &events {
            match Source::of(event.data.u64()) {
                Source::Dhcp(interface) => self.dhcp(interface, now, on_lease),
                Source::Listener(interface) => self.accept(interface, now),
                Source::Connection(token) => self.exchange(token, event.flags, now),
                Source::Dns(socket) => self.resolve(socket, now),
                Source::Upstream(server) => self.pass_back(server),
                Source::Door => self.change(),
            }
        }
        for (client, failure) in self.forwarder.overdue(now) {
            self.tell(&client, &failure);
        }
        self.connections.retain(|_, connection| connection.deadline() > now);
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            for (&place, interface) in &self.interfaces {
                self.listen(place, interface)?;
            }
        }
        Ok(())
    }

    /// How long nothing need be done by itself; none is for ever.
    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let deadlines = self.connections.values().map(Connection::deadline);
        let next = deadlines
            .chain(self.paused_until)
            .chain(self.forwarder.deadline())
            .min()?;
        // Up to the millisecond that epoll counts in: waking before would be for nothing.
        let left = next.saturating_duration_since(now) + Duration::from_millis(1);
        Timespec::try_from(left).ok()
    }

    fn listen(&self, place: usize, interface: &Interface) -> io::Result<()> {
        let source = Source::Listener(place);
        Ok(epoll::add(
            &self.epoll,
            &interface.metadata,
            source.data(),
            EventFlags::IN,
        )?)
    }

    fn pause(&mut self, now: Instant) {
        if self.paused_until.is_none() {
            for interface in self.interfaces.values() {
                // It fails only for what is not waited for anyway.
                let _ = epoll::delete(&self.epoll, &interface.metadata);
            }
            self.paused_until = Some(now + ACCEPT_PAUSE);
        }
    }

    fn dhcp(&self, place: usize, now: Instant, on_lease: &dyn Fn(Mac)) {
        let Some(interface) = self.interfaces.get(&place) else {
            return;
        };
        let facts = self.desk.board.facts(now);
        let mut buffer = [0; dhcp::MESSAGE_MAX];
        for _ in 0..BATCH {
            let length = match recv(&interface.dhcp, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return,
                // What went wrong with an earlier answer is said here, and is over with that.
                Err(_) => continue,
            };
            let message = buffer.get(..length).unwrap_or_default();
            // What an interface is given that is not known yet, its guest asks for again.
            let lease = facts.leases.get(&interface.mac);
            let Some(reply) = lease.and_then(|lease| dhcp::answer(message, interface.mac, lease)) else {
                continue;
            };
            // An answer that can't be sent now is lost, as any datagram may be: the client asks again.
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = sendto(&interface.dhcp, &reply.message, flags, &reply.to).is_ok();
            if sent && reply.gives_lease && self.desk.board.lease_given(interface.mac) {
                on_lease(interface.mac);
            }
        }
    }

    /// Answers the queries that came to a socket of the name server, or passes them on.
    fn resolve(&mut self, asked: DnsSocket, now: Instant) {
        let facts = self.desk.board.facts(now);
        let mut buffer = [0; dns::QUERY_MAX];
        for _ in 0..BATCH {
            let Some(socket) = self.dns_socket(asked) else { return };
            let (length, address) = match recvfrom(socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, length, Some(address))) => (length, address),
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => continue,
            };
            let query = buffer.get(..length).unwrap_or_default();
            let client = Client { socket: asked, address };
            let own = match dns::answer(query, facts.resolver.as_ref()) {
                Reply::Own(answer) => Some(answer),
                Reply::Forward => self.forwarder.ask(query, client.clone(), now),
                Reply::Nothing => None,
            };
            if let Some(answer) = own {
                self.tell(&client, &answer);
            }
        }
    }

    /// Brings what one of the host's name servers has answered to who asked.
    fn pass_back(&mut self, server: usize) {
        for _ in 0..BATCH {
            match self.forwarder.receive(server) {
                Some(Ok((client, answer))) => self.tell(&client, &answer),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    fn dns_socket(&self, DnsSocket { place, which }: DnsSocket) -> Option<&OwnedFd> {
        self.interfaces.get(&place)?.dns.get(which)
    }

    /// Sends an answer. One that can't be sent now is lost, as any datagram may be.
    fn tell(&self, client: &Client, answer: &[u8]) {
        if let Some(socket) = self.dns_socket(client.socket) {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = sendto(socket, answer, flags, &client.address);
        }
    }

    fn accept(&mut self, place: usize, now: Instant) {
        for _ in 0..BATCH {
            let Some(interface) = self.interfaces.get(&place) else {
                return;
            };
            match accept_with(&interface.metadata, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => self.welcome(socket, now),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return self.pause(now),
            }
        }
    }

    fn welcome(&mut self, socket: OwnedFd, now: Instant) {
        if self.connections.len() >= CONNECTIONS_MAX {
            let first = self
                .connections
                .iter()
                .min_by_key(|(_, connection)| connection.deadline());
            let first = first.map(|(&token, _)| token);
            first.and_then(|token| self.connections.remove(&token));
        }
        // A socket that is gone already takes nobody's place.
        let Ok(connection) = Connection::new(socket, now) else {
            return;
        };
        let token = self.next_token;
        if epoll::add(
            &self.epoll,
            &connection,
            Source::Connection(token).data(),
            EventFlags::IN,
        )
        .is_ok()
        {
            self.next_token += 1;
            self.connections.insert(token, connection);
        }
    }

    fn exchange(&mut self, token: u64, flags: EventFlags, now: Instant) {
        // It may have given way to another since epoll returned.
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let exchanged = connection.exchange(flags, &self.desk, now).and_then(|()| {
            let data = Source::Connection(token).data();
            match connection.interest() {
                Some(flags) => epoll::modify(&self.epoll, &*connection, data, flags),
                None => epoll::delete(&self.epoll, &*connection),
            }
            .map_err(|_| Over)
        });
        if exchanged.is_err() {
            self.connections.remove(&token);
        }
    }
}
