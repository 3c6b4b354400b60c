//! Public addresses of the host's pool: which are free, and those that a start gives to an instance's interfaces and its stop
//! takes back. Those that a user has allocated are `api`'s.
//!
//! Everything here is part of a transaction.

use super::interfaces::InterfaceError;
use crate::model::{
    AddressAssociation, AddressAssociationId, AllocationId, ElasticAddress, InstanceId, NetworkInterface,
};
use crate::store::{self, StoreError, random_bits};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// A free address of the pool.
///
/// # Errors
/// The database's.
pub fn free(connection: &Connection, pool: &[Ipv4Net]) -> Result<Option<Ipv4Addr>, StoreError> {
    let taken = store::addresses::taken(connection)?;
    let mut all = pool.iter().flat_map(Ipv4Net::hosts);
    Ok(all.find(|address| !taken.contains(address)))
}

/// Gives an address to each interface of an instance that starts, if it is to have one and has none. Where the pool is empty,
/// which it is unless the host's owner says otherwise, interfaces go without.
pub(super) fn give(connection: &Connection, pool: &[Ipv4Net], instance: InstanceId) -> Result<(), StoreError> {
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        if interface.public_at_start && interface.public.is_none() {
            give_one(connection, pool, &interface)?;
        }
    }
    Ok(())
}

/// As [`give`], where an interface must not go without.
pub(super) fn must_give(
    connection: &Connection,
    pool: &[Ipv4Net],
    interface: &NetworkInterface,
) -> Result<(), InterfaceError> {
    match give_one(connection, pool, interface)? {
        true => Ok(()),
        false => Err(InterfaceError::NoPublicAddress),
    }
}

fn give_one(connection: &Connection, pool: &[Ipv4Net], interface: &NetworkInterface) -> Result<bool, StoreError> {
    let Some(address) = free(connection, pool)? else {
        return Ok(false);
    };
    let address = ElasticAddress {
        id: AllocationId::from_random(random_bits()),
        address,
        association: None,
        created: OffsetDateTime::now_utc(),
    };
    let association = AddressAssociation {
        id: AddressAssociationId::from_random(random_bits()),
        interface: interface.id,
    };
    store::addresses::add(connection, &address)?;
    store::addresses::associate(connection, address.id, Some(association))?;
    store::addresses::set_of_start(connection, address.id)?;
    Ok(true)
}

/// Takes back what a start has given to an instance's interfaces.
pub(super) fn take_back(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        store::addresses::remove_of_start(connection, interface.id)?;
    }
    Ok(())
}
