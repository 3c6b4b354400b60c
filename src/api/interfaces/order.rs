//! An interface that is to be made, as CreateNetworkInterface and the interfaces of RunInstances say it.

use super::super::{ApiError, Code, found, ids};
use crate::api::shown::shown;
use crate::instance::{AddressOrder, InterfaceOrder};
use crate::model::{DEFAULT_GROUP, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Tag};
use crate::store;
use rusqlite::Connection;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// The most groups of an interface, as EC2 has it by default.
pub(in super::super) const MAX_GROUPS: usize = 5;

/// `PrivateIpAddressSpecification`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in super::super) struct AddressSpecification {
    private_ip_address: String,
    #[serde(default)]
    primary: bool,
}

/// What a request says of an interface.
#[derive(Default)]
pub(in super::super) struct InterfaceMembers {
    pub(in super::super) subnet_id: Option<String>,
    pub(in super::super) groups: Vec<String>,
    /// Groups by name, in the VPC of the subnet.
    pub(in super::super) group_names: Vec<String>,
    pub(in super::super) private_ip_address: Option<String>,
    pub(in super::super) private_ip_addresses: Vec<AddressSpecification>,
    pub(in super::super) secondary_private_ip_address_count: Option<i64>,
    /// Whether it gets a public address; as its subnet has it, if that is not said.
    pub(in super::super) public: Option<bool>,
    pub(in super::super) description: Option<String>,
}

impl InterfaceMembers {
    /// Whether it says anything but where the interface is to be and what it is for.
    pub(in super::super) fn has_addresses(&self) -> bool {
        self.private_ip_address.is_some() || !self.private_ip_addresses.is_empty()
    }
}

/// An interface whose description was understood; what it names is looked for by [`Self::order`].
#[derive(Debug, Clone, Default)]
pub(in super::super) struct WantedInterface {
    subnet: Option<SubnetId>,
    groups: Vec<SecurityGroupId>,
    group_names: Vec<String>,
    address: Option<Ipv4Addr>,
    secondary: AddressOrder,
    public: Option<bool>,
    description: String,
}

impl WantedInterface {
    /// Reads what a request says.
    pub(in super::super) fn new(members: InterfaceMembers) -> Result<Self, ApiError> {
        let mut address = members.private_ip_address.as_deref().map(self::address).transpose()?;
        let mut secondary = AddressOrder::default();
        for one in &members.private_ip_addresses {
            let value = self::address(&one.private_ip_address)?;
            if !one.primary {
                secondary.certain.push(value);
            } else if address.replace(value).is_some_and(|other| other != value) {
                let message = "Only one private IP address may be the primary one";
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
        }
        if let Some(count) = members.secondary_private_ip_address_count {
            if !secondary.certain.is_empty() {
                let message = "Name the secondary private IP addresses or their count, not both";
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
            secondary.any = self::count("SecondaryPrivateIpAddressCount", count)?;
        }
        Ok(Self {
            subnet: members.subnet_id.map(|id| found::subnet_id(&id)).transpose()?,
            groups: ids::parse_all(&members.groups, Code::InvalidGroupIdMalformed)?,
            group_names: members.group_names,
            address,
            secondary,
            public: members.public,
            description: members.description.unwrap_or_default(),
        })
    }

    /// Finds what was named, and what goes without saying: the default subnet, the default group.
    pub(in super::super) fn order(self, store: &Connection, tags: Vec<Tag>) -> Result<InterfaceOrder, ApiError> {
        let subnet = self.subnet(store)?;
        let mut groups = groups(store, &self.groups, &subnet)?;
        for name in &self.group_names {
            groups.push(named(store, &subnet, name)?.id);
        }
        if groups.is_empty() {
            groups.push(named(store, &subnet, DEFAULT_GROUP)?.id);
        }
        Ok(InterfaceOrder {
            subnet: subnet.id,
            groups: few(groups)?,
            address: self.address,
            secondary: self.secondary,
            public: self.public,
            description: self.description,
            tags,
        })
    }

    fn subnet(&self, store: &Connection) -> Result<Subnet, ApiError> {
        match self.subnet {
            Some(id) => found::subnet(store, id),
            None => store::subnets::default(store)?.ok_or_else(|| {
                let message = "There is no default subnet: name one, or make one with CreateDefaultSubnet";
                ApiError::new(Code::MissingInput, message)
            }),
        }
    }
}

/// The groups of these ids, which must be of the subnet's VPC.
pub(super) fn groups(
    store: &Connection,
    ids: &[SecurityGroupId],
    subnet: &Subnet,
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let mut groups = Vec::with_capacity(ids.len());
    for &id in ids {
        let group = found::group(store, id)?;
        if group.vpc != subnet.vpc {
            let message = format!(
                "Security group {id} and subnet {} belong to different networks",
                subnet.id
            );
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
        groups.push(id);
    }
    Ok(groups)
}

/// Each group once, and not too many.
pub(super) fn few(mut groups: Vec<SecurityGroupId>) -> Result<Vec<SecurityGroupId>, ApiError> {
    groups.sort();
    groups.dedup();
    if groups.len() > MAX_GROUPS {
        let message = format!("An interface may be in {MAX_GROUPS} security groups at most");
        return Err(ApiError::new(Code::SecurityGroupsPerInterfaceLimitExceeded, message));
    }
    Ok(groups)
}

fn named(store: &Connection, subnet: &Subnet, name: &str) -> Result<SecurityGroup, ApiError> {
    store::security_groups::named(store, subnet.vpc, name)?.ok_or_else(|| {
        let shown = shown(name);
        let message = format!("The security group '{shown}' does not exist in {}", subnet.vpc);
        ApiError::new(Code::InvalidGroupNotFound, message)
    })
}

/// A private address of a request.
pub(super) fn address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let shown = shown(text);
        ApiError::new(Code::InvalidParameterValue, format!("Invalid IPv4 address: '{shown}'"))
    })
}

/// How many addresses a request wants. How many there can be is checked where they are given.
pub(super) fn count(member: &str, count: i64) -> Result<usize, ApiError> {
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= usize::from(u16::MAX))
        .ok_or_else(|| {
            let message = format!("Value ({count}) for parameter {member} is invalid");
            ApiError::new(Code::InvalidParameterValue, message)
        })
}
