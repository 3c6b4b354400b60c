//! The entropy device (virtio 1.2, 5.4): one queue whose buffers are filled with the host's random bytes.

use super::device::{
    Chained, DeviceConfig, Identity, QueueResources, QueueState, ResizeError, RestoreError, SavedState,
    StartQueueError, VirtioDevice,
};
use super::queue::{Chain, Ring, RingError, cursor};
use super::transport::pci::{AttachError, attach};
use super::worker::{Progress, QueueServer, QueueThread};
use crate::pci::Function;
use crate::registry::{Context, DeviceKind, Syscalls};
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use vm_memory::{GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

const QUEUE_SIZE: u16 = 64;
/// The most random bytes for one request, whatever its buffers could hold: Linux asks for 64 at most.
const MAX_BYTES: usize = 4096;
/// Requests that are served before the thread looks up.
const BATCH: u16 = QUEUE_SIZE;

/// The kind `rng`.
pub struct Rng;

/// It has nothing to configure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Why an entropy device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildRngError {
    /// No thread.
    #[error("The queue has no thread")]
    Thread(#[source] io::Error),
    /// No transport.
    #[error("The entropy device could not be attached")]
    Attach(#[source] AttachError),
}

impl DeviceKind for Rng {
    const NAME: &'static str = "rng";
    const SYSCALLS: Syscalls = Syscalls::without_ioctls(&SYSCALLS);
    const BUILD_SYSCALLS: &'static [libc::c_long] = &[];
    const STATE_VERSION: u32 = 1;
    type Config = Config;
    type BuildError = BuildRngError;

    fn files(_: &Config) -> usize {
        0
    }

    fn build(id: &str, _: Config, _: Vec<File>, context: &Context) -> Result<Arc<dyn Function>, BuildRngError> {
        let server = Box::new(Server { running: None });
        let thread = QueueThread::spawn(&format!("q0-{id}"), server, Self::SYSCALLS, context);
        let thread = thread.map_err(BuildRngError::Thread)?;
        let device = Box::new(Device { thread });
        attach(id, device, Self::SYSCALLS, context).map_err(BuildRngError::Attach)
    }
}

/// Those of the queue's thread, and the one it serves with.
const SYSCALLS: [libc::c_long; 4] = {
    let [wait, control, write] = super::worker::SYSCALLS;
    [wait, control, write, libc::SYS_getrandom]
};

struct Device {
    thread: QueueThread,
}

impl VirtioDevice for Device {
    fn identity(&self) -> Identity {
        Identity {
            device_id: 4,
            pci_class: 0xff_0000,
        }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn config(&self) -> Arc<dyn DeviceConfig> {
        Arc::new(NoConfig)
    }

    fn start_queue(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        self.thread.start(index, resources, features, state)
    }

    fn stop_queue(&mut self, _index: u16) -> Option<QueueState> {
        self.thread.stop()
    }

    /// A driver tells this device nothing.
    fn reset(&mut self) {}

    fn save(&self) -> SavedState {
        SavedState::new(Rng::NAME, Rng::STATE_VERSION, &())
    }

    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        state.parse(Rng::NAME, Rng::STATE_VERSION)
    }
}

struct NoConfig;

impl DeviceConfig for NoConfig {
    fn features(&self) -> u64 {
        0
    }
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }
    fn write(&self, _offset: u64, _data: &[u8], _features: u64) {}
    fn resize(&self, _bytes: u64) -> Result<(), ResizeError> {
        Err(ResizeError::Sizeless)
    }
    fn reset(&self) {}
}

struct Running {
    ring: Ring,
    resources: QueueResources,
    broken: bool,
}

struct Server {
    running: Option<Running>,
}

impl QueueServer for Server {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        let ring = Ring::new(&resources.layout, features, state)?;
        self.running = Some(Running {
            ring,
            resources,
            broken: false,
        });
        Ok(())
    }

    fn serve(&mut self) -> Progress {
        let Some(running) = self.running.as_mut().filter(|running| !running.broken) else {
            return Progress::Idle;
        };
        let served = running.serve();
        served.unwrap_or_else(|error| {
            running.broken = true;
            running.resources.link.needs_reset(&Chained(&error));
            Progress::Idle
        })
    }

    /// Requests are finished as they are taken.
    fn stop(&mut self) -> Option<QueueState> {
        self.running.take().map(|running| running.ring.state())
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        Vec::new()
    }
}

impl Running {
    fn serve(&mut self) -> Result<Progress, RingError> {
        let memory = self.resources.memory.memory();
        self.ring.disable_doorbell(&memory)?;
        let mut served = 0;
        while let Some(chain) = self.ring.pop(&memory)? {
            let written = fill(&memory, &chain);
            self.ring.push(&memory, chain.head(), written)?;
            served += 1;
            if served == BATCH {
                break;
            }
        }
        if served > 0 && self.ring.needs_interrupt(&memory)? {
            self.resources.interrupt.signal();
        }
        match served == BATCH || self.ring.enable_doorbell(&memory)? {
            true => Ok(Progress::More),
            false => Ok(Progress::Idle),
        }
    }
}

/// Fills the request's buffers; says how many bytes it got.
fn fill(memory: &GuestMemoryMmap, chain: &Chain) -> u32 {
    let wanted = usize::try_from(cursor::length(chain.writable())).unwrap_or(usize::MAX);
    let mut bytes = [0; MAX_BYTES];
    let bytes = bytes.get_mut(..wanted.min(MAX_BYTES)).unwrap_or_default();
    let random = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    let random = bytes.get(..random).unwrap_or_default();
    cursor::write(memory, chain.writable(), random).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Driver, Machine, readable, writable};
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn buffers_are_filled_with_bytes_that_differ() {
        let machine = Machine::default();
        let slot = machine.add("rng", "rng0", serde_json::json!({}), vec![]).unwrap();
        let (mut driver, _) = Driver::probe(&machine, slot, u64::MAX);
        let at = driver.queues[0].data();
        driver.add(0, &[writable(at, 32), writable(at + 64, 32)]);
        driver.notify(0);
        assert_eq!(driver.wait_used(0, 1)[0].1, 64);
        let read = |at| machine.memory.read_obj::<[u8; 32]>(GuestAddress(at)).unwrap();
        assert_ne!(read(at), [0; 32]);
        assert_ne!(read(at), read(at + 64));
    }

    #[test]
    fn a_greedy_request_is_filled_in_part_and_one_without_room_not_at_all() {
        let machine = Machine::default();
        let slot = machine.add("rng", "rng0", serde_json::json!({}), vec![]).unwrap();
        let (mut driver, _) = Driver::probe(&machine, slot, u64::MAX);
        let at = driver.queues[0].data();
        driver.add(0, &[writable(at, 0x2_0000)]);
        driver.add(0, &[readable(at, 16)]);
        driver.notify(0);
        let lengths: Vec<u32> = driver.wait_used(0, 2).iter().map(|used| used.1).collect();
        assert_eq!(lengths, [4096, 0]);
    }

    #[test]
    fn it_takes_no_configuration_and_no_files() {
        let machine = Machine::default();
        let refused = machine.add("rng", "rng0", serde_json::json!({"seed": 1}), vec![]);
        assert!(matches!(refused, Err(crate::registry::BuildDeviceError::Config { .. })));
        let refused = machine.add(
            "rng",
            "rng0",
            serde_json::json!({}),
            vec![tempfile::tempfile().unwrap()],
        );
        assert!(matches!(refused, Err(crate::registry::BuildDeviceError::Files { .. })));
    }
}
