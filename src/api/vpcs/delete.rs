//! DeleteVpc.

use super::super::{ApiError, Call};
use super::{Changed, change, found};
use crate::model::{DEFAULT_GROUP, ResourceId, SecurityGroupId, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteVpc {
    vpc_id: String,
}

/// Deletes a VPC with what it came with: its main route table, its default network ACL, its default security group.
pub(super) async fn delete(call: Call, request: DeleteVpc) -> Result<(), ApiError> {
    let id = found::vpc_id(&request.vpc_id)?;
    let done = change(&call, move |store| {
        found::vpc(store, id)?;
        let left = left(store, id)?;
        if !left.is_empty() {
            return Err(found::in_use("vpc", id, &left));
        }
        for table in store::route_tables::of_vpc(store, id)? {
            store::tags::remove_all(store, ResourceId::RouteTable(table.id))?;
            store::route_tables::remove(store, table.id)?;
        }
        for acl in store::network_acls::of_vpc(store, id)? {
            store::tags::remove_all(store, ResourceId::NetworkAcl(acl.id))?;
            store::network_acls::remove(store, acl.id)?;
        }
        for (group, _) in groups(store, id)? {
            for rule in store::security_groups::rules_of(store, group)? {
                store::tags::remove_all(store, ResourceId::SecurityGroupRule(rule.id))?;
            }
            store::tags::remove_all(store, ResourceId::SecurityGroup(group))?;
            store::security_groups::remove(store, group)?;
        }
        store::tags::remove_all(store, ResourceId::Vpc(id))?;
        store::vpcs::remove(store, id)?;
        Ok(Changed::vpc(id, ()))
    });
    done.await
}

/// What is in a VPC that it did not come with.
fn left(store: &Connection, id: VpcId) -> Result<Vec<String>, StoreError> {
    let subnets = store::subnets::of_vpc(store, id)?;
    let mut left: Vec<String> = subnets.iter().map(|subnet| subnet.id.to_string()).collect();
    left.extend(store::internet_gateways::of_vpc(store, id)?.map(|gateway| gateway.id.to_string()));
    let tables = store::route_tables::of_vpc(store, id)?;
    left.extend(
        tables
            .iter()
            .filter(|table| table.main.is_none())
            .map(|table| table.id.to_string()),
    );
    let acls = store::network_acls::of_vpc(store, id)?;
    left.extend(acls.iter().filter(|acl| !acl.is_default).map(|acl| acl.id.to_string()));
    let groups = groups(store, id)?;
    left.extend(
        groups
            .iter()
            .filter(|(_, name)| name != DEFAULT_GROUP)
            .map(|(group, _)| group.to_string()),
    );
    Ok(left)
}

/// The security groups of a VPC, with their names.
fn groups(store: &Connection, id: VpcId) -> Result<Vec<(SecurityGroupId, String)>, StoreError> {
    let all = store::security_groups::list(store)?;
    Ok(all
        .into_iter()
        .filter(|group| group.vpc == id)
        .map(|group| (group.id, group.name))
        .collect())
}
