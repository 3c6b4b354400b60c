//! ModifyInstanceMaintenanceOptions. There is no other host to recover an instance on: it is for the record.

use super::super::{ApiError, Call, Code, found};
use super::amend::amend;
use crate::model::{Amendment, Upkeep};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyInstanceMaintenanceOptions {
    instance_id: String,
    auto_recovery: Option<String>,
    reboot_migration: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Maintained {
    instance_id: String,
    auto_recovery: &'static str,
    reboot_migration: &'static str,
}

pub(super) async fn modify(call: Call, request: ModifyInstanceMaintenanceOptions) -> Result<Maintained, ApiError> {
    let id = found::instance_id(&request.instance_id)?;
    let said = |member, name: Option<String>| name.map(|name| upkeep(member, &name)).transpose();
    let auto_recovery = said("AutoRecovery", request.auto_recovery)?;
    let reboot_migration = said("RebootMigration", request.reboot_migration)?;
    if auto_recovery.is_none() && reboot_migration.is_none() {
        let message = "Name an option to change: AutoRecovery or RebootMigration";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let amendment = Amendment::Maintenance {
        auto_recovery,
        reboot_migration,
    };
    amend(&call, id, |_, _| Ok(amendment)).await?;
    let now = call.world.store.read(move |store| found::instance(store, id)).await?;
    Ok(Maintained {
        instance_id: id.to_string(),
        auto_recovery: now.attributes.auto_recovery.name(),
        reboot_migration: now.attributes.reboot_migration.name(),
    })
}

/// The option of that name.
pub(super) fn upkeep(member: &str, name: &str) -> Result<Upkeep, ApiError> {
    Upkeep::from_name(name).ok_or_else(|| {
        let message = format!("{member} must be default or disabled");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
