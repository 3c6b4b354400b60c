//! What can be attached to an instance: its record, and its device in the monitor's protocol.

use super::super::Parts;
use super::super::devices::{self, Files, queue_pairs, slot};
use super::super::interfaces::{self, InterfacePlace};
use super::super::volumes::{self, VolumePlace};
use super::{HotplugError, PlugError};
use crate::model::{AttachmentState, Instance, InstanceId, NetworkInterfaceId, VolumeId, VolumeState, VpcId};
use crate::store::{self, StoreError};
use kiln_vmm::protocol::DeviceSpec;
use rusqlite::Connection;
use std::fmt;

/// A part of an instance, by its identifier, which is its device's name, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A network interface.
    Interface(NetworkInterfaceId),
    /// A volume.
    Volume(VolumeId),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(id) => id.fmt(f),
            Self::Volume(id) => id.fmt(f),
        }
    }
}

/// A part, and where it is to be attached.
#[derive(Debug, Clone)]
pub(in super::super) enum Placed {
    Interface(NetworkInterfaceId, InterfacePlace),
    Volume(VolumeId, VolumePlace),
}

impl Placed {
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Interface(id, _) => Part::Interface(*id),
            Self::Volume(id, _) => Part::Volume(*id),
        }
    }

    /// Puts the attachment on record.
    pub(super) fn record(
        &self,
        connection: &Connection,
        instance: &Instance,
        state: AttachmentState,
    ) -> Result<(), HotplugError> {
        match self {
            Self::Interface(id, place) => {
                interfaces::attach(connection, (*id, instance.id), *place, state)?;
            }
            Self::Volume(id, place) => volumes::attach(connection, *id, instance, place, state)?,
        }
        Ok(())
    }
}

impl Part {
    /// The part of a device.
    pub(super) fn of_device(name: &str) -> Option<Self> {
        let interface = name.parse().ok().map(Self::Interface);
        interface.or_else(|| name.parse().ok().map(Self::Volume))
    }

    /// The parts of an instance with the states of their attachments.
    pub(super) fn of_instance(
        connection: &Connection,
        instance: InstanceId,
    ) -> Result<Vec<(Self, AttachmentState)>, StoreError> {
        let interfaces = store::network_interfaces::of_instance(connection, instance)?.into_iter();
        let interfaces = interfaces.filter_map(|one| Some((Self::Interface(one.id), one.attachment?.state)));
        let volumes = store::volumes::of_instance(connection, instance)?.into_iter();
        let volumes = volumes.map(|(volume, attachment)| (Self::Volume(volume.id), attachment.state));
        Ok(interfaces.chain(volumes).collect())
    }

    /// Where it is attached, and how far that has come.
    pub(super) fn attachment(
        self,
        connection: &Connection,
    ) -> Result<Option<(InstanceId, AttachmentState)>, StoreError> {
        Ok(match self {
            Self::Interface(id) => {
                let interface = store::network_interfaces::get(connection, id)?;
                let attachment = interface.and_then(|interface| interface.attachment);
                attachment.map(|attachment| (attachment.instance, attachment.state))
            }
            Self::Volume(id) => {
                let attachment = store::volumes::attachment(connection, id)?;
                attachment.map(|attachment| (attachment.instance, attachment.state))
            }
        })
    }

    pub(super) fn set_state(self, connection: &Connection, state: AttachmentState) -> Result<(), StoreError> {
        match self {
            Self::Interface(id) => store::network_interfaces::set_attachment_state(connection, id, state),
            Self::Volume(id) => store::volumes::set_attachment_state(connection, id, state),
        }
    }

    /// It is attached to nothing any more.
    pub(super) fn detach(self, connection: &Connection) -> Result<(), StoreError> {
        match self {
            Self::Interface(id) => store::network_interfaces::detach(connection, id),
            Self::Volume(id) => {
                store::volumes::detach(connection, id)?;
                store::volumes::set_state(connection, id, VolumeState::Available)
            }
        }
    }

    /// The VPC whose rules are made of it.
    pub(super) fn vpc(self, connection: &Connection) -> Result<Option<VpcId>, StoreError> {
        let Self::Interface(id) = self else {
            return Ok(None);
        };
        let Some(interface) = store::network_interfaces::get(connection, id)? else {
            return Ok(None);
        };
        Ok(store::subnets::get(connection, interface.subnet)?.map(|subnet| subnet.vpc))
    }

    /// Opens what the machine needs of it.
    pub(super) async fn device(
        self,
        parts: &Parts,
        instance: &Instance,
        files: &mut Files,
    ) -> Result<DeviceSpec, PlugError> {
        match self {
            Self::Interface(id) => {
                let plugged = parts.networks.plug_one(instance.id, id, queue_pairs(instance)).await?;
                let plugged = plugged.ok_or(PlugError::Gone)?;
                Ok(devices::interface(parts, instance, plugged, files).await?)
            }
            Self::Volume(id) => Ok(devices::disk(parts, instance, (id, slot::VOLUMES), files).await?),
        }
    }
}
