//! ModifyPrivateDnsNameOptions: what an instance's host name is made of. Its guest takes the name at its next start.

use super::super::{ApiError, Call, Code, found};
use super::amend::amend;
use crate::model::{Amendment, HostnameType};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyPrivateDnsNameOptions {
    instance_id: String,
    private_dns_hostname_type: Option<String>,
    enable_resource_name_dns_a_record: Option<bool>,
    #[serde(rename = "EnableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: Option<bool>,
}

/// The answer of operations that say nothing but that they were carried out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    r#return: bool,
}

impl Done {
    pub(super) const fn new() -> Self {
        Self { r#return: true }
    }
}

pub(super) async fn modify(call: Call, request: ModifyPrivateDnsNameOptions) -> Result<Done, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let hostname_type = request.private_dns_hostname_type;
    let amendment = Amendment::PrivateName {
        hostname_type: hostname_type.map(|name| self::hostname_type(&name)).transpose()?,
        a_record: request.enable_resource_name_dns_a_record,
        aaaa_record: request.enable_resource_name_dns_aaaa_record,
    };
    let nothing = Amendment::PrivateName {
        hostname_type: None,
        a_record: None,
        aaaa_record: None,
    };
    if amendment == nothing {
        let message = "Name an option to change: PrivateDnsHostnameType, EnableResourceNameDnsARecord or \
                       EnableResourceNameDnsAAAARecord";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    amend(&call, id, |_, _| Ok(amendment)).await?;
    Ok(Done::new())
}

/// The type of that name.
pub(super) fn hostname_type(name: &str) -> Result<HostnameType, ApiError> {
    HostnameType::from_name(name).ok_or_else(|| {
        let message = "The type of host names must be ip-name or resource-name";
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
