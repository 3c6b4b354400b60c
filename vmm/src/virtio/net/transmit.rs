//! Serving a transmit queue: frames go from the driver's buffers straight into the tap. Runs on the queue's own thread.
//!
//! A frame is the driver's again as soon as the tap has it. While the tap has no room the frame stays in the ring.

use super::Interface;
use super::frame::{ETHERNET, HEADER, Header, LONGEST, Offloads};
use super::pieces::Pieces;
use super::tap::Unmoved;
use crate::virtio::device::{Chained, QueueResources, QueueState};
use crate::virtio::limit::Pace;
use crate::virtio::queue::{Chain, Ring, RingError, cursor};
use crate::virtio::worker::{Progress, QueueServer};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use vm_memory::{GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

/// Frames that are moved before the driver is told and the thread looks up.
const BATCH: u16 = 64;

/// How a driver broke a transmit queue.
#[derive(Debug, thiserror::Error)]
enum TransmitError {
    #[error("The driver broke its transmit queue")]
    Ring(#[from] RingError),
    #[error("The frame at descriptor {head} has no header of {HEADER} bytes")]
    NoHeader { head: u16 },
}

struct Running {
    ring: Ring,
    resources: QueueResources,
    agreed: Offloads,
    broken: bool,
}

/// Serves the transmit queue of one pair.
pub struct Transmitter {
    interface: Arc<Interface>,
    pair: usize,
    pace: Pace,
    pieces: Pieces,
    running: Option<Running>,
}

impl Transmitter {
    /// Serves that of `pair`, at this pace.
    pub fn new(interface: Arc<Interface>, pair: usize, pace: Pace) -> Self {
        Self {
            interface,
            pair,
            pace,
            pieces: Pieces::default(),
            running: None,
        }
    }

    fn step(&mut self, running: &mut Running) -> Result<Progress, TransmitError> {
        let memory = running.resources.memory.memory();
        running.ring.disable_doorbell(&memory)?;
        let mut sent = 0;
        let progress = loop {
            if sent == BATCH {
                break Progress::More;
            }
            let Some(chain) = running.ring.pop(&memory)? else {
                break match running.ring.enable_doorbell(&memory)? {
                    true => Progress::More,
                    false => Progress::Idle,
                };
            };
            if !self.pace.may_go() || !self.send(running, &memory, &chain)? {
                // The timer or the tap wakes the thread, so the doorbell is not needed.
                running.ring.unpop(1);
                break Progress::Idle;
            }
            running.ring.push(&memory, chain.head(), 0)?;
            sent += 1;
        };
        if sent > 0 && running.ring.needs_interrupt(&memory)? {
            running.resources.interrupt.signal();
        }
        Ok(progress)
    }

    /// Sends the frame in `chain`, or drops what can't be one; false if the tap has no room for it now.
    fn send(&mut self, running: &Running, memory: &GuestMemoryMmap, chain: &Chain) -> Result<bool, TransmitError> {
        let head = chain.head();
        let header = cursor::read(memory, chain.readable()).ok().flatten();
        let mut header = Header::new(header.ok_or(TransmitError::NoHeader { head })?);
        let length = usize::try_from(cursor::length(chain.readable())).unwrap_or(usize::MAX) - HEADER;
        let possible = (ETHERNET..=LONGEST).contains(&length) && header.keeps_to(running.agreed);
        if !possible || !self.interface.carries(self.pair) {
            return Ok(true);
        }
        let packets = header.packets(length);
        self.pieces.clear();
        self.pieces.add_bytes(header.bytes_mut());
        let buffers = cursor::slices(memory, chain.readable()).map_while(Result::ok);
        let buffers = buffers.map(|slice| libc::iovec {
            iov_base: slice.ptr_guard_mut().as_ptr().cast(),
            iov_len: slice.len(),
        });
        if self.pieces.add_buffers(buffers, HEADER, length).is_none() {
            return Ok(true);
        }
        // SAFETY: the pieces are `header`, which nothing else touches meanwhile, and guest memory that `memory` keeps
        // mapped.
        match unsafe { self.interface.taps.write(self.pair, self.pieces.list()) } {
            Ok(()) => self.pace.charge(length as u64, packets),
            Err(Unmoved::Later) => return Ok(false),
            Err(Unmoved::Refused) => {}
            Err(Unmoved::Gone) => self.interface.config.take_link_down(&*running.resources.link),
        }
        Ok(true)
    }
}

impl QueueServer for Transmitter {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        self.running = Some(Running {
            ring: Ring::new(&resources.layout, features, state)?,
            resources,
            agreed: Offloads::of_host(features),
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

    /// What was taken was sent.
    fn stop(&mut self) -> Option<QueueState> {
        self.running.take().map(|running| running.ring.state())
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        let tap = self.interface.taps.descriptor(self.pair);
        let timer = self.pace.timer().map(AsRawFd::as_raw_fd);
        let tap = tap.map(|tap| (tap, EventSet::OUT));
        [tap, timer.map(|timer| (timer, EventSet::IN))]
            .into_iter()
            .flatten()
            .collect()
    }
}
