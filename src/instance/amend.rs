//! Changes of an instance's record that are no change of its state.

use super::Instances;
use super::actor::{Actor, Message};
use crate::model::{Amendment, AmendmentError, InstanceId};
use crate::store::StoreError;
use tokio::sync::oneshot;

/// An amendment and where its answer goes.
#[derive(Debug)]
pub(super) struct Amend {
    amendment: Amendment,
    answer: oneshot::Sender<Result<(), AmendError>>,
}

/// Why an instance was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// There is no such instance.
    #[error("The instance {0} does not exist")]
    NotFound(InstanceId),
    /// It is not in a state in which it can be.
    #[error(transparent)]
    Amendment(#[from] AmendmentError),
    /// The store refused.
    #[error("The instance's record can't be written")]
    Store(#[from] StoreError),
    /// The daemon is ending.
    #[error("The daemon is ending")]
    Closing,
}

impl Instances {
    /// Changes an instance's record; it is durable when this returns. What its machine is made of is so at its next start.
    ///
    /// # Errors
    /// See [`AmendError`]; nothing was changed then.
    pub async fn amend(&self, id: InstanceId, amendment: Amendment) -> Result<(), AmendError> {
        let handle = self.handle(id).ok_or(AmendError::NotFound(id))?;
        let (answer, answered) = oneshot::channel();
        let message = Message::Amend(Amend { amendment, answer });
        handle.mailbox.send(message).await.map_err(|_| AmendError::Closing)?;
        answered.await.map_err(|_| AmendError::Closing)?
    }
}

impl Actor {
    pub(super) async fn amend(&mut self, what: Amend) {
        let done = self.record.amend(what.amendment).await;
        // Whoever asked may have gone; what was done stays done.
        let _ = what.answer.send(done);
    }
}
