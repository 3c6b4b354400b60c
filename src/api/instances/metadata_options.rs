//! Instance metadata options: in RunInstances, and as ModifyInstanceMetadataOptions changes them.

use super::super::change::{Changed, change as change_on_record, tell};
use super::super::{ApiError, Call, Code, found};
use super::metadata_defaults::must_have_tokens;
use crate::model::{MetadataOptions, must_be_there};
use crate::store;
use serde::{Deserialize, Serialize};

/// `InstanceMetadataOptionsRequest`, and the members of ModifyInstanceMetadataOptions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct MetadataOptionsRequest {
    http_tokens: Option<String>,
    http_put_response_hop_limit: Option<i64>,
    http_endpoint: Option<String>,
    http_protocol_ipv6: Option<String>,
    instance_metadata_tags: Option<String>,
}

/// `InstanceMetadataOptionsResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireMetadataOptions {
    state: &'static str,
    http_tokens: &'static str,
    http_put_response_hop_limit: u8,
    http_endpoint: &'static str,
    http_protocol_ipv6: &'static str,
    instance_metadata_tags: &'static str,
}

impl From<MetadataOptions> for WireMetadataOptions {
    fn from(options: MetadataOptions) -> Self {
        let switch = |on| if on { "enabled" } else { "disabled" };
        Self {
            state: "applied",
            http_tokens: if options.tokens_required {
                "required"
            } else {
                "optional"
            },
            http_put_response_hop_limit: options.hop_limit,
            http_endpoint: switch(options.endpoint),
            http_protocol_ipv6: switch(false),
            instance_metadata_tags: switch(options.tags),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstanceMetadataOptions {
    instance_id: String,
    http_tokens: Option<String>,
    http_put_response_hop_limit: Option<i64>,
    http_endpoint: Option<String>,
    http_protocol_ipv6: Option<String>,
    instance_metadata_tags: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifiedMetadataOptions {
    instance_id: String,
    instance_metadata_options: WireMetadataOptions,
}

/// ModifyInstanceMetadataOptions. A running guest has the new options when this returns.
pub(super) async fn modify(
    call: Call,
    request: ModifyInstanceMetadataOptions,
) -> Result<ModifiedMetadataOptions, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let change = MetadataOptionsRequest {
        http_tokens: request.http_tokens,
        http_put_response_hop_limit: request.http_put_response_hop_limit,
        http_endpoint: request.http_endpoint,
        http_protocol_ipv6: request.http_protocol_ipv6,
        instance_metadata_tags: request.instance_metadata_tags,
    };
    let written = change_on_record(&call, move |store| {
        let instance = found::instance(store, id)?;
        must_be_there(&instance)?;
        let options = change.apply(instance.metadata_options)?;
        must_have_tokens(&store::metadata_defaults::get(store)?, &options)?;
        store::instances::set_metadata_options(store, id, options)?;
        Ok(Changed::nothing(options))
    });
    let options = written.await?;
    tell(&call, [id]).await?;
    Ok(ModifiedMetadataOptions {
        instance_id: id.to_string(),
        instance_metadata_options: options.into(),
    })
}

impl MetadataOptionsRequest {
    /// The options as they were, with what the request says of them.
    pub(super) fn apply(&self, mut options: MetadataOptions) -> Result<MetadataOptions, ApiError> {
        if let Some(tokens) = &self.http_tokens {
            options.tokens_required = one_of("HttpTokens", tokens, "required", "optional")?;
        }
        if let Some(endpoint) = &self.http_endpoint {
            options.endpoint = one_of("HttpEndpoint", endpoint, "enabled", "disabled")?;
        }
        if let Some(tags) = &self.instance_metadata_tags {
            options.tags = one_of("InstanceMetadataTags", tags, "enabled", "disabled")?;
        }
        if let Some(ipv6) = &self.http_protocol_ipv6
            && one_of("HttpProtocolIpv6", ipv6, "enabled", "disabled")?
        {
            let message = "Instance metadata over IPv6 is not served";
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        if let Some(limit) = self.http_put_response_hop_limit {
            options.hop_limit = hop_limit(limit)?;
        }
        Ok(options)
    }
}

/// How many hops a token may travel.
pub(super) fn hop_limit(limit: i64) -> Result<u8, ApiError> {
    let fits = u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit));
    fits.ok_or_else(|| {
        let message = format!("Value ({limit}) for HttpPutResponseHopLimit is invalid: expecting 1 to 64");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

pub(super) fn one_of(member: &str, value: &str, yes: &str, no: &str) -> Result<bool, ApiError> {
    match value {
        value if value == yes => Ok(true),
        value if value == no => Ok(false),
        _ => {
            let message = format!("{member} must be {yes} or {no}");
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}
