//! ModifySubnetAttribute.

use super::super::super::{ApiError, Call, Code};
use super::super::attributes::{ONE_ATTRIBUTE, Switch};
use super::super::{Changed, change, found};
use crate::store;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifySubnetAttribute {
    subnet_id: String,
    map_public_ip_on_launch: Option<Switch>,
    assign_ipv6_address_on_creation: Option<Switch>,
    enable_dns64: Option<Switch>,
    #[serde(rename = "EnableResourceNameDnsARecordOnLaunch")]
    enable_resource_name_a_record: Option<Switch>,
    #[serde(rename = "EnableResourceNameDnsAAAARecordOnLaunch")]
    enable_resource_name_aaaa_record: Option<Switch>,
    private_dns_hostname_type_on_launch: Option<String>,
}

/// An attribute that is asked for.
enum Attribute {
    MapPublicIp(bool),
    /// One that is as kiln has it; nothing is to be done.
    AsItIs,
    /// One that kiln can't have so.
    Unserved(&'static str),
}

impl ModifySubnetAttribute {
    fn attribute(&self) -> Result<Attribute, ApiError> {
        let off = |switch: Option<Switch>, what| {
            switch.map(|switch| match switch.value {
                true => Attribute::Unserved(what),
                false => Attribute::AsItIs,
            })
        };
        let hostname = self
            .private_dns_hostname_type_on_launch
            .as_deref()
            .map(|kind| match kind {
                "ip-name" => Attribute::AsItIs,
                _ => Attribute::Unserved(
                    "Host names are made of the address (ip-name), not of the instance's identifier",
                ),
            });
        let asked = [
            self.map_public_ip_on_launch
                .map(|switch| Attribute::MapPublicIp(switch.value)),
            off(
                self.assign_ipv6_address_on_creation,
                "Subnets have no IPv6 addresses to assign",
            ),
            off(self.enable_dns64, "DNS64 is not served, for subnets have no IPv6"),
            off(
                self.enable_resource_name_a_record,
                "Names made of an instance's identifier are not served",
            ),
            off(
                self.enable_resource_name_aaaa_record,
                "Names made of an instance's identifier are not served",
            ),
            hostname,
        ];
        let mut asked = asked.into_iter().flatten();
        match (asked.next(), asked.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(ApiError::new(Code::MissingParameter, ONE_ATTRIBUTE)),
            (Some(_), Some(_)) => Err(ApiError::new(Code::InvalidParameterCombination, ONE_ATTRIBUTE)),
        }
    }
}

pub(super) async fn modify(call: Call, request: ModifySubnetAttribute) -> Result<(), ApiError> {
    let id = found::subnet_id(&request.subnet_id)?;
    let attribute = request.attribute()?;
    let done = change(&call, move |store| {
        let subnet = found::subnet(store, id)?;
        match attribute {
            Attribute::MapPublicIp(map) => store::subnets::set_map_public_ip(store, id, map)?,
            Attribute::AsItIs => {}
            Attribute::Unserved(why) => return Err(ApiError::new(Code::UnsupportedOperation, why)),
        }
        Ok(Changed::vpc(subnet.vpc, ()))
    });
    done.await
}
