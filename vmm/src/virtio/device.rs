//! What a virtio device is, whatever bus carries it: the seam between the transport and the device kinds.
//!
//! The transport keeps everything that is the same for all devices (status, features, ring addresses, vectors). A
//! device is handed each queue when it may run and gives it back when it must stop, so a driver's reset, a driver that
//! is loaded again, a pause and a snapshot are one operation: stop the queues, start them again, perhaps elsewhere.
//!
//! [`VirtioDevice`] is called by the transport's own thread only and may block there. [`DeviceConfig`] is what vCPU
//! threads may touch.

use super::queue::RingLayout;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::sync::Arc;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

/// The memory of the guest; what is mapped may change while devices run.
pub type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// What a device is, on any bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The virtio device id (virtio 1.2, section 5).
    pub device_id: u16,
    /// The PCI class code: class, subclass and programming interface, in the low 24 bits.
    pub pci_class: u32,
}

/// Where a queue stands in its rings, both counted modulo 2^16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueState {
    /// The next entry of the available ring that the device takes.
    pub next_avail: u16,
    /// The next entry of the used ring that the device fills.
    pub next_used: u16,
}

/// All that a device needs to serve one queue.
pub struct QueueResources {
    /// The memory that ring addresses and buffers point into.
    pub memory: Memory,
    /// Where the rings are, checked against that memory, and how long.
    pub layout: RingLayout,
    /// Signalled when the driver has made buffers available. It may be signalled for nothing.
    pub doorbell: Arc<EventFd>,
    /// Tells the driver that buffers were used.
    pub interrupt: Arc<dyn QueueInterrupt>,
    /// The way to the driver that is not a queue's.
    pub link: Arc<dyn DriverLink>,
}

/// The interrupt of one queue.
pub trait QueueInterrupt: Send + Sync {
    /// Raises it. Not for vCPU threads: it writes to an event descriptor.
    fn signal(&self);
    /// The event that raises it when written, for a back end in the kernel; none if the driver gave the queue no
    /// vector.
    fn event(&self) -> Option<Arc<EventFd>>;
}

/// What a device says to its driver, or of it, beside its queues. Not for vCPU threads.
pub trait DriverLink: Send + Sync {
    /// Runs `change`, which changes what [`DeviceConfig::read`] gives, at a moment when no driver reads it; bumps the
    /// configuration's generation and tells the driver.
    fn change_config(&self, change: &mut dyn FnMut());
    /// The driver broke a rule that leaves the device unable to go on: it gets `DEVICE_NEEDS_RESET` (virtio 1.2,
    /// 2.1.2), and the daemon an event. Said once until the next reset, however often it is called.
    fn needs_reset(&self, reason: &dyn Display);
}

/// The device-specific configuration (virtio 1.2, 2.5), read and written by vCPU threads: nothing here may wait.
pub trait DeviceConfig: Send + Sync {
    /// The features the device offers, without those of the transport.
    fn features(&self) -> u64;
    /// Fills `data` from the configuration at `offset`; what lies past its end reads as zero.
    fn read(&self, offset: u64, data: &mut [u8]);
    /// Takes what the driver wrote at `offset`, under the `features` that were negotiated; what can't be written is
    /// ignored.
    fn write(&self, offset: u64, data: &[u8], features: u64);
    /// Takes the size of what the device stands on, in bytes.
    ///
    /// # Errors
    /// See [`ResizeError`]; it is what it was then.
    fn resize(&self, bytes: u64) -> Result<(), ResizeError>;
    /// Back to what it was before any driver wrote.
    fn reset(&self);
}

/// A state that was saved, of what kind of device and in which version of that kind's own format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedState {
    /// The kind, as in the registry.
    pub kind: String,
    /// The version of the format of `state`, counted by the kind.
    pub version: u32,
    /// What the kind needs to go on.
    pub state: serde_json::Value,
}

impl SavedState {
    /// The state of a `kind` in `version` of its format.
    pub fn new(kind: &'static str, version: u32, state: &impl Serialize) -> Self {
        Self {
            kind: kind.to_owned(),
            version,
            state: serde_json::to_value(state).unwrap_or_default(),
        }
    }

    /// Reads it as that of a `kind` in `version`.
    ///
    /// # Errors
    /// It is another one's, or malformed.
    pub fn parse<T: DeserializeOwned>(&self, kind: &'static str, version: u32) -> Result<T, RestoreError> {
        if self.kind != kind || self.version != version {
            return Err(RestoreError::Unknown {
                kind: self.kind.clone(),
                version: self.version,
                expected_kind: kind,
                expected_version: version,
            });
        }
        T::deserialize(&self.state).map_err(|source| RestoreError::Malformed { kind, source })
    }
}

/// An error with all its causes, for an event or a message that has no place for a chain.
pub struct Chained<'a>(pub &'a dyn Error);

impl Display for Chained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a queue was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartQueueError {
    /// The device has no such queue, or it runs already.
    #[error("Queue {index} can't be started: it is not there or runs already")]
    NotStopped {
        /// Which.
        index: u16,
    },
    /// The thread that serves it did not take it.
    #[error("Queue {index} could not be handed to its thread")]
    Thread {
        /// Which.
        index: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a device did not take a new size.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// Devices of its kind have no size.
    #[error("Devices of this kind have no size")]
    Sizeless,
    /// It is no number of sectors.
    #[error("That is not a number of sectors")]
    Unaligned,
    /// Guests lose what lies beyond the end.
    #[error("It has {now} bytes already, and must not shrink")]
    Shrinks {
        /// Its size, in bytes.
        now: u64,
    },
    /// It has ended.
    #[error("The device has ended")]
    Gone,
}

/// Why a saved state was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is another kind's, or of a version that this program does not know.
    #[error(
        "A saved state of {kind} version {version} can't be restored into {expected_kind} version {expected_version}"
    )]
    Unknown {
        /// The kind that was found.
        kind: String,
        /// Its version.
        version: u32,
        /// The kind that was wanted.
        expected_kind: &'static str,
        /// The version that was wanted.
        expected_version: u32,
    },
    /// Its members are not those of that version.
    #[error("A saved state of {kind} can't be read")]
    Malformed {
        /// Which kind.
        kind: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Its values can't be those of a device that ran.
    #[error("A saved state of {kind} holds an impossible value: {what}")]
    Impossible {
        /// Which kind.
        kind: &'static str,
        /// Which value.
        what: &'static str,
    },
}

/// A virtio device. Called by the transport's thread, never by a vCPU; every call may block it.
pub trait VirtioDevice: Send {
    /// What it is.
    fn identity(&self) -> Identity;
    /// The largest size of each queue: powers of two, 1 to 32768 entries.
    fn queue_sizes(&self) -> Vec<u16>;
    /// Its configuration; always the same object.
    fn config(&self) -> Arc<dyn DeviceConfig>;
    /// Serves queue `index` from now on, under the negotiated `features`, from `state` if it ran before.
    fn start_queue(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError>;
    /// Stops serving queue `index`: all that was taken from it is finished, the backing store is stable, and no thread
    /// touches guest memory for it any more. Says where it stands; none if it did not run.
    fn stop_queue(&mut self, index: u16) -> Option<QueueState>;
    /// Forgets what the driver told it. Called with all queues stopped.
    fn reset(&mut self);
    /// What it must know to go on elsewhere, beside what the transport and the queues know. Called with all queues
    /// stopped.
    fn save(&self) -> SavedState;
    /// Takes what [`Self::save`] gave. Called before any queue was started.
    fn restore(&mut self, state: &SavedState) -> Result<(), RestoreError>;
}
