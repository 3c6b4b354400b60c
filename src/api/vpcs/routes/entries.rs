//! CreateRoute, ReplaceRoute, DeleteRoute.

use super::super::super::{ApiError, Call, Code, ids};
use super::{Changed, block, change, found};
use crate::model::{InternetGatewayId, Route, RouteTable, RouteTableId};
use crate::store;
use ipnet::Ipv4Net;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The most routes of a table, as EC2 has it, beside the one to the VPC's own block.
const MAX_ROUTES: usize = 500;
/// What is the host's own to answer, as EC2 keeps it to itself: the instance metadata among it.
const HOSTS_OWN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 168, 0), 22);

/// A route in a request to make or to replace it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RouteRequest {
    route_table_id: String,
    destination_cidr_block: Option<String>,
    gateway_id: Option<String>,
    /// All else by which or to which a route may go at EC2.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// A route that is right in itself.
struct Wanted {
    table: RouteTableId,
    destination: Ipv4Net,
    gateway: InternetGatewayId,
}

impl TryFrom<RouteRequest> for Wanted {
    type Error = ApiError;

    fn try_from(request: RouteRequest) -> Result<Self, ApiError> {
        if let Some(other) = request.others.keys().next() {
            let message = match other.strip_prefix("Destination") {
                Some(_) => format!("Routes by {other} are not served: DestinationCidrBlock is"),
                None => format!("Routes to a {other} are not served: a GatewayId of an internet gateway is"),
            };
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        let table = found::route_table_id(&request.route_table_id)?;
        let destination = destination(request.destination_cidr_block.as_ref())?;
        let gateway = gateway(request.gateway_id.as_deref())?;
        if HOSTS_OWN.contains(&destination) {
            let message = format!("The destination {destination} is reserved: it is within {HOSTS_OWN}");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        Ok(Self {
            table,
            destination,
            gateway,
        })
    }
}

/// A destination without host bits, as EC2 keeps it.
fn destination(text: Option<&String>) -> Result<Ipv4Net, ApiError> {
    let member = "DestinationCidrBlock";
    let network: Ipv4Net = block::network(member, block::required(member, text)?)?;
    Ok(network.trunc())
}

fn gateway(id: Option<&str>) -> Result<InternetGatewayId, ApiError> {
    match id {
        Some(id) if id == "local" || id.starts_with("vgw-") || id.starts_with("vpce-") => {
            let id = id.escape_debug();
            let message = format!("Routes to the gateway {id} are not served: those to an internet gateway are");
            Err(ApiError::new(Code::UnsupportedOperation, message))
        }
        Some(id) => ids::parse(id, Code::InvalidGatewayIdNotFound),
        None => {
            let message = "The request must contain a target of the route: the GatewayId of an internet gateway";
            Err(ApiError::new(Code::MissingParameter, message))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    r#return: bool,
}

pub(super) async fn create(call: Call, request: RouteRequest) -> Result<Created, ApiError> {
    let wanted = Wanted::try_from(request)?;
    let done = change(&call, move |store| {
        let table = wanted.checked(store)?;
        if table.routes.iter().any(|route| route.destination == wanted.destination) {
            return Err(exists(wanted.destination));
        }
        if table.routes.len() >= MAX_ROUTES {
            let message = format!(
                "The routeTable '{}' has {MAX_ROUTES} routes, the most that it can have",
                table.id
            );
            return Err(ApiError::new(Code::RouteLimitExceeded, message));
        }
        store::route_tables::put_route(store, table.id, &wanted.route())?;
        Ok(Changed::vpc(table.vpc, Created { r#return: true }))
    });
    done.await
}

pub(super) async fn replace(call: Call, request: RouteRequest) -> Result<(), ApiError> {
    let wanted = Wanted::try_from(request)?;
    let done = change(&call, move |store| {
        let table = wanted.checked(store)?;
        if !table.routes.iter().any(|route| route.destination == wanted.destination) {
            let destination = wanted.destination;
            let message =
                format!("There is no route defined for '{destination}' in the route table. Use CreateRoute instead.");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        store::route_tables::put_route(store, table.id, &wanted.route())?;
        Ok(Changed::vpc(table.vpc, ()))
    });
    done.await
}

impl Wanted {
    fn route(&self) -> Route {
        Route {
            destination: self.destination,
            gateway: self.gateway,
        }
    }

    /// The table, if it may have the route.
    fn checked(&self, store: &Connection) -> Result<RouteTable, ApiError> {
        let table = found::route_table(store, self.table)?;
        let own = found::vpc(store, table.vpc)?.block.net();
        if own == self.destination {
            return Err(exists(own));
        }
        if own.contains(&self.destination) {
            let message = format!(
                "The destination CIDR block {} is more specific than the VPC's {own}: such a route has no gateway",
                self.destination
            );
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let Some(gateway) = store::internet_gateways::get(store, self.gateway)? else {
            let id = self.gateway;
            return Err(ids::not_found(Code::InvalidGatewayIdNotFound, "gateway", &[id]));
        };
        if gateway.vpc != Some(table.vpc) {
            let (table, gateway) = (table.id, gateway.id);
            let message = format!("route table {table} and network gateway {gateway} belong to different networks");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        Ok(table)
    }
}

fn exists(destination: Ipv4Net) -> ApiError {
    let message = format!("The route identified by {destination} already exists.");
    ApiError::new(Code::RouteAlreadyExists, message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteRoute {
    route_table_id: String,
    destination_cidr_block: Option<String>,
}

pub(super) async fn delete(call: Call, request: DeleteRoute) -> Result<(), ApiError> {
    let id = found::route_table_id(&request.route_table_id)?;
    let destination = destination(request.destination_cidr_block.as_ref())?;
    let done = change(&call, move |store| {
        let table = found::route_table(store, id)?;
        if found::vpc(store, table.vpc)?.block.net() == destination {
            let message = format!("cannot remove local route {destination} in route table {id}");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        if !table.routes.iter().any(|route| route.destination == destination) {
            let message = format!("no route with destination-cidr-block {destination} in route table {id}");
            return Err(ApiError::new(Code::InvalidRouteNotFound, message));
        }
        store::route_tables::remove_route(store, id, destination)?;
        Ok(Changed::vpc(table.vpc, ()))
    });
    done.await
}
