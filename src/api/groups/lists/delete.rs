//! DeleteManagedPrefixList.

use super::describe::WireList;
use super::{ApiError, Call, Changed, change, found};
use crate::model::ResourceId;
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteManagedPrefixList {
    prefix_list_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deleted {
    prefix_list: WireList,
}

pub(super) async fn delete(call: Call, request: DeleteManagedPrefixList) -> Result<Deleted, ApiError> {
    let id = found::prefix_list_id(&request.prefix_list_id)?;
    let place = call.world.config.place.clone();
    let done = change(&call, move |store| {
        let list = found::prefix_list(store, id)?;
        let users = store::prefix_lists::users(store, id)?;
        if !users.is_empty() {
            let users: Vec<String> = users.iter().map(|(group, _)| group.to_string()).collect();
            return Err(found::in_use("prefix list", id, &users));
        }
        let prefix_list = WireList::read(store, &place, &list)?.deleted();
        store::tags::remove_all(store, ResourceId::PrefixList(id))?;
        store::prefix_lists::remove(store, id)?;
        // No rule named it.
        Ok(Changed::nothing(Deleted { prefix_list }))
    });
    done.await
}
