//! What EC2 has of guests that a guest here has not: GetPasswordData, GetConsoleScreenshot, GetInstanceUefiData.

use super::super::instant::instant;
use super::super::{ApiError, Call, Code, found};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use time::OffsetDateTime;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OfInstance {
    instance_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PasswordData {
    instance_id: String,
    timestamp: String,
    password_data: &'static str,
}

/// Windows alone has such a password; of other guests EC2 answers an empty one, too.
pub(super) async fn password(call: Call, request: OfInstance) -> Result<PasswordData, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    call.world.store.read(move |store| found::instance(store, id)).await?;
    call.checked()?;
    Ok(PasswordData {
        instance_id: id.to_string(),
        timestamp: instant(OffsetDateTime::now_utc()),
        password_data: "",
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetConsoleScreenshot {
    instance_id: String,
    /// There is nothing to wake.
    #[serde(default, rename = "WakeUp")]
    _wake_up: bool,
}

pub(super) async fn screenshot(call: Call, request: GetConsoleScreenshot) -> Result<Infallible, ApiError> {
    let message = "Guests here have no display, only a serial console: GetConsoleOutput gives what they wrote to it";
    refuse(&call, &request.instance_id, message).await
}

pub(super) async fn uefi(call: Call, request: OfInstance) -> Result<Infallible, ApiError> {
    let message = "Guests here are booted without UEFI: they have no UEFI variables";
    refuse(&call, &request.instance_id, message).await
}

async fn refuse(call: &Call, instance: &str, message: &str) -> Result<Infallible, ApiError> {
    let id = found::instance_id(instance)?;
    call.world.store.read(move |store| found::instance(store, id)).await?;
    Err(ApiError::new(Code::UnsupportedOperation, message))
}
