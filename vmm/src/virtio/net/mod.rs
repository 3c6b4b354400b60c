//! The network device (virtio 1.2, 5.1): an interface of an instance, on a tap that the daemon made.
//!
//! ```text
//!   guest ── transmit queue ──► Transmitter ──writev──► tap ──► the VPC's namespace
//!         ◄── receive queue ─── Receiver ◄────readv──── tap ◄──
//! ```
//! Or the host's kernel does both (`vhost`), behind the same front end.
//!
//! Each queue has a thread of its own, and each pair of queues a queue of the tap. Frames are moved straight between the
//! guest's memory and the kernel; our own memory holds their headers only. Which frames may pass is not decided here: that is
//! the business of the firewall in the namespace. An interface that is removed while the guest runs is a link that is down.

mod config;
mod control;
mod frame;
mod pieces;
mod receive;
mod settings;
mod tap;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transmit;
mod vhost;
mod window;

pub use settings::{Backend, Config, Limit, Limits, Mac, Mtu, QueuePairs, SettingError};

use super::device::{
    DeviceConfig, Identity, QueueResources, QueueState, RestoreError, SavedState, StartQueueError, VirtioDevice,
};
use super::transport::pci::{AttachError, attach};
use super::worker::{QueueServer, QueueThread};
use crate::pci::Function;
use crate::registry::{Context, DeviceKind, Syscalls};
use crate::virtio::limit::{self, Limiter, Pace};
use config::NetConfig;
use control::Controller;
use frame::Offloads;
use receive::Receiver;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::Arc;
use tap::{TapError, Taps};
use transmit::Transmitter;
use vhost::{Direction, Kernel, Vhost, VhostError, VhostQueue};
use virtio_bindings::virtio_net::VIRTIO_NET_F_MQ;

/// Entries of each queue that carries frames.
const QUEUE_SIZE: u16 = 256;
/// Entries of the control queue.
const CONTROL_QUEUE_SIZE: u16 = 64;

/// The kind `net`. It is given the open queues of one tap, one for each pair of its own queues, and after them, if its
/// [`Backend`] is vhost-net, as many open `/dev/vhost-net`.
pub struct Net;

/// Why a network device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildNetError {
    /// No tap.
    #[error("The interface has no usable tap")]
    Tap(#[source] TapError),
    /// No back end in the kernel.
    #[error("The interface has no usable vhost-net")]
    Vhost(#[source] VhostError),
    /// Limits that nobody would keep.
    #[error("The interface has limits, which the back end vhost_net does not keep")]
    Limits,
    /// No event or timer for a queue.
    #[error("A queue has no event")]
    Event(#[source] io::Error),
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
        ioctls: &IOCTLS,
    };
    const BUILD_SYSCALLS: &'static [libc::c_long] = &[libc::SYS_fcntl, libc::SYS_timerfd_create];
    const STATE_VERSION: u32 = 1;
    type Config = Config;
    type BuildError = BuildNetError;

    fn files(config: &Config) -> usize {
        let pairs = usize::from(config.queue_pairs.get());
        match config.backend {
            Backend::UserSpace => pairs,
            Backend::VhostNet => 2 * pairs,
        }
    }

    fn build(
        id: &str,
        config: Config,
        files: Vec<File>,
        context: &Context,
    ) -> Result<Arc<dyn Function>, BuildNetError> {
        let mut queues = files;
        let vhosts = queues.split_off(queues.len().min(config.queue_pairs.get().into()));
        let taps = Taps::open(queues).map_err(BuildNetError::Tap)?;
        let kernels = (0..).zip(vhosts).map(|(pair, file)| {
            let vhost = Vhost::open(pair, file).map_err(BuildNetError::Vhost)?;
            Ok(Arc::new(vhost) as Arc<dyn Kernel>)
        });
        let device = Device::new(id, &config, taps, kernels.collect::<Result<_, _>>()?, context)?;
        attach(id, Box::new(device), Self::SYSCALLS, context).map_err(BuildNetError::Attach)
    }
}

/// Those for the tap and for vhost-net.
const IOCTLS: [u32; 16] = {
    let [a, b, c, d] = tap::IOCTLS;
    let [e, f, g, h, i, j, k, l, m, n, o, p] = vhost::IOCTLS;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
};

/// Those of the queues' threads, and what they serve with.
const SYSCALLS: [libc::c_long; 7] = {
    let [wait, control, write] = super::worker::SYSCALLS;
    [
        wait,
        control,
        write,
        libc::SYS_read,
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
    /// What the tap was told of that.
    offloads: Option<Offloads>,
}

impl Device {
    /// An interface on `taps`; if it has `kernels`, one for each pair of queues, those move its frames.
    fn new(
        id: &str,
        config: &Config,
        taps: Taps,
        kernels: Vec<Arc<dyn Kernel>>,
        context: &Context,
    ) -> Result<Self, BuildNetError> {
        let interface = Arc::new(Interface {
            config: Arc::new(NetConfig::new(config, taps.exist())),
            taps,
        });
        let queues = match config.backend {
            Backend::UserSpace => queues_of_our_own(&interface, config.limits)?,
            Backend::VhostNet if config.limits != Limits::default() => return Err(BuildNetError::Limits),
            Backend::VhostNet => queues_of_kernel(&interface, kernels)?,
        };
        let spawn = match config.backend {
            Backend::UserSpace => QueueThread::spawn,
            Backend::VhostNet => QueueThread::spawn_for_kernel,
        };
        let name = |index: usize| format!("q{index}-{id}");
        let count = queues.len();
        let threads = queues.into_iter().enumerate();
        let threads = threads.map(|(index, server)| spawn(&name(index), server, Net::SYSCALLS, context));
        let queues = threads.collect::<io::Result<_>>().map_err(BuildNetError::Thread)?;
        let control = (config.queue_pairs.get() > 1).then(|| {
            let server = Box::new(Controller::new(Arc::clone(&interface)));
            QueueThread::spawn(&name(count), server, Net::SYSCALLS, context)
        });
        Ok(Self {
            interface,
            queues,
            control: control.transpose().map_err(BuildNetError::Thread)?,
            features: None,
            offloads: None,
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

/// What serves the queues in the monitor, pair by pair.
fn queues_of_our_own(interface: &Arc<Interface>, limits: Limits) -> Result<Vec<Box<dyn QueueServer>>, BuildNetError> {
    let clock = limit::monotonic();
    let receive = Limiter::new(limits.receive.bytes, limits.receive.packets, &clock);
    let transmit = Limiter::new(limits.transmit.bytes, limits.transmit.packets, &clock);
    let pace = |limiter: &Option<Arc<Limiter>>| Pace::new(limiter.clone()).map_err(BuildNetError::Event);
    let mut queues: Vec<Box<dyn QueueServer>> = Vec::new();
    for pair in 0..usize::from(interface.config.pairs()) {
        let (receive, transmit) = (pace(&receive)?, pace(&transmit)?);
        queues.push(Box::new(Receiver::new(Arc::clone(interface), pair, receive)));
        queues.push(Box::new(Transmitter::new(Arc::clone(interface), pair, transmit)));
    }
    Ok(queues)
}

/// What has `kernels` serve the queues, pair by pair.
fn queues_of_kernel(
    interface: &Arc<Interface>,
    kernels: Vec<Arc<dyn Kernel>>,
) -> Result<Vec<Box<dyn QueueServer>>, BuildNetError> {
    let mut queues: Vec<Box<dyn QueueServer>> = Vec::new();
    for (pair, kernel) in kernels.into_iter().enumerate() {
        for direction in [Direction::Receive, Direction::Transmit] {
            let queue = VhostQueue::new(Arc::clone(interface), Arc::clone(&kernel), pair, direction);
            queues.push(Box::new(queue.map_err(BuildNetError::Event)?));
        }
    }
    Ok(queues)
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
        self.features = Some(features);
        let agreed = Offloads::of_guest(features);
        // It takes a lock of the whole host, so a guest must not have it done without need.
        if self.offloads.replace(agreed) != Some(agreed) {
            self.interface.taps.set_offloads(agreed);
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
