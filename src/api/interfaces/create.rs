//! CreateNetworkInterface, DeleteNetworkInterface.

use super::super::change::{Changed, change};
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code, found};
use super::describe::WireInterface;
use super::{AddressSpecification, InterfaceMembers, WantedInterface, vpc_of};
use crate::instance::{create_interface, remove_interface};
use crate::model::NetworkInterfaceId;
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The name of the resource type in tags.
const RESOURCE_TYPE: &str = "network-interface";
/// The one kind of interface that there is.
const INTERFACE_TYPE: &str = "interface";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateNetworkInterface {
    subnet_id: String,
    description: Option<String>,
    private_ip_address: Option<String>,
    #[serde(default)]
    private_ip_addresses: Vec<AddressSpecification>,
    secondary_private_ip_address_count: Option<i64>,
    #[serde(default)]
    groups: Vec<String>,
    interface_type: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    client_token: Option<String>,
    network_interface: WireInterface,
}

pub(super) async fn create(call: Call, request: CreateNetworkInterface) -> Result<Created, ApiError> {
    if let Some(kind) = request.interface_type.filter(|kind| kind != INTERFACE_TYPE) {
        let message = format!("Interfaces of the type {kind} are not served: {INTERFACE_TYPE} is");
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    let tags = TagSpecifications::new(request.tag_specifications, &[RESOURCE_TYPE])?;
    let token = ClientToken::new(request.client_token, call.digest)?;
    let wanted = WantedInterface::new(InterfaceMembers {
        subnet_id: Some(request.subnet_id),
        groups: request.groups,
        private_ip_address: request.private_ip_address,
        private_ip_addresses: request.private_ip_addresses,
        secondary_private_ip_address_count: request.secondary_private_ip_address_count,
        // Such are given to interfaces that a launch makes.
        public: Some(false),
        description: request.description,
        ..InterfaceMembers::default()
    })?;
    let place = call.world.config.place.clone();
    let made = change(&call, move |store| {
        let id = match made_before(store, token.as_ref())? {
            Some(id) => id,
            None => {
                let order = wanted.order(store, tags.of(RESOURCE_TYPE).to_vec())?;
                let interface = create_interface(store, &order).map_err(|error| ApiError::from(&error))?;
                if let Some(token) = &token {
                    let digest = token.digest.to_string();
                    store::network_interfaces::set_token(store, interface.id, &token.token, &digest)?;
                }
                interface.id
            }
        };
        let network_interface = WireInterface::read(store, id, &place)?;
        // Nothing on the host knows an interface that is attached to nothing.
        Ok(Changed::nothing(Created {
            client_token: token.map(|token| token.token),
            network_interface,
        }))
    });
    made.await
}

/// The interface that the same request has made before.
fn made_before(store: &Connection, token: Option<&ClientToken>) -> Result<Option<NetworkInterfaceId>, ApiError> {
    ClientToken::made_before(token, |token| store::network_interfaces::by_token(store, token))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteNetworkInterface {
    network_interface_id: String,
}

pub(super) async fn delete(call: Call, request: DeleteNetworkInterface) -> Result<(), ApiError> {
    let id = found::interface_id(&request.network_interface_id)?;
    let done = change(&call, move |store| {
        let interface = found::interface(store, id)?;
        if let Some(attachment) = &interface.attachment {
            let message = format!(
                "Network interface '{id}' is currently in use: it is attached to {}",
                attachment.instance
            );
            return Err(ApiError::new(Code::InvalidNetworkInterfaceInUse, message));
        }
        let vpc = vpc_of(store, &interface)?;
        remove_interface(store, id)?;
        Ok(Changed::vpc(vpc, ()))
    });
    done.await
}
