//! Requests that describe instances, or something of them: the ids, the filters and the page.

use super::super::filter::{Filter, Filters};
use super::super::paging::{MAX_RESULTS, Page};
use super::super::{ApiError, Call};
use super::parse_ids;
use crate::model::InstanceId;
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Asked {
    instance_ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// A request that was understood.
pub(super) struct Wanted {
    pub(super) ids: Vec<InstanceId>,
    pub(super) filters: Filters,
    pub(super) page: Page,
}

impl Asked {
    /// `filters` are the names there are, and `tags` says whether those of tags are among them.
    pub(super) fn parse(self, call: &Call, filters: &'static [&'static str], tags: bool) -> Result<Wanted, ApiError> {
        let filters = Filters::new(self.filters, filters, tags)?;
        let ids = parse_ids(&self.instance_ids)?;
        let (token, size) = (self.next_token.as_deref(), self.max_results);
        let page = Page::new(call.digest, token, size, &MAX_RESULTS, !ids.is_empty())?;
        Ok(Wanted { ids, filters, page })
    }
}
