//! Changes of an instance's record: checked against the store first, so that a dry run says the same, and made by the
//! instance's actor.

use super::super::{ApiError, Call, Code, found};
use super::not_found;
use crate::instance::AmendError;
use crate::model::{Amendment, AmendmentError, Instance, InstanceId};
use rusqlite::Connection;

/// Changes an instance as `make` says, which may look at what is on record.
pub(super) async fn amend<F>(call: &Call, id: InstanceId, make: F) -> Result<(), ApiError>
where
    F: FnOnce(&Connection, &Instance) -> Result<Amendment, ApiError> + Send + 'static,
{
    let made = call.world.store.read(move |store| {
        let instance = found::instance(store, id)?;
        let amendment = make(store, &instance)?;
        amendment.check(&instance)?;
        Ok::<_, ApiError>(amendment)
    });
    let amendment = made.await?;
    call.checked()?;
    let amended = call.world.instances.amend(id, amendment).await;
    amended.map_err(ApiError::from)
}

impl From<AmendmentError> for ApiError {
    fn from(error: AmendmentError) -> Self {
        let code = match error {
            AmendmentError::NotStopped { .. } | AmendmentError::Ended { .. } => Code::IncorrectInstanceState,
            AmendmentError::NoKernel(_) => Code::InvalidParameterCombination,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AmendError> for ApiError {
    fn from(error: AmendError) -> Self {
        match error {
            AmendError::NotFound(id) => not_found(&[id]),
            AmendError::Amendment(error) => error.into(),
            AmendError::Store(error) => error.into(),
            AmendError::Closing => Self::new(Code::Unavailable, error.to_string()),
        }
    }
}
