//! `/access-keys`: what clients of the query endpoint sign with. A secret is shown once, when its key is made.

use crate::api::instant::instant;
use crate::api::{ApiError, Caller, World, access_keys};
use crate::model::AccessKey;
use serde_json::{Value, json};

pub(super) async fn create(world: &World, caller: Caller) -> Result<Value, ApiError> {
    let key = access_keys::create(world, caller).await?;
    let mut shown = shown(&key);
    shown["SecretAccessKey"] = key.secret.reveal().into();
    Ok(json!({"AccessKey": shown}))
}

pub(super) async fn list(world: &World, caller: Caller) -> Result<Value, ApiError> {
    let keys = access_keys::list(world, caller).await?;
    Ok(json!({"AccessKeyMetadata": keys.iter().map(shown).collect::<Vec<_>>()}))
}

pub(super) async fn delete(world: &World, caller: Caller, id: &str) -> Result<Value, ApiError> {
    access_keys::delete(world, caller, id).await?;
    Ok(json!({}))
}

/// A key without its secret, in IAM's words.
fn shown(key: &AccessKey) -> Value {
    json!({
        "AccessKeyId": key.id.to_string(),
        "UserId": key.uid.to_string(),
        "Status": "Active",
        "CreateDate": instant(key.created),
    })
}
