//! Tasks of imports and exports, as their operations show and cancel them.

use super::{ApiError, Call, Code};
use crate::model::TaskState;
use crate::tasks::{Jobs, Watch};
use std::fmt::Display;

/// How a task stands right now.
pub(super) struct Standing {
    /// EC2's name of its state; one that was told to end is `deleting`.
    pub(super) status: &'static str,
    /// In percent.
    pub(super) progress: String,
    /// What it is doing, or why it ended.
    pub(super) message: Option<String>,
}

impl Standing {
    /// By what is on record, and, of one that is under way, by what is seen of it.
    pub(super) fn new(state: TaskState, progress: u8, message: Option<&str>, watch: Option<&Watch>) -> Self {
        let active = state == TaskState::Active;
        let watch = watch.filter(|_| active);
        let ending = watch.is_some_and(|watch| watch.why().is_some());
        let progress = watch.map_or(progress, Watch::progress);
        let doing = if progress == 0 { "pending" } else { "converting" };
        Self {
            status: if ending { "deleting" } else { state.name() },
            progress: progress.to_string(),
            message: if active { Some(doing) } else { message }.map(ToOwned::to_owned),
        }
    }
}

/// Tells a task to end, which is in `state` on record.
///
/// # Errors
/// `IncorrectState` if it isn't active, or is about to end; `DryRunOperation`.
pub(super) fn cancel<Id: Ord + Copy + Display>(
    call: &Call,
    jobs: &Jobs<Id>,
    (what, id, state): (&str, Id, TaskState),
    why: String,
) -> Result<(), ApiError> {
    let not_active = |state: &str| {
        let message = format!("The {what} {id} is {state}; only an active one can be cancelled");
        Err(ApiError::new(Code::IncorrectState, message))
    };
    if state != TaskState::Active {
        return not_active(state.name());
    }
    call.checked()?;
    match jobs.cancel(id, why) {
        true => Ok(()),
        false => not_active("about to end"),
    }
}
