//! AssociateRouteTable, DisassociateRouteTable, ReplaceRouteTableAssociation.

use super::super::super::{ApiError, Call, Code};
use super::{Changed, change, found};
use crate::model::{RouteTable, RouteTableAssociation, RouteTableAssociationId, SubnetId};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// `RouteTableAssociationState`: it is done when it is answered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireState {
    state: &'static str,
}

impl WireState {
    pub(super) const ASSOCIATED: Self = Self { state: "associated" };
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AssociateRouteTable {
    route_table_id: String,
    subnet_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Associated {
    association_id: String,
    association_state: WireState,
}

/// Has a subnet use a table instead of the main one. As at EC2 it is no error that it does so already.
pub(super) async fn associate(call: Call, request: AssociateRouteTable) -> Result<Associated, ApiError> {
    let id = found::route_table_id(&request.route_table_id)?;
    let Some(subnet) = request.subnet_id else {
        let message = "The request must contain the parameter SubnetId";
        return Err(ApiError::new(Code::MissingParameter, message));
    };
    let subnet = found::subnet_id(&subnet)?;
    let done = change(&call, move |store| {
        let table = found::route_table(store, id)?;
        let network = found::subnet(store, subnet)?.vpc;
        if network != table.vpc {
            let message = format!("route table {id} and subnet {subnet} belong to different networks");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let association = match current(store, &table, subnet)? {
            Some(association) => association,
            None => add(store, &table, subnet)?,
        };
        let associated = Associated {
            association_id: association.to_string(),
            association_state: WireState::ASSOCIATED,
        };
        Ok(Changed::vpc(table.vpc, associated))
    });
    done.await
}

/// The association of the subnet with this very table.
fn current(
    store: &Connection,
    table: &RouteTable,
    subnet: SubnetId,
) -> Result<Option<RouteTableAssociationId>, ApiError> {
    for other in store::route_tables::of_vpc(store, table.vpc)? {
        match other
            .associations
            .iter()
            .find(|association| association.subnet == subnet)
        {
            Some(association) if other.id == table.id => return Ok(Some(association.id)),
            Some(_) => {
                let message = format!(
                    "the specified association for route table {} conflicts with an existing association",
                    table.id
                );
                return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
            }
            None => {}
        }
    }
    Ok(None)
}

fn add(store: &Connection, table: &RouteTable, subnet: SubnetId) -> Result<RouteTableAssociationId, ApiError> {
    let id = RouteTableAssociationId::from_random(random_bits());
    store::route_tables::associate(store, table.id, RouteTableAssociation { id, subnet })?;
    Ok(id)
}

/// What an association's identifier stands for.
enum Association {
    /// That the table is its VPC's main one.
    Main,
    /// That a subnet uses it.
    Subnet(SubnetId),
}

fn find(store: &Connection, id: &str) -> Result<(RouteTable, Association), ApiError> {
    let missing = || found::no_association(id);
    let id: RouteTableAssociationId = id.parse().map_err(|_| missing())?;
    let table = store::route_tables::associated(store, id)?.ok_or_else(missing)?;
    let subnet = table.associations.iter().find(|association| association.id == id);
    let association = subnet.map_or(Association::Main, |association| Association::Subnet(association.subnet));
    Ok((table, association))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DisassociateRouteTable {
    association_id: String,
}

/// Has a subnet use the main table again.
pub(super) async fn disassociate(call: Call, request: DisassociateRouteTable) -> Result<(), ApiError> {
    let id = request.association_id;
    let done = change(&call, move |store| {
        let (table, association) = find(store, &id)?;
        let Association::Subnet(subnet) = association else {
            let message = format!("cannot disassociate the main route table association {id}");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        };
        store::route_tables::disassociate(store, subnet)?;
        Ok(Changed::vpc(table.vpc, ()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ReplaceRouteTableAssociation {
    association_id: String,
    route_table_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Replaced {
    new_association_id: String,
    association_state: WireState,
}

/// Has a subnet use another table, or makes another table the main one. The association gets a new identifier.
pub(super) async fn replace(call: Call, request: ReplaceRouteTableAssociation) -> Result<Replaced, ApiError> {
    let id = found::route_table_id(&request.route_table_id)?;
    let association = request.association_id;
    let done = change(&call, move |store| {
        let table = found::route_table(store, id)?;
        let (old, association) = find(store, &association)?;
        if old.vpc != table.vpc {
            let message = format!("route tables {id} and {} belong to different networks", old.id);
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let new = match association {
            Association::Main => {
                let new = RouteTableAssociationId::from_random(random_bits());
                store::route_tables::set_main(store, old.id, None)?;
                store::route_tables::set_main(store, id, Some(new))?;
                new
            }
            Association::Subnet(subnet) => {
                store::route_tables::disassociate(store, subnet)?;
                add(store, &table, subnet)?
            }
        };
        let replaced = Replaced {
            new_association_id: new.to_string(),
            association_state: WireState::ASSOCIATED,
        };
        Ok(Changed::vpc(table.vpc, replaced))
    });
    done.await
}
