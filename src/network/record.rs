//! What is on record of networks, as `network` needs it.

use super::firewall::{InterfaceRules, SubnetRules, VpcRules};
use super::site::tap_name;
use crate::model::{
    InstanceId, InternetGatewayId, NetworkInterface, Peer, RouteTable, SecurityGroupId, SubnetId, VpcId,
};
use crate::store::{self, StoreError};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// An instance's interface, and the subnet and VPC that it is in.
#[derive(Debug, Clone)]
pub struct Place {
    /// The interface.
    pub interface: NetworkInterface,
    /// The block of its subnet.
    pub subnet: Ipv4Net,
    /// Its VPC.
    pub vpc: VpcId,
    /// What the VPC's host objects are numbered by.
    pub vpc_number: u32,
    /// The VPC's block.
    pub block: Ipv4Net,
}

/// The places of an instance's interfaces, in their order.
pub fn places(connection: &Connection, instance: InstanceId) -> Result<Vec<Place>, StoreError> {
    let mut places = Vec::new();
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        let Some(subnet) = store::subnets::get(connection, interface.subnet)? else {
            continue;
        };
        let Some(vpc) = store::vpcs::get(connection, subnet.vpc)? else {
            continue;
        };
        places.push(Place {
            interface,
            subnet: subnet.block.net(),
            vpc: vpc.id,
            vpc_number: vpc.number,
            block: vpc.block.net(),
        });
    }
    Ok(places)
}

/// What the rules of a VPC are made of.
pub fn rules(connection: &Connection, vpc: VpcId) -> Result<VpcRules, StoreError> {
    let mut attached: BTreeMap<SubnetId, Vec<NetworkInterface>> = BTreeMap::new();
    for interface in store::network_interfaces::list(connection)? {
        if interface.attachment.is_some() {
            attached.entry(interface.subnet).or_default().push(interface);
        }
    }
    let gateway = store::internet_gateways::of_vpc(connection, vpc)?;
    let tables = store::route_tables::of_vpc(connection, vpc)?;
    let acls = store::network_acls::of_vpc(connection, vpc)?;
    let mut firewall = VpcRules::default();
    for subnet in store::subnets::of_vpc(connection, vpc)? {
        let Some(interfaces) = attached.remove(&subnet.id) else {
            continue;
        };
        let outward = gateway
            .as_ref()
            .is_some_and(|gateway| leads_out(&tables, subnet.id, gateway.id));
        let acl = acls
            .iter()
            .find(|acl| acl.associations.iter().any(|one| one.subnet == subnet.id));
        firewall.subnets.push(SubnetRules {
            id: subnet.id,
            acl: acl.map(|acl| acl.entries.clone()).unwrap_or_default(),
            interfaces: interfaces
                .into_iter()
                .map(|interface| interface_rules(interface, outward))
                .collect(),
        });
    }
    let groups: BTreeSet<SecurityGroupId> = firewall
        .subnets
        .iter()
        .flat_map(|subnet| {
            subnet
                .interfaces
                .iter()
                .flat_map(|interface| interface.groups.iter().copied())
        })
        .collect();
    for group in groups {
        firewall
            .rules
            .extend(store::security_groups::rules_of(connection, group)?);
    }
    let lists = firewall.rules.iter().filter_map(|rule| match rule.peer {
        Peer::PrefixList(list) => Some(list),
        Peer::Block(_) | Peer::Group(_) => None,
    });
    for list in lists.collect::<BTreeSet<_>>() {
        firewall
            .prefix_lists
            .extend(store::prefix_lists::get(connection, list)?);
    }
    Ok(firewall)
}

/// Whether the route table of a subnet has a default route to the gateway. A subnet with no table of its own has the VPC's
/// main one.
fn leads_out(tables: &[RouteTable], subnet: SubnetId, gateway: InternetGatewayId) -> bool {
    let own = tables
        .iter()
        .find(|table| table.associations.iter().any(|one| one.subnet == subnet));
    let table = own.or_else(|| tables.iter().find(|table| table.main.is_some()));
    table.is_some_and(|table| {
        let mut routes = table.routes.iter();
        routes.any(|route| route.gateway == gateway && route.destination.prefix_len() == 0)
    })
}

fn interface_rules(interface: NetworkInterface, outward: bool) -> InterfaceRules {
    InterfaceRules {
        link: tap_name(&interface),
        mac: interface.mac,
        addresses: interface.addresses().collect(),
        source_dest_check: interface.source_dest_check,
        groups: interface.groups,
        public: interface.public.map(|public| public.address),
        outward,
    }
}
