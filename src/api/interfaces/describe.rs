//! DescribeNetworkInterfaces.

use super::super::addresses::WireAssociation;
use super::super::instant::instant;
use super::super::places::zone_id;
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code, found, paging};
use super::listing::{Asked, Kind, Shown, list};
use crate::config::Place;
use crate::model::{
    AttachmentState, InterfaceAttachment, NetworkInterface, NetworkInterfaceId, ResourceId, SecurityGroupId, Subnet,
    SubnetId, Vpc, VpcId,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedInterfaces {
    network_interfaces: Vec<WireInterface>,
    next_token: Option<String>,
}

const INTERFACES: Kind = Kind {
    what: "networkInterface",
    malformed: Code::InvalidNetworkInterfaceIdMalformed,
    not_found: Code::InvalidNetworkInterfaceIdNotFound,
    filters: &[
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attach-time",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "availability-zone-id",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "ipv6-addresses.ipv6-address",
        "mac-address",
        "network-interface-id",
        "operator.managed",
        "operator.principal",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ],
    max_results: paging::MAX_RESULTS,
};

pub(super) async fn describe(call: Call, asked: Asked) -> Result<DescribedInterfaces, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| read(store, &place);
    let (network_interfaces, next_token) = list::<NetworkInterfaceId, _, _>(&call, asked, &INTERFACES, read).await?;
    Ok(DescribedInterfaces {
        network_interfaces,
        next_token,
    })
}

fn read(store: &Connection, place: &Place) -> Result<Vec<WireInterface>, StoreError> {
    let surroundings = Surroundings::read(store)?;
    let mut shown = Vec::new();
    for interface in store::network_interfaces::list(store)? {
        let tags = store::tags::of(store, ResourceId::NetworkInterface(interface.id))?;
        let tags = tags.into_iter().map(Into::into).collect();
        // An interface's subnet and that one's VPC are there as long as it is.
        if let Some((subnet, vpc)) = surroundings.of(&interface) {
            let groups = surroundings.groups(&interface);
            shown.push(WireInterface::new(interface, subnet, vpc, groups, tags, place));
        }
    }
    Ok(shown)
}

/// What interfaces refer to.
struct Surroundings {
    vpcs: HashMap<VpcId, Vpc>,
    subnets: HashMap<SubnetId, Subnet>,
    groups: HashMap<SecurityGroupId, String>,
}

impl Surroundings {
    fn read(store: &Connection) -> Result<Self, StoreError> {
        let (vpcs, subnets) = (store::vpcs::list(store)?, store::subnets::list(store)?);
        let groups = store::security_groups::list(store)?;
        Ok(Self {
            vpcs: vpcs.into_iter().map(|vpc| (vpc.id, vpc)).collect(),
            subnets: subnets.into_iter().map(|subnet| (subnet.id, subnet)).collect(),
            groups: groups.into_iter().map(|group| (group.id, group.name)).collect(),
        })
    }

    fn of(&self, interface: &NetworkInterface) -> Option<(&Subnet, &Vpc)> {
        let subnet = self.subnets.get(&interface.subnet)?;
        Some((subnet, self.vpcs.get(&subnet.vpc)?))
    }

    fn groups(&self, interface: &NetworkInterface) -> Vec<WireGroup> {
        let group = |id: &SecurityGroupId| WireGroup {
            group_id: id.to_string(),
            group_name: self.groups.get(id).cloned().unwrap_or_default(),
        };
        interface.groups.iter().map(group).collect()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireInterface {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    owner_id: String,
    availability_zone: String,
    availability_zone_id: String,
    description: String,
    interface_type: &'static str,
    mac_address: String,
    private_ip_address: String,
    private_dns_name: Option<String>,
    private_ip_addresses: Vec<WireAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<WireAssociation>,
    ipv6_addresses: [(); 0],
    groups: Vec<WireGroup>,
    attachment: Option<WireAttachment>,
    status: &'static str,
    source_dest_check: bool,
    requester_managed: bool,
    operator: WireOperator,
    tag_set: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAddress {
    primary: bool,
    private_ip_address: String,
    private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<WireAssociation>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireGroup {
    group_id: String,
    group_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAttachment {
    attachment_id: String,
    instance_id: String,
    instance_owner_id: String,
    device_index: u16,
    network_card_index: u16,
    status: &'static str,
    attach_time: String,
    delete_on_termination: bool,
}

/// `OperatorResponse`: whether another service has made it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireOperator {
    managed: bool,
}

impl WireInterface {
    /// One that is there.
    pub(super) fn read(store: &Connection, id: NetworkInterfaceId, place: &Place) -> Result<Self, ApiError> {
        let interface = found::interface(store, id)?;
        let subnet = found::subnet(store, interface.subnet)?;
        let vpc = found::vpc(store, subnet.vpc)?;
        let groups = WireGroup::all(store, &interface)?;
        let tags = store::tags::of(store, ResourceId::NetworkInterface(id))?;
        let tags = tags.into_iter().map(Into::into).collect();
        Ok(Self::new(interface, &subnet, &vpc, groups, tags, place))
    }

    fn new(
        interface: NetworkInterface,
        subnet: &Subnet,
        vpc: &Vpc,
        groups: Vec<WireGroup>,
        tags: Vec<WireTag>,
        place: &Place,
    ) -> Self {
        // A name that resolves nowhere is not shown.
        let name = vpc.dns_support.then(|| place.private_name(interface.address));
        let association = WireAssociation::of(&interface, place);
        let addresses = interface
            .addresses()
            .enumerate()
            .map(|(place_among, address)| WireAddress {
                primary: place_among == 0,
                association: association.clone().filter(|_| place_among == 0),
                private_ip_address: address.to_string(),
                private_dns_name: vpc.dns_support.then(|| place.private_name(address)),
            });
        let addresses = addresses.collect();
        Self {
            network_interface_id: interface.id.to_string(),
            subnet_id: subnet.id.to_string(),
            vpc_id: vpc.id.to_string(),
            owner_id: place.account().to_owned(),
            availability_zone: place.zone().to_owned(),
            availability_zone_id: zone_id(place),
            description: interface.description,
            interface_type: "interface",
            mac_address: interface.mac.to_string(),
            private_ip_address: interface.address.to_string(),
            private_dns_name: name,
            private_ip_addresses: addresses,
            association,
            ipv6_addresses: [],
            groups,
            status: status(interface.attachment.as_ref()),
            attachment: interface
                .attachment
                .map(|attachment| WireAttachment::new(&attachment, place)),
            source_dest_check: interface.source_dest_check,
            requester_managed: false,
            operator: WireOperator { managed: false },
            tag_set: tags,
        }
    }
}

/// `NetworkInterfaceStatus`.
fn status(attachment: Option<&InterfaceAttachment>) -> &'static str {
    match attachment.map(|attachment| attachment.state) {
        None => "available",
        Some(AttachmentState::Attached) => "in-use",
        Some(passing) => passing.name(),
    }
}

impl WireGroup {
    /// The groups of an interface.
    pub(super) fn all(store: &Connection, interface: &NetworkInterface) -> Result<Vec<Self>, ApiError> {
        let group = |&id| {
            let group = found::group(store, id)?;
            Ok(Self {
                group_id: id.to_string(),
                group_name: group.name,
            })
        };
        interface.groups.iter().map(group).collect()
    }
}

impl WireAttachment {
    pub(super) fn new(attachment: &InterfaceAttachment, place: &Place) -> Self {
        Self {
            attachment_id: attachment.id.to_string(),
            instance_id: attachment.instance.to_string(),
            instance_owner_id: place.account().to_owned(),
            device_index: attachment.device_index,
            network_card_index: 0,
            status: attachment.state.name(),
            attach_time: instant(attachment.attached),
            delete_on_termination: attachment.delete_on_termination,
        }
    }

    fn value(&self, name: &str) -> String {
        match name {
            "attach-time" => self.attach_time.clone(),
            "attachment-id" => self.attachment_id.clone(),
            "delete-on-termination" => self.delete_on_termination.to_string(),
            "device-index" => self.device_index.to_string(),
            "instance-id" => self.instance_id.clone(),
            "instance-owner-id" => self.instance_owner_id.clone(),
            _ => self.status.into(),
        }
    }
}

impl Shown for WireInterface {
    fn id(&self) -> &str {
        &self.network_interface_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tag_set
    }

    fn values(&self, filter: &str) -> Vec<String> {
        if let Some(name) = filter.strip_prefix("attachment.") {
            return self
                .attachment
                .iter()
                .map(|attachment| attachment.value(name))
                .collect();
        }
        let addresses = |member: fn(&WireAddress) -> String| self.private_ip_addresses.iter().map(member).collect();
        let association = |member: fn(&WireAssociation) -> Option<&String>| {
            let value = self.association.as_ref().and_then(member);
            value.into_iter().cloned().collect()
        };
        match filter {
            "addresses.primary" => addresses(|address| address.primary.to_string()),
            "addresses.private-ip-address" => addresses(|address| address.private_ip_address.clone()),
            "private-ip-address" => vec![self.private_ip_address.clone()],
            "addresses.association.owner-id" | "association.ip-owner-id" => association(|one| Some(&one.ip_owner_id)),
            "addresses.association.public-ip" | "association.public-ip" => association(|one| Some(&one.public_ip)),
            "association.allocation-id" => association(|one| one.allocation_id.as_ref()),
            "association.association-id" => association(|one| one.association_id.as_ref()),
            "availability-zone" => vec![self.availability_zone.clone()],
            "availability-zone-id" => vec![self.availability_zone_id.clone()],
            "description" => vec![self.description.clone()],
            "group-id" => self.groups.iter().map(|group| group.group_id.clone()).collect(),
            "group-name" => self.groups.iter().map(|group| group.group_name.clone()).collect(),
            "interface-type" => vec![self.interface_type.into()],
            "mac-address" => vec![self.mac_address.clone()],
            "network-interface-id" => vec![self.network_interface_id.clone()],
            "operator.managed" => vec![self.operator.managed.to_string()],
            "owner-id" => vec![self.owner_id.clone()],
            "private-dns-name" => self.private_dns_name.iter().cloned().collect(),
            "requester-managed" => vec![self.requester_managed.to_string()],
            "source-dest-check" => vec![self.source_dest_check.to_string()],
            "status" => vec![self.status.into()],
            "subnet-id" => vec![self.subnet_id.clone()],
            "vpc-id" => vec![self.vpc_id.clone()],
            // Public names, IPv6 addresses, and other services: there are none.
            _ => Vec::new(),
        }
    }
}
