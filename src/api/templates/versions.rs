//! DescribeLaunchTemplateVersions.

use super::super::filter::{Filter, Filters};
use super::super::paging::Page;
use super::data;
use super::named::{self, Named};
use super::wire::WireVersion;
use super::{ApiError, Call, Code};
use crate::config::Place;
use crate::model::{LaunchTemplate, TemplateVersion, VersionChoice};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::RangeInclusive;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeLaunchTemplateVersions {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    versions: Vec<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    resolve_alias: bool,
    /// Templates that another service made are shown too; there are none.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    launch_template_versions: Vec<WireVersion>,
    next_token: Option<String>,
}

/// The filters that look at a version's data, and where they look.
const IN_DATA: [(&str, &[&str]); 12] = [
    ("ebs-optimized", &["EbsOptimized"]),
    ("host-resource-group-arn", &["Placement", "HostResourceGroupArn"]),
    ("http-endpoint", &["MetadataOptions", "HttpEndpoint"]),
    ("http-protocol-ipv4", &["MetadataOptions", "HttpEndpoint"]),
    ("http-tokens", &["MetadataOptions", "HttpTokens"]),
    ("iam-instance-profile", &["IamInstanceProfile", "Arn"]),
    ("image-id", &["ImageId"]),
    ("instance-type", &["InstanceType"]),
    ("kernel-id", &["KernelId"]),
    (
        "license-configuration-arn",
        &["LicenseSpecifications", "LicenseConfigurationArn"],
    ),
    ("network-card-index", &["NetworkInterfaces", "NetworkCardIndex"]),
    ("ram-disk-id", &["RamDiskId"]),
];

impl WireVersion {
    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "create-time" => vec![self.create_time.clone()],
            "is-default-version" => vec![self.default_version.to_string()],
            _ => {
                let path = IN_DATA.iter().find(|(name, _)| *name == filter);
                let data = Value::Object(self.launch_template_data.clone());
                path.map(|(_, path)| data::texts(&data, path)).unwrap_or_default()
            }
        }
    }
}

/// Which versions are asked for.
enum Wanted {
    /// Those of one template whose numbers are in the range.
    Between(Named, RangeInclusive<u32>),
    /// These of one template.
    These(Named, Vec<VersionChoice>),
    /// These of all templates.
    OfAll(Vec<VersionChoice>),
}

impl Wanted {
    fn new(request: &DescribeLaunchTemplateVersions) -> Result<Self, ApiError> {
        let named = Named::read(
            request.launch_template_id.as_deref(),
            request.launch_template_name.as_deref(),
        )?;
        let versions = request.versions.iter().map(|version| named::choice(version));
        let versions: Vec<VersionChoice> = versions.collect::<Result<_, _>>()?;
        let bound = |text: &Option<String>| text.as_deref().map(named::number).transpose();
        let (min, max) = (bound(&request.min_version)?, bound(&request.max_version)?);
        let ranged = min.is_some() || max.is_some();
        let by_number = |version: &VersionChoice| matches!(version, VersionChoice::Number(_));
        match named {
            _ if ranged && !versions.is_empty() => {
                let message = "Ask for certain Versions or for those from MinVersion to MaxVersion, not for both";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
            Some(named) if versions.is_empty() => Ok(Self::Between(named, min.unwrap_or(1)..=max.unwrap_or(u32::MAX))),
            Some(named) => Ok(Self::These(named, versions)),
            None if versions.is_empty() || versions.iter().any(by_number) => {
                let message = "Name the launch template by LaunchTemplateId or LaunchTemplateName: of all templates only \
                               the Versions $Latest and $Default can be asked for";
                Err(ApiError::new(Code::MissingParameter, message))
            }
            None => Ok(Self::OfAll(versions)),
        }
    }

    /// The versions, each with its template: by template, the latest first.
    fn find(&self, store: &Connection) -> Result<Vec<(LaunchTemplate, TemplateVersion)>, ApiError> {
        let (templates, versions) = match self {
            Self::Between(named, range) => {
                let template = named.find(store)?;
                let mut versions = store::launch_templates::versions(store, template.id)?;
                versions.retain(|version| range.contains(&version.number));
                return Ok(versions.into_iter().map(|one| (template.clone(), one)).collect());
            }
            Self::These(named, versions) => (vec![named.find(store)?], versions),
            Self::OfAll(versions) => (store::launch_templates::list(store)?, versions),
        };
        let mut found = Vec::new();
        for template in templates {
            let chosen = versions
                .iter()
                .map(|version| named::version(store, &template, *version));
            let mut chosen: Vec<TemplateVersion> = chosen.collect::<Result<_, _>>()?;
            chosen.sort_by_key(|version| std::cmp::Reverse(version.number));
            // $Latest and $Default may be one.
            chosen.dedup_by_key(|version| version.number);
            found.extend(chosen.into_iter().map(|one| (template.clone(), one)));
        }
        Ok(found)
    }
}

pub(super) async fn describe(call: Call, request: DescribeLaunchTemplateVersions) -> Result<Described, ApiError> {
    let wanted = Wanted::new(&request)?;
    let names = IN_DATA.iter().map(|(name, _)| *name);
    let names: Vec<&str> = names.chain(["create-time", "is-default-version"]).collect();
    let filters = Filters::new(request.filters, &names, false)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    let page = Page::new(call.digest, token, size, &(1..=200), false)?;
    let (place, resolve) = (call.world.config.place.clone(), request.resolve_alias);
    let read = call
        .world
        .store
        .read(move |store| show(wanted.find(store)?, &place, resolve));
    let passing = read
        .await?
        .into_iter()
        .filter(|version| filters.pass(|name| version.values(name), []));
    let (launch_template_versions, next_token) = page.cut(passing, WireVersion::key);
    Ok(Described {
        launch_template_versions,
        next_token,
    })
}

fn show(
    found: Vec<(LaunchTemplate, TemplateVersion)>,
    place: &Place,
    resolve_alias: bool,
) -> Result<Vec<WireVersion>, ApiError> {
    let shown = found.into_iter().map(|(template, version)| {
        let data = data::parse(&version)?;
        data::must_resolve(resolve_alias, &data)?;
        Ok(WireVersion::new(place, &template, version, data))
    });
    shown.collect()
}
