//! The entries of lists in requests, and GetManagedPrefixListEntries.

use super::super::super::paging::Page;
use super::{ApiError, Call, Code, found, texts};
use crate::api::shown::shown;
use crate::model::{AddressFamily, PrefixListEntry};
use crate::store;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `AddPrefixListEntry`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AddedEntry {
    cidr: String,
    description: Option<String>,
}

/// An entry of a request for a list of that family.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn parse(entry: AddedEntry, family: AddressFamily) -> Result<PrefixListEntry, ApiError> {
    Ok(PrefixListEntry {
        block: block(&entry.cidr, family)?,
        description: texts::description(entry.description)?,
    })
}

/// A block of that family, without its host bits.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn block(text: &str, family: AddressFamily) -> Result<IpNet, ApiError> {
    let parsed: Option<IpNet> = text.parse().ok();
    let block = parsed.filter(|block| AddressFamily::of(*block) == family);
    block.map(|block| block.trunc()).ok_or_else(|| {
        let shown = shown(text);
        let message = format!("The CIDR ({shown}) is invalid: it must be a block of {}", family.name());
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetEntries {
    prefix_list_id: String,
    target_version: Option<i64>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entries {
    entries: Vec<WireEntry>,
    next_token: Option<String>,
}

/// `PrefixListEntry`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireEntry {
    cidr: String,
    description: Option<String>,
}

pub(super) async fn get(call: Call, request: GetEntries) -> Result<Entries, ApiError> {
    let id = found::prefix_list_id(&request.prefix_list_id)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &(1..=100), false)?;
    let asked = request.target_version;
    let entries = call.world.store.read(move |store| {
        let list = found::prefix_list(store, id)?;
        let version = asked.map(|asked| version(asked, list.version)).transpose()?;
        Ok::<_, ApiError>(store::prefix_lists::entries(store, id, version)?)
    });
    let entries = entries.await?.into_iter().map(|entry| WireEntry {
        cidr: entry.block.to_string(),
        description: entry.description,
    });
    let (entries, next_token) = page.cut(entries, |entry| entry.cidr.clone());
    Ok(Entries { entries, next_token })
}

/// A version that a list has or had.
fn version(asked: i64, current: u32) -> Result<u32, ApiError> {
    let version = u32::try_from(asked)
        .ok()
        .filter(|version| (1..=current).contains(version));
    version.ok_or_else(|| {
        let message = format!("The prefix list has no version {asked}: its versions are 1 to {current}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
