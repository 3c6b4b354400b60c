//! Network interfaces on record: made, given addresses, attached to instances, and let go with them.
//!
//! Everything here is part of a transaction. `api` makes interfaces, [`super::run`] those of a launch, [`super::hotplug`]
//! attaches and detaches them.

use super::devices::MAX_INTERFACES;
use super::public_addresses;
use crate::model::{
    AttachmentState, Block, InstanceId, InterfaceAttachment, MacAddress, NetworkInterface,
    NetworkInterfaceAttachmentId, NetworkInterfaceId, ResourceId, SecurityGroupId, SubnetId, Tag, VpcId,
};
use crate::store::{self, StoreError, random_bits};
use ipnet::Ipv4Net;
use rusqlite::Connection;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// The most private addresses of an interface.
pub const MAX_ADDRESSES: usize = 50;

/// A network interface to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceOrder {
    /// Where it gets its addresses.
    pub subnet: SubnetId,
    /// The groups that it is in; at least one.
    pub groups: Vec<SecurityGroupId>,
    /// The primary address, if it is to be a certain one.
    pub address: Option<Ipv4Addr>,
    /// The others.
    pub secondary: AddressOrder,
    /// Whether each start of its instance gives it a public address; as its subnet has it, if that is not said.
    pub public: Option<bool>,
    /// For people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Secondary addresses that an interface is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressOrder {
    /// These.
    pub certain: Vec<Ipv4Addr>,
    /// As many others.
    pub any: usize,
    /// Whether an address may be taken from another interface that has it as a secondary one.
    pub may_take: bool,
}

/// Where an interface is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfacePlace {
    /// 0 is the primary interface's.
    pub device_index: u16,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
}

/// An interface of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchInterface {
    /// Each instance gets one.
    New(InterfaceOrder),
    /// The one instance of the launch gets this.
    Existing(NetworkInterfaceId),
}

/// Why there is no such interface, or it can't have an address or a place.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
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
    AddressInUse(Ipv4Addr),
    /// It would have too many.
    #[error("An interface may have {MAX_ADDRESSES} private addresses at most")]
    TooManyAddresses,
    /// The pool has none.
    #[error("No public address is left in network.public_pool of kiln.toml for AssociatePublicIpAddress")]
    NoPublicAddress,
    /// There is no such interface.
    #[error("The networkInterface ID '{0}' does not exist")]
    NotFound(NetworkInterfaceId),
    /// It is attached already.
    #[error("Interface: [{interface}] in use: it is attached to {instance}")]
    InUse {
        /// The interface.
        interface: NetworkInterfaceId,
        /// Where.
        instance: InstanceId,
    },
    /// The place is another's.
    #[error("Instance '{instance}' already has an interface attached at device index '{device_index}'")]
    PlaceTaken {
        /// The instance.
        instance: InstanceId,
        /// The place.
        device_index: u16,
    },
    /// It would have too many.
    #[error("Interface count exceeds the limit of {MAX_INTERFACES} for an instance, whose places are 0 to {last}", last = MAX_INTERFACES - 1)]
    TooMany,
    /// The interface is of another VPC than the instance.
    #[error("The interface {interface} and the instance {instance} are in different VPCs")]
    OtherVpc {
        /// The interface.
        interface: NetworkInterfaceId,
        /// The instance.
        instance: InstanceId,
    },
    /// The store refused.
    #[error("The interface can't be recorded")]
    Store(#[from] StoreError),
}

/// Makes an interface that is attached to nothing.
///
/// # Errors
/// See [`InterfaceError`].
pub fn create(connection: &Connection, order: &InterfaceOrder) -> Result<NetworkInterface, InterfaceError> {
    let subnet = store::subnets::get(connection, order.subnet)?.ok_or(InterfaceError::SubnetGone(order.subnet))?;
    let taken = store::network_interfaces::addresses(connection, order.subnet)?;
    let address = match order.address {
        Some(address) => {
            check(address, subnet.block, order.subnet)?;
            if taken.contains(&address) {
                return Err(InterfaceError::AddressInUse(address));
            }
            address
        }
        // Not one that is to be a secondary one.
        None => {
            let mut free = subnet.block.addresses();
            let free = free.find(|address| !taken.contains(address) && !order.secondary.certain.contains(address));
            free.ok_or(InterfaceError::Full(order.subnet))?
        }
    };
    let [_, _, _, _, _, _, _, _, _, _, _, bits @ ..] = random_bits().to_be_bytes();
    let mut interface = NetworkInterface {
        id: NetworkInterfaceId::from_random(random_bits()),
        number: store::network_interfaces::free_number(connection)?,
        subnet: order.subnet,
        mac: MacAddress::from_random(bits),
        address,
        secondary: Vec::new(),
        description: order.description.clone(),
        source_dest_check: true,
        groups: order.groups.clone(),
        public_at_start: order.public.unwrap_or(subnet.map_public_ip),
        public: None,
        attachment: None,
        created: OffsetDateTime::now_utc(),
    };
    store::network_interfaces::add(connection, &interface)?;
    assign(connection, &mut interface, &order.secondary)?;
    for tag in &order.tags {
        store::tags::put(connection, ResourceId::NetworkInterface(interface.id), tag)?;
    }
    Ok(interface)
}

/// Gives an interface secondary addresses; those that it got, and the interfaces that they were taken from.
///
/// # Errors
/// See [`InterfaceError`].
pub fn assign(
    connection: &Connection,
    interface: &mut NetworkInterface,
    order: &AddressOrder,
) -> Result<(Vec<Ipv4Addr>, Vec<NetworkInterface>), InterfaceError> {
    let id = interface.subnet;
    let subnet = store::subnets::get(connection, id)?.ok_or(InterfaceError::SubnetGone(id))?;
    if interface.addresses().count() + order.certain.len() + order.any > MAX_ADDRESSES {
        return Err(InterfaceError::TooManyAddresses);
    }
    let mut taken = store::network_interfaces::addresses(connection, id)?;
    let (mut given, mut robbed) = (Vec::new(), Vec::new());
    for &address in &order.certain {
        check(address, subnet.block, id)?;
        if !taken.insert(address) {
            let owner = owner(connection, id, address)?.filter(|owner| order.may_take && owner.id != interface.id);
            let mut owner = owner
                .filter(|owner| owner.secondary.contains(&address))
                .ok_or(InterfaceError::AddressInUse(address))?;
            owner.secondary.retain(|own| *own != address);
            store::network_interfaces::set_secondary(connection, &owner, &owner.secondary)?;
            robbed.push(owner);
        }
        given.push(address);
    }
    for _ in 0..order.any {
        let address = free(subnet.block, &taken).ok_or(InterfaceError::Full(id))?;
        taken.insert(address);
        given.push(address);
    }
    interface.secondary.extend(&given);
    store::network_interfaces::set_secondary(connection, interface, &interface.secondary)?;
    Ok((given, robbed))
}

/// The interface of a subnet that has an address.
fn owner(connection: &Connection, subnet: SubnetId, address: Ipv4Addr) -> Result<Option<NetworkInterface>, StoreError> {
    let mut all = store::network_interfaces::of_subnet(connection, subnet)?.into_iter();
    Ok(all.find(|interface| interface.addresses().any(|own| own == address)))
}

fn check(address: Ipv4Addr, block: Block, subnet: SubnetId) -> Result<(), InterfaceError> {
    match block.addresses().any(|usable| usable == address) {
        true => Ok(()),
        false => Err(InterfaceError::OutOfRange { address, subnet }),
    }
}

fn free(block: Block, taken: &HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    block.addresses().find(|address| !taken.contains(address))
}

/// Attaches an interface to an instance.
///
/// # Errors
/// See [`InterfaceError`].
pub(super) fn attach(
    connection: &Connection,
    (id, instance): (NetworkInterfaceId, InstanceId),
    place: InterfacePlace,
    state: AttachmentState,
) -> Result<NetworkInterfaceAttachmentId, InterfaceError> {
    let interface = store::network_interfaces::get(connection, id)?.ok_or(InterfaceError::NotFound(id))?;
    if let Some(attachment) = interface.attachment {
        let instance = attachment.instance;
        return Err(InterfaceError::InUse {
            interface: id,
            instance,
        });
    }
    let others = store::network_interfaces::of_instance(connection, instance)?;
    if place.device_index >= MAX_INTERFACES {
        return Err(InterfaceError::TooMany);
    }
    let device_index = place.device_index;
    let is_there = |other: &NetworkInterface| {
        let attachment = other.attachment.as_ref();
        attachment.is_some_and(|attachment| attachment.device_index == device_index)
    };
    if others.iter().any(is_there) {
        return Err(InterfaceError::PlaceTaken { instance, device_index });
    }
    if let Some(other) = others.first()
        && vpc(connection, other.subnet)? != vpc(connection, interface.subnet)?
    {
        return Err(InterfaceError::OtherVpc {
            interface: id,
            instance,
        });
    }
    let attachment = InterfaceAttachment {
        id: NetworkInterfaceAttachmentId::from_random(random_bits()),
        instance,
        device_index,
        delete_on_termination: place.delete_on_termination,
        attached: OffsetDateTime::now_utc(),
        state,
    };
    store::network_interfaces::attach(connection, id, &attachment)?;
    Ok(attachment.id)
}

fn vpc(connection: &Connection, subnet: SubnetId) -> Result<Option<VpcId>, StoreError> {
    Ok(store::subnets::get(connection, subnet)?.map(|subnet| subnet.vpc))
}

/// Records the interfaces of a launch, with their public addresses from the pool.
pub(super) fn record(
    connection: &Connection,
    interfaces: &[(InterfacePlace, LaunchInterface)],
    pool: &[Ipv4Net],
    instance: InstanceId,
) -> Result<(), InterfaceError> {
    for (place, interface) in interfaces {
        let id = match interface {
            LaunchInterface::New(order) => {
                let made = create(connection, order)?;
                if order.public == Some(true) {
                    public_addresses::must_give(connection, pool, &made)?;
                }
                made.id
            }
            LaunchInterface::Existing(id) => *id,
        };
        attach(connection, (id, instance), *place, AttachmentState::Attached)?;
    }
    Ok(public_addresses::give(connection, pool, instance)?)
}

/// The instance has no machine any more: what was coming to it has come, for the next one has it; what was going is gone, and
/// so is what its start has given.
pub(super) fn settle(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    public_addresses::take_back(connection, instance)?;
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        match interface.attachment.map(|attachment| attachment.state) {
            Some(AttachmentState::Attaching) => {
                let state = AttachmentState::Attached;
                store::network_interfaces::set_attachment_state(connection, interface.id, state)?;
            }
            Some(AttachmentState::Detaching) => store::network_interfaces::detach(connection, interface.id)?,
            Some(AttachmentState::Attached) | None => {}
        }
    }
    Ok(())
}

/// Removes the interfaces that go with a terminated instance, and frees the others. The public addresses of those that go
/// stay their owner's.
pub(super) fn release(connection: &Connection, instance: InstanceId) -> Result<(), StoreError> {
    for interface in store::network_interfaces::of_instance(connection, instance)? {
        match &interface.attachment {
            Some(attachment) if attachment.delete_on_termination => remove(connection, interface.id)?,
            _ => store::network_interfaces::detach(connection, interface.id)?,
        }
    }
    Ok(())
}

/// Removes an interface with its tags; its public address stays its owner's.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: NetworkInterfaceId) -> Result<(), StoreError> {
    store::addresses::take_from(connection, id)?;
    store::tags::remove_all(connection, ResourceId::NetworkInterface(id))?;
    store::network_interfaces::remove(connection, id)
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
