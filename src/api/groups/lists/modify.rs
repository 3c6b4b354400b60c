//! ModifyManagedPrefixList.

use super::create::{max_entries, name};
use super::describe::WireList;
use super::entries::{AddedEntry, block, parse};
use super::{ApiError, Call, Changed, Code, change, found, must_fit};
use crate::model::PrefixList;
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyManagedPrefixList {
    prefix_list_id: String,
    current_version: Option<i64>,
    prefix_list_name: Option<String>,
    max_entries: Option<i64>,
    #[serde(default)]
    add_entries: Vec<AddedEntry>,
    #[serde(default)]
    remove_entries: Vec<RemovedEntry>,
}

/// `RemovePrefixListEntry`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RemovedEntry {
    cidr: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Modified {
    prefix_list: WireList,
}

/// Modifies a list. Other entries make a new version of it; a name or a size do not.
pub(super) async fn modify(call: Call, request: ModifyManagedPrefixList) -> Result<Modified, ApiError> {
    let id = found::prefix_list_id(&request.prefix_list_id)?;
    let new_name = request.prefix_list_name.map(name).transpose()?;
    let new_size = request.max_entries.map(max_entries).transpose()?;
    let new_entries = !request.add_entries.is_empty() || !request.remove_entries.is_empty();
    if new_entries && new_size.is_some() {
        let message = "You cannot modify the entries and the maximum number of entries in the same request";
        return Err(ApiError::new(Code::InvalidParameterCombination, message));
    }
    if !new_entries && new_size.is_none() && new_name.is_none() {
        let message = "The request must modify the entries, the maximum number of entries or the name";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let (current, added, removed) = (request.current_version, request.add_entries, request.remove_entries);
    let place = call.world.config.place.clone();
    let done = change(&call, move |store| {
        let mut list = found::prefix_list(store, id)?;
        if current.is_some_and(|current| current != i64::from(list.version)) {
            let message = "The prefix list has the incorrect version number";
            return Err(ApiError::new(Code::PrefixListVersionMismatch, message));
        }
        list.name = new_name.unwrap_or(list.name);
        list.max_entries = new_size.unwrap_or(list.max_entries);
        if new_entries {
            // The removed ones first, so that one request can give an entry another description.
            removed.into_iter().try_for_each(|entry| remove(&mut list, &entry))?;
            added.into_iter().try_for_each(|entry| add(&mut list, entry))?;
            list.version += 1;
        }
        must_fit(&list)?;
        store::prefix_lists::update(store, &list)?;
        let prefix_list = WireList::read(store, &place, &list)?;
        let answer = Modified { prefix_list };
        if !new_entries {
            return Ok(Changed::nothing(answer));
        }
        let mut vpcs: Vec<_> = store::prefix_lists::users(store, id)?
            .into_iter()
            .map(|(_, vpc)| vpc)
            .collect();
        vpcs.sort_unstable();
        vpcs.dedup();
        Ok(Changed::vpcs(vpcs, answer))
    });
    done.await
}

fn remove(list: &mut PrefixList, entry: &RemovedEntry) -> Result<(), ApiError> {
    let block = block(&entry.cidr, list.family)?;
    let place = list.entries.iter().position(|one| one.block == block).ok_or_else(|| {
        let message = format!("The CIDR {block} cannot be removed, for the entry does not exist.");
        ApiError::new(Code::InvalidPrefixListModification, message)
    })?;
    list.entries.remove(place);
    Ok(())
}

fn add(list: &mut PrefixList, entry: AddedEntry) -> Result<(), ApiError> {
    let entry = parse(entry, list.family)?;
    if list.entries.iter().any(|one| one.block == entry.block) {
        let message = format!(
            "The CIDR {} cannot be added, for the entry already exists.",
            entry.block
        );
        return Err(ApiError::new(Code::InvalidPrefixListModification, message));
    }
    list.entries.push(entry);
    Ok(())
}
