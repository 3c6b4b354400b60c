//! RevokeSecurityGroupIngress, RevokeSecurityGroupEgress.

use super::describe::Parts;
use super::request::RulesRequest;
use super::{ApiError, Call, Changed, Code, Rules, change, rule_id};
use crate::model::{Direction, ResourceId, SecurityGroupRule, SecurityGroupRuleId};
use crate::store;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Revoked {
    r#return: bool,
    revoked_security_group_rules: Vec<RevokedRule>,
}

/// `RevokedSecurityGroupRule`: a rule that is no more.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RevokedRule {
    security_group_rule_id: String,
    group_id: String,
    is_egress: bool,
    #[serde(flatten)]
    parts: Parts,
    referenced_group_id: Option<String>,
}

impl From<&SecurityGroupRule> for RevokedRule {
    fn from(rule: &SecurityGroupRule) -> Self {
        Self {
            security_group_rule_id: rule.id.to_string(),
            group_id: rule.group.to_string(),
            is_egress: rule.direction == Direction::Egress,
            parts: Parts::from(rule),
            referenced_group_id: super::describe::referenced(rule).map(|group| group.to_string()),
        }
    }
}

/// Revokes rules: all that the request names, or none.
pub(super) async fn revoke(call: Call, mut request: RulesRequest, direction: Direction) -> Result<Revoked, ApiError> {
    let group = request.group()?;
    let ids: Result<Vec<SecurityGroupRuleId>, ApiError> =
        request.security_group_rule_ids.iter().map(|id| rule_id(id)).collect();
    let ids = ids?;
    let asked = request.rules(call.world.config.place.account())?;
    let wrong = match (asked.is_empty(), ids.is_empty()) {
        (true, true) => Some((
            Code::MissingParameter,
            "Either IpPermissions or SecurityGroupRuleIds must be there",
        )),
        (false, false) => Some((
            Code::InvalidParameterCombination,
            "IpPermissions and SecurityGroupRuleIds can't be used together",
        )),
        _ => None,
    };
    if let Some((code, message)) = wrong {
        return Err(ApiError::new(code, message));
    }
    let done = change(&call, move |store| {
        let rules = Rules::read(store, group.find(store)?, direction)?;
        let by_id = ids.into_iter().map(|id| rules.get(id));
        let found = by_id.chain(asked.iter().map(|asked| rules.find(store, asked)));
        let mut revoked: Vec<&SecurityGroupRule> = found.collect::<Result<_, _>>()?;
        revoked.sort_by_key(|rule| rule.id);
        revoked.dedup_by_key(|rule| rule.id);
        for rule in &revoked {
            store::tags::remove_all(store, ResourceId::SecurityGroupRule(rule.id))?;
            store::security_groups::remove_rule(store, rule.id)?;
        }
        let answer = Revoked {
            r#return: true,
            revoked_security_group_rules: revoked.into_iter().map(Into::into).collect(),
        };
        Ok(Changed::vpc(rules.group.vpc, answer))
    });
    done.await
}
