//! A template and a version as EC2 writes them.

use super::super::instant::instant;
use super::super::tagging::WireTag;
use super::data::Data;
use crate::config::Place;
use crate::model::{LaunchTemplate, ResourceId, TemplateVersion};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;

/// `LaunchTemplate`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireTemplate {
    pub(super) launch_template_id: String,
    pub(super) launch_template_name: String,
    pub(super) create_time: String,
    created_by: String,
    default_version_number: u32,
    latest_version_number: u32,
    pub(super) tags: Vec<WireTag>,
}

impl WireTemplate {
    pub(super) fn read(store: &Connection, place: &Place, template: &LaunchTemplate) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::LaunchTemplate(template.id))?;
        Ok(Self {
            launch_template_id: template.id.to_string(),
            launch_template_name: template.name.to_string(),
            create_time: instant(template.created),
            created_by: root(place),
            default_version_number: template.default_version,
            latest_version_number: template.latest_version,
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

/// `LaunchTemplateVersion`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireVersion {
    launch_template_id: String,
    launch_template_name: String,
    version_number: u32,
    version_description: Option<String>,
    pub(super) create_time: String,
    created_by: String,
    pub(super) default_version: bool,
    pub(super) launch_template_data: Data,
}

impl WireVersion {
    pub(super) fn new(place: &Place, template: &LaunchTemplate, version: TemplateVersion, data: Data) -> Self {
        Self {
            launch_template_id: template.id.to_string(),
            launch_template_name: template.name.to_string(),
            version_number: version.number,
            version_description: version.description,
            create_time: instant(version.created),
            created_by: root(place),
            default_version: version.number == template.default_version,
            launch_template_data: data,
        }
    }

    /// What it has its place by: the latest version of a template comes first.
    pub(super) fn key(&self) -> String {
        format!("{} {:010}", self.launch_template_id, u32::MAX - self.version_number)
    }
}

/// The account itself, which is the only one that makes anything here.
fn root(place: &Place) -> String {
    format!("arn:aws:iam::{}:root", place.account())
}
