//! CreateLaunchTemplate, CreateLaunchTemplateVersion.

use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::data::{self, Data};
use super::named::{Named, choice, name_of, version as find_version};
use super::wire::{WireTemplate, WireVersion};
use super::{ApiError, Call, Changed, Code, change, found, tag};
use crate::model::{LaunchTemplate, LaunchTemplateId, ResourceId, TemplateVersion, VersionChoice};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

const KIND: &str = "launch-template";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateLaunchTemplate {
    launch_template_name: String,
    launch_template_data: Data,
    version_description: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    launch_template: WireTemplate,
}

pub(super) async fn create(call: Call, request: CreateLaunchTemplate) -> Result<Created, ApiError> {
    let token = ClientToken::new(request.client_token, call.digest)?;
    let tags = TagSpecifications::new(request.tag_specifications, &[KIND])?;
    if request.launch_template_data.is_empty() {
        let message = "The request must contain the parameter LaunchTemplateData, with something in it";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let now = OffsetDateTime::now_utc();
    let template = LaunchTemplate {
        id: LaunchTemplateId::from_random(random_bits()),
        name: name_of(&request.launch_template_name)?,
        default_version: 1,
        latest_version: 1,
        last_number: 1,
        created: now,
    };
    let first = TemplateVersion {
        template: template.id,
        number: 1,
        description: request.version_description,
        data: Value::Object(request.launch_template_data).to_string(),
        created: now,
    };
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let template = match made_before(store, token.as_ref())? {
            Some(template) => template,
            None => {
                must_be_free(store, &template)?;
                let asked = token.as_ref().map(|token| (&token.token, token.digest.to_string()));
                let asked = asked.as_ref().map(|(token, digest)| (token.as_str(), digest.as_str()));
                store::launch_templates::add(store, &template, asked)?;
                store::launch_templates::add_version(store, &first, None)?;
                tag(store, ResourceId::LaunchTemplate(template.id), tags.of(KIND))?;
                template
            }
        };
        let launch_template = WireTemplate::read(store, &place, &template)?;
        Ok(Changed::nothing(Created { launch_template }))
    });
    made.await
}

fn must_be_free(store: &Connection, template: &LaunchTemplate) -> Result<(), ApiError> {
    match store::launch_templates::named(store, &template.name)? {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "The launch template '{}' has the name '{}' already",
                other.id, other.name
            );
            Err(ApiError::new(Code::InvalidLaunchTemplateNameAlreadyExists, message))
        }
    }
}

/// The template that the same request made when it came first.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<LaunchTemplate>, ApiError> {
    ClientToken::made_before(token, |token| store::launch_templates::asked_with(store, token))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateLaunchTemplateVersion {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    launch_template_data: Data,
    source_version: Option<String>,
    version_description: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    resolve_alias: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatedVersion {
    launch_template_version: WireVersion,
}

/// A version that is to be made.
struct Wanted {
    source: Option<VersionChoice>,
    description: Option<String>,
    data: Data,
    resolve_alias: bool,
}

pub(super) async fn version(call: Call, request: CreateLaunchTemplateVersion) -> Result<CreatedVersion, ApiError> {
    let token = ClientToken::new(request.client_token, call.digest)?;
    let named = Named::new(
        request.launch_template_id.as_deref(),
        request.launch_template_name.as_deref(),
    )?;
    let wanted = Wanted {
        source: request.source_version.as_deref().map(choice).transpose()?,
        description: request.version_description,
        data: request.launch_template_data,
        resolve_alias: request.resolve_alias,
    };
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let version = match version_made_before(store, token.as_ref())? {
            Some(version) => version,
            None => wanted.make(store, &named.find(store)?, token.as_ref())?,
        };
        let template = found::launch_template(store, version.template)?;
        let data = data::parse(&version)?;
        Ok(Changed::nothing(CreatedVersion {
            launch_template_version: WireVersion::new(&place, &template, version, data),
        }))
    });
    made.await
}

/// The version that the same request made when it came first.
fn version_made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<TemplateVersion>, ApiError> {
    let asked = token.map(|token| store::launch_templates::version_asked_with(store, &token.token));
    match (token, asked.transpose()?.flatten()) {
        (Some(token), Some((version, digest))) => {
            token.same_request(&digest)?;
            Ok(Some(version))
        }
        _ => Ok(None),
    }
}

impl Wanted {
    fn make(
        self,
        store: &Connection,
        template: &LaunchTemplate,
        token: Option<&ClientToken>,
    ) -> Result<TemplateVersion, ApiError> {
        let data = match self.source {
            None => self.data,
            Some(source) => {
                let source = find_version(store, template, source)?;
                data::based_on(data::parse(&source)?, self.data)
            }
        };
        if data.is_empty() {
            let message = "The request must contain the parameter LaunchTemplateData, or the SourceVersion must say \
                           something";
            return Err(ApiError::new(Code::MissingParameter, message));
        }
        data::must_resolve(self.resolve_alias, &data)?;
        let version = TemplateVersion {
            template: template.id,
            number: template.last_number.saturating_add(1),
            description: self.description,
            data: Value::Object(data).to_string(),
            created: OffsetDateTime::now_utc(),
        };
        let digest = token.map(|token| token.digest.to_string());
        let asked = token.map(|token| token.token.as_str()).zip(digest.as_deref());
        store::launch_templates::add_version(store, &version, asked)?;
        Ok(version)
    }
}
