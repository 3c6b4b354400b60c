//! CreateRouteTable, DeleteRouteTable.

use super::super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::super::token::ClientToken;
use super::super::super::{ApiError, Call};
use super::describe::WireRouteTable;
use super::{Changed, change, found, make, tag};
use crate::model::{ResourceId, RouteTable, VpcId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateRouteTable {
    vpc_id: String,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    route_table: WireRouteTable,
    client_token: Option<String>,
}

pub(super) async fn create(call: Call, request: CreateRouteTable) -> Result<Created, ApiError> {
    let vpc = found::vpc_id(&request.vpc_id)?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["route-table"])?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let table = match made_before(store, token.as_ref())? {
            Some(table) => table,
            None => {
                let table = make_table(store, vpc, token.as_ref())?;
                tag(store, ResourceId::RouteTable(table.id), tags.of("route-table"))?;
                table
            }
        };
        let created = Created {
            route_table: WireRouteTable::read(store, &place, &table)?,
            client_token: token.map(|token| token.token),
        };
        Ok(Changed::vpc(vpc, created))
    });
    made.await
}

/// The table that the same request made when it came first.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<RouteTable>, ApiError> {
    let made = ClientToken::made_before(token, |token| store::route_tables::asked_with(store, token))?;
    made.map_or(Ok(None), |id| Ok(store::route_tables::get(store, id)?))
}

fn make_table(store: &Connection, vpc: VpcId, token: Option<&ClientToken>) -> Result<RouteTable, ApiError> {
    found::vpc(store, vpc)?;
    let table = make::route_table(vpc);
    let digest = token.map(|token| token.digest.to_string()).unwrap_or_default();
    let request = token.map(|token| (token.token.as_str(), digest.as_str()));
    store::route_tables::add(store, &table, request)?;
    Ok(table)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteRouteTable {
    route_table_id: String,
}

pub(super) async fn delete(call: Call, request: DeleteRouteTable) -> Result<(), ApiError> {
    let id = found::route_table_id(&request.route_table_id)?;
    let done = change(&call, move |store| {
        let table = found::route_table(store, id)?;
        let subnets = table
            .associations
            .iter()
            .map(|association| association.subnet.to_string());
        let main = table.main.map(|_| format!("it is the main one of {}", table.vpc));
        let users: Vec<String> = subnets.chain(main).collect();
        if !users.is_empty() {
            return Err(found::in_use("routeTable", id, &users));
        }
        store::tags::remove_all(store, ResourceId::RouteTable(id))?;
        store::route_tables::remove(store, id)?;
        Ok(Changed::vpc(table.vpc, ()))
    });
    done.await
}
