//! An instance's network interfaces as EC2 writes them.

use super::super::addresses::WireAssociation;
use super::super::instant::instant;
use crate::config::Place;
use crate::instance::InterfaceFacts;
use serde::Serialize;

/// `GroupIdentifier`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireGroup {
    group_id: String,
    group_name: String,
}

/// `InstanceNetworkInterface`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireInterface {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    owner_id: String,
    description: String,
    status: &'static str,
    interface_type: &'static str,
    mac_address: String,
    private_ip_address: String,
    private_dns_name: String,
    private_ip_addresses: Vec<WireAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<WireAssociation>,
    source_dest_check: bool,
    groups: Vec<WireGroup>,
    attachment: Option<WireAttachment>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAddress {
    primary: bool,
    private_ip_address: String,
    private_dns_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<WireAssociation>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttachment {
    attachment_id: String,
    device_index: u16,
    network_card_index: u16,
    status: &'static str,
    attach_time: String,
    delete_on_termination: bool,
}

impl WireGroup {
    /// The groups of an interface.
    pub(super) fn all(facts: &InterfaceFacts) -> Vec<Self> {
        let groups = facts.groups.iter().map(|group| Self {
            group_id: group.id.to_string(),
            group_name: group.name.clone(),
        });
        groups.collect()
    }
}

impl WireInterface {
    /// One interface.
    pub(super) fn new(facts: &InterfaceFacts, place: &Place) -> Self {
        let interface = &facts.interface;
        let association = WireAssociation::of_instance(interface, place);
        let addresses = interface
            .addresses()
            .enumerate()
            .map(|(place_among, address)| WireAddress {
                primary: place_among == 0,
                private_ip_address: address.to_string(),
                private_dns_name: place.private_name(address),
                association: association.clone().filter(|_| place_among == 0),
            });
        Self {
            network_interface_id: interface.id.to_string(),
            subnet_id: facts.subnet.id.to_string(),
            vpc_id: facts.vpc.id.to_string(),
            owner_id: place.account().to_owned(),
            description: interface.description.clone(),
            status: "in-use",
            interface_type: "interface",
            mac_address: interface.mac.to_string(),
            private_ip_address: interface.address.to_string(),
            private_dns_name: place.private_name(interface.address),
            private_ip_addresses: addresses.collect(),
            association,
            source_dest_check: interface.source_dest_check,
            groups: WireGroup::all(facts),
            attachment: interface.attachment.as_ref().map(|attachment| WireAttachment {
                attachment_id: attachment.id.to_string(),
                device_index: attachment.device_index,
                network_card_index: 0,
                status: attachment.state.name(),
                attach_time: instant(attachment.attached),
                delete_on_termination: attachment.delete_on_termination,
            }),
        }
    }
}
