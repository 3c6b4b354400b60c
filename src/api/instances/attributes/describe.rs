//! DescribeInstanceAttribute.

use super::super::super::attribute::Attribute;
use super::super::super::{ApiError, Call, Code, found};
use super::super::interface_wire::WireGroup;
use super::super::wire::{Described, WireMapping};
use super::Enclaves;
use crate::base64;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in super::super) struct DescribeInstanceAttribute {
    instance_id: String,
    attribute: String,
}

type Text = Option<Attribute<Option<String>>>;
type Switch = Option<Attribute<Option<bool>>>;

/// `InstanceAttribute`: of all attributes, the one that was asked for.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct InstanceAttribute {
    instance_id: String,
    instance_type: Text,
    kernel_id: Text,
    ramdisk_id: Text,
    user_data: Text,
    root_device_name: Text,
    instance_initiated_shutdown_behavior: Text,
    sriov_net_support: Text,
    disable_api_termination: Switch,
    disable_api_stop: Switch,
    source_dest_check: Switch,
    ebs_optimized: Switch,
    ena_support: Switch,
    enclave_options: Option<Enclaves>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<WireGroup>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_device_mappings: Option<Vec<WireMapping>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_codes: Option<[(); 0]>,
}

pub(in super::super) async fn describe(
    call: Call,
    request: DescribeInstanceAttribute,
) -> Result<InstanceAttribute, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let read = call.world.store.read(move |store| {
        let instance = found::instance(store, id)?;
        Ok::<_, ApiError>(Described::read(store, instance)?)
    });
    InstanceAttribute::of(&read.await?, &request.attribute)
}

impl InstanceAttribute {
    fn of(described: &Described, attribute: &str) -> Result<Self, ApiError> {
        let instance = &described.instance;
        let attributes = &instance.attributes;
        let primary = described.interfaces.first();
        let text = |value: Option<String>| Some(Attribute { value });
        let switch = |on: bool| Some(Attribute { value: Some(on) });
        let mut shown = Self {
            instance_id: instance.id.to_string(),
            ..Self::default()
        };
        match attribute {
            "instanceType" => shown.instance_type = text(Some(instance.instance_type.name.clone())),
            "kernel" => shown.kernel_id = text(instance.kernel.map(|id| id.to_string())),
            "ramdisk" => shown.ramdisk_id = text(instance.ramdisk.map(|id| id.to_string())),
            "userData" => shown.user_data = text(instance.user_data.as_deref().map(base64::encode)),
            "rootDeviceName" => shown.root_device_name = text(Some(instance.root_device_name.clone())),
            "instanceInitiatedShutdownBehavior" => {
                shown.instance_initiated_shutdown_behavior = text(Some(instance.shutdown_behavior.name().into()));
            }
            "sriovNetSupport" => {
                shown.sriov_net_support = text(attributes.sriov_net_support.then(|| "simple".into()));
            }
            "disableApiTermination" => shown.disable_api_termination = switch(attributes.protection.termination),
            "disableApiStop" => shown.disable_api_stop = switch(attributes.protection.stop),
            "sourceDestCheck" => {
                let value = primary.map(|primary| primary.interface.source_dest_check);
                shown.source_dest_check = Some(Attribute { value });
            }
            "ebsOptimized" => shown.ebs_optimized = switch(attributes.ebs_optimized),
            "enaSupport" => shown.ena_support = switch(attributes.ena_support),
            "enclaveOptions" => shown.enclave_options = Some(Enclaves::default()),
            "groupSet" => shown.groups = Some(primary.map(WireGroup::all).unwrap_or_default()),
            "blockDeviceMapping" => {
                shown.block_device_mappings = Some(described.volumes.iter().map(WireMapping::from).collect());
            }
            "productCodes" => shown.product_codes = Some([]),
            other => {
                let message = format!("The attribute {other} is not served");
                return Err(ApiError::new(Code::UnsupportedOperation, message));
            }
        }
        Ok(shown)
    }
}
