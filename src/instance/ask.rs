//! What is asked of instances and answered: whether it is to be done, what it did, why it was not done.

use super::policy::{Ask, Verdict, decide, forbidden};
use super::record::ReserveError;
use crate::model::{InstanceId, InstanceState, Protection};
use crate::store::StoreError;

/// What a request did to an instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// The instance.
    pub instance: InstanceId,
    /// Before.
    pub previous: InstanceState,
    /// Now.
    pub current: InstanceState,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such instance.
    #[error("The instance {0} does not exist")]
    NotFound(InstanceId),
    /// Its state does not allow it.
    #[error("The instance '{instance}' is not in a state from which it can be {}", ask.participle())]
    WrongState {
        /// The instance.
        instance: InstanceId,
        /// What was asked.
        ask: Ask,
    },
    /// It is protected from that.
    #[error(
        "The instance '{instance}' may not be {}. Modify its '{attribute}' instance attribute and try again.",
        ask.participle()
    )]
    Protected {
        /// The instance.
        instance: InstanceId,
        /// What was asked.
        ask: Ask,
        /// The attribute that protects it.
        attribute: &'static str,
    },
    /// It can't be made pending.
    #[error("The instance {instance} can't be started")]
    Reserve {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ReserveError,
    },
    /// Its record could not be written.
    #[error("The record of {instance} can't be written")]
    Record {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: StoreError,
    },
    /// The daemon is ending.
    #[error("The daemon is ending")]
    Closing,
}

/// Whether anything is to be done about a request to an instance in this state.
///
/// # Errors
/// [`AskError::WrongState`], [`AskError::Protected`].
pub fn judge(
    instance: InstanceId,
    (state, rebooting): (InstanceState, bool),
    protection: Protection,
    ask: Ask,
) -> Result<bool, AskError> {
    match decide(state, rebooting, ask) {
        Verdict::Nothing => Ok(false),
        Verdict::Refuse => Err(AskError::WrongState { instance, ask }),
        Verdict::Act => match forbidden(protection, ask) {
            Some(attribute) => Err(AskError::Protected {
                instance,
                ask,
                attribute,
            }),
            None => Ok(true),
        },
    }
}
