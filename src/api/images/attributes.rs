//! What an image's owner says of it later: DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute, its deprecation
//! and its protection against deregistration.

use super::super::change::{Changed, change};
use super::super::{ApiError, Call, Code, ids};
use super::describe::{Mapping, mappings};
use super::{WireProductCode, image_not_found};
use crate::model::{Image, ImageAttributes, ImageId, LaunchPermission, ResourceId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `AttributeValue`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributeValue {
    value: String,
}

/// `LaunchPermission`, with the members that one host has a use for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WirePermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

impl WirePermission {
    fn parse(self) -> Result<LaunchPermission, ApiError> {
        let invalid = |message: String| Err(ApiError::new(Code::InvalidParameterValue, message));
        match (self.group.as_deref(), self.user_id) {
            (Some("all"), None) => Ok(LaunchPermission::All),
            (Some(other), None) => invalid(format!("The group {} is not all", other.escape_debug())),
            (None, Some(account)) if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(LaunchPermission::Account(account))
            }
            (None, Some(other)) => invalid(format!("{} is no account: it has 12 digits", other.escape_debug())),
            _ => invalid("A permission is for a Group or a UserId".into()),
        }
    }
}

impl From<&LaunchPermission> for WirePermission {
    fn from(permission: &LaunchPermission) -> Self {
        match permission {
            LaunchPermission::All => Self {
                group: Some("all".into()),
                user_id: None,
            },
            LaunchPermission::Account(account) => Self {
                group: None,
                user_id: Some(account.clone()),
            },
        }
    }
}

/// `LaunchPermissionModifications`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Modifications {
    add: Vec<WirePermission>,
    remove: Vec<WirePermission>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyImageAttribute {
    image_id: String,
    /// The attribute's name, where the others do not say it by themselves.
    attribute: Option<String>,
    value: Option<String>,
    description: Option<AttributeValue>,
    launch_permission: Option<Modifications>,
    operation_type: Option<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    user_ids: Vec<String>,
}

/// One change.
enum Change {
    Description(String),
    Permissions {
        add: Vec<LaunchPermission>,
        remove: Vec<LaunchPermission>,
    },
}

impl Change {
    fn new(request: ModifyImageAttribute) -> Result<Self, ApiError> {
        let described = request.description.map(|description| description.value);
        let named = request.attribute.as_deref() == Some("description");
        let described = match described {
            None if named => request.value,
            described => described,
        };
        let groups = request.user_groups.into_iter().map(|group| WirePermission {
            group: Some(group),
            user_id: None,
        });
        let users = request.user_ids.into_iter().map(|user| WirePermission {
            group: None,
            user_id: Some(user),
        });
        let mut permissions = request.launch_permission.unwrap_or_default();
        match request.operation_type.as_deref() {
            Some("remove") => permissions.remove.extend(groups.chain(users)),
            _ => permissions.add.extend(groups.chain(users)),
        }
        let parse = |all: Vec<WirePermission>| {
            all.into_iter()
                .map(WirePermission::parse)
                .collect::<Result<Vec<_>, _>>()
        };
        let (add, remove) = (parse(permissions.add)?, parse(permissions.remove)?);
        match (described, add.is_empty() && remove.is_empty()) {
            (Some(description), true) => Ok(Self::Description(description)),
            (None, false) => Ok(Self::Permissions { add, remove }),
            (Some(_), false) => {
                let message = "Change one attribute at a time";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
            (None, true) => {
                let message = "Name an attribute to change: Description or LaunchPermission";
                Err(ApiError::new(Code::MissingParameter, message))
            }
        }
    }

    fn apply(self, store: &Connection, mut image: Image) -> Result<(), ApiError> {
        match self {
            Self::Description(description) => {
                image.description = Some(description).filter(|text| !text.is_empty());
                store::images::put(store, &image)?;
            }
            Self::Permissions { add, remove } => {
                let permissions = &mut image.attributes.launch_permissions;
                permissions.retain(|one| !remove.contains(one));
                for one in add {
                    if !permissions.contains(&one) {
                        permissions.push(one);
                    }
                }
                store::images::set_attributes(store, image.id, &image.attributes)?;
            }
        }
        Ok(())
    }
}

pub(super) async fn modify(call: Call, request: ModifyImageAttribute) -> Result<(), ApiError> {
    let id = parse(&request.image_id)?;
    let new = Change::new(request)?;
    let done = change(&call, move |store| {
        new.apply(store, found(store, id)?)?;
        Ok(Changed::nothing(()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ResetImageAttribute {
    image_id: String,
    attribute: String,
}

/// Takes all launch permissions away: that is the one attribute that can be reset.
pub(super) async fn reset(call: Call, request: ResetImageAttribute) -> Result<(), ApiError> {
    debug_assert_eq!(request.attribute, "launchPermission");
    set(call, &request.image_id, |attributes| {
        attributes.launch_permissions.clear()
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeImageAttribute {
    image_id: String,
    attribute: String,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedAttribute {
    image_id: String,
    description: Option<AttributeValue>,
    kernel_id: Option<AttributeValue>,
    ramdisk_id: Option<AttributeValue>,
    boot_mode: Option<AttributeValue>,
    deregistration_protection: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_permissions: Option<Vec<WirePermission>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_codes: Option<Vec<WireProductCode>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_device_mappings: Option<Vec<Mapping>>,
}

pub(super) async fn describe(call: Call, request: DescribeImageAttribute) -> Result<DescribedAttribute, ApiError> {
    let id = parse(&request.image_id)?;
    let image = call.world.store.read(move |store| found(store, id)).await?;
    let text = |value: Option<String>| {
        Some(AttributeValue {
            value: value.unwrap_or_default(),
        })
    };
    let mut shown = DescribedAttribute {
        image_id: id.to_string(),
        ..DescribedAttribute::default()
    };
    match request.attribute.as_str() {
        "description" => shown.description = text(image.description),
        "kernel" => shown.kernel_id = text(image.kernel.map(|id| id.to_string())),
        "ramdisk" => shown.ramdisk_id = text(image.ramdisk.map(|id| id.to_string())),
        "bootMode" => shown.boot_mode = text(Some("legacy-bios".into())),
        "deregistrationProtection" => {
            shown.deregistration_protection = text(Some(protection(image.attributes.protected).into()))
        }
        "launchPermission" => {
            let permissions = image.attributes.launch_permissions.iter();
            shown.launch_permissions = Some(permissions.map(Into::into).collect());
        }
        "productCodes" => {
            let codes = image.attributes.product_codes.into_iter();
            shown.product_codes = Some(codes.map(Into::into).collect());
        }
        "blockDeviceMapping" => {
            shown.block_device_mappings = Some(mappings(&image));
        }
        other => {
            let message = format!("The attribute {other} is not served");
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
    }
    Ok(shown)
}

/// What EC2 calls it.
fn protection(is: bool) -> &'static str {
    if is { "enabled-without-cooldown" } else { "disabled" }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct EnableImageDeprecation {
    image_id: String,
    deprecate_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done<T> {
    r#return: T,
}

pub(super) async fn deprecate(call: Call, request: EnableImageDeprecation) -> Result<Done<bool>, ApiError> {
    let at = OffsetDateTime::parse(&request.deprecate_at, &Rfc3339).map_err(|_| {
        let message = "DeprecateAt is a time like 2030-01-01T00:00:00Z";
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    set(call, &request.image_id, move |attributes| {
        attributes.deprecated = Some(at)
    })
    .await?;
    Ok(Done { r#return: true })
}

/// A request that says nothing but the image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OfImage {
    image_id: String,
}

pub(super) async fn undeprecate(call: Call, request: OfImage) -> Result<Done<bool>, ApiError> {
    set(call, &request.image_id, |attributes| attributes.deprecated = None).await?;
    Ok(Done { r#return: true })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct EnableImageDeregistrationProtection {
    image_id: String,
    #[serde(default)]
    with_cooldown: bool,
}

pub(super) async fn protect(
    call: Call,
    request: EnableImageDeregistrationProtection,
) -> Result<Done<&'static str>, ApiError> {
    if request.with_cooldown {
        let message = "A cooldown is not served: protection ends when it is disabled";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    set(call, &request.image_id, |attributes| attributes.protected = true).await?;
    Ok(Done {
        r#return: protection(true),
    })
}

pub(super) async fn unprotect(call: Call, request: OfImage) -> Result<Done<&'static str>, ApiError> {
    set(call, &request.image_id, |attributes| attributes.protected = false).await?;
    Ok(Done {
        r#return: protection(false),
    })
}

fn parse(text: &str) -> Result<ImageId, ApiError> {
    ids::parse(text, Code::InvalidAmiIdMalformed)
}

fn found(store: &Connection, id: ImageId) -> Result<Image, ApiError> {
    store::images::get(store, id)?.ok_or_else(|| image_not_found(ResourceId::Image(id)))
}

/// Changes the attributes of an image.
async fn set(
    call: Call,
    id: &str,
    change_attributes: impl FnOnce(&mut ImageAttributes) + Send + 'static,
) -> Result<(), ApiError> {
    let id = parse(id)?;
    let done = change(&call, move |store| {
        let mut attributes = found(store, id)?.attributes;
        change_attributes(&mut attributes);
        store::images::set_attributes(store, id, &attributes)?;
        Ok(Changed::nothing(()))
    });
    done.await
}
