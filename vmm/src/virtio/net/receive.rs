//! Serving a receive queue: frames go from the tap straight into the driver's buffers. Runs on the queue's own thread.
//!
//! While the driver has no buffers nothing is read, so what comes waits in the tap, and what is too much is dropped there.
//! When the buffers that are left might be too few for the next frame, that one is read into our own memory and copied
//! as soon as it has room: a frame that was read is not lost, and none is cut short.

use super::Interface;
use super::frame::{HEADER, Header, LONGEST, Offloads};
use super::pieces::Pieces;
use super::tap::Unmoved;
use super::window::{ReceiveBufferError, Window};
use crate::virtio::device::{Chained, QueueResources, QueueState};
use crate::virtio::limit::Pace;
use crate::virtio::queue::{Ring, RingError};
use crate::virtio::worker::{Progress, QueueServer};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use virtio_bindings::virtio_net::VIRTIO_NET_F_MRG_RXBUF;
use vm_memory::GuestAddressSpace;
use vmm_sys_util::epoll::EventSet;

/// Frames that are moved before the driver is told and the thread looks up.
const BATCH: u16 = 64;

/// What became of an attempt to move a frame.
enum Turn {
    /// The driver has it.
    Delivered,
    /// It was none for this driver.
    Dropped,
    /// There is none.
    NoFrame,
    /// There is one, or may be one, and no room for it.
    NoRoom,
}

struct Running {
    ring: Ring,
    resources: QueueResources,
    window: Window,
    agreed: Offloads,
    /// The longest frame with its header, in bytes.
    longest: usize,
    broken: bool,
}

/// A frame that waits for room.
struct Held {
    /// Room for the longest with its header, and one byte more to find out about longer ones.
    memory: Vec<u8>,
    /// Its length with its header, if there is one.
    length: Option<usize>,
}

/// Serves the receive queue of one pair.
pub struct Receiver {
    interface: Arc<Interface>,
    pair: usize,
    pace: Pace,
    header: Header,
    /// What is written when a frame is longer than it may be.
    excess: [u8; 1],
    pieces: Pieces,
    held: Held,
    running: Option<Running>,
}

impl Receiver {
    /// Serves that of `pair`, at this pace.
    pub fn new(interface: Arc<Interface>, pair: usize, pace: Pace) -> Self {
        Self {
            interface,
            pair,
            pace,
            header: Header::default(),
            excess: [0],
            pieces: Pieces::default(),
            held: Held {
                memory: vec![0; HEADER + LONGEST + 1],
                length: None,
            },
            running: None,
        }
    }

    fn step(&mut self, running: &mut Running) -> Result<Progress, ReceiveBufferError> {
        if !self.interface.carries(self.pair) {
            return Ok(Progress::Idle);
        }
        let memory = running.resources.memory.memory().into_inner();
        running.window.follow(memory, &mut running.ring);
        running.ring.disable_doorbell(running.window.memory())?;
        let mut delivered = false;
        let mut progress = Progress::More;
        for _ in 0..BATCH {
            match self.receive(running)? {
                Turn::Delivered => delivered = true,
                Turn::Dropped => {}
                Turn::NoFrame => {
                    progress = Progress::Idle;
                    break;
                }
                Turn::NoRoom => {
                    if !running.ring.enable_doorbell(running.window.memory())? {
                        progress = Progress::Idle;
                    }
                    break;
                }
            }
        }
        if delivered && running.ring.needs_interrupt(running.window.memory())? {
            running.resources.interrupt.signal();
        }
        Ok(progress)
    }

    /// Moves one frame, if one may go.
    fn receive(&mut self, running: &mut Running) -> Result<Turn, ReceiveBufferError> {
        if let Some(length) = self.held.length {
            return self.deliver_held(running, length);
        }
        running.window.fill(&mut running.ring, running.longest)?;
        if running.window.is_empty() {
            return Ok(Turn::NoRoom);
        }
        if !self.pace.may_go() {
            return Ok(Turn::NoFrame);
        }
        self.pieces.clear();
        self.pieces.add_bytes(self.header.bytes_mut());
        match running.window.gather(running.longest - HEADER, &mut self.pieces) {
            Some(room) => self.receive_into_buffers(running, room),
            None => self.receive_and_hold(running),
        }
    }

    /// Reads a frame of up to `room` bytes into the driver's buffers, where `pieces` are.
    fn receive_into_buffers(&mut self, running: &mut Running, room: usize) -> Result<Turn, ReceiveBufferError> {
        self.pieces.add_bytes(&mut self.excess);
        let Some(length) = read(&self.interface, self.pair, &self.pieces, running) else {
            return Ok(Turn::NoFrame);
        };
        let (header, agreed) = (self.header, running.agreed);
        if length > HEADER + room || !self.is_deliverable(header, length, agreed) {
            return Ok(Turn::Dropped);
        }
        let header = |buffers| *header.to_guest(agreed, buffers).bytes();
        running.window.give(&mut running.ring, length, header)?;
        Ok(Turn::Delivered)
    }

    /// Reads a frame into our own memory, and delivers it if it has room.
    fn receive_and_hold(&mut self, running: &mut Running) -> Result<Turn, ReceiveBufferError> {
        self.pieces.clear();
        self.pieces.add_bytes(&mut self.held.memory);
        let Some(length) = read(&self.interface, self.pair, &self.pieces, running) else {
            return Ok(Turn::NoFrame);
        };
        let header = self.held.header();
        if !self.is_deliverable(header, length, running.agreed) {
            return Ok(Turn::Dropped);
        }
        self.held.length = Some(length);
        self.deliver_held(running, length)
    }

    /// Delivers the frame that is held, once it has room; one that never will have it is dropped.
    fn deliver_held(&mut self, running: &mut Running, length: usize) -> Result<Turn, ReceiveBufferError> {
        let Running {
            ring, window, agreed, ..
        } = running;
        window.fill(ring, length)?;
        if !window.holds(length) {
            if !window.is_full(ring) {
                return Ok(Turn::NoRoom);
            }
            self.held.length = None;
            return Ok(Turn::Dropped);
        }
        window.copy(self.held.memory.get(..length).unwrap_or_default())?;
        self.held.length = None;
        let header = self.held.header();
        window.give(ring, length, |buffers| *header.to_guest(*agreed, buffers).bytes())?;
        Ok(Turn::Delivered)
    }

    /// Counts a frame that was read, and says whether the driver may be given it.
    fn is_deliverable(&self, header: Header, length: usize, agreed: Offloads) -> bool {
        let Some(frame) = length.checked_sub(HEADER) else {
            return false;
        };
        self.pace.charge(frame as u64, header.packets(frame));
        header.keeps_to(agreed) && header.allows(frame, self.interface.config.mtu().get())
    }
}

/// Reads a frame of the tap's queue for `pair` into `pieces`; says how long it is with its header. The pieces are fields of
/// a [`Receiver`] that is borrowed mutably, and memory of the guest that the window of `running` keeps mapped.
fn read(interface: &Interface, pair: usize, pieces: &Pieces, running: &Running) -> Option<usize> {
    // SAFETY: as said above, and nothing else touches those fields meanwhile.
    match unsafe { interface.taps.read(pair, pieces.list()) } {
        // A tap gives no empty frames: what does has come to its end.
        Ok(length) => Some(length).filter(|length| *length > 0),
        Err(Unmoved::Gone) => {
            interface.config.take_link_down(&*running.resources.link);
            None
        }
        Err(Unmoved::Later | Unmoved::Refused) => None,
    }
}

impl Held {
    fn header(&self) -> Header {
        Header::new(self.memory.first_chunk().copied().unwrap_or_default())
    }
}

impl QueueServer for Receiver {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        let ring = Ring::new(&resources.layout, features, state)?;
        if state.is_none() {
            // It was meant for another driver.
            self.held.length = None;
        }
        let memory = resources.memory.memory().into_inner();
        let agreed = Offloads::of_guest(features);
        self.running = Some(Running {
            ring,
            window: Window::new(memory, features & 1 << VIRTIO_NET_F_MRG_RXBUF != 0),
            resources,
            agreed,
            longest: HEADER + agreed.longest(self.interface.config.mtu().get()),
            broken: false,
        });
        Ok(())
    }

    fn serve(&mut self) -> Progress {
        let Some(mut running) = self.running.take() else {
            return Progress::Idle;
        };
        let mut progress = Progress::Idle;
        if !running.broken {
            progress = self.step(&mut running).unwrap_or_else(|error| {
                running.broken = true;
                running.resources.link.needs_reset(&Chained(&error));
                Progress::Idle
            });
        }
        self.running = Some(running);
        progress
    }

    /// Buffers without a frame go back into the ring; a frame that waits for room goes on waiting.
    fn stop(&mut self) -> Option<QueueState> {
        let Running {
            mut ring, mut window, ..
        } = self.running.take()?;
        window.give_up(&mut ring);
        Some(ring.state())
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        let tap = self.interface.taps.descriptor(self.pair);
        let timer = self.pace.timer().map(AsRawFd::as_raw_fd);
        [tap, timer]
            .into_iter()
            .flatten()
            .map(|event| (event, EventSet::IN))
            .collect()
    }
}
