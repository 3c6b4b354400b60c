//! The network interface of a launch: from RunInstances' two ways of saying it to one order.

use super::super::error::Code;
use super::super::{ApiError, ids};
use crate::instance::InterfaceOrder;
use crate::model::{DEFAULT_GROUP, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Tag};
use crate::store;
use rusqlite::Connection;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// The most groups of an interface, as EC2 has it by default.
const MAX_GROUPS: usize = 5;

/// `InstanceNetworkInterfaceSpecification`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct InterfaceSpecification {
    device_index: Option<i64>,
    subnet_id: Option<String>,
    groups: Vec<String>,
    private_ip_address: Option<String>,
    description: Option<String>,
    delete_on_termination: Option<bool>,
    associate_public_ip_address: Option<bool>,
}

/// What a launch says of its network.
#[derive(Default)]
pub(super) struct InterfaceRequest {
    pub(super) subnet_id: Option<String>,
    pub(super) security_group_ids: Vec<String>,
    /// By name, in the default VPC.
    pub(super) security_groups: Vec<String>,
    pub(super) private_ip_address: Option<String>,
    pub(super) network_interfaces: Vec<InterfaceSpecification>,
}

/// An [`InterfaceRequest`] whose words were understood; what they name is looked for by [`Wanted::order`].
#[derive(Debug, Default)]
pub(super) struct Wanted {
    subnet: Option<SubnetId>,
    groups: Vec<SecurityGroupId>,
    group_names: Vec<String>,
    address: Option<Ipv4Addr>,
    description: String,
    delete_on_termination: bool,
    tags: Vec<Tag>,
}

impl Wanted {
    /// Reads a request for launching up to `count` instances.
    pub(super) fn new(request: InterfaceRequest, count: u32, tags: Vec<Tag>) -> Result<Self, ApiError> {
        let InterfaceRequest {
            subnet_id,
            security_group_ids,
            security_groups,
            private_ip_address,
            network_interfaces,
        } = request;
        let plain = InterfaceSpecification {
            subnet_id,
            groups: security_group_ids,
            private_ip_address,
            ..InterfaceSpecification::default()
        };
        let said = plain.subnet_id.is_some() || plain.private_ip_address.is_some() || !plain.groups.is_empty();
        let one = match single(network_interfaces)? {
            Some(_) if said || !security_groups.is_empty() => {
                let message = "Network interfaces and an instance-level subnet ID, security groups or private address may \
                               not be specified on the same request";
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
            Some(specification) => specification,
            None => plain,
        };
        if !one.groups.is_empty() && !security_groups.is_empty() {
            let message = "Name security groups by their ids or by their names, not both";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        if one.associate_public_ip_address == Some(true) {
            return Err(unserved("Public addresses are not served yet"));
        }
        let address = one.private_ip_address.map(|text| address(&text)).transpose()?;
        if address.is_some() && count > 1 {
            let message = "A private address can be given to one instance, and the request is for more";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        Ok(Self {
            subnet: one
                .subnet_id
                .map(|id| ids::parse(&id, Code::InvalidSubnetIdMalformed))
                .transpose()?,
            groups: ids::parse_all(&one.groups, Code::InvalidGroupIdMalformed)?,
            group_names: security_groups,
            address,
            description: one.description.unwrap_or_default(),
            delete_on_termination: one.delete_on_termination.unwrap_or(true),
            tags,
        })
    }

    /// Finds what was named, and what goes without saying: the default subnet, the default group.
    pub(super) fn order(self, store: &Connection) -> Result<InterfaceOrder, ApiError> {
        let subnet = self.subnet(store)?;
        let mut groups = Vec::new();
        for &id in &self.groups {
            let group = store::security_groups::get(store, id)?;
            let group = group.ok_or_else(|| ids::not_found(Code::InvalidGroupNotFound, "security group", &[id]))?;
            groups.push(of_vpc(group, &subnet)?);
        }
        for name in &self.group_names {
            groups.push(of_vpc(named(store, &subnet, name)?, &subnet)?);
        }
        if groups.is_empty() {
            groups.push(named(store, &subnet, DEFAULT_GROUP)?.id);
        }
        groups.sort();
        groups.dedup();
        if groups.len() > MAX_GROUPS {
            let message = format!("An interface may be in {MAX_GROUPS} security groups at most");
            return Err(ApiError::new(Code::SecurityGroupsPerInterfaceLimitExceeded, message));
        }
        Ok(InterfaceOrder {
            subnet: subnet.id,
            groups,
            address: self.address,
            description: self.description,
            delete_on_termination: self.delete_on_termination,
            tags: self.tags,
        })
    }

    fn subnet(&self, store: &Connection) -> Result<Subnet, ApiError> {
        match self.subnet {
            Some(id) => store::subnets::get(store, id)?
                .ok_or_else(|| ids::not_found(Code::InvalidSubnetIdNotFound, "subnet", &[id])),
            None => store::subnets::default(store)?.ok_or_else(|| {
                let message = "There is no default subnet: name one, or make one with CreateDefaultSubnet";
                ApiError::new(Code::MissingInput, message)
            }),
        }
    }
}

/// The one interface of a request that names them; instances with more are not served.
fn single(mut specifications: Vec<InterfaceSpecification>) -> Result<Option<InterfaceSpecification>, ApiError> {
    let one = specifications.pop();
    if !specifications.is_empty() {
        return Err(unserved(
            "Instances with more than one network interface are not served yet",
        ));
    }
    match one {
        Some(one) if one.device_index.unwrap_or(0) != 0 => {
            let message = "The network interface of an instance has DeviceIndex 0";
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
        one => Ok(one),
    }
}

fn named(store: &Connection, subnet: &Subnet, name: &str) -> Result<SecurityGroup, ApiError> {
    store::security_groups::named(store, subnet.vpc, name)?.ok_or_else(|| {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let message = format!("The security group '{shown}' does not exist in {}", subnet.vpc);
        ApiError::new(Code::InvalidGroupNotFound, message)
    })
}

fn of_vpc(group: SecurityGroup, subnet: &Subnet) -> Result<SecurityGroupId, ApiError> {
    if group.vpc == subnet.vpc {
        return Ok(group.id);
    }
    let message = format!(
        "Security group {} and subnet {} belong to different networks",
        group.id, subnet.id
    );
    Err(ApiError::new(Code::InvalidParameter, message))
}

fn address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
        ApiError::new(Code::InvalidParameterValue, format!("Invalid IPv4 address: '{shown}'"))
    })
}

fn unserved(message: &str) -> ApiError {
    ApiError::new(Code::UnsupportedOperation, message)
}
