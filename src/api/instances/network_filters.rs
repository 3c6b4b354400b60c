//! The filters of DescribeInstances that look at an instance's network: at its primary interface, or at any.

use super::super::addresses::WireAssociation;
use super::super::instant::instant;
use super::wire::Described;
use crate::config::Place;
use crate::instance::InterfaceFacts;

/// The filters that are about the instance, as its primary interface gives it.
pub(super) const PRIMARY: [&str; 7] = [
    "dns-name",
    "ip-address",
    "private-dns-name",
    "private-ip-address",
    "source-dest-check",
    "subnet-id",
    "vpc-id",
];

/// The value of one of [`PRIMARY`].
pub(super) fn of_primary(described: &Described, name: &str, place: &Place) -> Option<String> {
    let primary = described.interfaces.first()?;
    let interface = &primary.interface;
    match name {
        "ip-address" => Some(interface.public?.address.to_string()),
        "private-dns-name" => Some(place.instance_name(&described.instance, interface.address)),
        "private-ip-address" => Some(interface.address.to_string()),
        "source-dest-check" => Some(interface.source_dest_check.to_string()),
        "subnet-id" => Some(primary.subnet.id.to_string()),
        "vpc-id" => Some(primary.vpc.id.to_string()),
        // Public names: there are none.
        _ => None,
    }
}

/// The values of a filter `instance.`, which are the groups of the primary interface.
pub(super) fn of_groups(described: &Described, name: &str) -> Vec<String> {
    let primary = described.interfaces.first();
    primary.map(|primary| groups(primary, name)).unwrap_or_default()
}

/// The values of a filter `network-interface.`.
pub(super) fn of_interfaces(described: &Described, name: &str, place: &Place) -> Vec<String> {
    let of = |facts: &InterfaceFacts| match name.strip_prefix("attachment.") {
        Some(name) => of_attachment(described, facts, name, place).into_iter().collect(),
        None => match name.rsplit_once("association.") {
            Some((_, name)) => of_association(facts, name, place).into_iter().collect(),
            None => of_interface(facts, name, place),
        },
    };
    described.interfaces.iter().flat_map(of).collect()
}

fn of_interface(facts: &InterfaceFacts, name: &str, place: &Place) -> Vec<String> {
    let interface = &facts.interface;
    let value = match name {
        "addresses.primary" => {
            let others = interface.secondary.iter().map(|_| "false".into());
            return std::iter::once("true".into()).chain(others).collect();
        }
        "addresses.private-ip-address" => return interface.addresses().map(|one| one.to_string()).collect(),
        "group-id" | "group-name" => return groups(facts, name),
        "addresses.private-dns-name" => return interface.addresses().map(|one| place.private_name(one)).collect(),
        // Interfaces have no IPv6 addresses, and nobody else manages them.
        "deny-all-igw-traffic" | "ipv6-native" | "operator.managed" => Some("false".into()),
        "availability-zone" => Some(place.zone().to_owned()),
        "description" => Some(interface.description.clone()),
        "mac-address" => Some(interface.mac.to_string()),
        "network-interface-id" => Some(interface.id.to_string()),
        "owner-id" => Some(place.account().to_owned()),
        "private-dns-name" => Some(place.private_name(interface.address)),
        "private-ip-address" => Some(interface.address.to_string()),
        "requester-managed" => Some("false".into()),
        "source-dest-check" => Some(interface.source_dest_check.to_string()),
        "status" => Some("in-use".into()),
        "subnet-id" => Some(facts.subnet.id.to_string()),
        "vpc-id" => Some(facts.vpc.id.to_string()),
        // IPv6 addresses, prefixes, public names, and other services that make interfaces: there are none.
        _ => None,
    };
    value.into_iter().collect()
}

/// The values of its public address.
fn of_association(facts: &InterfaceFacts, name: &str, place: &Place) -> Option<String> {
    let association = WireAssociation::of(&facts.interface, place)?;
    match name {
        "allocation-id" => association.allocation_id,
        "association-id" => association.association_id,
        "ip-owner-id" => Some(association.ip_owner_id),
        "public-ip" => Some(association.public_ip),
        // Names of it, and addresses of carriers and customers: there are none.
        _ => None,
    }
}

fn of_attachment(described: &Described, facts: &InterfaceFacts, name: &str, place: &Place) -> Option<String> {
    let attachment = facts.interface.attachment.as_ref()?;
    match name {
        "attach-time" => Some(instant(attachment.attached)),
        "attachment-id" => Some(attachment.id.to_string()),
        "delete-on-termination" => Some(attachment.delete_on_termination.to_string()),
        "device-index" => Some(attachment.device_index.to_string()),
        "instance-id" => Some(described.instance.id.to_string()),
        "instance-owner-id" => Some(place.account().to_owned()),
        "network-card-index" => Some("0".into()),
        "status" => Some(attachment.state.name().to_owned()),
        _ => None,
    }
}

fn groups(facts: &InterfaceFacts, name: &str) -> Vec<String> {
    let groups = facts.groups.iter();
    match name {
        "group-id" => groups.map(|group| group.id.to_string()).collect(),
        _ => groups.map(|group| group.name.clone()).collect(),
    }
}
