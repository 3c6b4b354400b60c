//! An instance as EC2 writes it.

use super::super::instant::instant;
use super::super::places::zone_id;
use super::super::tagging::WireTag;
use super::interface_wire::{WireGroup, WireInterface};
use super::metadata_options::WireMetadataOptions;
use crate::config::Place;
use crate::instance::InterfaceFacts;
use crate::model::{
    Attachment, Instance, InstanceAttributes, InstanceId, InstanceState, InstanceType, PrivateName, ReservationId,
    ResourceId, StateReason, Tag, Volume, VolumeState,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;

/// `InstanceState`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireState {
    code: u16,
    name: &'static str,
}

impl From<InstanceState> for WireState {
    fn from(state: InstanceState) -> Self {
        Self {
            code: state.code(),
            name: state.name(),
        }
    }
}

/// `Reservation`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireReservation {
    reservation_id: String,
    owner_id: String,
    groups: [(); 0],
    pub(super) instances: Vec<WireInstance>,
}

impl WireReservation {
    pub(super) fn new(id: ReservationId, place: &Place, instances: Vec<WireInstance>) -> Self {
        Self {
            reservation_id: id.to_string(),
            owner_id: place.account().to_owned(),
            groups: [],
            instances,
        }
    }
}

/// `Instance`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireInstance {
    pub(super) instance_id: String,
    image_id: String,
    state: WireState,
    state_reason: Option<WireReason>,
    state_transition_reason: String,
    instance_type: String,
    architecture: &'static str,
    ami_launch_index: u32,
    launch_time: String,
    client_token: String,
    kernel_id: Option<String>,
    ramdisk_id: Option<String>,
    placement: WirePlacement,
    monitoring: WireMonitoring,
    private_dns_name: String,
    public_dns_name: &'static str,
    product_codes: [(); 0],
    private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_ip_address: Option<String>,
    subnet_id: Option<String>,
    vpc_id: Option<String>,
    source_dest_check: Option<bool>,
    key_name: Option<String>,
    security_groups: Vec<WireGroup>,
    network_interfaces: Vec<WireInterface>,
    metadata_options: WireMetadataOptions,
    root_device_name: String,
    root_device_type: &'static str,
    block_device_mappings: Vec<WireMapping>,
    virtualization_type: &'static str,
    hypervisor: &'static str,
    ebs_optimized: bool,
    ena_support: bool,
    cpu_options: WireCpuOptions,
    maintenance_options: WireMaintenance,
    private_dns_name_options: WirePrivateName,
    hibernation_options: WireHibernation,
    enclave_options: WireEnclaves,
    sriov_net_support: Option<&'static str>,
    platform_details: &'static str,
    usage_operation: &'static str,
    boot_mode: &'static str,
    current_instance_boot_mode: &'static str,
    tags: Vec<WireTag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireReason {
    code: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WirePlacement {
    availability_zone: String,
    availability_zone_id: String,
    group_name: &'static str,
    tenancy: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireMonitoring {
    pub(super) state: &'static str,
}

impl WireMonitoring {
    /// `Monitoring`.
    pub(super) const fn new(on: bool) -> Self {
        let state = if on { "enabled" } else { "disabled" };
        Self { state }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireCpuOptions {
    core_count: u8,
    threads_per_core: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireMaintenance {
    auto_recovery: &'static str,
    reboot_migration: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WirePrivateName {
    hostname_type: &'static str,
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "EnableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireHibernation {
    configured: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireEnclaves {
    enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireMapping {
    device_name: String,
    ebs: WireEbs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireEbs {
    volume_id: String,
    status: &'static str,
    attach_time: String,
    delete_on_termination: bool,
}

/// An instance with what hangs on it.
pub(super) struct Described {
    pub(super) instance: Instance,
    pub(super) volumes: Vec<(Volume, Attachment)>,
    pub(super) interfaces: Vec<InterfaceFacts>,
    pub(super) tags: Vec<Tag>,
}

impl Described {
    pub(super) fn read(connection: &Connection, instance: Instance) -> Result<Self, StoreError> {
        let id = instance.id;
        Ok(Self {
            instance,
            volumes: store::volumes::of_instance(connection, id)?,
            interfaces: InterfaceFacts::of_instance(connection, id)?,
            tags: store::tags::of(connection, ResourceId::Instance(id))?,
        })
    }

    /// The same of many instances.
    pub(super) fn read_all(connection: &Connection, instances: Vec<Instance>) -> Result<Vec<Self>, StoreError> {
        let ids: Vec<InstanceId> = instances.iter().map(|instance| instance.id).collect();
        let mut volumes = store::volumes::of_instances(connection, &ids)?;
        let mut interfaces = InterfaceFacts::of_instances(connection, &ids)?;
        let mut tags = store::tags::of_instances(connection, &ids)?;
        let described = instances.into_iter().map(|instance| Self {
            volumes: volumes.remove(&instance.id).unwrap_or_default(),
            interfaces: interfaces.remove(&instance.id).unwrap_or_default(),
            tags: tags.remove(&instance.id).unwrap_or_default(),
            instance,
        });
        Ok(described.collect())
    }

    pub(super) fn to_wire(&self, place: &Place) -> WireInstance {
        let instance = &self.instance;
        let reason = instance.reason.as_ref();
        let attributes = &instance.attributes;
        let primary = self.interfaces.first();
        WireInstance {
            instance_id: instance.id.to_string(),
            image_id: instance.image.to_string(),
            state: instance.state.into(),
            state_reason: reason.map(Into::into),
            state_transition_reason: reason.map(StateReason::transition).unwrap_or_default(),
            instance_type: instance.instance_type.name.clone(),
            architecture: instance.architecture.name(),
            ami_launch_index: instance.launch_index,
            launch_time: instant(instance.launched),
            client_token: instance.client_token.clone().unwrap_or_default(),
            kernel_id: instance.kernel.map(|id| id.to_string()),
            ramdisk_id: instance.ramdisk.map(|id| id.to_string()),
            placement: place.into(),
            monitoring: WireMonitoring::new(attributes.monitoring),
            private_dns_name: primary
                .map(|one| place.instance_name(instance, one.interface.address))
                .unwrap_or_default(),
            public_dns_name: "",
            product_codes: [],
            private_ip_address: primary.map(|one| one.interface.address.to_string()),
            public_ip_address: primary.and_then(|one| Some(one.interface.public?.address.to_string())),
            subnet_id: primary.map(|one| one.subnet.id.to_string()),
            vpc_id: primary.map(|one| one.vpc.id.to_string()),
            source_dest_check: primary.map(|one| one.interface.source_dest_check),
            key_name: instance.key.as_ref().map(|key| key.name.to_string()),
            security_groups: primary.map(WireGroup::all).unwrap_or_default(),
            network_interfaces: self
                .interfaces
                .iter()
                .map(|one| WireInterface::new(one, place))
                .collect(),
            metadata_options: instance.metadata_options.into(),
            root_device_name: instance.root_device_name.clone(),
            root_device_type: "ebs",
            block_device_mappings: self.volumes.iter().map(WireMapping::from).collect(),
            virtualization_type: "hvm",
            hypervisor: "xen",
            ebs_optimized: attributes.ebs_optimized,
            ena_support: attributes.ena_support,
            cpu_options: (&instance.instance_type).into(),
            maintenance_options: attributes.into(),
            private_dns_name_options: attributes.private_name.into(),
            hibernation_options: WireHibernation { configured: false },
            enclave_options: WireEnclaves { enabled: false },
            sriov_net_support: attributes.sriov_net_support.then_some("simple"),
            platform_details: "Linux/UNIX",
            usage_operation: "RunInstances",
            boot_mode: "legacy-bios",
            current_instance_boot_mode: "legacy-bios",
            tags: self.tags.iter().cloned().map(WireTag::from).collect(),
        }
    }
}

impl From<&StateReason> for WireReason {
    fn from(reason: &StateReason) -> Self {
        Self {
            code: reason.code.name(),
            message: reason.message(),
        }
    }
}

impl From<&Place> for WirePlacement {
    fn from(place: &Place) -> Self {
        Self {
            availability_zone: place.zone().to_owned(),
            availability_zone_id: zone_id(place),
            group_name: "",
            tenancy: "default",
        }
    }
}

impl From<&InstanceType> for WireCpuOptions {
    fn from(of: &InstanceType) -> Self {
        Self {
            core_count: of.cores(),
            threads_per_core: of.threads_per_core,
        }
    }
}

impl From<&InstanceAttributes> for WireMaintenance {
    fn from(attributes: &InstanceAttributes) -> Self {
        Self {
            auto_recovery: attributes.auto_recovery.name(),
            reboot_migration: attributes.reboot_migration.name(),
        }
    }
}

impl From<PrivateName> for WirePrivateName {
    fn from(name: PrivateName) -> Self {
        Self {
            hostname_type: name.hostname_type.name(),
            enable_resource_name_dns_a_record: name.a_record,
            enable_resource_name_dns_aaaa_record: name.aaaa_record,
        }
    }
}

impl From<&(Volume, Attachment)> for WireMapping {
    fn from((volume, attachment): &(Volume, Attachment)) -> Self {
        let status = if volume.state == VolumeState::Creating {
            "attaching"
        } else {
            "attached"
        };
        Self {
            device_name: attachment.device_name.clone(),
            ebs: WireEbs {
                volume_id: volume.id.to_string(),
                status,
                attach_time: instant(attachment.attached),
                delete_on_termination: attachment.delete_on_termination,
            },
        }
    }
}
