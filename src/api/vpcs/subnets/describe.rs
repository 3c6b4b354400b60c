//! DescribeSubnets, and a subnet as EC2 writes it.

use super::super::super::places::zone_id;
use super::super::super::tagging::WireTag;
use super::super::super::{ApiError, Call, Code, paging};
use super::super::listing::{Asked, Kind, Shown, list};
use super::super::vpc::WireAccess;
use crate::config::Place;
use crate::model::{ResourceId, Subnet, SubnetId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedSubnets {
    subnets: Vec<WireSubnet>,
    next_token: Option<String>,
}

const SUBNETS: Kind = Kind {
    what: "subnet",
    malformed: Code::InvalidSubnetIdMalformed,
    not_found: Code::InvalidSubnetIdNotFound,
    filters: &[
        "availability-zone",
        "availability-zone-id",
        "availabilityZone",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "customer-owned-ipv4-pool",
        "default-for-az",
        "defaultForAz",
        "enable-dns64",
        "enable-lni-at-device-index",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "map-public-ip-on-launch",
        "outpost-arn",
        "owner-id",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
        "private-dns-name-options-on-launch.hostname-type",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
    ],
    max_results: paging::MAX_RESULTS,
};

pub(super) async fn describe(call: Call, asked: Asked) -> Result<DescribedSubnets, ApiError> {
    let place = call.world.config.place.clone();
    let (subnets, next_token) =
        list::<SubnetId, _, _>(&call, asked, &SUBNETS, move |store| read(store, &place)).await?;
    Ok(DescribedSubnets { subnets, next_token })
}

fn read(store: &Connection, place: &Place) -> Result<Vec<WireSubnet>, StoreError> {
    let mut interfaces: HashMap<SubnetId, u32> = HashMap::new();
    for interface in store::network_interfaces::list(store)? {
        *interfaces.entry(interface.subnet).or_default() += 1;
    }
    let subnets = store::subnets::list(store)?;
    let shown = subnets.iter().map(|subnet| {
        let interfaces = interfaces.get(&subnet.id).copied().unwrap_or_default();
        WireSubnet::read(store, place, subnet, interfaces)
    });
    shown.collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireSubnet {
    subnet_id: String,
    subnet_arn: String,
    vpc_id: String,
    owner_id: String,
    state: &'static str,
    cidr_block: String,
    ipv6_cidr_block_association_set: [(); 0],
    available_ip_address_count: u32,
    availability_zone: String,
    availability_zone_id: String,
    default_for_az: bool,
    map_public_ip_on_launch: bool,
    map_customer_owned_ip_on_launch: bool,
    assign_ipv6_address_on_creation: bool,
    enable_dns64: bool,
    ipv6_native: bool,
    private_dns_name_options_on_launch: WireNameOptions,
    block_public_access_states: WireAccess,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireNameOptions {
    hostname_type: &'static str,
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "EnableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

impl WireSubnet {
    /// A subnet that so many interfaces have addresses of.
    pub(super) fn read(
        store: &Connection,
        place: &Place,
        subnet: &Subnet,
        interfaces: u32,
    ) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::Subnet(subnet.id))?;
        let (region, account) = (place.region(), place.account());
        Ok(Self {
            subnet_id: subnet.id.to_string(),
            subnet_arn: format!("arn:aws:ec2:{region}:{account}:subnet/{}", subnet.id),
            vpc_id: subnet.vpc.to_string(),
            owner_id: account.to_owned(),
            state: "available",
            cidr_block: subnet.block.to_string(),
            ipv6_cidr_block_association_set: [],
            available_ip_address_count: subnet.block.usable().saturating_sub(interfaces),
            availability_zone: place.zone().to_owned(),
            availability_zone_id: zone_id(place),
            default_for_az: subnet.is_default,
            map_public_ip_on_launch: subnet.map_public_ip,
            map_customer_owned_ip_on_launch: false,
            assign_ipv6_address_on_creation: false,
            enable_dns64: false,
            ipv6_native: false,
            private_dns_name_options_on_launch: WireNameOptions {
                hostname_type: "ip-name",
                enable_resource_name_dns_a_record: false,
                enable_resource_name_dns_aaaa_record: false,
            },
            block_public_access_states: WireAccess::OFF,
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireSubnet {
    fn id(&self) -> &str {
        &self.subnet_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let names = &self.private_dns_name_options_on_launch;
        vec![match filter {
            "availability-zone" | "availabilityZone" => self.availability_zone.clone(),
            "availability-zone-id" | "availabilityZoneId" => self.availability_zone_id.clone(),
            "available-ip-address-count" => self.available_ip_address_count.to_string(),
            "cidr" | "cidr-block" | "cidrBlock" => self.cidr_block.clone(),
            "default-for-az" | "defaultForAz" => self.default_for_az.to_string(),
            "enable-dns64" => self.enable_dns64.to_string(),
            "ipv6-native" => self.ipv6_native.to_string(),
            "map-customer-owned-ip-on-launch" => self.map_customer_owned_ip_on_launch.to_string(),
            "map-public-ip-on-launch" => self.map_public_ip_on_launch.to_string(),
            "owner-id" => self.owner_id.clone(),
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record" => {
                names.enable_resource_name_dns_a_record.to_string()
            }
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
                names.enable_resource_name_dns_aaaa_record.to_string()
            }
            "private-dns-name-options-on-launch.hostname-type" => names.hostname_type.into(),
            "state" => self.state.into(),
            "subnet-arn" => self.subnet_arn.clone(),
            "subnet-id" => self.subnet_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            // IPv6 blocks, outposts and what belongs to them: there are none.
            _ => return Vec::new(),
        }]
    }
}
