//! The back end in the kernel: vhost-net moves the frames of a pair of queues by itself, between guest memory and the tap.
//!
//! ```text
//!   guest ──doorbell event──► vhost-net ──► tap
//!         ◄─interrupt event──           ◄──
//! ```
//! The front end is the one that it always is. Each queue has its thread here too, but that only starts and stops the
//! kernel's work, and hears of a driver that broke its rings. What is asked of the kernel is data first ([`Call`]), so that it
//! can be looked at where there is no vhost-net. A tap that is removed is noticed at the next start only.

use super::Interface;
use crate::virtio::device::{DriverLink, QueueResources, QueueState};
use crate::virtio::queue::{RingError, RingLayout};
use crate::virtio::worker::{Progress, QueueServer};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_net::VIRTIO_NET_F_MRG_RXBUF;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::{GuestAddress, GuestAddressSpace, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ptr, ioctl_with_ref};

/// The features of queues, all of which vhost-net must have: the front end offers them whatever serves its queues. The
/// others are between the driver and the tap.
const OF_QUEUES: u64 = 1 << VIRTIO_F_VERSION_1
    | 1 << VIRTIO_RING_F_EVENT_IDX
    | 1 << VIRTIO_RING_F_INDIRECT_DESC
    | 1 << VIRTIO_NET_F_MRG_RXBUF;

/// A request of `linux/vhost.h`: its direction, number, and the size of its argument in bytes.
const fn request(direction: u32, number: u32, size: u32) -> u32 {
    direction << 30 | size << 16 | 0xaf << 8 | number
}
const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;
const GET_FEATURES: u32 = request(READ, 0x00, 8);
const SET_FEATURES: u32 = request(WRITE, 0x00, 8);
const SET_OWNER: u32 = request(NONE, 0x01, 0);
const SET_MEM_TABLE: u32 = request(WRITE, 0x03, 8);
const SET_VRING_NUM: u32 = request(WRITE, 0x10, 8);
const SET_VRING_ADDR: u32 = request(WRITE, 0x11, 40);
const SET_VRING_BASE: u32 = request(WRITE, 0x12, 8);
const GET_VRING_BASE: u32 = request(READ | WRITE, 0x12, 8);
const SET_VRING_KICK: u32 = request(WRITE, 0x20, 8);
const SET_VRING_CALL: u32 = request(WRITE, 0x21, 8);
const SET_VRING_ERR: u32 = request(WRITE, 0x22, 8);
const NET_SET_BACKEND: u32 = request(WRITE, 0x30, 8);

/// The ioctls that are made here.
pub const IOCTLS: [u32; 12] = [
    GET_FEATURES,
    SET_FEATURES,
    SET_OWNER,
    SET_MEM_TABLE,
    SET_VRING_NUM,
    SET_VRING_ADDR,
    SET_VRING_BASE,
    GET_VRING_BASE,
    SET_VRING_KICK,
    SET_VRING_CALL,
    SET_VRING_ERR,
    NET_SET_BACKEND,
];

/// Why a descriptor can't serve as the back end of a pair.
#[derive(Debug, thiserror::Error)]
pub enum VhostError {
    /// It is something else, or not ours.
    #[error("Back end {pair} is not an open /dev/vhost-net of this process")]
    NotVhost {
        /// The pair that it should serve.
        pair: usize,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Its kernel is too old.
    #[error("The host's vhost-net lacks the features {missing:#x}")]
    Features {
        /// As bits.
        missing: u64,
    },
}

/// Which queue of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The receive queue.
    Receive,
    /// The transmit queue.
    Transmit,
}

impl Direction {
    /// The kernel's number for it.
    fn number(self) -> u32 {
        match self {
            Self::Receive => 0,
            Self::Transmit => 1,
        }
    }
}

/// Something that the kernel is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// These features were negotiated.
    Features(u64),
    /// Guest memory is here: its `struct vhost_memory`.
    Memory(Vec<u64>),
    /// The queue has so many entries.
    Size(u32),
    /// The next entry of the available ring.
    Base(u32),
    /// Where descriptor table, used ring and available ring are in our memory.
    Rings([u64; 3]),
    /// This event is the doorbell.
    Doorbell(RawFd),
    /// This event interrupts the driver; -1 for none.
    Interrupt(RawFd),
    /// This event tells of a broken driver.
    Broken(RawFd),
    /// Serve the queue with this tap; -1 to stop, which waits for what is under way.
    Tap(RawFd),
    /// Say where the queue stands.
    Position,
}

/// What makes calls on one of the two queues of a pair; gives the position, if that was asked for.
pub trait Kernel: Send + Sync {
    /// Makes one.
    fn call(&self, queue: u32, call: &Call) -> io::Result<u32>;
}

/// An open `/dev/vhost-net`.
pub struct Vhost(File);

impl Vhost {
    /// Takes what the daemon opened for `pair`.
    ///
    /// # Errors
    /// It is something else, or too old.
    pub fn open(pair: usize, file: File) -> Result<Self, VhostError> {
        let not_vhost = |source| VhostError::NotVhost { pair, source };
        let mut features = 0u64;
        // SAFETY: the kernel writes one u64.
        done(unsafe { ioctl_with_mut_ref(&file, GET_FEATURES.into(), &mut features) }).map_err(not_vhost)?;
        match OF_QUEUES & !features {
            0 => {}
            missing => return Err(VhostError::Features { missing }),
        }
        // SAFETY: there is no argument.
        match done(unsafe { ioctl(&file, SET_OWNER.into()) }) {
            // A machine that was built again has it already; anybody else's fails at the first start.
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => Err(not_vhost(error)),
            _ => Ok(Self(file)),
        }
    }
}

impl Kernel for Vhost {
    fn call(&self, queue: u32, call: &Call) -> io::Result<u32> {
        let pair = |request: u32, value: u32| {
            // SAFETY: the kernel reads a `vhost_vring_state` or `vhost_vring_file`: two words of 32 bits.
            unsafe { ioctl_with_ref(&self.0, request.into(), &[queue, value]) }
        };
        let file = |request, fd: RawFd| pair(request, fd.cast_unsigned());
        let mut position = [queue, 0];
        let result = match call {
            // SAFETY: the kernel reads one u64.
            Call::Features(features) => unsafe { ioctl_with_ref(&self.0, SET_FEATURES.into(), features) },
            // SAFETY: the kernel reads the number of regions, and so many of them; `memory_table` made it.
            Call::Memory(table) => unsafe { ioctl_with_ptr(&self.0, SET_MEM_TABLE.into(), table.as_ptr()) },
            Call::Size(entries) => pair(SET_VRING_NUM, *entries),
            Call::Base(next) => pair(SET_VRING_BASE, *next),
            Call::Rings([descriptors, used, available]) => {
                let addresses = [u64::from(queue), *descriptors, *used, *available, 0];
                // SAFETY: the kernel reads a `vhost_vring_addr` of 40 bytes: the queue and no flags, four addresses.
                unsafe { ioctl_with_ref(&self.0, SET_VRING_ADDR.into(), &addresses) }
            }
            Call::Doorbell(fd) => file(SET_VRING_KICK, *fd),
            Call::Interrupt(fd) => file(SET_VRING_CALL, *fd),
            Call::Broken(fd) => file(SET_VRING_ERR, *fd),
            Call::Tap(fd) => file(NET_SET_BACKEND, *fd),
            // SAFETY: the kernel reads and writes a `vhost_vring_state`.
            Call::Position => unsafe { ioctl_with_mut_ref(&self.0, GET_VRING_BASE.into(), &mut position) },
        };
        let [_, position] = position;
        done(result).map(|()| position)
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A `struct vhost_memory`: how many regions, then of each where it is for the guest, its length, and where it is for us.
pub fn memory_table(memory: &GuestMemoryMmap) -> Vec<u64> {
    let mut table = vec![u64::try_from(memory.num_regions()).unwrap_or(0)];
    for region in memory.iter() {
        let address = region.as_ptr().expose_provenance();
        table.extend([
            region.start_addr().0,
            region.len(),
            u64::try_from(address).unwrap_or(0),
            0,
        ]);
    }
    table
}

/// Where the rings are in our memory. The kernel takes each part to be in one piece, so it must lie in one region.
pub fn ring_addresses(memory: &GuestMemoryMmap, layout: &RingLayout) -> io::Result<[u64; 3]> {
    let entries = usize::from(layout.size());
    let find = |address, length| {
        let slice = GuestMemoryBackend::get_slice(memory, GuestAddress(address), length).map_err(io::Error::other)?;
        u64::try_from(slice.ptr_guard().as_ptr().expose_provenance()).map_err(io::Error::other)
    };
    let addresses = layout.addresses();
    Ok([
        find(addresses.descriptors, 16 * entries)?,
        find(addresses.used, 6 + 8 * entries)?,
        find(addresses.available, 6 + 2 * entries)?,
    ])
}

struct Running {
    link: Arc<dyn DriverLink>,
    /// Whether the kernel serves it.
    served: bool,
    /// Where it stands, if the kernel was never asked to.
    rests_at: Option<QueueState>,
}

/// One queue that the kernel serves.
pub struct VhostQueue {
    interface: Arc<Interface>,
    kernel: Arc<dyn Kernel>,
    pair: usize,
    direction: Direction,
    broken: EventFd,
    running: Option<Running>,
}

impl VhostQueue {
    /// That of `pair`, which `kernel` serves.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        interface: Arc<Interface>,
        kernel: Arc<dyn Kernel>,
        pair: usize,
        direction: Direction,
    ) -> io::Result<Self> {
        Ok(Self {
            interface,
            kernel,
            pair,
            direction,
            broken: EventFd::new(EFD_NONBLOCK)?,
            running: None,
        })
    }

    fn call(&self, call: &Call) -> io::Result<u32> {
        self.kernel.call(self.direction.number(), call)
    }

    /// Has the kernel serve the queue. An interface that was removed is a link that is down, and a queue that rests.
    fn begin(&self, resources: &QueueResources, features: u64, state: Option<QueueState>) -> io::Result<bool> {
        let taps = &self.interface.taps;
        if !taps.exist() {
            self.interface.config.take_link_down(&*resources.link);
            return Ok(false);
        }
        let memory = resources.memory.memory();
        let interrupt = resources.interrupt.event();
        let layout = &resources.layout;
        let calls = [
            Call::Features(features & OF_QUEUES),
            Call::Memory(memory_table(&memory)),
            Call::Size(layout.size().into()),
            Call::Base(state.unwrap_or_default().next_avail.into()),
            Call::Rings(ring_addresses(&memory, layout)?),
            Call::Doorbell(resources.doorbell.as_raw_fd()),
            Call::Interrupt(interrupt.as_ref().map_or(-1, |event| event.as_raw_fd())),
            Call::Broken(self.broken.as_raw_fd()),
            Call::Tap(taps.descriptor(self.pair).unwrap_or(-1)),
        ];
        for call in &calls {
            self.call(call)?;
        }
        // What was made available before is told now. A counter that is full means that the bell is ringing already.
        let _ = resources.doorbell.write(1);
        Ok(true)
    }

    /// Has the kernel leave the queue, when all that it took is given back.
    fn end(&self) {
        // It fails for a queue that is not there, which it is.
        let _ = self.call(&Call::Tap(-1));
    }
}

impl QueueServer for VhostQueue {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        // What a driver before this one broke is forgotten.
        let _ = self.broken.read();
        let served = self.begin(&resources, features, state).map_err(RingError::Kernel)?;
        self.running = Some(Running {
            link: resources.link,
            served,
            rests_at: (!served).then(|| state.unwrap_or_default()),
        });
        Ok(())
    }

    fn serve(&mut self) -> Progress {
        let broken = self.broken.read().is_ok();
        if let Some(running) = &mut self.running
            && broken
            && std::mem::take(&mut running.served)
        {
            running
                .link
                .needs_reset(&"The driver broke a queue that the kernel serves");
            self.end();
        }
        Progress::Idle
    }

    fn stop(&mut self) -> Option<QueueState> {
        let running = self.running.take()?;
        if running.rests_at.is_some() {
            return running.rests_at;
        }
        self.end();
        let position = self.call(&Call::Position).ok();
        let next = position.and_then(|position| u16::try_from(position).ok())?;
        Some(QueueState {
            next_avail: next,
            next_used: next,
        })
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        vec![(self.broken.as_raw_fd(), EventSet::IN)]
    }
}
