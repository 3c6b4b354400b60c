//! Route tables: where the packets go that leave a subnet.

use super::{InternetGatewayId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId};
use ipnet::Ipv4Net;
use time::OffsetDateTime;

/// A route table. The route to its VPC's own block is in every table, and not among [`RouteTable::routes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    /// Its identifier.
    pub id: RouteTableId,
    /// The VPC whose subnets may use it.
    pub vpc: VpcId,
    /// Set if it is its VPC's main table, which serves every subnet that is associated with no other.
    pub main: Option<RouteTableAssociationId>,
    /// The subnets that it serves beside that, by the association's identifier.
    pub associations: Vec<RouteTableAssociation>,
    /// Its routes, by destination.
    pub routes: Vec<Route>,
    /// When it was made.
    pub created: OffsetDateTime,
}

/// That a subnet uses a table. A subnet has one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteTableAssociation {
    /// Its identifier.
    pub id: RouteTableAssociationId,
    /// The subnet.
    pub subnet: SubnetId,
}

/// A route. The longest prefix that has a packet's destination decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where the packets go that it is for, without host bits; no other route of the table has it.
    pub destination: Ipv4Net,
    /// The gateway that they are given to. It leads nowhere (EC2's `blackhole`) while the gateway is not attached to
    /// the table's VPC.
    pub gateway: InternetGatewayId,
}
