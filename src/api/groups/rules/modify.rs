//! ModifySecurityGroupRules.

use super::super::permission::RuleRequest;
use super::{ApiError, Asked, Call, Changed, Code, change, found, no_rule, rule_id, rule_text};
use crate::model::SecurityGroupRuleId;
use crate::store;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifySecurityGroupRules {
    group_id: String,
    security_group_rules: Vec<Update>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Update {
    security_group_rule_id: String,
    security_group_rule: Option<RuleRequest>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Modified {
    r#return: bool,
}

pub(super) async fn modify(call: Call, request: ModifySecurityGroupRules) -> Result<Modified, ApiError> {
    let group = found::group_id(&request.group_id)?;
    let updates: Result<Vec<(SecurityGroupRuleId, Asked)>, ApiError> =
        request.security_group_rules.into_iter().map(asked).collect();
    let updates = updates?;
    if updates.is_empty() {
        let message = "The request must contain the parameter SecurityGroupRules";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let done = change(&call, move |store| {
        let group = found::group(store, group)?;
        let mut rules = store::security_groups::rules_of(store, group.id)?;
        for (id, asked) in updates {
            let rule = rules.iter_mut().find(|rule| rule.id == id).ok_or_else(|| no_rule(id))?;
            rule.peer = asked.peer(store, &group)?;
            rule.traffic = asked.traffic;
            rule.description = asked.description;
            store::security_groups::update_rule(store, rule)?;
        }
        let mut seen = HashSet::new();
        let twice = rules
            .iter()
            .find(|rule| !seen.insert((rule.direction, &rule.traffic, rule.peer)));
        if let Some(twice) = twice {
            let rule = rule_text(twice.direction, &twice.traffic, twice.peer);
            let message = format!("There would be two rules \"{rule}\"");
            return Err(ApiError::new(Code::InvalidPermissionDuplicate, message));
        }
        Ok(Changed::vpc(group.vpc, Modified { r#return: true }))
    });
    done.await
}

fn asked(update: Update) -> Result<(SecurityGroupRuleId, Asked), ApiError> {
    let id = rule_id(&update.security_group_rule_id)?;
    let rule = update.security_group_rule.unwrap_or_default().rule()?;
    Ok((id, rule))
}
