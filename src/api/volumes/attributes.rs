//! DescribeVolumeAttribute, ModifyVolumeAttribute, GetEbsEncryptionByDefault.

use super::super::change::{Changed, change};
use super::super::{ApiError, Call, Code};
use super::found;
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeVolumeAttribute {
    volume_id: String,
    attribute: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedAttribute {
    volume_id: String,
    #[serde(rename = "AutoEnableIO")]
    auto_enable_io: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_codes: Option<[(); 0]>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributeBooleanValue {
    value: Option<bool>,
}

/// Nothing here stops I/O that would have to be enabled again, so what is shown is what was asked for. No volume is sold.
pub(super) async fn describe(call: Call, request: DescribeVolumeAttribute) -> Result<DescribedAttribute, ApiError> {
    let id = found::volume_id(&request.volume_id)?;
    let value = call.world.store.read(move |store| {
        found::volume(store, id)?;
        Ok::<_, ApiError>(store::volumes::auto_enables_io(store, id)?)
    });
    let value = Some(value.await?);
    let io = request.attribute == "autoEnableIO";
    Ok(DescribedAttribute {
        volume_id: id.to_string(),
        auto_enable_io: io.then_some(AttributeBooleanValue { value }),
        product_codes: (!io).then_some([]),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyVolumeAttribute {
    volume_id: String,
    #[serde(rename = "AutoEnableIO")]
    auto_enable_io: Option<AttributeBooleanValue>,
}

pub(super) async fn modify(call: Call, request: ModifyVolumeAttribute) -> Result<(), ApiError> {
    let id = found::volume_id(&request.volume_id)?;
    let auto = request.auto_enable_io.and_then(|auto| auto.value).ok_or_else(|| {
        let message = "The request must contain the parameter AutoEnableIO.Value";
        ApiError::new(Code::MissingParameter, message)
    })?;
    let done = change(&call, move |store| {
        found::volume(store, id)?;
        store::volumes::set_auto_enable_io(store, id, auto)?;
        Ok(Changed::nothing(()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GetEbsEncryptionByDefault {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EncryptionByDefault {
    ebs_encryption_by_default: bool,
    sse_type: &'static str,
}

/// No volume is encrypted, and so none is by default.
pub(super) async fn encryption(_: Call, _: GetEbsEncryptionByDefault) -> Result<EncryptionByDefault, ApiError> {
    Ok(EncryptionByDefault {
        ebs_encryption_by_default: false,
        sse_type: "none",
    })
}
