//! What the Describe operations of networks and exports do: look at ids, filters and the page, and cut the list.

use super::filter::{Filter, Filters};
use super::paging::Page;
use super::tagging::WireTag;
use super::{ApiError, Call, Code, ids};
use crate::store::StoreError;
use rusqlite::Connection;
use serde::Deserialize;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A Describe request. All have these members, and name their ids each in its own way; the check against EC2's model
/// has seen to it that it is the way of this operation.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Asked {
    #[serde(
        alias = "VpcIds",
        alias = "ExportImageTaskIds",
        alias = "SecurityGroupRuleIds",
        alias = "PrefixListIds",
        alias = "SubnetIds",
        alias = "InternetGatewayIds",
        alias = "RouteTableIds",
        alias = "DhcpOptionsIds",
        alias = "NetworkAclIds",
        alias = "NetworkInterfaceIds",
        alias = "ReplaceRootVolumeTaskIds"
    )]
    ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    /// Network interfaces that another service made are shown too; there are none.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: bool,
}

impl Asked {
    /// What a request of another shape asks for.
    pub(super) const fn new(
        ids: Vec<String>,
        filters: Vec<Filter>,
        max_results: Option<i64>,
        next_token: Option<String>,
    ) -> Self {
        Self {
            ids,
            filters,
            max_results,
            next_token,
            _include_managed_resources: false,
        }
    }
}

/// What is to know about one kind of object.
pub(super) struct Kind {
    /// What a message calls it.
    pub(super) what: &'static str,
    /// For an id that is none.
    pub(super) malformed: Code,
    /// For an id that nothing has.
    pub(super) not_found: Code,
    /// The names of the filters beside those of tags.
    pub(super) filters: &'static [&'static str],
    /// What `MaxResults` may be.
    pub(super) max_results: RangeInclusive<i64>,
}

/// An object as its Describe operation shows it.
pub(super) trait Shown {
    /// Its identifier.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &[WireTag];
    /// What it has under a filter's name: none, one or several values.
    fn values(&self, filter: &str) -> Vec<String>;
}

/// The objects that a request wants, of all that `read` gives by id, and the token of the next page.
///
/// # Errors
/// As [`Filters::new`] and [`Page::new`]; the kind's own for an id that is malformed or unknown.
pub(super) async fn list<Id, T, F>(
    call: &Call,
    asked: Asked,
    kind: &Kind,
    read: F,
) -> Result<(Vec<T>, Option<String>), ApiError>
where
    Id: FromStr + Display,
    T: Shown + Send + 'static,
    F: FnOnce(&Connection) -> Result<Vec<T>, StoreError> + Send + 'static,
{
    let filters = Filters::new(asked.filters, kind.filters, true)?;
    let wanted: Vec<Id> = ids::parse_all(&asked.ids, kind.malformed)?;
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let (token, size) = (asked.next_token.as_deref(), asked.max_results);
    let page = Page::new(call.digest, token, size, &kind.max_results, !wanted.is_empty())?;
    let mut all = call.world.store.read(read).await?;
    if !wanted.is_empty() {
        all.retain(|one| wanted.iter().any(|id| id == one.id()));
        let missing = |id: &&String| !all.iter().any(|one| one.id() == id.as_str());
        let missing: Vec<&String> = wanted.iter().filter(missing).collect();
        if !missing.is_empty() {
            return Err(ids::not_found(kind.not_found, kind.what, &missing));
        }
    }
    let passing = all.into_iter().filter(|one| {
        let tags = one.tags().iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        filters.pass(|name| one.values(name), tags)
    });
    Ok(page.cut(passing, |one| one.id().to_owned()))
}
