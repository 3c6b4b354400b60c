//! The block device (virtio 1.2, 5.2): a volume, with as many queues as the machine has use for, each on its own thread
//! with its own engine (see `block`).

mod config;
mod limits;
mod request;
mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    //! What the property tests and benchmarks look into.
    pub use super::config::BlkConfig;
    pub use super::request::{Request, Task};
}
#[cfg(test)]
mod tests;

use super::device::{
    DeviceConfig, Identity, QueueResources, QueueState, RestoreError, SavedState, StartQueueError, VirtioDevice,
};
use super::limit::Pace;
use super::transport::pci::{AttachError, attach};
use super::worker::QueueThread;
use crate::block::{self, Engine, LockError};
use crate::pci::Function;
use crate::registry::{Context, DeviceKind, Syscalls};
use config::{BlkConfig, SECTOR};
pub use limits::{Limiters, Limits};
use request::SERIAL;
use serde::{Deserialize, Serialize};
use server::{BlkServer, Volume};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;

/// Entries of each queue.
const QUEUE_SIZE: u16 = 256;
/// As many as there can be virtual CPUs.
const MAX_QUEUES: u16 = 32;

/// The kind `blk`. It is given one file: the volume, raw.
pub struct Blk;

/// What the daemon says of a volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether the guest may only read.
    pub read_only: bool,
    /// How many queues, 1 to 32.
    pub queues: u16,
    /// How much it may be used.
    #[serde(default)]
    pub limits: Limits,
}

/// Why a volume could not be made a device.
#[derive(Debug, thiserror::Error)]
pub enum BuildBlkError {
    /// No queue, or too many.
    #[error("A volume can't have {queues} queues: 1 to {MAX_QUEUES} are possible")]
    Queues {
        /// How many were asked for.
        queues: u16,
    },
    /// Its length can't be asked for.
    #[error("The volume can't be read")]
    File(#[source] io::Error),
    /// Its length is no number of sectors.
    #[error("The volume has {length} bytes: that is not a number of {SECTOR}-byte sectors")]
    Length {
        /// Its length in bytes.
        length: u64,
    },
    /// Somebody else uses it.
    #[error("The volume is not free")]
    Lock(#[source] LockError),
    /// No timer.
    #[error("A queue has no timer")]
    Timer(#[source] io::Error),
    /// No thread.
    #[error("A queue has no thread")]
    Thread(#[source] io::Error),
    /// No transport.
    #[error("The volume could not be attached")]
    Attach(#[source] AttachError),
}

impl DeviceKind for Blk {
    const NAME: &'static str = "blk";
    const SYSCALLS: Syscalls = Syscalls::without_ioctls(&SYSCALLS);
    const BUILD_SYSCALLS: &'static [libc::c_long] = &BUILD_SYSCALLS;
    const STATE_VERSION: u32 = 1;
    type Config = Config;
    type BuildError = BuildBlkError;

    fn files(_: &Config) -> usize {
        1
    }

    fn build(
        id: &str,
        config: Config,
        files: Vec<File>,
        context: &Context,
    ) -> Result<Arc<dyn Function>, BuildBlkError> {
        let file = files.into_iter().next();
        let file = file.ok_or_else(|| BuildBlkError::File(io::ErrorKind::NotFound.into()))?;
        let device = Device::new(id, &config, file, context, |file| block::open(file, QUEUE_SIZE))?;
        attach(id, Box::new(device), Self::SYSCALLS, context).map_err(BuildBlkError::Attach)
    }
}

/// Those for the engine and the timer.
const BUILD_SYSCALLS: [libc::c_long; 3] = {
    let [setup, register] = block::OPEN_SYSCALLS;
    [setup, register, libc::SYS_timerfd_create]
};

/// Those of the queue's thread, of its engine, and of the timer by which it keeps a limit.
const SYSCALLS: [libc::c_long; 10] = {
    let [wait, control, write] = super::worker::SYSCALLS;
    let [enter, register, read, pwrite, sync, allocate] = block::SYSCALLS;
    let timer = libc::SYS_timerfd_settime;
    [
        wait, control, write, enter, register, read, pwrite, sync, allocate, timer,
    ]
};

struct Device {
    config: Arc<BlkConfig>,
    threads: Vec<QueueThread>,
}

impl Device {
    fn new(
        id: &str,
        config: &Config,
        mut file: File,
        context: &Context,
        engine: impl Fn(&Arc<File>) -> Box<dyn Engine>,
    ) -> Result<Self, BuildBlkError> {
        let Config {
            read_only,
            queues,
            limits,
        } = *config;
        if !(1..=MAX_QUEUES).contains(&queues) {
            return Err(BuildBlkError::Queues { queues });
        }
        let length = file.seek(SeekFrom::End(0)).map_err(BuildBlkError::File)?;
        if length == 0 || !length.is_multiple_of(SECTOR) {
            return Err(BuildBlkError::Length { length });
        }
        block::lock(&file, read_only).map_err(BuildBlkError::Lock)?;
        let file = Arc::new(file);
        let config = Arc::new(BlkConfig::new(length / SECTOR, read_only, queues, QUEUE_SIZE));
        let volume = Arc::new(Volume {
            config: Arc::clone(&config),
            serial: serial(id),
        });
        let limiter = context.limiters.make(id, limits);
        let mut threads = Vec::with_capacity(usize::from(queues));
        for index in 0..queues {
            let pace = Pace::new(Some(Arc::clone(&limiter))).map_err(BuildBlkError::Timer)?;
            let server = BlkServer::new(Arc::clone(&volume), engine(&file), pace, QUEUE_SIZE);
            let name = format!("q{index}-{id}");
            let thread = QueueThread::spawn(&name, Box::new(server), Blk::SYSCALLS, context);
            threads.push(thread.map_err(BuildBlkError::Thread)?);
        }
        Ok(Self { config, threads })
    }

    fn thread(&mut self, index: u16) -> Option<&mut QueueThread> {
        self.threads.get_mut(usize::from(index))
    }
}

/// The volume's name as EC2 shows it in a guest: without its dash it has just 20 characters.
fn serial(id: &str) -> [u8; SERIAL] {
    let mut serial = [0; SERIAL];
    for (place, byte) in serial.iter_mut().zip(id.bytes().filter(|byte| *byte != b'-')) {
        *place = byte;
    }
    serial
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The size of the volume in sectors, which must be the same where it is restored.
    capacity: u64,
    writeback: bool,
}

impl VirtioDevice for Device {
    fn identity(&self) -> Identity {
        Identity {
            device_id: 2,
            pci_class: 0x01_0000,
        }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; usize::from(self.config.queues())]
    }

    fn config(&self) -> Arc<dyn DeviceConfig> {
        Arc::clone(&self.config) as Arc<dyn DeviceConfig>
    }

    fn start_queue(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        let thread = self.thread(index).ok_or(StartQueueError::NotStopped { index })?;
        thread.start(index, resources, features, state)
    }

    fn stop_queue(&mut self, index: u16) -> Option<QueueState> {
        self.thread(index)?.stop()
    }

    /// All that a driver tells is in the configuration, which the transport resets.
    fn reset(&mut self) {}

    fn save(&self) -> SavedState {
        let state = State {
            capacity: self.config.capacity(),
            writeback: self.config.writeback(),
        };
        SavedState::new(Blk::NAME, Blk::STATE_VERSION, &state)
    }

    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        let State { capacity, writeback } = state.parse(Blk::NAME, Blk::STATE_VERSION)?;
        if capacity != self.config.capacity() {
            let (kind, what) = (Blk::NAME, "capacity");
            return Err(RestoreError::Impossible { kind, what });
        }
        self.config.set_writeback(writeback);
        Ok(())
    }
}
