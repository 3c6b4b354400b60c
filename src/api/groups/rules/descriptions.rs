//! UpdateSecurityGroupRuleDescriptionsIngress, UpdateSecurityGroupRuleDescriptionsEgress.

use super::super::permission::IpPermission;
use super::{ApiError, Call, Changed, Code, Named, Rules, change, rule_id, texts};
use crate::model::{Direction, SecurityGroupRule};
use crate::store;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct UpdateDescriptions {
    group_id: Option<String>,
    group_name: Option<String>,
    ip_permissions: Vec<IpPermission>,
    security_group_rule_descriptions: Vec<RuleDescription>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct RuleDescription {
    security_group_rule_id: String,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Updated {
    r#return: bool,
}

/// Writes the descriptions of rules, which a request names by what they let through or by their ids. One that is left
/// out or empty is taken away.
pub(super) async fn update(call: Call, request: UpdateDescriptions, direction: Direction) -> Result<Updated, ApiError> {
    let group = Named::parse(request.group_id.as_deref(), request.group_name)?;
    let account = call.world.config.place.account();
    let permissions = request.ip_permissions.into_iter();
    let asked: Vec<_> = permissions.map(|one| one.rules(account)).collect::<Result<_, _>>()?;
    let by_id = request.security_group_rule_descriptions.into_iter();
    let by_id = by_id.map(|one| {
        Ok((
            rule_id(&one.security_group_rule_id)?,
            texts::description(one.description)?,
        ))
    });
    let by_id: Vec<_> = by_id.collect::<Result<_, ApiError>>()?;
    if asked.is_empty() && by_id.is_empty() {
        let message = "Either IpPermissions or SecurityGroupRuleDescriptions must be there";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let done = change(&call, move |store| {
        let rules = Rules::read(store, group.find(store)?, direction)?;
        let describe = |rule: &SecurityGroupRule, description| {
            let rule = SecurityGroupRule {
                description,
                ..rule.clone()
            };
            store::security_groups::update_rule(store, &rule)
        };
        for asked in asked.into_iter().flatten() {
            describe(rules.find(store, &asked)?, asked.description)?;
        }
        for (id, description) in by_id {
            describe(rules.get(id)?, description)?;
        }
        // Nothing passes or is dropped for what people read.
        Ok(Changed::nothing(Updated { r#return: true }))
    });
    done.await
}
