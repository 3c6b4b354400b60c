//! The control queue (virtio 1.2, 5.1.6.5): a driver says how many pairs of queues it uses. There is one only if the
//! interface has several.

use super::Interface;
use crate::virtio::device::{Chained, QueueResources, QueueState};
use crate::virtio::queue::{Chain, Ring, RingError, cursor};
use crate::virtio::worker::{Progress, QueueServer};
use std::os::fd::RawFd;
use std::sync::Arc;
use virtio_bindings::virtio_net as bits;
use vm_memory::{GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

/// Commands that are carried out before the thread looks up.
const BATCH: u16 = 16;

/// How a driver broke the control queue.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("The driver broke its control queue")]
    Ring(#[from] RingError),
    #[error("The command at descriptor {head} has no place for its answer")]
    NoAnswer { head: u16 },
}

/// What a driver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Use the first so many pairs.
    UsePairs(u16),
}

impl Command {
    /// Reads what `chain` holds; none if it is no command of a driver that negotiated `features` with a device of `pairs`
    /// pairs.
    pub fn read(memory: &GuestMemoryMmap, chain: &Chain, features: u64, pairs: u16) -> Option<Self> {
        const USE_PAIRS: [u32; 2] = [bits::VIRTIO_NET_CTRL_MQ, bits::VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET];
        let [class, command, p0, p1] = cursor::read(memory, chain.readable()).ok().flatten()?;
        let wanted = u16::from_le_bytes([p0, p1]);
        let negotiated = features & 1 << bits::VIRTIO_NET_F_MQ != 0;
        let known = [class, command].map(u32::from) == USE_PAIRS && (1..=pairs).contains(&wanted);
        (negotiated && known).then_some(Self::UsePairs(wanted))
    }
}

struct Running {
    ring: Ring,
    resources: QueueResources,
    features: u64,
    broken: bool,
}

/// Serves the control queue.
pub struct Controller {
    interface: Arc<Interface>,
    running: Option<Running>,
}

impl Controller {
    /// Serves that of `interface`.
    pub fn new(interface: Arc<Interface>) -> Self {
        Self {
            interface,
            running: None,
        }
    }
}

impl Running {
    fn step(&mut self, interface: &Interface) -> Result<Progress, ControlError> {
        let memory = self.resources.memory.memory();
        self.ring.disable_doorbell(&memory)?;
        let mut done = 0;
        while done < BATCH
            && let Some(chain) = self.ring.pop(&memory)?
        {
            self.obey(interface, &memory, &chain)?;
            done += 1;
        }
        if done > 0 && self.ring.needs_interrupt(&memory)? {
            self.resources.interrupt.signal();
        }
        match done == BATCH || self.ring.enable_doorbell(&memory)? {
            true => Ok(Progress::More),
            false => Ok(Progress::Idle),
        }
    }

    fn obey(&mut self, interface: &Interface, memory: &GuestMemoryMmap, chain: &Chain) -> Result<(), ControlError> {
        let head = chain.head();
        if chain.writable().is_empty() {
            return Err(ControlError::NoAnswer { head });
        }
        let answer = match Command::read(memory, chain, self.features, interface.config.pairs()) {
            Some(Command::UsePairs(pairs)) => {
                interface.taps.activate(pairs.into());
                bits::VIRTIO_NET_OK
            }
            None => bits::VIRTIO_NET_ERR,
        };
        let [answer, ..] = answer.to_le_bytes();
        let written = cursor::write(memory, chain.writable(), &[answer]).unwrap_or(0);
        self.ring.push(memory, head, written)?;
        Ok(())
    }
}

impl QueueServer for Controller {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        self.running = Some(Running {
            ring: Ring::new(&resources.layout, features, state)?,
            resources,
            features,
            broken: false,
        });
        Ok(())
    }

    fn serve(&mut self) -> Progress {
        let Some(running) = self.running.as_mut().filter(|running| !running.broken) else {
            return Progress::Idle;
        };
        running.step(&self.interface).unwrap_or_else(|error| {
            running.broken = true;
            running.resources.link.needs_reset(&Chained(&error));
            Progress::Idle
        })
    }

    /// Commands are carried out as they are taken.
    fn stop(&mut self) -> Option<QueueState> {
        self.running.take().map(|running| running.ring.state())
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        Vec::new()
    }
}
