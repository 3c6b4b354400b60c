//! How requests name a template and its versions.

use super::{ApiError, Code, found};
use crate::api::shown::shown;
use crate::model::{LaunchTemplate, LaunchTemplateId, LaunchTemplateName, TemplateVersion, VersionChoice};
use crate::store;
use rusqlite::Connection;

/// A template by its id or its name.
pub(super) enum Named {
    Id(LaunchTemplateId),
    Name(LaunchTemplateName),
}

impl Named {
    /// What the members `LaunchTemplateId` and `LaunchTemplateName` say, if they are there.
    ///
    /// # Errors
    /// `InvalidLaunchTemplateId.Malformed`, `InvalidLaunchTemplateName.MalformedException`; `InvalidParameterCombination`
    /// if both are there.
    pub(super) fn read(id: Option<&str>, name: Option<&str>) -> Result<Option<Self>, ApiError> {
        match (id, name) {
            (None, None) => Ok(None),
            (Some(id), None) => found::launch_template_id(id).map(Self::Id).map(Some),
            (None, Some(text)) => Ok(Some(Self::Name(name_of(text)?))),
            (Some(_), Some(_)) => {
                let message = "Name the launch template by LaunchTemplateId or LaunchTemplateName, not by both";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
        }
    }

    /// What those members say, of which one must be there.
    ///
    /// # Errors
    /// As [`Self::read`]; `MissingParameter`.
    pub(super) fn new(id: Option<&str>, name: Option<&str>) -> Result<Self, ApiError> {
        Self::read(id, name)?.ok_or_else(|| {
            let message = "Name the launch template by LaunchTemplateId or LaunchTemplateName";
            ApiError::new(Code::MissingParameter, message)
        })
    }

    /// The template.
    ///
    /// # Errors
    /// `InvalidLaunchTemplateId.NotFound`, `InvalidLaunchTemplateName.NotFoundException`.
    pub(super) fn find(&self, store: &Connection) -> Result<LaunchTemplate, ApiError> {
        match self {
            Self::Id(id) => found::launch_template(store, *id),
            Self::Name(name) => by_name(store, name),
        }
    }
}

/// A template's name.
///
/// # Errors
/// `InvalidLaunchTemplateName.MalformedException`.
pub(super) fn name_of(text: &str) -> Result<LaunchTemplateName, ApiError> {
    let parsed = text.parse::<LaunchTemplateName>();
    parsed.map_err(|error| ApiError::new(Code::InvalidLaunchTemplateNameMalformed, error.to_string()))
}

/// The template of that name.
///
/// # Errors
/// `InvalidLaunchTemplateName.NotFoundException`.
pub(super) fn by_name(store: &Connection, name: &LaunchTemplateName) -> Result<LaunchTemplate, ApiError> {
    store::launch_templates::named(store, name)?.ok_or_else(|| {
        let message = format!("The launch template of the name '{name}' does not exist");
        ApiError::new(Code::InvalidLaunchTemplateNameNotFound, message)
    })
}

/// A version in a request.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn choice(text: &str) -> Result<VersionChoice, ApiError> {
    text.parse().map_err(|error| {
        let shown = shown(text);
        let message = format!("Invalid launch template version '{shown}'. {error}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

/// The number of a version in a request that can't be named otherwise.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn number(text: &str) -> Result<u32, ApiError> {
    match choice(text)? {
        VersionChoice::Number(number) => Ok(number),
        VersionChoice::Latest | VersionChoice::Default => {
            let message = format!("Name the launch template version by its number, not by {text}");
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}

/// A version of a template.
///
/// # Errors
/// `InvalidLaunchTemplateId.VersionNotFound`.
pub(super) fn version(
    store: &Connection,
    template: &LaunchTemplate,
    version: VersionChoice,
) -> Result<TemplateVersion, ApiError> {
    let number = template.number(version);
    store::launch_templates::version(store, template.id, number)?.ok_or_else(|| {
        let message = format!("The launch template '{}' has no version {number}", template.id);
        ApiError::new(Code::InvalidLaunchTemplateIdVersionNotFound, message)
    })
}
