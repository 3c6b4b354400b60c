//! The network device (virtio 1.2, 5.1): an interface of an instance, on a tap that the daemon made.
//!
//! ```text
//!   guest ── transmit queue ──► Transmitter ──writev──► tap ──► the VPC's namespace
//!         ◄── receive queue ─── Receiver ◄────readv──── tap ◄──
//! ```
//! Each queue has a thread of its own, and each pair of queues a queue of the tap. Frames are moved straight between the
//! guest's memory and the kernel; our own memory holds their headers only. Which frames may pass is not decided here: that is
//! the business of the firewall in the namespace. An interface that is removed while the guest runs is a link that is down.

mod config;
mod control;
mod frame;
mod limit;
mod pieces;
mod receive;
mod settings;
mod tap;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transmit;
mod window;

pub use settings::{Config, Limit, Limits, Mac, Mtu, QueuePairs, Rate, SettingError};

use super::device::{
    DeviceConfig, Identity, QueueResources, QueueState, RestoreError, SavedState, StartQueueError, VirtioDevice,
};
use super::transport::pci::{AttachError, attach};
use super::worker::{QueueServer, QueueThread};
use crate::pci::Function;
use crate::registry::{Context, DeviceKind, Syscalls};
use config::NetConfig;
use control::Controller;
use frame::Offloads;
use limit::{Clock, Limiter, Pace};
use receive::Receiver;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::Arc;
use tap::{TapError, Taps};
use transmit::Transmitter;
use virtio_bindings::virtio_net::VIRTIO_NET_F_MQ;

/// Entries of each queue that carries frames.
const QUEUE_SIZE: u16 = 256;
/// Entries of the control queue.
const CONTROL_QUEUE_SIZE: u16 = 64;

/// The kind `net`. It is given the open queues of one tap, one for each pair of its own queues.
pub struct Net;

/// Why a network device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildNetError {
    /// No tap.
    #[error("The interface has no usable tap")]
    Tap(#[source] TapError),
    /// No timer for a limit.
    #[error("The limits of the interface have no timer")]
    Timer(#[source] io::Error),
    /// No thread.
    #[error("A queue has no thread")]
    Thread(#[source] io::Error),
    /// No transport.
    #[error("The interface could not be attached")]
    Attach(#[source] AttachError),
}

impl DeviceKind for Net {
    const NAME: &'static str = "net";
    const SYSCALLS: Syscalls = Syscalls {
        numbers: &SYSCALLS,
        ioctls: &tap::IOCTLS,
    };
    const BUILD_SYSCALLS: &'static [libc::c_long] = &[libc::SYS_fcntl, libc::SYS_timerfd_create];
    const STATE_VERSION: u32 = 1;
    type Config = Config;
    type BuildError = BuildNetError;

    fn files(config: &Config) -> usize {
        config.queue_pairs.get().into()
    }

    fn build(
        id: &str,
        config: Config,
        files: Vec<File>,
        context: &Context,
    ) -> Result<Arc<dyn Function>, BuildNetError> {
        let taps = Taps::open(files).map_err(BuildNetError::Tap)?;
        let device = Device::new(id, &config, taps, &limit::monotonic(), context)?;
        attach(id, Box::new(device), Self::SYSCALLS, context).map_err(BuildNetError::Attach)
    }
}

/// Those of the queues' threads, and what they serve with.
const SYSCALLS: [libc::c_long; 6] = {
    let [wait, control, write] = super::worker::SYSCALLS;
    [
        wait,
        control,
        write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_timerfd_settime,
    ]
};

/// What all queues of an interface share.
struct Interface {
    config: Arc<NetConfig>,
    taps: Taps,
}

impl Interface {
    /// Whether `pair` carries frames now.
    fn carries(&self, pair: usize) -> bool {
        self.config.link_up() && pair < self.taps.active()
    }
}

struct Device {
    interface: Arc<Interface>,
    /// Receive and transmit, pair by pair.
    queues: Vec<QueueThread>,
    control: Option<QueueThread>,
    /// What was negotiated, once a queue was started.
    features: Option<u64>,
}

impl Device {
    fn new(id: &str, config: &Config, taps: Taps, clock: &Clock, context: &Context) -> Result<Self, BuildNetError> {
        let interface = Arc::new(Interface {
            config: Arc::new(NetConfig::new(config, taps.exist())),
            taps,
        });
        let receive = Limiter::new(config.limits.receive, clock);
        let transmit = Limiter::new(config.limits.transmit, clock);
        let pace = |limiter: &Option<Arc<Limiter>>| Pace::new(limiter.clone()).map_err(BuildNetError::Timer);
        let thread = |index: u16, server: Box<dyn QueueServer>| {
            let name = format!("q{index}-{id}");
            QueueThread::spawn(&name, server, Net::SYSCALLS, context).map_err(BuildNetError::Thread)
        };
        let count = config.queue_pairs.get();
        let mut queues = Vec::with_capacity(usize::from(2 * count));
        for pair in 0..count {
            let place = usize::from(pair);
            let receiver = Receiver::new(Arc::clone(&interface), place, pace(&receive)?);
            let transmitter = Transmitter::new(Arc::clone(&interface), place, pace(&transmit)?);
            queues.push(thread(2 * pair, Box::new(receiver))?);
            queues.push(thread(2 * pair + 1, Box::new(transmitter))?);
        }
        let control = match count {
            1 => None,
            _ => Some(thread(2 * count, Box::new(Controller::new(Arc::clone(&interface))))?),
        };
        Ok(Self {
            interface,
            queues,
            control,
            features: None,
        })
    }

    /// The thread that serves queue `index`. The control queue follows the pairs; a driver that knows of one pair only
    /// finds it behind that (virtio 1.2, 5.1.2).
    fn thread(&mut self, index: u16) -> Option<&mut QueueThread> {
        let several = self
            .features
            .is_some_and(|features| features & 1 << VIRTIO_NET_F_MQ != 0);
        let control = if several { self.queues.len() } else { 2 };
        match usize::from(index) {
            index if index == control && self.control.is_some() => self.control.as_mut(),
            index => self.queues.get_mut(index),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Both must be the same where it is restored.
    mac: Mac,
    queue_pairs: u16,
    /// How many of the pairs the driver uses.
    active_pairs: u16,
}

impl VirtioDevice for Device {
    fn identity(&self) -> Identity {
        Identity {
            device_id: 1,
            pci_class: 0x02_0000,
        }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let mut sizes = vec![QUEUE_SIZE; self.queues.len()];
        sizes.extend(self.control.iter().map(|_| CONTROL_QUEUE_SIZE));
        sizes
    }

    fn config(&self) -> Arc<dyn DeviceConfig> {
        Arc::clone(&self.interface.config) as Arc<dyn DeviceConfig>
    }

    fn start_queue(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        if self.features != Some(features) {
            self.interface.taps.set_offloads(Offloads::of_guest(features));
            self.features = Some(features);
        }
        let thread = self.thread(index).ok_or(StartQueueError::NotStopped { index })?;
        thread.start(index, resources, features, state)
    }

    fn stop_queue(&mut self, index: u16) -> Option<QueueState> {
        self.thread(index)?.stop()
    }

    fn reset(&mut self) {
        self.features = None;
        self.interface.taps.activate(1);
    }

    fn save(&self) -> SavedState {
        let Interface { config, taps } = &*self.interface;
        let state = State {
            mac: config.mac(),
            queue_pairs: config.pairs(),
            active_pairs: u16::try_from(taps.active()).unwrap_or(1),
        };
        SavedState::new(Net::NAME, Net::STATE_VERSION, &state)
    }

    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        let State {
            mac,
            queue_pairs,
            active_pairs,
        } = state.parse(Net::NAME, Net::STATE_VERSION)?;
        let Interface { config, taps } = &*self.interface;
        let impossible = |what| RestoreError::Impossible { kind: Net::NAME, what };
        if mac != config.mac() {
            return Err(impossible("mac"));
        }
        if queue_pairs != config.pairs() || !(1..=queue_pairs).contains(&active_pairs) {
            return Err(impossible("queue_pairs"));
        }
        taps.activate(active_pairs.into());
        Ok(())
    }
}
