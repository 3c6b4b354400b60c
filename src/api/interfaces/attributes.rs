//! ModifyNetworkInterfaceAttribute, DescribeNetworkInterfaceAttribute, ResetNetworkInterfaceAttribute.

use super::super::attribute::{Attribute, several};
use super::super::{ApiError, Call, Code, found, ids};
use super::describe::{WireAttachment, WireGroup};
use super::order::{few, groups};
use super::{Changed, change, instance_of, tell, vpc_of};
use crate::model::{NetworkInterface, NetworkInterfaceAttachmentId, SecurityGroupId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// `NetworkInterfaceAttachmentChanges`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttachmentChanges {
    attachment_id: Option<String>,
    delete_on_termination: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyNetworkInterfaceAttribute {
    network_interface_id: String,
    description: Option<Attribute<String>>,
    source_dest_check: Option<Attribute<bool>>,
    #[serde(default)]
    groups: Vec<String>,
    attachment: Option<AttachmentChanges>,
}

/// One change, as EC2 wants it.
pub(in super::super) enum Change {
    Description(String),
    SourceDestCheck(bool),
    Groups(Vec<SecurityGroupId>),
    DeleteOnTermination(Option<NetworkInterfaceAttachmentId>, bool),
}

pub(super) async fn modify(call: Call, request: ModifyNetworkInterfaceAttribute) -> Result<(), ApiError> {
    let id = found::interface_id(&request.network_interface_id)?;
    let new = Change::new(request)?;
    carry_out(&call, move |store| found::interface(store, id), new).await
}

/// Changes an attribute of an interface; it is in force when this returns.
pub(in super::super) async fn carry_out<F>(call: &Call, find: F, new: Change) -> Result<(), ApiError>
where
    F: FnOnce(&Connection) -> Result<NetworkInterface, ApiError> + Send + 'static,
{
    let changed = change(call, move |store| {
        let interface = find(store)?;
        new.apply(store, &interface)?;
        let vpc = vpc_of(store, &interface)?;
        Ok(Changed::vpc(vpc, instance_of(&interface)))
    });
    let instance = changed.await?;
    tell(call, instance).await
}

impl Change {
    fn new(request: ModifyNetworkInterfaceAttribute) -> Result<Self, ApiError> {
        let groups = (!request.groups.is_empty()).then_some(request.groups);
        match (
            request.description,
            request.source_dest_check,
            groups,
            request.attachment,
        ) {
            (Some(description), None, None, None) => Ok(Self::Description(description.value)),
            (None, Some(check), None, None) => Ok(Self::SourceDestCheck(check.value)),
            (None, None, Some(groups), None) => Self::groups(&groups),
            (None, None, None, Some(changes)) => {
                let id = changes.attachment_id;
                let id = id
                    .map(|id| ids::parse(&id, Code::InvalidAttachmentIdNotFound))
                    .transpose()?;
                let delete = changes.delete_on_termination.ok_or_else(|| {
                    let message = "The request must contain the parameter Attachment.DeleteOnTermination";
                    ApiError::new(Code::MissingParameter, message)
                })?;
                Ok(Self::DeleteOnTermination(id, delete))
            }
            (None, None, None, None) => {
                let message = "Name an attribute to change: Description, SourceDestCheck, Groups or Attachment";
                Err(ApiError::new(Code::MissingParameter, message))
            }
            _ => Err(several()),
        }
    }

    /// The groups of these ids instead of those that it is in.
    pub(in super::super) fn groups(texts: &[String]) -> Result<Self, ApiError> {
        let ids = ids::parse_all(texts, Code::InvalidGroupIdMalformed)?;
        Ok(Self::Groups(ids))
    }

    fn apply(self, store: &Connection, interface: &NetworkInterface) -> Result<(), ApiError> {
        let (id, check) = (interface.id, interface.source_dest_check);
        match self {
            Self::Description(description) => {
                store::network_interfaces::set_attributes(store, id, &description, check)?
            }
            Self::SourceDestCheck(check) => {
                store::network_interfaces::set_attributes(store, id, &interface.description, check)?;
            }
            Self::Groups(ids) => {
                let subnet = found::subnet(store, interface.subnet)?;
                let groups = few(groups(store, &ids, &subnet)?)?;
                store::network_interfaces::set_groups(store, id, &groups)?;
            }
            Self::DeleteOnTermination(named, delete) => {
                let attachment = interface.attachment.as_ref();
                let meant = attachment.filter(|attachment| named.is_none_or(|named| named == attachment.id));
                if meant.is_none() {
                    let message = format!("The interface {id} is not attached so");
                    return Err(ApiError::new(Code::InvalidAttachmentIdNotFound, message));
                }
                store::network_interfaces::set_delete_on_termination(store, id, delete)?;
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeNetworkInterfaceAttribute {
    network_interface_id: String,
    attribute: Option<String>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    network_interface_id: String,
    description: Option<Attribute<String>>,
    source_dest_check: Option<Attribute<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<WireGroup>>,
    attachment: Option<WireAttachment>,
}

pub(super) async fn describe(call: Call, request: DescribeNetworkInterfaceAttribute) -> Result<Described, ApiError> {
    let id = found::interface_id(&request.network_interface_id)?;
    let place = call.world.config.place.clone();
    let read = call.world.store.read(move |store| {
        let interface = found::interface(store, id)?;
        let mut described = Described {
            network_interface_id: id.to_string(),
            ..Described::default()
        };
        match request.attribute.as_deref() {
            Some("description") => {
                let value = interface.description;
                described.description = Some(Attribute { value });
            }
            Some("sourceDestCheck") => {
                let value = interface.source_dest_check;
                described.source_dest_check = Some(Attribute { value });
            }
            Some("groupSet") => described.groups = Some(WireGroup::all(store, &interface)?),
            Some("attachment") => {
                let attachment = interface.attachment.as_ref();
                described.attachment = attachment.map(|attachment| WireAttachment::new(attachment, &place));
            }
            Some(other) => {
                let message = format!("The attribute {other} is not served");
                return Err(ApiError::new(Code::UnsupportedOperation, message));
            }
            None => {
                let message = "The request must contain the parameter Attribute";
                return Err(ApiError::new(Code::MissingParameter, message));
            }
        }
        Ok(described)
    });
    read.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ResetNetworkInterfaceAttribute {
    network_interface_id: String,
    /// Whatever it says: it is the attribute's name.
    source_dest_check: Option<String>,
}

/// Checks addresses again.
pub(super) async fn reset(call: Call, request: ResetNetworkInterfaceAttribute) -> Result<(), ApiError> {
    if request.source_dest_check.is_none() {
        let message = "Name an attribute to reset: SourceDestCheck";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let value = Attribute { value: true };
    let request = ModifyNetworkInterfaceAttribute {
        network_interface_id: request.network_interface_id,
        description: None,
        source_dest_check: Some(value),
        groups: Vec::new(),
        attachment: None,
    };
    modify(call, request).await
}
