//! Managed prefix lists: blocks under one name, which rules refer to.

mod create;
mod delete;
mod describe;
mod entries;
mod modify;

use super::super::{ApiError, Call, Code, Operation};
use super::{Changed, arn, change, found, listing, tag, texts};
use crate::model::PrefixList;

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateManagedPrefixList", create::create),
        Operation::new("DeleteManagedPrefixList", delete::delete),
        Operation::new("DescribeManagedPrefixLists", describe::describe),
        Operation::new("DescribePrefixLists", describe::services),
        Operation::new("GetManagedPrefixListEntries", entries::get),
        Operation::new("ModifyManagedPrefixList", modify::modify),
    ]
}

/// Refuses a list with more entries than it may have.
fn must_fit(list: &PrefixList) -> Result<(), ApiError> {
    if u32::try_from(list.entries.len()).is_ok_and(|entries| entries <= list.max_entries) {
        return Ok(());
    }
    let message = format!(
        "The prefix list '{}' may have {} entries, and would have {}",
        list.id,
        list.max_entries,
        list.entries.len()
    );
    Err(ApiError::new(Code::PrefixListMaxEntriesExceeded, message))
}
