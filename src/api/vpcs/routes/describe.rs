//! DescribeRouteTables, and a route table as EC2 writes it.

use super::super::super::tagging::WireTag;
use super::super::super::{ApiError, Call, Code};
use super::associations::WireState;
use super::listing::{Asked, Kind, Shown, list};
use crate::config::Place;
use crate::model::{ResourceId, RouteTable, RouteTableId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedRouteTables {
    route_tables: Vec<WireRouteTable>,
    next_token: Option<String>,
}

const ROUTE_TABLES: Kind = Kind {
    what: "routeTable",
    malformed: Code::InvalidRouteTableIdMalformed,
    not_found: Code::InvalidRouteTableIdNotFound,
    filters: &[
        "association.gateway-id",
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.carrier-gateway-id",
        "route.destination-cidr-block",
        "route.destination-ipv6-cidr-block",
        "route.destination-prefix-list-id",
        "route.egress-only-internet-gateway-id",
        "route.gateway-id",
        "route.instance-id",
        "route.nat-gateway-id",
        "route.origin",
        "route.state",
        "route.transit-gateway-id",
        "route.vpc-peering-connection-id",
        "vpc-id",
    ],
    max_results: 5..=100,
};

pub(super) async fn describe(call: Call, asked: Asked) -> Result<DescribedRouteTables, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::route_tables::list(store)?;
        all.iter()
            .map(|table| WireRouteTable::read(store, &place, table))
            .collect()
    };
    let (route_tables, next_token) = list::<RouteTableId, _, _>(&call, asked, &ROUTE_TABLES, read).await?;
    Ok(DescribedRouteTables {
        route_tables,
        next_token,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireRouteTable {
    route_table_id: String,
    vpc_id: String,
    owner_id: String,
    associations: Vec<WireAssociation>,
    propagating_vgws: [(); 0],
    routes: Vec<WireRoute>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAssociation {
    route_table_association_id: String,
    route_table_id: String,
    subnet_id: Option<String>,
    main: bool,
    association_state: WireState,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireRoute {
    destination_cidr_block: String,
    gateway_id: String,
    origin: &'static str,
    state: &'static str,
}

impl WireRouteTable {
    pub(super) fn read(store: &Connection, place: &Place, table: &RouteTable) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::RouteTable(table.id))?;
        let association = |id: String, subnet_id: Option<String>| WireAssociation {
            route_table_association_id: id,
            route_table_id: table.id.to_string(),
            main: subnet_id.is_none(),
            subnet_id,
            association_state: WireState::ASSOCIATED,
        };
        let main = table.main.map(|id| association(id.to_string(), None));
        let subnets = table.associations.iter();
        let subnets = subnets.map(|one| association(one.id.to_string(), Some(one.subnet.to_string())));
        Ok(Self {
            route_table_id: table.id.to_string(),
            vpc_id: table.vpc.to_string(),
            owner_id: place.account().to_owned(),
            associations: main.into_iter().chain(subnets).collect(),
            propagating_vgws: [],
            routes: routes(store, table)?,
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

/// The route to the VPC's own block, which every table has, and the table's own.
fn routes(store: &Connection, table: &RouteTable) -> Result<Vec<WireRoute>, StoreError> {
    let local = store::vpcs::get(store, table.vpc)?.map(|vpc| WireRoute {
        destination_cidr_block: vpc.block.to_string(),
        gateway_id: "local".into(),
        origin: "CreateRouteTable",
        state: "active",
    });
    let attached = store::internet_gateways::of_vpc(store, table.vpc)?.map(|gateway| gateway.id);
    let own = table.routes.iter().map(|route| WireRoute {
        destination_cidr_block: route.destination.to_string(),
        gateway_id: route.gateway.to_string(),
        origin: "CreateRoute",
        state: if attached == Some(route.gateway) {
            "active"
        } else {
            "blackhole"
        },
    });
    Ok(local.into_iter().chain(own).collect())
}

impl Shown for WireRouteTable {
    fn id(&self) -> &str {
        &self.route_table_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        if let Some(name) = filter.strip_prefix("association.") {
            return self.associations.iter().filter_map(|one| one.value(name)).collect();
        }
        if let Some(name) = filter.strip_prefix("route.") {
            return self.routes.iter().filter_map(|route| route.value(name)).collect();
        }
        vec![match filter {
            "owner-id" => self.owner_id.clone(),
            "route-table-id" => self.route_table_id.clone(),
            _ => self.vpc_id.clone(),
        }]
    }
}

impl WireAssociation {
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "main" => Some(self.main.to_string()),
            "route-table-association-id" => Some(self.route_table_association_id.clone()),
            "route-table-id" => Some(self.route_table_id.clone()),
            "subnet-id" => self.subnet_id.clone(),
            // No gateway is associated with a table.
            _ => None,
        }
    }
}

impl WireRoute {
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "destination-cidr-block" => Some(self.destination_cidr_block.clone()),
            "gateway-id" => Some(self.gateway_id.clone()),
            "origin" => Some(self.origin.into()),
            "state" => Some(self.state.into()),
            // Destinations and targets that no route has here.
            _ => None,
        }
    }
}
