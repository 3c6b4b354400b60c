//! CreateManagedPrefixList.

use super::super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::super::token::ClientToken;
use super::describe::WireList;
use super::entries::{AddedEntry, parse};
use super::{ApiError, Call, Changed, Code, change, must_fit, tag};
use crate::model::{AddressFamily, MAX_LIST_ENTRIES, PrefixList, PrefixListId, ResourceId};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// The longest name, in characters.
const MAX_NAME: usize = 255;
/// What the names of Amazon's own lists begin with.
const RESERVED: &str = "com.amazonaws";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateManagedPrefixList {
    prefix_list_name: String,
    address_family: String,
    max_entries: i64,
    #[serde(default)]
    entries: Vec<AddedEntry>,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    prefix_list: WireList,
}

pub(super) async fn create(call: Call, request: CreateManagedPrefixList) -> Result<Created, ApiError> {
    let token = ClientToken::new(request.client_token, call.digest)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["prefix-list"])?;
    let family = AddressFamily::from_name(&request.address_family).ok_or_else(|| {
        let message = "The parameter AddressFamily must be IPv4 or IPv6";
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    let entries = request.entries.into_iter().map(|entry| parse(entry, family));
    let list = PrefixList {
        id: PrefixListId::from_random(random_bits()),
        name: name(request.prefix_list_name)?,
        family,
        max_entries: max_entries(request.max_entries)?,
        version: 1,
        entries: entries.collect::<Result<_, _>>()?,
        created: OffsetDateTime::now_utc(),
    };
    must_fit(&list)?;
    let mut blocks = BTreeSet::new();
    if let Some(twice) = list.entries.iter().find(|entry| !blocks.insert(entry.block)) {
        let message = format!("The entry {} is there twice", twice.block);
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let list = match made_before(store, token.as_ref())? {
            Some(list) => list,
            None => {
                let digest = token.as_ref().map(|token| token.digest.to_string()).unwrap_or_default();
                let request = token.as_ref().map(|token| (token.token.as_str(), digest.as_str()));
                store::prefix_lists::add(store, &list, request)?;
                tag(store, ResourceId::PrefixList(list.id), tags.of("prefix-list"))?;
                list
            }
        };
        let prefix_list = WireList::read(store, &place, &list)?;
        // No rule names it yet.
        Ok(Changed::nothing(Created { prefix_list }))
    });
    made.await
}

/// The list that the same request made when it came first.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<PrefixList>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let Some((id, digest)) = store::prefix_lists::asked_with(store, &token.token)? else {
        return Ok(None);
    };
    token.same_request(&digest)?;
    Ok(store::prefix_lists::get(store, id)?)
}

/// A list's name.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn name(name: String) -> Result<String, ApiError> {
    if (1..=MAX_NAME).contains(&name.chars().count()) && !name.starts_with(RESERVED) {
        return Ok(name);
    }
    let message =
        format!("The parameter PrefixListName must have 1 to {MAX_NAME} characters, and not begin with {RESERVED}");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

/// How many entries a list may have.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn max_entries(number: i64) -> Result<u32, ApiError> {
    let parsed = u32::try_from(number)
        .ok()
        .filter(|parsed| (1..=MAX_LIST_ENTRIES).contains(parsed));
    parsed.ok_or_else(|| {
        let message =
            format!("Value ({number}) for parameter MaxEntries is invalid. Expecting 1 to {MAX_LIST_ENTRIES}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
