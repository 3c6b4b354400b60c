//! What a launch finds under the template that it names.

use super::data::{self, Data};
use super::named::{Named, choice, version};
use super::{ApiError, Call};
use crate::model::{LaunchTemplateId, VersionChoice};
use serde::Deserialize;

/// `LaunchTemplateSpecification`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Specification {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    version: Option<String>,
}

/// A version to launch by.
pub struct Launch {
    /// Its template.
    pub template: LaunchTemplateId,
    /// Its number.
    pub version: u32,
    /// What it says.
    pub data: Data,
}

/// The version that a launch names, the default one if it says no more.
///
/// # Errors
/// EC2's for a template or a version that is malformed or unknown.
pub async fn for_launch(call: &Call, named: Specification) -> Result<Launch, ApiError> {
    let template = Named::new(
        named.launch_template_id.as_deref(),
        named.launch_template_name.as_deref(),
    )?;
    let wanted = named.version.as_deref().map(choice).transpose()?;
    let read = call.world.store.read(move |store| {
        let template = template.find(store)?;
        let version = version(store, &template, wanted.unwrap_or(VersionChoice::Default))?;
        Ok(Launch {
            template: template.id,
            version: version.number,
            data: data::parse(&version)?,
        })
    });
    read.await
}
