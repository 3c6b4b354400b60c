//! What the tests of the device share: the guest's side, packet by packet, and callers from the host.

pub use super::packet::Op;

use super::packet::{HEADER, HOST_CID, Header, STREAM};
use super::{Call, Dialer};
use crate::protocol::Response;
use crate::testing::{Driver, Machine, MemoryRoutes, PATIENCE, readable, writable};
use std::borrow::BorrowMut;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub const CID: u64 = 3;
pub const NOTIFY_PORT: u32 = 4000;
/// The room that this guest has for each connection, if it does not say otherwise.
pub const ROOM: u32 = 32 << 10;
const RX: usize = 0;
const TX: usize = 1;
/// Bytes that a receive buffer has behind the header.
const PIECE: u32 = 4096;
const SLOTS: u64 = 48;

pub fn config() -> serde_json::Value {
    serde_json::json!({"guest_cid": CID, "notify_port": NOTIFY_PORT})
}

/// Somebody on the host, and what he asks for.
pub fn caller(port: u32) -> (UnixStream, Call) {
    let (own, other) = UnixStream::pair().unwrap();
    other.set_nonblocking(true).unwrap();
    own.set_read_timeout(Some(PATIENCE)).unwrap();
    own.set_write_timeout(Some(PATIENCE)).unwrap();
    (own, Call::new(port, other.into()))
}

pub fn dial(dialer: &Dialer, port: u32) -> UnixStream {
    let (own, call) = caller(port);
    dialer.dial(call);
    own
}

/// The monitor's answer, a line, and nothing behind it.
pub fn answer(stream: &UnixStream) -> Response {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        let mut stream = stream;
        stream
            .read_exact(&mut byte)
            .expect("an answer within the test's patience");
        line.push(byte[0]);
    }
    serde_json::from_slice(&line).unwrap()
}

/// The end of what the stream has, which must be empty.
pub fn has_ended(stream: &UnixStream) -> bool {
    BufReader::new(stream).fill_buf().is_ok_and(<[u8]>::is_empty)
}

/// A packet that the guest was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub header: Header,
    pub data: Vec<u8>,
}

impl Packet {
    pub fn op(&self) -> Option<Op> {
        Op::of(self.header.op)
    }
}

/// A packet of the guest's, from its port to one of the host's.
pub fn packet(op: Op, guest: u32, host: u32) -> Header {
    Header {
        from_cid: CID,
        to_cid: HOST_CID,
        from_port: guest,
        to_port: host,
        kind: STREAM,
        op: op.number(),
        room: ROOM,
        ..Header::default()
    }
}

/// The guest: its driver, with all the buffers it has for packets.
pub struct Guest<D> {
    pub driver: D,
    memory: Arc<GuestMemoryMmap>,
    routes: Arc<MemoryRoutes>,
    slots: BTreeMap<u32, u64>,
    given: VecDeque<Packet>,
}

impl<'m> Guest<Driver<'m>> {
    /// A guest whose queues are served already.
    pub fn probe(machine: &'m Machine, slot: u8) -> Self {
        let mut guest = Self::without_buffers(machine, slot);
        guest.post_all();
        assert!(guest.is_left_alone());
        guest
    }

    pub fn without_buffers(machine: &'m Machine, slot: u8) -> Self {
        let (driver, _) = Driver::probe(machine, slot, u64::MAX);
        Self::of(machine, driver)
    }
}

impl<'d, D: BorrowMut<Driver<'d>>> Guest<D> {
    /// One whose driver is set up already.
    pub fn of(machine: &Machine, driver: D) -> Self {
        Self {
            driver,
            memory: Arc::clone(&machine.memory),
            routes: Arc::clone(&machine.routes),
            slots: BTreeMap::new(),
            given: VecDeque::new(),
        }
    }

    pub fn post_all(&mut self) {
        for slot in 0..SLOTS {
            self.post(self.driver.borrow().queues[RX].data() + slot * 0x1400);
        }
        self.driver.borrow().notify(RX);
    }

    /// Header and bytes in pieces of their own, as older kernels have it.
    fn post(&mut self, at: u64) {
        let header = HEADER as u32;
        let head = self
            .driver
            .borrow_mut()
            .add(RX, &[writable(at, header), writable(at + u64::from(header), PIECE)]);
        self.slots.insert(head.into(), at);
    }

    fn collect(&mut self) {
        for (head, length) in self.driver.borrow_mut().take_used(RX) {
            let at = self.slots.remove(&head).unwrap();
            let mut bytes = vec![0; length as usize];
            self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
            let data = bytes.split_off(HEADER);
            let header = Header::read(bytes.try_into().unwrap());
            assert_eq!(header.length as usize, data.len());
            assert_eq!(header.to_cid, CID);
            self.given.push_back(Packet { header, data });
            self.post(at);
        }
        self.driver.borrow().notify(RX);
    }

    /// The next packet, if there is one already.
    pub fn given(&mut self) -> Option<Packet> {
        self.collect();
        self.given.pop_front()
    }

    /// The next packet; waits for it, interrupt by interrupt.
    pub fn next(&mut self) -> Packet {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(packet) = self.given() {
                return packet;
            }
            assert!(Instant::now() < end, "no packet comes");
            self.routes.wait_messages(Duration::from_secs(1));
        }
    }

    /// The next packet that is not about credit alone.
    pub fn next_but_credit(&mut self) -> Packet {
        loop {
            match self.next() {
                packet if packet.op() == Some(Op::CreditUpdate) => {}
                packet => return packet,
            }
        }
    }

    /// Makes a packet available, and does not wait until it is taken.
    pub fn put(&mut self, header: &Header, data: &[u8]) {
        let at = self.driver.borrow().queues[TX].data();
        let bytes = Header {
            length: u32::try_from(data.len()).unwrap(),
            ..*header
        }
        .bytes();
        self.memory.write_slice(&bytes, GuestAddress(at)).unwrap();
        let mut pieces = vec![readable(at, HEADER as u32)];
        if !data.is_empty() {
            self.memory.write_slice(data, GuestAddress(at + 0x1000)).unwrap();
            pieces.push(readable(at + 0x1000, u32::try_from(data.len()).unwrap()));
        }
        self.driver.borrow_mut().add(TX, &pieces);
        self.driver.borrow().notify(TX);
    }

    /// Sends a packet.
    pub fn send(&mut self, header: &Header, data: &[u8]) {
        self.put(header, data);
        assert_eq!(self.driver.borrow_mut().wait_used(TX, 1)[0].1, 0);
    }

    /// Takes the next connection that is asked for; gives both ports, the guest's first. What still comes of others is passed
    /// over.
    pub fn accept(&mut self) -> (u32, u32) {
        let mut asked = self.next();
        while asked.op() != Some(Op::Request) {
            asked = self.next();
        }
        let (guest, host) = (asked.header.to_port, asked.header.from_port);
        self.send(&packet(Op::Response, guest, host), &[]);
        (guest, host)
    }

    /// Whether nothing but the refusal of what it now sends waits for it: all else was given before.
    pub fn is_left_alone(&mut self) -> bool {
        self.send(&packet(Op::Request, 77, 78), &[]);
        let next = self.next();
        next.op() == Some(Op::Reset) && next.header.to_port == 77
    }
}
