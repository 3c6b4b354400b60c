//! DeleteSecurityGroup.

use super::super::{ApiError, Call, Code};
use super::{Changed, Named, change, found};
use crate::model::{DEFAULT_GROUP, ResourceId};
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteSecurityGroup {
    group_id: Option<String>,
    group_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deleted {
    r#return: bool,
    group_id: String,
}

pub(super) async fn delete(call: Call, request: DeleteSecurityGroup) -> Result<Deleted, ApiError> {
    let group = Named::parse(request.group_id.as_deref(), request.group_name)?;
    let done = change(&call, move |store| {
        let group = group.find(store)?;
        if group.name == DEFAULT_GROUP {
            let message = format!(
                "The security group '{}' is the default one of its VPC, and goes with that",
                group.id
            );
            return Err(ApiError::new(Code::CannotDelete, message));
        }
        let members = store::security_groups::members(store, group.id)?;
        let users = store::security_groups::users(store, group.id)?;
        let members = members.iter().map(ToString::to_string);
        let users: Vec<String> = members.chain(users.iter().map(ToString::to_string)).collect();
        if !users.is_empty() {
            return Err(found::in_use("security group", group.id, &users));
        }
        for rule in store::security_groups::rules_of(store, group.id)? {
            store::tags::remove_all(store, ResourceId::SecurityGroupRule(rule.id))?;
        }
        store::tags::remove_all(store, ResourceId::SecurityGroup(group.id))?;
        store::security_groups::remove(store, group.id)?;
        // No interface was in it.
        Ok(Changed::nothing(Deleted {
            r#return: true,
            group_id: group.id.to_string(),
        }))
    });
    done.await
}
