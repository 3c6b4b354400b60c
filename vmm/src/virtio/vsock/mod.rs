//! The socket device (virtio 1.2, 5.10): connections between the guest's `AF_VSOCK` ports and the host, without its network.
//!
//! ```text
//!   control thread ──Call──► Dialer ──► worker ◄──► rx, tx and event queue ◄──► guest
//!                                        │  ▲
//!                            Unix sockets ◄──► connections (Table, Connection, Stream)
//! ```
//! The device ends connections itself (no vhost), so the guest's address is known to nobody else and may be any. From the
//! host, whoever may use the control socket connects to any port of the guest; from the guest, there is one port, at
//! which its service manager says that it is ready (`notify`). Everything else is refused.

mod config;
mod connection;
mod dial;
mod notify;
mod packet;
mod stream;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod worker;

pub use config::{CidError, Config, GuestCid};
pub use dial::{Call, Dialer};

use super::device::{
    DeviceConfig, Identity, QueueResources, QueueState, RestoreError, SavedState, StartQueueError, VirtioDevice,
};
use super::transport::pci::{AttachError, attach};
use crate::pci::Function;
use crate::registry::{Context, DeviceKind, Syscalls};
use config::VsockConfig;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::Arc;
use worker::{Command, Thread};

/// Entries of each queue that carries packets, and of that for events.
const QUEUE_SIZE: u16 = 128;
const EVENT_QUEUE_SIZE: u16 = 16;

/// The kind `vsock`.
pub struct Vsock;

/// Why a socket device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildVsockError {
    /// No thread, or no events for it.
    #[error("The socket device has no thread")]
    Thread(#[source] io::Error),
    /// No transport.
    #[error("The socket device could not be attached")]
    Attach(#[source] AttachError),
}

impl DeviceKind for Vsock {
    const NAME: &'static str = "vsock";
    const SYSCALLS: Syscalls = Syscalls::without_ioctls(&worker::SYSCALLS);
    const BUILD_SYSCALLS: &'static [libc::c_long] = &[libc::SYS_timerfd_create];
    const STATE_VERSION: u32 = 1;
    type Config = Config;
    type BuildError = BuildVsockError;

    fn files(_: &Config) -> usize {
        0
    }

    fn build(id: &str, config: Config, _: Vec<File>, context: &Context) -> Result<Arc<dyn Function>, BuildVsockError> {
        let thread = Thread::spawn(&format!("q-{id}"), config, Self::SYSCALLS, context);
        let device = Device {
            config: Arc::new(VsockConfig(config.guest_cid)),
            thread: thread.map_err(BuildVsockError::Thread)?,
        };
        attach(id, Box::new(device), Self::SYSCALLS, context).map_err(BuildVsockError::Attach)
    }
}

struct Device {
    config: Arc<VsockConfig>,
    thread: Thread,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// It must be the same where it is restored.
    guest_cid: GuestCid,
}

impl VirtioDevice for Device {
    fn identity(&self) -> Identity {
        Identity {
            device_id: 19,
            pci_class: 0x07_8000,
        }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE, QUEUE_SIZE, EVENT_QUEUE_SIZE]
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
        self.thread.start(index, resources, features, state)
    }

    fn stop_queue(&mut self, index: u16) -> Option<QueueState> {
        self.thread.stop(index)
    }

    fn reset(&mut self) {
        self.thread.tell(Command::Reset);
    }

    fn save(&self) -> SavedState {
        let guest_cid = self.config.0;
        SavedState::new(Vsock::NAME, Vsock::STATE_VERSION, &State { guest_cid })
    }

    /// Connections don't come along: the driver is told so.
    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        let State { guest_cid } = state.parse(Vsock::NAME, Vsock::STATE_VERSION)?;
        if guest_cid != self.config.0 {
            let (kind, what) = (Vsock::NAME, "guest_cid");
            return Err(RestoreError::Impossible { kind, what });
        }
        self.thread.tell(Command::Moved);
        Ok(())
    }
}
