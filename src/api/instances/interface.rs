//! The network interfaces of a launch: from RunInstances' two ways of saying them to one order.

use super::super::error::Code;
use super::super::interfaces::{AddressSpecification, InterfaceMembers, WantedInterface};
use super::super::{ApiError, found};
use crate::instance::{InterfacePlace, LaunchInterface, MAX_INTERFACES};
use crate::model::{NetworkInterfaceId, Tag};
use rusqlite::Connection;
use serde::Deserialize;
use std::collections::BTreeSet;

/// `InstanceNetworkInterfaceSpecification`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct InterfaceSpecification {
    device_index: Option<i64>,
    network_interface_id: Option<String>,
    subnet_id: Option<String>,
    groups: Vec<String>,
    private_ip_address: Option<String>,
    private_ip_addresses: Vec<AddressSpecification>,
    secondary_private_ip_address_count: Option<i64>,
    description: Option<String>,
    delete_on_termination: Option<bool>,
    associate_public_ip_address: Option<bool>,
    interface_type: Option<String>,
    network_card_index: i64,
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

/// An [`InterfaceRequest`] whose words were understood; what they name is looked for by [`Self::order`].
#[derive(Debug)]
pub(super) struct WantedInterfaces {
    interfaces: Vec<(InterfacePlace, Wanted)>,
    tags: Vec<Tag>,
}

#[derive(Debug)]
enum Wanted {
    New(WantedInterface),
    Existing(NetworkInterfaceId),
}

impl WantedInterfaces {
    /// Reads a request for launching up to `count` instances.
    pub(super) fn new(request: InterfaceRequest, count: u32, tags: Vec<Tag>) -> Result<Self, ApiError> {
        let plain = InterfaceSpecification {
            subnet_id: request.subnet_id,
            groups: request.security_group_ids,
            private_ip_address: request.private_ip_address,
            ..InterfaceSpecification::default()
        };
        let said = plain.subnet_id.is_some() || plain.private_ip_address.is_some() || !plain.groups.is_empty();
        let (mut specifications, names) = (request.network_interfaces, request.security_groups);
        if specifications.is_empty() {
            if !plain.groups.is_empty() && !names.is_empty() {
                return Err(combination(
                    "Name security groups by their ids or by their names, not both",
                ));
            }
            specifications.push(plain);
        } else if said || !names.is_empty() {
            return Err(combination(
                "Network interfaces and an instance-level subnet ID, security groups or private address may not be \
                 specified on the same request",
            ));
        }
        // The only one is the primary one.
        if let [only] = specifications.as_mut_slice() {
            only.device_index.get_or_insert(0);
        }
        let alone = specifications.len() == 1;
        if !alone
            && specifications
                .iter()
                .any(|one| one.associate_public_ip_address == Some(true))
        {
            return Err(combination(
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces",
            ));
        }
        let mut interfaces = specifications
            .into_iter()
            .map(|one| wanted(one, (count, alone), &names))
            .collect::<Result<Vec<_>, _>>()?;
        interfaces.sort_by_key(|(place, _)| place.device_index);
        check_places(&interfaces)?;
        Ok(Self { interfaces, tags })
    }

    /// Finds what was named, and what goes without saying.
    pub(super) fn order(self, store: &Connection) -> Result<Vec<(InterfacePlace, LaunchInterface)>, ApiError> {
        let tags = self.tags;
        let order = |(place, wanted)| {
            let interface = match wanted {
                Wanted::New(wanted) => LaunchInterface::New(WantedInterface::order(wanted, store, tags.clone())?),
                Wanted::Existing(id) => LaunchInterface::Existing(found::interface(store, id)?.id),
            };
            Ok((place, interface))
        };
        self.interfaces.into_iter().map(order).collect()
    }
}

fn wanted(
    one: InterfaceSpecification,
    (count, alone): (u32, bool),
    names: &[String],
) -> Result<(InterfacePlace, Wanted), ApiError> {
    if one.interface_type.as_ref().is_some_and(|kind| kind != "interface") || one.network_card_index != 0 {
        let message = "Interfaces are of the type interface, on network card 0";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let index = one.device_index.ok_or_else(|| {
        let message = "Each network interface must have a DeviceIndex";
        ApiError::new(Code::MissingParameter, message)
    })?;
    let device_index = u16::try_from(index).ok().filter(|index| *index < MAX_INTERFACES);
    let device_index = device_index.ok_or_else(|| {
        let message = format!("DeviceIndex {index} is none of 0 to {}", MAX_INTERFACES - 1);
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    let is_new = one.network_interface_id.is_none();
    let place = InterfacePlace {
        device_index,
        delete_on_termination: one.delete_on_termination.unwrap_or(is_new),
    };
    let members = InterfaceMembers {
        subnet_id: one.subnet_id,
        groups: one.groups,
        group_names: names.to_vec(),
        private_ip_address: one.private_ip_address,
        private_ip_addresses: one.private_ip_addresses,
        secondary_private_ip_address_count: one.secondary_private_ip_address_count,
        // Where there are several, none has one by itself.
        public: if alone {
            one.associate_public_ip_address
        } else {
            Some(false)
        },
        description: one.description,
    };
    let certain = members.has_addresses() || !is_new;
    if certain && count > 1 {
        return Err(combination(
            "A network interface or a private address can be given to one instance, and the request is for more",
        ));
    }
    let wanted = match one.network_interface_id {
        None => Wanted::New(WantedInterface::new(members)?),
        Some(_) if members.has_addresses() || members.subnet_id.is_some() || !members.groups.is_empty() => {
            return Err(combination(
                "A network interface that is there has its subnet, its groups and its addresses already",
            ));
        }
        Some(id) => Wanted::Existing(found::interface_id(&id)?),
    };
    Ok((place, wanted))
}

/// The first interface is the primary one, and no two have one place.
fn check_places(interfaces: &[(InterfacePlace, Wanted)]) -> Result<(), ApiError> {
    let places: BTreeSet<u16> = interfaces.iter().map(|(place, _)| place.device_index).collect();
    if places.len() < interfaces.len() {
        let message = "Each network interface must have a DeviceIndex of its own";
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    if !places.contains(&0) {
        let message = "One network interface must have DeviceIndex 0: it is the primary one";
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    Ok(())
}

fn combination(message: &str) -> ApiError {
    ApiError::new(Code::InvalidParameterCombination, message)
}
