//! A VPC with what it comes with, and the default VPC.

use crate::config::Place;
use crate::model::{
    Block, DEFAULT_GROUP, DhcpOption, DhcpOptions, DhcpOptionsId, Direction, DomainNameServers, InternetGateway,
    InternetGatewayId, NetworkAcl, NetworkAclAssociation, NetworkAclAssociationId, NetworkAclEntry, NetworkAclId, Peer,
    Route, RouteTable, RouteTableAssociationId, RouteTableId, SecurityGroup, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, Subnet, SubnetId, Traffic, Vpc, VpcId,
};
use crate::store::{self, StoreError, random_bits};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use time::OffsetDateTime;

/// Everywhere.
const ANYWHERE: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0);
/// The number of the entry that a default ACL allows everything with.
const ALLOW_ALL: u16 = 100;

/// Makes a VPC, with its main route table, its default network ACL and its default security group.
pub(super) fn vpc(store: &Connection, place: &Place, block: Block, is_default: bool) -> Result<Vpc, StoreError> {
    let now = OffsetDateTime::now_utc();
    let vpc = Vpc {
        id: VpcId::from_random(random_bits()),
        number: store::vpcs::free_number(store)?,
        block,
        dhcp_options: Some(default_options(store, place)?),
        is_default,
        dns_support: true,
        dns_hostnames: is_default,
        created: now,
    };
    store::vpcs::add(store, &vpc)?;
    let table = RouteTable {
        main: Some(RouteTableAssociationId::from_random(random_bits())),
        ..route_table(vpc.id)
    };
    store::route_tables::add(store, &table, None)?;
    let everything = |direction| NetworkAclEntry {
        direction,
        number: ALLOW_ALL,
        traffic: Traffic::All,
        block: ANYWHERE.into(),
        allow: true,
    };
    let acl = NetworkAcl {
        is_default: true,
        entries: vec![everything(Direction::Egress), everything(Direction::Ingress)],
        ..acl(vpc.id)
    };
    store::network_acls::add(store, &acl, None)?;
    default_group(store, vpc.id)?;
    Ok(vpc)
}

/// A table of that VPC, with nothing in it.
pub(super) fn route_table(vpc: VpcId) -> RouteTable {
    RouteTable {
        id: RouteTableId::from_random(random_bits()),
        vpc,
        main: None,
        associations: Vec::new(),
        routes: Vec::new(),
        created: OffsetDateTime::now_utc(),
    }
}

/// An ACL of that VPC, with nothing in it.
pub(super) fn acl(vpc: VpcId) -> NetworkAcl {
    NetworkAcl {
        id: NetworkAclId::from_random(random_bits()),
        vpc,
        is_default: false,
        associations: Vec::new(),
        entries: Vec::new(),
        created: OffsetDateTime::now_utc(),
    }
}

/// A gateway that is attached to nothing.
pub(super) fn gateway() -> InternetGateway {
    InternetGateway {
        id: InternetGatewayId::from_random(random_bits()),
        vpc: None,
        created: OffsetDateTime::now_utc(),
    }
}

/// A set with these options.
pub(super) fn dhcp_options(options: Vec<DhcpOption>) -> DhcpOptions {
    DhcpOptions {
        id: DhcpOptionsId::from_random(random_bits()),
        is_default: false,
        options,
        created: OffsetDateTime::now_utc(),
    }
}

/// The set of DHCP options that new VPCs get; it is made where there is none.
fn default_options(store: &Connection, place: &Place) -> Result<DhcpOptionsId, StoreError> {
    if let Some(set) = store::dhcp_options::default(store)? {
        return Ok(set.id);
    }
    let options = vec![
        DhcpOption::DomainName(place.private_domain()),
        DhcpOption::DomainNameServers(DomainNameServers::Provided),
    ];
    let set = DhcpOptions {
        is_default: true,
        ..dhcp_options(options)
    };
    store::dhcp_options::add(store, &set)?;
    Ok(set.id)
}

/// The group that instances are in which name none: they reach each other, and everything else.
fn default_group(store: &Connection, vpc: VpcId) -> Result<(), StoreError> {
    let group = SecurityGroup {
        id: SecurityGroupId::from_random(random_bits()),
        vpc,
        name: DEFAULT_GROUP.into(),
        description: "default VPC security group".into(),
        created: OffsetDateTime::now_utc(),
    };
    store::security_groups::add(store, &group)?;
    for (direction, peer) in [
        (Direction::Ingress, Peer::Group(group.id)),
        (Direction::Egress, Peer::Block(ANYWHERE.into())),
    ] {
        let rule = SecurityGroupRule {
            id: SecurityGroupRuleId::from_random(random_bits()),
            group: group.id,
            direction,
            traffic: Traffic::All,
            peer,
            description: None,
        };
        store::security_groups::add_rule(store, &rule)?;
    }
    Ok(())
}

/// Makes a subnet, which uses its VPC's default ACL. A default one gives its instances public addresses.
pub(super) fn subnet(store: &Connection, vpc: VpcId, block: Block, is_default: bool) -> Result<Subnet, StoreError> {
    let subnet = Subnet {
        id: SubnetId::from_random(random_bits()),
        vpc,
        block,
        is_default,
        map_public_ip: is_default,
        created: OffsetDateTime::now_utc(),
    };
    store::subnets::add(store, &subnet)?;
    let association = NetworkAclAssociation {
        id: NetworkAclAssociationId::from_random(random_bits()),
        subnet: subnet.id,
    };
    store::network_acls::associate(store, store::network_acls::default_of(store, vpc)?, association)?;
    Ok(subnet)
}

/// Makes the default VPC: with a subnet, and a gateway to which everything goes that is not of the VPC.
pub(super) fn default_vpc(store: &Connection, place: &Place, block: Block) -> Result<Vpc, StoreError> {
    let vpc = vpc(store, place, block, true)?;
    if let Some(first) = block.default_subnets().next() {
        subnet(store, vpc.id, first, true)?;
    }
    let gateway = InternetGateway {
        vpc: Some(vpc.id),
        ..gateway()
    };
    store::internet_gateways::add(store, &gateway)?;
    let route = Route {
        destination: ANYWHERE,
        gateway: gateway.id,
    };
    for table in store::route_tables::of_vpc(store, vpc.id)? {
        store::route_tables::put_route(store, table.id, &route)?;
    }
    Ok(vpc)
}

/// Makes the default VPC if there is none.
///
/// # Errors
/// The database's.
pub(in super::super) fn ensure_default(store: &Connection, place: &Place, block: Block) -> Result<(), StoreError> {
    if store::vpcs::default(store)?.is_none() {
        default_vpc(store, place, block)?;
    }
    Ok(())
}
