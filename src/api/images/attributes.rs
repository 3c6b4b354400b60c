//! What an image's owner says of it later: DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute, its deprecation,
//! its protection against deregistration, and whether it may be launched at all.

use super::super::change::{Changed, change};
use super::super::permissions::{Modifications, Permissions, WirePermission};
use super::super::{ApiError, Call, Code, ids};
use super::describe::{Mapping, mappings};
use super::{WireProductCode, image_not_found};
use crate::model::{Image, ImageAttributes, ImageId, ImageState, ResourceId};
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
    Permissions(Permissions),
}

impl Change {
    fn new(request: ModifyImageAttribute) -> Result<Self, ApiError> {
        let described = request.description.map(|description| description.value);
        let named = request.attribute.as_deref() == Some("description");
        let described = match described {
            None if named => request.value,
            described => described,
        };
        let modifications = request.launch_permission.unwrap_or_default();
        let listed = (request.user_groups, request.user_ids);
        let permissions = Permissions::new(modifications, request.operation_type.as_deref(), listed)?;
        match (described, permissions.is_empty()) {
            (Some(description), true) => Ok(Self::Description(description)),
            (None, false) => Ok(Self::Permissions(permissions)),
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
            Self::Permissions(permissions) => {
                if image.state == ImageState::Disabled && permissions.adds() {
                    let message = format!("The image '{}' is disabled: it can't be shared", image.id);
                    return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
                }
                permissions.apply(&mut image.attributes.launch_permissions);
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

/// The time that a request names, to the minute, as EC2 has it.
fn deprecation(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, ApiError> {
    /// How far ahead it may be.
    const LATEST: time::Duration = time::Duration::days(3653);
    let invalid = |message: &str| ApiError::new(Code::InvalidParameterValue, message);
    let at = OffsetDateTime::parse(text, &Rfc3339);
    let at = at.map_err(|_| invalid("DeprecateAt is a time like 2030-01-01T00:00:00Z"))?;
    if at < now || at > now + LATEST {
        return Err(invalid(
            "DeprecateAt must be a time to come, at most ten years from now",
        ));
    }
    let nearest = at.to_offset(time::UtcOffset::UTC) + time::Duration::seconds(30);
    nearest
        .replace_second(0)
        .and_then(|minute| minute.replace_nanosecond(0))
        .map_err(|error| ApiError::internal(&error))
}

pub(super) async fn deprecate(call: Call, request: EnableImageDeprecation) -> Result<Done<bool>, ApiError> {
    let at = deprecation(&request.deprecate_at, OffsetDateTime::now_utc())?;
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

/// DisableImage: it can't be launched any more, and is shared with nobody.
pub(super) async fn disable(call: Call, request: OfImage) -> Result<Done<bool>, ApiError> {
    enter(call, &request.image_id, ImageState::Disabled).await
}

/// EnableImage. Who had access before has it no more.
pub(super) async fn enable(call: Call, request: OfImage) -> Result<Done<bool>, ApiError> {
    enter(call, &request.image_id, ImageState::Available).await
}

/// Makes an available image a disabled one, or the other way round.
async fn enter(call: Call, id: &str, state: ImageState) -> Result<Done<bool>, ApiError> {
    let id = parse(id)?;
    let done = change(&call, move |store| {
        let mut image = found(store, id)?;
        if !matches!(image.state, ImageState::Available | ImageState::Disabled) {
            let message = format!("The image '{id}' is {}", image.state.name());
            return Err(ApiError::new(Code::InvalidAmiIdUnavailable, message));
        }
        image.state = state;
        store::images::put(store, &image)?;
        if state == ImageState::Disabled {
            image.attributes.launch_permissions.clear();
            store::images::set_attributes(store, id, &image.attributes)?;
        }
        Ok(Changed::nothing(Done { r#return: true }))
    });
    done.await
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
