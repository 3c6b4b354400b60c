//! ModifyLaunchTemplate: which version is the default one.

use super::super::token::ClientToken;
use super::named::{Named, choice, version};
use super::wire::WireTemplate;
use super::{ApiError, Call, Changed, Code, change, found};
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyLaunchTemplate {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    default_version: Option<String>,
    client_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Modified {
    launch_template: WireTemplate,
}

pub(super) async fn modify(call: Call, request: ModifyLaunchTemplate) -> Result<Modified, ApiError> {
    // The same request has the same effect again, so its token need not be kept.
    ClientToken::new(request.client_token, call.digest)?;
    let named = Named::new(
        request.launch_template_id.as_deref(),
        request.launch_template_name.as_deref(),
    )?;
    let default = request.default_version.as_deref().ok_or_else(|| {
        let message = "The request must contain the parameter DefaultVersion";
        ApiError::new(Code::MissingParameter, message)
    })?;
    let default = choice(default)?;
    let place = call.world.config.place.clone();
    let done = change(&call, move |store| {
        let template = named.find(store)?;
        let version = version(store, &template, default)?;
        store::launch_templates::set_default(store, template.id, version.number)?;
        let template = found::launch_template(store, template.id)?;
        let launch_template = WireTemplate::read(store, &place, &template)?;
        Ok(Changed::nothing(Modified { launch_template }))
    });
    done.await
}
