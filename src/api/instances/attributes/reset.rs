//! ResetInstanceAttribute: kernel and RAM disk as the image has them, addresses checked again.

use super::super::super::interfaces::InterfaceChange;
use super::super::super::{ApiError, Call, Code, found};
use super::super::amend::amend;
use super::modify::change_primary;
use crate::model::{Amendment, Image, Instance};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in super::super) struct ResetInstanceAttribute {
    instance_id: String,
    attribute: String,
}

pub(in super::super) async fn reset(call: Call, request: ResetInstanceAttribute) -> Result<(), ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    match request.attribute.as_str() {
        "sourceDestCheck" => change_primary(&call, id, InterfaceChange::SourceDestCheck(true)).await,
        "kernel" => {
            let make = |store: &Connection, instance: &Instance| {
                let image = image(store, instance)?;
                Ok(Amendment::Kernel(image.and_then(|image| image.kernel)))
            };
            amend(&call, id, make).await
        }
        "ramdisk" => {
            let make = |store: &Connection, instance: &Instance| {
                let image = image(store, instance)?;
                Ok(Amendment::Ramdisk(image.and_then(|image| image.ramdisk)))
            };
            amend(&call, id, make).await
        }
        other => {
            let message = format!("The attribute {other} can't be reset: kernel, ramdisk and sourceDestCheck can");
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}

/// The image that the instance came of, if it is still there.
fn image(store: &Connection, instance: &Instance) -> Result<Option<Image>, StoreError> {
    store::images::get(store, instance.image)
}
