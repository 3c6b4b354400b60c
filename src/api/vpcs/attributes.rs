//! DescribeVpcAttribute, ModifyVpcAttribute.

use super::super::{ApiError, Call, Code};
use super::{Changed, change, found};
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeVpcAttribute {
    vpc_id: String,
    attribute: String,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    vpc_id: String,
    enable_dns_hostnames: Option<Switch>,
    enable_dns_support: Option<Switch>,
    enable_network_address_usage_metrics: Option<Switch>,
}

/// `AttributeBooleanValue`.
#[derive(Serialize, Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Switch {
    pub(super) value: bool,
}

pub(super) async fn describe(call: Call, request: DescribeVpcAttribute) -> Result<Described, ApiError> {
    let id = found::vpc_id(&request.vpc_id)?;
    let vpc = call.world.store.read(move |store| found::vpc(store, id)).await?;
    let mut described = Described {
        vpc_id: vpc.id.to_string(),
        ..Described::default()
    };
    let (attribute, value) = match request.attribute.as_str() {
        "enableDnsHostnames" => (&mut described.enable_dns_hostnames, vpc.dns_hostnames),
        "enableDnsSupport" => (&mut described.enable_dns_support, vpc.dns_support),
        // The last one that EC2's model lets through: metrics are not kept.
        _ => (&mut described.enable_network_address_usage_metrics, false),
    };
    *attribute = Some(Switch { value });
    Ok(described)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyVpcAttribute {
    vpc_id: String,
    enable_dns_hostnames: Option<Switch>,
    enable_dns_support: Option<Switch>,
    enable_network_address_usage_metrics: Option<Switch>,
}

/// The one attribute that a request modifies.
enum Attribute {
    DnsHostnames(bool),
    DnsSupport(bool),
}

pub(super) async fn modify(call: Call, request: ModifyVpcAttribute) -> Result<(), ApiError> {
    let id = found::vpc_id(&request.vpc_id)?;
    let asked = (
        request.enable_dns_hostnames,
        request.enable_dns_support,
        request.enable_network_address_usage_metrics,
    );
    let attribute = match asked {
        (Some(on), None, None) => Some(Attribute::DnsHostnames(on.value)),
        (None, Some(on), None) => Some(Attribute::DnsSupport(on.value)),
        (None, None, Some(Switch { value: false })) => None,
        (None, None, Some(_)) => {
            let message = "Metrics of the use of network addresses are not kept";
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        (None, None, None) => return Err(ApiError::new(Code::MissingParameter, ONE_ATTRIBUTE)),
        _ => return Err(ApiError::new(Code::InvalidParameterCombination, ONE_ATTRIBUTE)),
    };
    let done = change(&call, move |store| {
        let mut vpc = found::vpc(store, id)?;
        match attribute {
            Some(Attribute::DnsHostnames(true)) if !vpc.dns_support => {
                let message = format!("The vpc '{id}' can't have DNS hostnames without DNS support");
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
            Some(Attribute::DnsHostnames(on)) => vpc.dns_hostnames = on,
            Some(Attribute::DnsSupport(on)) => vpc.dns_support = on,
            None => {}
        }
        store::vpcs::update(store, &vpc)?;
        Ok(Changed::vpc(id, ()))
    });
    done.await
}

/// What EC2 asks of a request that modifies attributes.
pub(super) const ONE_ATTRIBUTE: &str = "The request must modify one attribute, and no more than one at a time";
