//! DeleteLaunchTemplate, DeleteLaunchTemplateVersions.

use super::named::{Named, number};
use super::wire::WireTemplate;
use super::{ApiError, Call, Changed, Code, change};
use crate::model::{LaunchTemplate, ResourceId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The most versions that a request may delete, as EC2 has it.
const MAX_VERSIONS: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteLaunchTemplate {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deleted {
    launch_template: WireTemplate,
}

pub(super) async fn delete(call: Call, request: DeleteLaunchTemplate) -> Result<Deleted, ApiError> {
    let named = Named::new(
        request.launch_template_id.as_deref(),
        request.launch_template_name.as_deref(),
    )?;
    let place = call.world.config.place.clone();
    let done = change(&call, move |store| {
        let template = named.find(store)?;
        let launch_template = WireTemplate::read(store, &place, &template)?;
        store::tags::remove_all(store, ResourceId::LaunchTemplate(template.id))?;
        store::launch_templates::remove(store, template.id)?;
        Ok(Changed::nothing(Deleted { launch_template }))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteLaunchTemplateVersions {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    versions: Vec<String>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeletedVersions {
    successfully_deleted_launch_template_versions: Vec<Outcome>,
    unsuccessfully_deleted_launch_template_versions: Vec<Outcome>,
}

/// What became of a version.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    launch_template_id: String,
    launch_template_name: String,
    version_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_error: Option<ResponseError>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseError {
    code: &'static str,
    message: String,
}

pub(super) async fn versions(call: Call, request: DeleteLaunchTemplateVersions) -> Result<DeletedVersions, ApiError> {
    let named = Named::new(
        request.launch_template_id.as_deref(),
        request.launch_template_name.as_deref(),
    )?;
    if !(1..=MAX_VERSIONS).contains(&request.versions.len()) {
        let message = format!("The parameter Versions names 1 to {MAX_VERSIONS} versions");
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    let numbers = request.versions.iter().map(|version| number(version));
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
    let done = change(&call, move |store| {
        let template = named.find(store)?;
        let mut answer = DeletedVersions::default();
        for number in numbers {
            let response_error = remove(store, &template, number)?;
            let list = match response_error {
                None => &mut answer.successfully_deleted_launch_template_versions,
                Some(_) => &mut answer.unsuccessfully_deleted_launch_template_versions,
            };
            list.push(Outcome {
                launch_template_id: template.id.to_string(),
                launch_template_name: template.name.to_string(),
                version_number: number,
                response_error,
            });
        }
        Ok(Changed::nothing(answer))
    });
    done.await
}

/// Removes one version, or says why not.
fn remove(store: &Connection, template: &LaunchTemplate, number: u32) -> Result<Option<ResponseError>, StoreError> {
    // EC2 has no code of its own for this one.
    if number == template.default_version {
        return Ok(Some(ResponseError {
            code: "unexpectedError",
            message: format!("Version {number} is the default version, which can't be deleted"),
        }));
    }
    let removed = store::launch_templates::remove_version(store, template.id, number)?;
    Ok((!removed).then(|| ResponseError {
        code: "launchTemplateVersionDoesNotExist",
        message: format!("The launch template '{}' has no version {number}", template.id),
    }))
}
