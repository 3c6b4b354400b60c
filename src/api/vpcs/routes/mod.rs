//! Route tables: the tables, their routes, and which subnets use them.

mod associations;
mod describe;
mod entries;
mod tables;

use super::super::Operation;
use super::{Changed, block, change, found, listing, make, tag};

pub(super) fn rows() -> Vec<Operation> {
    vec![
        Operation::new("AssociateRouteTable", associations::associate),
        Operation::new("CreateRoute", entries::create),
        Operation::new("CreateRouteTable", tables::create),
        Operation::new("DeleteRoute", entries::delete),
        Operation::new("DeleteRouteTable", tables::delete),
        Operation::new("DescribeRouteTables", describe::describe),
        Operation::new("DisassociateRouteTable", associations::disassociate),
        Operation::new("ReplaceRoute", entries::replace),
        Operation::new("ReplaceRouteTableAssociation", associations::replace),
    ]
}
