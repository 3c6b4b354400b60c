//! Network ACLs: CreateNetworkAcl, DeleteNetworkAcl, ReplaceNetworkAclAssociation; their entries and descriptions.

mod describe;
mod entries;

use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, Operation};
use super::{Changed, block, change, found, listing, make, tag};
use crate::model::{NetworkAcl, NetworkAclAssociation, NetworkAclAssociationId, ResourceId, VpcId};
use crate::store::{self, random_bits};
use describe::WireAcl;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateNetworkAcl", create),
        Operation::new("CreateNetworkAclEntry", entries::create),
        Operation::new("DeleteNetworkAcl", delete),
        Operation::new("DeleteNetworkAclEntry", entries::delete),
        Operation::new("DescribeNetworkAcls", describe::describe),
        Operation::new("ReplaceNetworkAclAssociation", replace_association),
        Operation::new("ReplaceNetworkAclEntry", entries::replace),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateNetworkAcl {
    vpc_id: String,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    network_acl: WireAcl,
    client_token: Option<String>,
}

async fn create(call: Call, request: CreateNetworkAcl) -> Result<Created, ApiError> {
    let vpc = found::vpc_id(&request.vpc_id)?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["network-acl"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let acl = match made_before(store, token.as_ref())? {
            Some(acl) => acl,
            None => {
                let acl = make_acl(store, vpc, token.as_ref())?;
                tag(store, ResourceId::NetworkAcl(acl.id), tags.of("network-acl"))?;
                acl
            }
        };
        let created = Created {
            network_acl: WireAcl::read(store, &place, &acl)?,
            client_token: token.map(|token| token.token),
        };
        Ok(Changed::vpc(vpc, created))
    });
    made.await
}

/// The ACL that the same request made when it came first.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<NetworkAcl>, ApiError> {
    let made = ClientToken::made_before(token, |token| store::network_acls::asked_with(store, token))?;
    made.map_or(Ok(None), |id| Ok(store::network_acls::get(store, id)?))
}

fn make_acl(store: &Connection, vpc: VpcId, token: Option<&ClientToken>) -> Result<NetworkAcl, ApiError> {
    found::vpc(store, vpc)?;
    let acl = make::acl(vpc);
    let digest = token.map(|token| token.digest.to_string()).unwrap_or_default();
    let request = token.map(|token| (token.token.as_str(), digest.as_str()));
    store::network_acls::add(store, &acl, request)?;
    Ok(acl)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteNetworkAcl {
    network_acl_id: String,
}

async fn delete(call: Call, request: DeleteNetworkAcl) -> Result<(), ApiError> {
    let id = found::acl_id(&request.network_acl_id)?;
    let done = change(&call, move |store| {
        let acl = found::acl(store, id)?;
        if acl.is_default {
            let message = format!("cannot delete default network ACL {id}: it goes with {}", acl.vpc);
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        if !acl.associations.is_empty() {
            let users: Vec<String> = acl.associations.iter().map(|one| one.subnet.to_string()).collect();
            return Err(found::in_use("networkAcl", id, &users));
        }
        store::tags::remove_all(store, ResourceId::NetworkAcl(id))?;
        store::network_acls::remove(store, id)?;
        Ok(Changed::vpc(acl.vpc, ()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReplaceNetworkAclAssociation {
    association_id: String,
    network_acl_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Replaced {
    new_association_id: String,
}

/// Has a subnet use another ACL. The association gets a new identifier.
async fn replace_association(call: Call, request: ReplaceNetworkAclAssociation) -> Result<Replaced, ApiError> {
    let id = found::acl_id(&request.network_acl_id)?;
    let old = request.association_id;
    let done = change(&call, move |store| {
        let acl = found::acl(store, id)?;
        let missing = || found::no_association(&old);
        let old: NetworkAclAssociationId = old.parse().map_err(|_| missing())?;
        let user = store::network_acls::associated(store, old)?.ok_or_else(missing)?;
        if user.vpc != acl.vpc {
            let message = format!("network ACLs {id} and {} belong to different networks", user.id);
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let association = user.associations.iter().find(|one| one.id == old).ok_or_else(missing)?;
        let new = NetworkAclAssociation {
            id: NetworkAclAssociationId::from_random(random_bits()),
            subnet: association.subnet,
        };
        store::network_acls::associate(store, id, new)?;
        let replaced = Replaced {
            new_association_id: new.id.to_string(),
        };
        Ok(Changed::vpc(acl.vpc, replaced))
    });
    done.await
}
