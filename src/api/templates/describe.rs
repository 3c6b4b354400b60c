//! DescribeLaunchTemplates.

use super::super::filter::Filter;
use super::super::listing::{self, Asked, Kind, Shown};
use super::super::tagging::WireTag;
use super::named::{by_name, name_of};
use super::wire::WireTemplate;
use super::{ApiError, Call, Code};
use crate::model::{LaunchTemplateId, LaunchTemplateName};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeLaunchTemplates {
    launch_template_ids: Vec<String>,
    launch_template_names: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    /// Templates that another service made are shown too; there are none.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    launch_templates: Vec<WireTemplate>,
    next_token: Option<String>,
}

impl Shown for WireTemplate {
    fn id(&self) -> &str {
        &self.launch_template_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "create-time" => self.create_time.clone(),
            _ => self.launch_template_name.clone(),
        }]
    }
}

const TEMPLATES: Kind = Kind {
    what: "launch template",
    malformed: Code::InvalidLaunchTemplateIdMalformed,
    not_found: Code::InvalidLaunchTemplateIdNotFound,
    filters: &["create-time", "launch-template-name"],
    max_results: 1..=200,
};

pub(super) async fn describe(call: Call, request: DescribeLaunchTemplates) -> Result<Described, ApiError> {
    let names = request.launch_template_names.iter().map(|name| name_of(name));
    let names: Vec<LaunchTemplateName> = names.collect::<Result<_, _>>()?;
    let named = call.world.store.read(move |store| {
        let ids = names.iter().map(|name| Ok(by_name(store, name)?.id.to_string()));
        ids.collect::<Result<Vec<String>, ApiError>>()
    });
    let ids = [request.launch_template_ids, named.await?].concat();
    let asked = Asked::new(ids, request.filters, request.max_results, request.next_token);
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let templates = store::launch_templates::list(store)?;
        let shown = templates.iter().map(|one| WireTemplate::read(store, &place, one));
        shown.collect()
    };
    let (launch_templates, next_token) =
        listing::list::<LaunchTemplateId, _, _>(&call, asked, &TEMPLATES, read).await?;
    Ok(Described {
        launch_templates,
        next_token,
    })
}
