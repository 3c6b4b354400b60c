//! One connection: its end on the host, its credit, and what the guest must still be told of it.
//!
//! Nothing is sent to the guest from here. What it must be told is noted, and made into a packet when the driver has a
//! buffer for one: so no guest makes anything grow by not receiving.

use super::dial::Call;
use super::notify::Text;
use super::packet::{Header, Op, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND};
use super::stream::Stream;
use crate::virtio::queue::{Buffer, cursor};
use std::time::{Duration, Instant};
use vm_memory::{Bytes, GuestMemoryMmap};

/// The room of each connection's buffer in bytes: the guest sends no more than the host has taken and this.
pub const BUFFER: u32 = 64 << 10;
/// The most bytes of one packet to the guest.
const PAYLOAD_MAX: u32 = 64 << 10;
/// How long a guest may take to answer a request for a connection.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end a connection that has ended both ways.
const CLOSE_LIMIT: Duration = Duration::from_secs(8);

/// Who is at the host's end.
#[derive(Debug)]
enum End {
    /// Somebody who waits for the guest to take the connection.
    Caller(Call),
    /// A socket.
    Stream(Stream),
    /// The ear for the guest's service manager.
    Notify(Text),
    /// Nobody any more.
    Nobody,
}

/// Flow control (virtio 1.2, 5.10.6.3); all counters are modulo 2^32.
#[derive(Debug, Default)]
struct Credit {
    /// The guest's buffer, and what has left it.
    guest_room: u32,
    guest_forwarded: u32,
    /// Bytes that were sent to the guest.
    sent: u32,
    /// Bytes that came from the guest.
    received: u32,
    /// What the guest was told last of those that were passed on.
    told: u32,
}

impl Credit {
    /// How many bytes the guest has room for.
    fn room(&self) -> u32 {
        let on_their_way = self.sent.wrapping_sub(self.guest_forwarded);
        self.guest_room.saturating_sub(on_their_way)
    }
}

/// What the guest must be told, in this order.
#[derive(Debug, Default)]
struct Unsaid {
    reset: bool,
    request: bool,
    response: bool,
    credit: bool,
    shutdown: bool,
}

/// What a packet of the guest's meant for others.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// The guest has taken the connection: its socket must be watched now.
    Taken,
    /// The guest says that it is ready.
    Ready,
}

/// The guest sent what this connection, as it is, does not allow.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// What a packet to the guest says.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub op: Op,
    pub flags: u32,
    pub length: u32,
    pub forwarded: u32,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    end: End,
    credit: Credit,
    /// The ways that the guest has shut, and that were shut here.
    guest_shut: u32,
    own_shut: u32,
    unsaid: Unsaid,
    deadline: Option<Instant>,
    /// The guest knows of it no more, or will not hear of it any more.
    ended: bool,
}

impl Connection {
    fn new(end: End, unsaid: Unsaid, deadline: Option<Instant>) -> Self {
        Self {
            end,
            credit: Credit::default(),
            guest_shut: 0,
            own_shut: 0,
            unsaid,
            deadline,
            ended: false,
        }
    }

    /// One that `call` asks the guest for.
    pub fn outgoing(call: Call) -> Self {
        let unsaid = Unsaid {
            request: true,
            ..Unsaid::default()
        };
        Self::new(End::Caller(call), unsaid, Some(Instant::now() + ANSWER_LIMIT))
    }

    /// One that the guest asked for by `header`, to say that it is ready.
    pub fn notifying(header: &Header) -> Self {
        let unsaid = Unsaid {
            response: true,
            ..Unsaid::default()
        };
        let mut connection = Self::new(End::Notify(Text::default()), unsaid, None);
        connection.hear_credit(header);
        connection
    }

    /// Whether it is one at which the guest's service manager is listened to.
    pub fn is_notifying(&self) -> bool {
        matches!(self.end, End::Notify(_))
    }

    /// Its socket, if it has one.
    pub fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.end {
            End::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// Whether the guest has nothing to do with it any more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing is left to be done for it.
    pub fn is_over(&self) -> bool {
        self.ended && !matches!(&self.end, End::Stream(stream) if stream.pending() > 0)
    }

    /// When [`Self::expire`] must be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn pending(&self) -> u32 {
        match &self.end {
            End::Stream(stream) => u32::try_from(stream.pending()).unwrap_or(u32::MAX),
            _ => 0,
        }
    }

    fn forwarded(&self) -> u32 {
        self.credit.received.wrapping_sub(self.pending())
    }

    /// Half of the buffer has been passed on unknown to the guest.
    fn owes_credit(&self) -> bool {
        self.unsaid.credit || self.forwarded().wrapping_sub(self.credit.told) >= BUFFER / 2
    }

    fn hear_credit(&mut self, header: &Header) {
        self.credit.guest_room = header.room;
        self.credit.guest_forwarded = header.forwarded;
    }

    /// Takes a packet of the guest's, `payload` being the bytes that it carries.
    ///
    /// # Errors
    /// It breaks the rules, and with them this connection: [`Self::fail`].
    pub fn hear(
        &mut self,
        memory: &GuestMemoryMmap,
        (header, op): (&Header, Op),
        payload: &[Buffer],
    ) -> Result<Heard, Broken> {
        self.hear_credit(header);
        match op {
            Op::Response => self.taken(),
            Op::Reset => Ok(self.reset_by_guest()),
            Op::CreditUpdate => Ok(Heard::Nothing),
            Op::CreditRequest => {
                self.unsaid.credit = true;
                Ok(Heard::Nothing)
            }
            Op::Shutdown => self.shut_by_guest(header.flags & SHUT_BOTH),
            Op::Data => self.take(memory, payload),
            Op::Request => Err(Broken),
        }
    }

    fn taken(&mut self) -> Result<Heard, Broken> {
        match std::mem::replace(&mut self.end, End::Nobody) {
            End::Caller(call) if !self.unsaid.request => {
                // Whoever has gone meanwhile is one who hung up.
                self.end = End::Stream(Stream::new(call.accept().ok_or(Broken)?));
                self.deadline = None;
                Ok(Heard::Taken)
            }
            end => {
                self.end = end;
                Err(Broken)
            }
        }
    }

    /// What was sent before still goes its way.
    fn reset_by_guest(&mut self) -> Heard {
        self.end_for_guest();
        match &mut self.end {
            End::Caller(_) => self.refuse(|port| format!("The guest refuses connections to its vsock port {port}")),
            End::Stream(stream) => stream.finish(),
            End::Notify(text) if text.says_ready(true) => return Heard::Ready,
            End::Notify(_) | End::Nobody => {}
        }
        Heard::Nothing
    }

    fn shut_by_guest(&mut self, flags: u32) -> Result<Heard, Broken> {
        self.guest_shut |= flags;
        let sends = self.guest_shut & SHUT_SEND == 0;
        match &mut self.end {
            End::Caller(_) => return Err(Broken),
            End::Nobody => {}
            End::Notify(text) => {
                self.unsaid.reset |= !sends;
                if !sends && text.says_ready(true) {
                    return Ok(Heard::Ready);
                }
            }
            End::Stream(stream) => {
                if self.guest_shut & SHUT_RECEIVE != 0 {
                    stream.stop_reading();
                }
                if !sends {
                    stream.finish();
                }
                // That both are shut is answered with a reset (virtio 1.2, 5.10.6.6).
                self.unsaid.reset |= self.guest_shut == SHUT_BOTH;
            }
        }
        Ok(Heard::Nothing)
    }

    fn take(&mut self, memory: &GuestMemoryMmap, payload: &[Buffer]) -> Result<Heard, Broken> {
        let length = u32::try_from(cursor::length(payload)).map_err(|_| Broken)?;
        if self.guest_shut & SHUT_SEND != 0 || length > BUFFER - self.pending().min(BUFFER) {
            return Err(Broken);
        }
        match &mut self.end {
            End::Caller(_) => return Err(Broken),
            End::Nobody => {}
            End::Stream(stream) => stream.write(memory, payload).map_err(|_| Broken)?,
            End::Notify(text) => {
                for buffer in payload {
                    let length = usize::try_from(buffer.length).ok();
                    let length = length.filter(|length| *length <= text.room()).ok_or(Broken)?;
                    let mut bytes = vec![0; length];
                    memory.read_slice(&mut bytes, buffer.address).map_err(|_| Broken)?;
                    text.hear(&bytes).map_err(|_| Broken)?;
                }
            }
        }
        self.credit.received = self.credit.received.wrapping_add(length);
        match &self.end {
            End::Notify(text) if text.says_ready(false) => Ok(Heard::Ready),
            _ => Ok(Heard::Nothing),
        }
    }

    /// Passes on what waits, and notes what the guest must be told of the socket.
    pub fn settle(&mut self) {
        let End::Stream(stream) = &mut self.end else { return };
        stream.flush();
        if self.ended || self.unsaid.reset {
            return;
        }
        let mut shut = self.own_shut;
        if stream.has_ended() {
            shut |= SHUT_SEND;
        }
        // To a guest that sends nothing any more this alone says nothing.
        let still_sends = self.guest_shut & SHUT_SEND == 0;
        if stream.is_deaf() && still_sends || stream.has_ended() && stream.is_finished() {
            shut |= SHUT_RECEIVE;
        }
        if shut != self.own_shut {
            self.own_shut = shut;
            self.unsaid.shutdown = true;
            self.deadline = (shut == SHUT_BOTH).then(|| Instant::now() + CLOSE_LIMIT);
        }
    }

    /// Its deadline has passed: the guest hears of it for the last time.
    pub fn expire(&mut self) {
        self.deadline = None;
        if let End::Caller(_) = self.end {
            let seconds = ANSWER_LIMIT.as_secs();
            self.refuse(|port| format!("The guest does not answer at its vsock port {port} within {seconds} seconds"));
        }
        match self.unsaid.request {
            true => self.end_for_guest(),
            false => self.unsaid.reset = true,
        }
    }

    /// The guest broke the connection.
    pub fn fail(&mut self) {
        self.refuse(|port| format!("The guest answers at its vsock port {port} against the rules"));
        self.end = End::Nobody;
        self.unsaid.reset = true;
    }

    /// All connections have ended, for `reason`.
    pub fn cut(mut self, reason: &str) {
        self.refuse(|_| reason.to_owned());
    }

    fn refuse(&mut self, reason: impl FnOnce(u32) -> String) {
        match std::mem::replace(&mut self.end, End::Nobody) {
            End::Caller(call) => {
                let reason = reason(call.port);
                call.refuse(reason);
            }
            end => self.end = end,
        }
    }

    fn end_for_guest(&mut self) {
        self.ended = true;
        self.unsaid = Unsaid::default();
        self.deadline = None;
    }

    /// Whether there may be a packet for the guest.
    pub fn has_packet(&self) -> bool {
        let Unsaid {
            reset,
            request,
            response,
            credit: _,
            shutdown,
        } = self.unsaid;
        !self.ended && (reset || request || response || shutdown || self.owes_credit() || self.may_send())
    }

    fn may_send(&self) -> bool {
        matches!(&self.end, End::Stream(stream) if stream.is_readable()) && self.credit.room() > 0
    }

    /// The next packet for the guest; if it carries bytes, they have been put into `buffers`.
    pub fn next_packet(&mut self, memory: &GuestMemoryMmap, buffers: &[Buffer]) -> Option<Said> {
        if self.ended {
            return None;
        }
        let Some((op, flags)) = self.next_to_say() else {
            let length = self.send(memory, buffers)?;
            return Some(self.say(Op::Data, 0, length));
        };
        if op == Op::Reset {
            self.end_for_guest();
        }
        Some(self.say(op, flags, 0))
    }

    fn next_to_say(&mut self) -> Option<(Op, u32)> {
        let owes_credit = self.owes_credit();
        let unsaid = &mut self.unsaid;
        if unsaid.reset {
            return Some((Op::Reset, 0));
        }
        if std::mem::take(&mut unsaid.request) {
            return Some((Op::Request, 0));
        }
        if std::mem::take(&mut unsaid.response) {
            return Some((Op::Response, 0));
        }
        if owes_credit {
            return Some((Op::CreditUpdate, 0));
        }
        std::mem::take(&mut unsaid.shutdown).then_some((Op::Shutdown, self.own_shut))
    }

    /// Reads what may be sent now; none if there is nothing.
    fn send(&mut self, memory: &GuestMemoryMmap, buffers: &[Buffer]) -> Option<u32> {
        if !self.may_send() {
            return None;
        }
        let room = self.credit.room();
        let End::Stream(stream) = &mut self.end else {
            return None;
        };
        let length = stream.read(memory, &cursor::part(buffers, 0, room.min(PAYLOAD_MAX).into()));
        let length = u32::try_from(length).ok().filter(|length| *length > 0)?;
        self.credit.sent = self.credit.sent.wrapping_add(length);
        Some(length)
    }

    /// Every packet tells the credit, too.
    fn say(&mut self, op: Op, flags: u32, length: u32) -> Said {
        let forwarded = self.forwarded();
        self.credit.told = forwarded;
        self.unsaid.credit = false;
        Said {
            op,
            flags,
            length,
            forwarded,
        }
    }
}
