//! What happens to instances, told to whoever listens (`GET /events`).

use crate::model::{InstanceId, InstanceState, ReplaceRootVolumeTaskId, ReplaceRootVolumeTaskState, Stage};
use time::OffsetDateTime;
use tokio::sync::broadcast;

/// How many events a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEvent {
    /// When.
    pub at: OffsetDateTime,
    /// To which.
    pub instance: InstanceId,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Its state changed; told after the change was durable.
    State {
        /// The state before; none for a new instance.
        previous: Option<InstanceState>,
        /// The state now.
        state: InstanceState,
        /// Why, as `StateReason.Message`.
        reason: Option<String>,
    },
    /// Its start reached a step.
    Reached(Stage),
    /// A user asked for a reboot.
    Rebooting,
    /// The machine was reset, by its guest or a reboot, and boots again.
    Reset,
    /// A task that replaces its root volume has come to another state.
    RootVolume {
        /// The task.
        task: ReplaceRootVolumeTaskId,
        /// Its state now.
        state: ReplaceRootVolumeTaskState,
        /// Why it failed.
        reason: Option<String>,
    },
    /// A device found its driver broken.
    DeviceNeedsReset {
        /// The device.
        device: String,
        /// What the driver did.
        reason: String,
    },
}

/// Where events are told.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<InstanceEvent>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl Events {
    /// Tells all listeners.
    pub fn tell(&self, instance: InstanceId, what: Happened) {
        // Without listeners nobody is told.
        let _ = self.sender.send(InstanceEvent {
            at: OffsetDateTime::now_utc(),
            instance,
            what,
        });
    }

    /// Listens from now on. A listener that lags too far behind is told how many events it missed.
    pub fn listen(&self) -> broadcast::Receiver<InstanceEvent> {
        self.sender.subscribe()
    }
}
