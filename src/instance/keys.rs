//! Public keys that a running guest is told for a minute, as EC2 Instance Connect sends them. The monitor keeps them and
//! forgets them by itself, so they are on no record.

use super::Instances;
use crate::machine::ControlError;
use crate::model::{InstanceId, InstanceState, OsUser};
use kiln_vmm::protocol::{ActiveKey, Failure, FailureKind, Request};

/// Why a key could not be sent to an instance.
#[derive(Debug, thiserror::Error)]
pub enum SendKeyError {
    /// There is no such instance.
    #[error("The instance '{0}' does not exist")]
    NotFound(InstanceId),
    /// Its guest does not run.
    #[error("The instance '{0}' is not running: start it first")]
    NotRunning(InstanceId),
    /// It was sent as many as it may have at one time.
    #[error("The instance '{instance}' can't be told another key before one that it has is over")]
    Full {
        /// The instance.
        instance: InstanceId,
        /// What the monitor says.
        source: Failure,
    },
    /// The monitor did not take it.
    #[error(
        "The monitor of '{instance}' can't be told a key; one of an older kiln can't until the instance was stopped and started"
    )]
    Control {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
}

impl Instances {
    /// Has the guest of a running instance find `key`, a line of `authorized_keys`, among those of its user `user`, for
    /// [`ActiveKey::LIFE`] from now on.
    ///
    /// # Errors
    /// See [`SendKeyError`].
    pub async fn send_key(&self, id: InstanceId, user: &OsUser, key: String) -> Result<(), SendKeyError> {
        let handle = self.handle(id).ok_or(SendKeyError::NotFound(id))?;
        let machine = {
            let view = handle.view.borrow();
            let running = view.state == InstanceState::Running;
            view.machine.clone().filter(|_| running)
        };
        let machine = machine.ok_or(SendKeyError::NotRunning(id))?;
        let user = user.to_string();
        match machine.request(&Request::SendKey(ActiveKey { user, key })).await {
            Ok(_) => Ok(()),
            Err(ControlError::Refused(source)) if source.kind == FailureKind::Full => {
                Err(SendKeyError::Full { instance: id, source })
            }
            Err(source) => Err(SendKeyError::Control { instance: id, source }),
        }
    }
}
