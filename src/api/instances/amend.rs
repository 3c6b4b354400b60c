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
    amend_all(call, move |store| {
        let amendment = make(store, &found::instance(store, id)?)?;
        Ok(vec![(id, amendment)])
    })
    .await
}

/// Changes several instances: nothing is begun if one of them can't be changed so.
pub(super) async fn amend_all<F>(call: &Call, make: F) -> Result<(), ApiError>
where
    F: FnOnce(&Connection) -> Result<Vec<(InstanceId, Amendment)>, ApiError> + Send + 'static,
{
    let made = call.world.store.read(move |store| {
        let amendments = make(store)?;
        for (id, amendment) in &amendments {
            amendment.check(&found::instance(store, *id)?)?;
        }
        Ok::<_, ApiError>(amendments)
    });
    let amendments = made.await?;
    call.checked()?;
    for (id, amendment) in amendments {
        call.world.instances.amend(id, amendment).await?;
    }
    Ok(())
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
