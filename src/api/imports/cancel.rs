//! CancelImportTask.

use super::super::{ApiError, Call, Code, ids, tasks};
use crate::model::{ImportTaskId, TaskState};
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CancelImportTask {
    import_task_id: Option<String>,
    cancel_reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancelled {
    import_task_id: String,
    previous_state: &'static str,
    state: &'static str,
}

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 255;

pub(super) async fn cancel(call: Call, request: CancelImportTask) -> Result<Cancelled, ApiError> {
    let Some(id) = request.import_task_id else {
        let message = "The request must contain the parameter ImportTaskId";
        return Err(ApiError::new(Code::MissingParameter, message));
    };
    let id: ImportTaskId = ids::parse(&id, Code::InvalidConversionTaskIdMalformed)?;
    let task = call
        .world
        .store
        .read(move |store| store::imports::get(store, id))
        .await?;
    let task = task.ok_or_else(|| ids::not_found(Code::InvalidConversionTaskId, "import task", &[id]))?;
    let reason = request.cancel_reason.unwrap_or_default();
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
    let why = match reason.as_str() {
        "" => "Cancelled by a user".to_owned(),
        reason => format!("Cancelled by a user: {reason}"),
    };
    tasks::cancel(&call, &call.world.imports.jobs, ("import task", id, task.state), why)?;
    Ok(Cancelled {
        import_task_id: id.to_string(),
        previous_state: TaskState::Active.name(),
        state: "deleting",
    })
}
