//! The network interface that a launch makes for each instance, and what becomes of it.

use crate::model::{
    Block, Instance, InstanceId, InterfaceAttachment, MacAddress, NetworkInterface, NetworkInterfaceAttachmentId,
    NetworkInterfaceId, ResourceId, SecurityGroupId, SubnetId, Tag,
};
use crate::store::{self, StoreError, random_bits};
use rusqlite::Connection;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// The primary interface of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceOrder {
    /// Where it gets its address.
    pub subnet: SubnetId,
    /// The groups that it is in; at least one.
    pub groups: Vec<SecurityGroupId>,
    /// The address, if it is to be a certain one.
    pub address: Option<Ipv4Addr>,
    /// For people.
    pub description: String,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Why an interface can't have an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The subnet was deleted in the meantime.
    #[error("The subnet {0} is not there any more")]
    SubnetGone(SubnetId),
    /// The subnet is full.
    #[error("The subnet {0} has not enough free addresses")]
    Full(SubnetId),
    /// The address is not one that an interface of the subnet can have.
    #[error("The address {address} does not fall within the subnet {subnet}, or is reserved there")]
    OutOfRange {
        /// What was asked for.
        address: Ipv4Addr,
        /// The subnet.
        subnet: SubnetId,
    },
    /// Another interface has it.
    #[error("The address {0} is in use")]
    InUse(Ipv4Addr),
    /// The store refused.
    #[error("The interface can't be recorded")]
    Store(#[from] StoreError),
}

/// Records the primary interface of an instance.
pub(super) fn record(connection: &Connection, order: &InterfaceOrder, instance: &Instance) -> Result<(), AddressError> {
    let subnet = store::subnets::get(connection, order.subnet)?.ok_or(AddressError::SubnetGone(order.subnet))?;
    let taken = store::network_interfaces::addresses(connection, order.subnet)?;
    let address = match order.address {
        Some(address) if !subnet.block.addresses().any(|usable| usable == address) => {
            let subnet = order.subnet;
            return Err(AddressError::OutOfRange { address, subnet });
        }
        Some(address) if taken.contains(&address) => return Err(AddressError::InUse(address)),
        Some(address) => address,
        None => free(subnet.block, &taken).ok_or(AddressError::Full(order.subnet))?,
    };
    let [_, _, _, _, _, _, _, _, _, _, _, bits @ ..] = random_bits().to_be_bytes();
    let interface = NetworkInterface {
        id: NetworkInterfaceId::from_random(random_bits()),
        number: store::network_interfaces::free_number(connection)?,
        subnet: order.subnet,
        mac: MacAddress::from_random(bits),
        address,
        description: order.description.clone(),
        source_dest_check: true,
        groups: order.groups.clone(),
        public: None,
        attachment: Some(InterfaceAttachment {
            id: NetworkInterfaceAttachmentId::from_random(random_bits()),
            instance: instance.id,
            device_index: 0,
            delete_on_termination: order.delete_on_termination,
            attached: instance.launched,
        }),
        created: instance.launched,
    };
    store::network_interfaces::add(connection, &interface)?;
    for tag in &order.tags {
        store::tags::put(connection, ResourceId::NetworkInterface(interface.id), tag)?;
    }
    Ok(())
}

fn free(block: Block, taken: &HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    block.addresses().find(|address| !taken.contains(address))
}

/// Removes the interfaces that go with a terminated instance, and frees the others. Their public addresses stay their owner's.
pub(super) fn release(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        store::addresses::take_from(connection, interface.id)?;
        match &interface.attachment {
            Some(attachment) if attachment.delete_on_termination => {
                store::tags::remove_all(connection, ResourceId::NetworkInterface(interface.id))?;
                store::network_interfaces::remove(connection, interface.id)?;
            }
            _ => store::network_interfaces::detach(connection, interface.id)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_keeps_its_first_four_addresses_and_its_last() {
        let block: Block = "10.0.0.16/28".parse().unwrap();
        let usable: Vec<Ipv4Addr> = block.addresses().collect();
        assert_eq!(usable.len(), 11);
        assert_eq!(usable.first(), Some(&"10.0.0.20".parse().unwrap()));
        assert_eq!(usable.last(), Some(&"10.0.0.30".parse().unwrap()));
        let taken: HashSet<Ipv4Addr> = usable.iter().copied().skip(1).collect();
        assert_eq!(free(block, &taken), usable.first().copied());
        assert_eq!(free(block, &usable.into_iter().collect()), None);
    }
}
