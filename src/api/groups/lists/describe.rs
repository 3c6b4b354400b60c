//! DescribeManagedPrefixLists, DescribePrefixLists.

use super::super::super::paging::MAX_RESULTS;
use super::super::super::tagging::WireTag;
use super::listing::{self, Asked, Kind, Shown};
use super::{ApiError, Call, Code, arn};
use crate::config::Place;
use crate::model::{PrefixList, PrefixListId, ResourceId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;

/// `ManagedPrefixList`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireList {
    prefix_list_id: String,
    prefix_list_arn: String,
    prefix_list_name: String,
    address_family: &'static str,
    state: &'static str,
    max_entries: u32,
    version: u32,
    owner_id: String,
    tags: Vec<WireTag>,
}

impl WireList {
    /// A list as it is.
    pub(super) fn read(store: &Connection, place: &Place, list: &PrefixList) -> Result<Self, StoreError> {
        let resource = ResourceId::PrefixList(list.id);
        Ok(Self {
            prefix_list_id: list.id.to_string(),
            prefix_list_arn: arn(place, resource),
            prefix_list_name: list.name.clone(),
            address_family: list.family.name(),
            // Changes are done when they are answered.
            state: match list.version {
                1 => "create-complete",
                _ => "modify-complete",
            },
            max_entries: list.max_entries,
            version: list.version,
            owner_id: place.account().into(),
            tags: store::tags::of(store, resource)?.into_iter().map(Into::into).collect(),
        })
    }

    /// The same list when it is no more.
    pub(super) fn deleted(self) -> Self {
        Self {
            state: "delete-complete",
            ..self
        }
    }
}

impl Shown for WireList {
    fn id(&self) -> &str {
        &self.prefix_list_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "prefix-list-id" => self.prefix_list_id.clone(),
            "prefix-list-name" => self.prefix_list_name.clone(),
            _ => self.owner_id.clone(),
        }]
    }
}

const LISTS: Kind = Kind {
    what: "prefix list",
    malformed: Code::InvalidPrefixListIdMalformed,
    not_found: Code::InvalidPrefixListIdNotFound,
    filters: &["owner-id", "prefix-list-id", "prefix-list-name"],
    max_results: 1..=100,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    prefix_lists: Vec<WireList>,
    next_token: Option<String>,
}

pub(super) async fn describe(call: Call, asked: Asked) -> Result<Described, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let lists = store::prefix_lists::list(store)?;
        lists.iter().map(|list| WireList::read(store, &place, list)).collect()
    };
    let (prefix_lists, next_token) = listing::list::<PrefixListId, _, _>(&call, asked, &LISTS, read).await?;
    Ok(Described {
        prefix_lists,
        next_token,
    })
}

/// A service of Amazon's that is reached by addresses on a prefix list; there are none here.
#[derive(Serialize)]
pub(super) enum Service {}

impl Shown for Service {
    fn id(&self) -> &str {
        match *self {}
    }

    fn tags(&self) -> &[WireTag] {
        match *self {}
    }

    fn values(&self, _: &str) -> Vec<String> {
        match *self {}
    }
}

const SERVICES: Kind = Kind {
    filters: &["prefix-list-id", "prefix-list-name"],
    max_results: MAX_RESULTS,
    ..LISTS
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Services {
    prefix_lists: Vec<Service>,
    next_token: Option<String>,
}

pub(super) async fn services(call: Call, asked: Asked) -> Result<Services, ApiError> {
    let none = |_: &Connection| Ok(Vec::new());
    let (prefix_lists, next_token) = listing::list::<PrefixListId, _, _>(&call, asked, &SERVICES, none).await?;
    Ok(Services {
        prefix_lists,
        next_token,
    })
}
