//! AssociateAddress, DisassociateAddress. What changed holds on the host and is told to the guest when they answer.

use super::super::change::{Changed, change};
use super::super::{ApiError, Call, Code, found, ids};
use super::Named;
use crate::api::shown::shown;
use crate::chain::chain;
use crate::model::{
    AddressAssociation, AddressAssociationId, ElasticAddress, InstanceId, NetworkInterface, NetworkInterfaceId, VpcId,
};
use crate::store::{self, StoreError, random_bits};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct AssociateAddress {
    allocation_id: Option<String>,
    public_ip: Option<String>,
    instance_id: Option<String>,
    network_interface_id: Option<String>,
    private_ip_address: Option<String>,
    allow_reassociation: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Associated {
    association_id: String,
}

/// What gets the address.
#[derive(Debug, Clone, Copy)]
enum Target {
    Instance(InstanceId),
    Interface(NetworkInterfaceId),
}

pub(super) async fn associate(call: Call, request: AssociateAddress) -> Result<Associated, ApiError> {
    let named = Named::new(request.allocation_id, request.public_ip)?;
    let target = match (request.instance_id, request.network_interface_id) {
        (Some(id), None) => Target::Instance(ids::parse(&id, Code::InvalidInstanceIdMalformed)?),
        (None, Some(id)) => Target::Interface(ids::parse(&id, Code::InvalidNetworkInterfaceIdMalformed)?),
        _ => {
            let message = "Name either InstanceId or NetworkInterfaceId";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
    };
    let private = request.private_ip_address.as_deref().map(private_address).transpose()?;
    let may_take = request.allow_reassociation.unwrap_or(true);
    let made = change(&call, move |store| {
        let (address, interface) = (named.find(store)?, target.interface(store)?);
        if private.is_some_and(|private| private != interface.address) {
            let message = format!("{} has the private address {} alone", interface.id, interface.address);
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        if let Some(other) = address.association.filter(|other| other.interface != interface.id)
            && !may_take
        {
            let message = format!("resource {} is already associated with {}", address.id, other.interface);
            return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
        }
        let mut touched = Touched::default();
        touched.add(store, address.association.map(|one| one.interface))?;
        touched.add(store, Some(interface.id))?;
        let association = AddressAssociation {
            id: AddressAssociationId::from_random(random_bits()),
            interface: interface.id,
        };
        store::addresses::take_from(store, interface.id)?;
        store::addresses::associate(store, address.id, Some(association))?;
        let association_id = association.id.to_string();
        Ok(Changed::vpcs(
            touched.vpcs,
            (Associated { association_id }, touched.instances),
        ))
    });
    let (associated, instances) = made.await?;
    tell(&call, &instances).await?;
    Ok(associated)
}

fn private_address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let shown = shown(text);
        let message = format!("Value ({shown}) for parameter privateIpAddress is invalid");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DisassociateAddress {
    association_id: Option<String>,
    public_ip: Option<String>,
}

pub(super) async fn disassociate(call: Call, request: DisassociateAddress) -> Result<(), ApiError> {
    let DisassociateAddress {
        association_id,
        public_ip,
    } = request;
    let done = change(&call, move |store| {
        let address = match &association_id {
            Some(id) => associated(store, id)?,
            None => Named::new(None, public_ip)?.find(store)?,
        };
        let mut touched = Touched::default();
        touched.add(store, address.association.map(|one| one.interface))?;
        store::addresses::associate(store, address.id, None)?;
        Ok(Changed::vpcs(touched.vpcs, touched.instances))
    });
    let instances = done.await?;
    tell(&call, &instances).await
}

/// The address of an association.
fn associated(store: &Connection, id: &str) -> Result<ElasticAddress, ApiError> {
    let missing = || found::no_association(id);
    let wanted: AddressAssociationId = id.parse().map_err(|_| missing())?;
    let mut all = store::addresses::list(store)?.into_iter();
    all.find(|address| address.association.is_some_and(|one| one.id == wanted))
        .ok_or_else(missing)
}

impl Target {
    fn interface(self, store: &Connection) -> Result<NetworkInterface, ApiError> {
        match self {
            Self::Interface(id) => store::network_interfaces::get(store, id)?
                .ok_or_else(|| ids::not_found(Code::InvalidNetworkInterfaceIdNotFound, "networkInterface", &[id])),
            Self::Instance(id) => {
                if store::instances::get(store, id)?.is_none() {
                    return Err(ids::not_found(Code::InvalidInstanceIdNotFound, "instance", &[id]));
                }
                let mut interfaces = store::network_interfaces::of_instance(store, id)?.into_iter();
                interfaces.next().ok_or_else(|| {
                    let message = format!("The instance '{id}' is not in a valid state for this operation");
                    ApiError::new(Code::InvalidInstanceId, message)
                })
            }
        }
    }
}

/// Whom a change concerns.
#[derive(Debug, Default)]
struct Touched {
    vpcs: Vec<VpcId>,
    instances: Vec<InstanceId>,
}

impl Touched {
    fn add(&mut self, store: &Connection, interface: Option<NetworkInterfaceId>) -> Result<(), StoreError> {
        let Some(id) = interface else { return Ok(()) };
        let Some(interface) = store::network_interfaces::get(store, id)? else {
            return Ok(());
        };
        if let Some(subnet) = store::subnets::get(store, interface.subnet)?
            && !self.vpcs.contains(&subnet.vpc)
        {
            self.vpcs.push(subnet.vpc);
        }
        self.instances
            .extend(interface.attachment.map(|attachment| attachment.instance));
        Ok(())
    }
}

/// Guests may read their public address.
async fn tell(call: &Call, instances: &[InstanceId]) -> Result<(), ApiError> {
    for &id in instances {
        let told = call.world.instances.tell(id).await;
        told.map_err(|error| ApiError::new(Code::Unavailable, chain(&error)))?;
    }
    Ok(())
}
