//! Elastic addresses: public addresses of the pool that the host was given, and the interfaces that have them.

use super::{AddressAssociationId, AllocationId, NetworkInterfaceId};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// An elastic address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElasticAddress {
    /// Its identifier.
    pub id: AllocationId,
    /// The address; no other has it.
    pub address: Ipv4Addr,
    /// Which interface has it.
    pub association: Option<AddressAssociation>,
    /// When it was taken from the pool.
    pub created: OffsetDateTime,
}

/// That an interface has an elastic address: what is sent to it reaches the interface's private address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressAssociation {
    /// Its identifier.
    pub id: AddressAssociationId,
    /// The interface; no other address is its own.
    pub interface: NetworkInterfaceId,
}

/// The public address of an interface, as the interface knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// Which elastic address it is; none for one that a start has given.
    pub allocation: Option<AllocationId>,
    /// How it is the interface's.
    pub association: AddressAssociationId,
}
