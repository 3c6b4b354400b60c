//! GetInstanceMetadataDefaults, ModifyInstanceMetadataDefaults: what instances to come get of metadata options where
//! their launch says nothing.

use super::super::change::{Changed, change};
use super::super::{ApiError, Call, Code};
use super::metadata_options::{hop_limit, one_of};
use super::names::Done;
use crate::model::{MetadataDefaults, MetadataOptions};
use crate::store;
use serde::{Deserialize, Serialize};

/// What takes a preference away again, where it is a word and where it is a number.
const NO_PREFERENCE: (&str, i64) = ("no-preference", -1);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct GetInstanceMetadataDefaults {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GotDefaults {
    account_level: WireDefaults,
}

/// `InstanceMetadataDefaultsResponse`: what nothing is said of is not there.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireDefaults {
    http_endpoint: Option<&'static str>,
    http_put_response_hop_limit: Option<u8>,
    http_tokens: Option<&'static str>,
    http_tokens_enforced: Option<&'static str>,
    instance_metadata_tags: Option<&'static str>,
    managed_by: &'static str,
}

pub(super) async fn get(call: Call, _: GetInstanceMetadataDefaults) -> Result<GotDefaults, ApiError> {
    let defaults = call.world.store.read(store::metadata_defaults::get).await?;
    call.checked()?;
    let switch = |on: bool| if on { "enabled" } else { "disabled" };
    let tokens = |required: bool| if required { "required" } else { "optional" };
    Ok(GotDefaults {
        account_level: WireDefaults {
            http_endpoint: defaults.endpoint.map(switch),
            http_put_response_hop_limit: defaults.hop_limit,
            http_tokens: defaults.tokens_required.map(tokens),
            http_tokens_enforced: defaults.tokens_enforced.map(switch),
            instance_metadata_tags: defaults.tags.map(switch),
            managed_by: "account",
        },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstanceMetadataDefaults {
    http_endpoint: Option<String>,
    http_put_response_hop_limit: Option<i64>,
    http_tokens: Option<String>,
    http_tokens_enforced: Option<String>,
    instance_metadata_tags: Option<String>,
}

pub(super) async fn modify(call: Call, request: ModifyInstanceMetadataDefaults) -> Result<Done, ApiError> {
    let done = change(&call, move |store| {
        let mut defaults = store::metadata_defaults::get(store)?;
        request.apply(&mut defaults)?;
        store::metadata_defaults::put(store, &defaults)?;
        Ok(Changed::nothing(Done::new()))
    });
    done.await
}

impl ModifyInstanceMetadataDefaults {
    fn apply(&self, defaults: &mut MetadataDefaults) -> Result<(), ApiError> {
        let switch = ("enabled", "disabled");
        prefer(
            "HttpEndpoint",
            self.http_endpoint.as_deref(),
            switch,
            &mut defaults.endpoint,
        )?;
        let tokens = ("required", "optional");
        let tokens_required = &mut defaults.tokens_required;
        prefer("HttpTokens", self.http_tokens.as_deref(), tokens, tokens_required)?;
        let enforced = self.http_tokens_enforced.as_deref();
        prefer("HttpTokensEnforced", enforced, switch, &mut defaults.tokens_enforced)?;
        let tags = self.instance_metadata_tags.as_deref();
        prefer("InstanceMetadataTags", tags, switch, &mut defaults.tags)?;
        match self.http_put_response_hop_limit {
            None => {}
            Some(limit) if limit == NO_PREFERENCE.1 => defaults.hop_limit = None,
            Some(limit) => defaults.hop_limit = Some(hop_limit(limit)?),
        }
        Ok(())
    }
}

/// Writes down a preference, if one is said.
fn prefer(
    member: &str,
    said: Option<&str>,
    (yes, no): (&str, &str),
    preference: &mut Option<bool>,
) -> Result<(), ApiError> {
    match said {
        None => {}
        Some(said) if said == NO_PREFERENCE.0 => *preference = None,
        Some(said) => *preference = Some(one_of(member, said, yes, no)?),
    }
    Ok(())
}

/// Refuses options that do without tokens where the account has said that none may.
pub(super) fn must_have_tokens(defaults: &MetadataDefaults, options: &MetadataOptions) -> Result<(), ApiError> {
    if defaults.tokens_enforced == Some(true) && !options.tokens_required {
        let message =
            "Instances without httpTokens=required can't be had: httpTokensEnforced is enabled for this account";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    Ok(())
}
