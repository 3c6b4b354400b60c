//! The public address of an interface, as descriptions of interfaces and instances have it.

use crate::config::Place;
use crate::model::NetworkInterface;
use serde::Serialize;

/// The owner of the addresses that EC2 gives by itself.
const EC2: &str = "amazon";

/// `NetworkInterfaceAssociation`, and with the first two members alone left out `InstanceNetworkInterfaceAssociation`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct WireAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) allocation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) association_id: Option<String>,
    pub(in super::super) ip_owner_id: String,
    /// Empty: no name resolves to it.
    public_dns_name: &'static str,
    pub(in super::super) public_ip: String,
}

impl WireAssociation {
    /// That of an interface, if it has a public address.
    pub(in super::super) fn of(interface: &NetworkInterface, place: &Place) -> Option<Self> {
        let public = interface.public?;
        Some(Self {
            allocation_id: public.allocation.map(|id| id.to_string()),
            association_id: public.allocation.map(|_| public.association.to_string()),
            ip_owner_id: public.allocation.map_or(EC2, |_| place.account()).to_owned(),
            public_dns_name: "",
            public_ip: public.address.to_string(),
        })
    }

    /// As an instance's interface has it.
    pub(in super::super) fn of_instance(interface: &NetworkInterface, place: &Place) -> Option<Self> {
        let association = Self::of(interface, place)?;
        Some(Self {
            allocation_id: None,
            association_id: None,
            ..association
        })
    }
}
