//! `GET /identity-key`: with what the signatures of instances' identity documents are checked.

use crate::api::{ApiError, World};
use serde_json::{Value, json};

pub(super) async fn identity_key(world: &World) -> Result<Value, ApiError> {
    let public = world.instances.parts().identity.public_key().await;
    let public = public.map_err(|error| ApiError::internal(&error))?;
    Ok(json!({"PublicKey": public}))
}
