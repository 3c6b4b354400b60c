//! Where interfaces are: subnets, VPCs and security groups, each read once, however many interfaces are in it.

use super::metadata::InterfaceFacts;
use crate::model::{NetworkInterface, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Vpc, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// What was read so far, in one view of the database; also that there is no such thing.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    subnets: HashMap<SubnetId, Option<Subnet>>,
    vpcs: HashMap<VpcId, Option<Vpc>>,
    groups: HashMap<SecurityGroupId, Option<SecurityGroup>>,
}

impl Surroundings {
    /// An interface with where it is; none if that is gone.
    pub(super) fn of(
        &mut self,
        connection: &Connection,
        interface: NetworkInterface,
    ) -> Result<Option<InterfaceFacts>, StoreError> {
        let subnet = once(&mut self.subnets, interface.subnet, |id| {
            store::subnets::get(connection, id)
        })?;
        let Some(subnet) = subnet else { return Ok(None) };
        let vpc = once(&mut self.vpcs, subnet.vpc, |id| store::vpcs::get(connection, id))?;
        let Some(vpc) = vpc else { return Ok(None) };
        let read = |id| store::security_groups::get(connection, id);
        let groups = interface
            .groups
            .iter()
            .filter_map(|&group| once(&mut self.groups, group, read).transpose());
        Ok(Some(InterfaceFacts {
            groups: groups.collect::<Result<_, _>>()?,
            interface,
            subnet,
            vpc,
        }))
    }
}

fn once<K: Copy + Eq + Hash, V: Clone>(
    known: &mut HashMap<K, Option<V>>,
    id: K,
    read: impl FnOnce(K) -> Result<Option<V>, StoreError>,
) -> Result<Option<V>, StoreError> {
    let value = match known.entry(id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(free) => free.insert(read(id)?),
    };
    Ok(value.clone())
}
