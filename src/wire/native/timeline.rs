//! `GET /instances/{id}/timeline`: when the last start of an instance reached which step.

use super::no_instance;
use crate::api::instant::precise;
use crate::api::{ApiError, World};
use crate::model::{InstanceId, Milestone};
use crate::store::{self, StoreError};
use serde_json::{Value, json};

pub(super) async fn timeline(world: &World, id: InstanceId) -> Result<Value, ApiError> {
    let read = world.store.read(move |store| {
        let found = store::instances::get(store, id)?.is_some();
        let milestones = store::instances::milestones(store, id)?;
        Ok::<_, StoreError>(found.then_some(milestones))
    });
    let mut milestones = read.await?.ok_or_else(|| no_instance(id))?;
    milestones.sort_by_key(|milestone| milestone.at);
    let step = |milestone: Milestone| json!({"Stage": milestone.stage.name(), "Time": precise(milestone.at)});
    let steps: Vec<Value> = milestones.into_iter().map(step).collect();
    Ok(json!({"InstanceId": id.to_string(), "Timeline": steps}))
}
