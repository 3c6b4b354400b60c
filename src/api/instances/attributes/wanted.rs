//! The one attribute that a ModifyInstanceAttribute is to change, whichever way the request says it.

use super::super::super::attribute::{Attribute, several, value};
use super::super::super::{ApiError, Code};
use super::Enclaves;
use serde::Deserialize;

type Text = Option<Attribute<Option<String>>>;
type Switch = Option<Attribute<Option<bool>>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in super::super) struct ModifyInstanceAttribute {
    pub(super) instance_id: String,
    /// The attribute's name, where no member of its own says it.
    attribute: Option<String>,
    value: Option<String>,
    #[serde(default)]
    block_device_mappings: Vec<DeviceChange>,
    #[serde(default)]
    groups: Vec<String>,
    disable_api_stop: Switch,
    disable_api_termination: Switch,
    ebs_optimized: Switch,
    ena_support: Switch,
    enclave_options: Option<Enclaves>,
    instance_initiated_shutdown_behavior: Text,
    instance_type: Text,
    kernel: Text,
    ramdisk: Text,
    source_dest_check: Switch,
    sriov_net_support: Text,
    user_data: Text,
}

/// `InstanceBlockDeviceMappingSpecification`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeviceChange {
    pub(super) device_name: Option<String>,
    pub(super) ebs: Option<VolumeChange>,
}

/// `EbsInstanceBlockDeviceSpecification`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct VolumeChange {
    pub(super) delete_on_termination: Option<bool>,
    pub(super) volume_id: Option<String>,
}

/// An attribute and what it is to be.
#[derive(Debug)]
pub(super) enum Wanted {
    Devices(Vec<DeviceChange>),
    Groups(Vec<String>),
    StopProtection(bool),
    TerminationProtection(bool),
    EbsOptimized(bool),
    EnaSupport(bool),
    Enclaves(bool),
    ShutdownBehavior(String),
    InstanceType(String),
    Kernel(String),
    Ramdisk(String),
    SourceDestCheck(bool),
    SriovNetSupport(String),
    UserData(String),
}

impl Wanted {
    pub(super) fn new(request: ModifyInstanceAttribute) -> Result<Self, ApiError> {
        let named = request.attribute.clone();
        let by_value = match (named.as_deref(), request.value.clone()) {
            (Some(attribute), Some(value)) => Some(Self::named(attribute, value)?),
            (None, Some(_)) => return Err(missing("Attribute")),
            (_, None) => None,
        };
        let mut wanted = Self::members(request)?;
        wanted.extend(by_value);
        if wanted.len() > 1 {
            return Err(several());
        }
        let wanted = wanted.pop();
        match (wanted, named) {
            (Some(wanted), Some(named)) if wanted.attribute() != named => Err(several()),
            (Some(wanted), _) => Ok(wanted),
            (None, Some(_)) => Err(missing("Value")),
            (None, None) => {
                let message = "No attributes specified.";
                Err(ApiError::new(Code::InvalidParameterCombination, message))
            }
        }
    }

    /// The attributes that have members of their own in the request.
    fn members(request: ModifyInstanceAttribute) -> Result<Vec<Self>, ApiError> {
        let devices = request.block_device_mappings;
        let behavior = request.instance_initiated_shutdown_behavior;
        let members = [
            (!devices.is_empty()).then_some(Self::Devices(devices)),
            (!request.groups.is_empty()).then_some(Self::Groups(request.groups)),
            value("DisableApiStop", request.disable_api_stop)?.map(Self::StopProtection),
            value("DisableApiTermination", request.disable_api_termination)?.map(Self::TerminationProtection),
            value("EbsOptimized", request.ebs_optimized)?.map(Self::EbsOptimized),
            value("EnaSupport", request.ena_support)?.map(Self::EnaSupport),
            request.enclave_options.map(|options| Self::Enclaves(options.enabled)),
            value("InstanceInitiatedShutdownBehavior", behavior)?.map(Self::ShutdownBehavior),
            value("InstanceType", request.instance_type)?.map(Self::InstanceType),
            value("Kernel", request.kernel)?.map(Self::Kernel),
            value("Ramdisk", request.ramdisk)?.map(Self::Ramdisk),
            value("SourceDestCheck", request.source_dest_check)?.map(Self::SourceDestCheck),
            value("SriovNetSupport", request.sriov_net_support)?.map(Self::SriovNetSupport),
            value("UserData", request.user_data)?.map(Self::UserData),
        ];
        Ok(members.into_iter().flatten().collect())
    }

    /// An attribute that is given by its name and a text.
    fn named(attribute: &str, value: String) -> Result<Self, ApiError> {
        Ok(match attribute {
            "groupSet" => Self::Groups(vec![value]),
            "disableApiStop" => Self::StopProtection(switch(&value)?),
            "disableApiTermination" => Self::TerminationProtection(switch(&value)?),
            "ebsOptimized" => Self::EbsOptimized(switch(&value)?),
            "enaSupport" => Self::EnaSupport(switch(&value)?),
            "enclaveOptions" => Self::Enclaves(switch(&value)?),
            "instanceInitiatedShutdownBehavior" => Self::ShutdownBehavior(value),
            "instanceType" => Self::InstanceType(value),
            "kernel" => Self::Kernel(value),
            "ramdisk" => Self::Ramdisk(value),
            "sourceDestCheck" => Self::SourceDestCheck(switch(&value)?),
            "sriovNetSupport" => Self::SriovNetSupport(value),
            "userData" => Self::UserData(value),
            "blockDeviceMapping" => return Err(missing("BlockDeviceMappings")),
            other => {
                let message = format!("The attribute {other} can't be modified");
                return Err(ApiError::new(Code::InvalidParameterValue, message));
            }
        })
    }

    /// EC2's name of the attribute.
    const fn attribute(&self) -> &'static str {
        match self {
            Self::Devices(_) => "blockDeviceMapping",
            Self::Groups(_) => "groupSet",
            Self::StopProtection(_) => "disableApiStop",
            Self::TerminationProtection(_) => "disableApiTermination",
            Self::EbsOptimized(_) => "ebsOptimized",
            Self::EnaSupport(_) => "enaSupport",
            Self::Enclaves(_) => "enclaveOptions",
            Self::ShutdownBehavior(_) => "instanceInitiatedShutdownBehavior",
            Self::InstanceType(_) => "instanceType",
            Self::Kernel(_) => "kernel",
            Self::Ramdisk(_) => "ramdisk",
            Self::SourceDestCheck(_) => "sourceDestCheck",
            Self::SriovNetSupport(_) => "sriovNetSupport",
            Self::UserData(_) => "userData",
        }
    }
}

fn switch(text: &str) -> Result<bool, ApiError> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match (is("true"), is("false")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => {
            let message = "Value must be true or false for this attribute";
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}

pub(super) fn missing(member: &str) -> ApiError {
    let message = format!("The request must contain the parameter {member}");
    ApiError::new(Code::MissingParameter, message)
}
