//! AuthorizeSecurityGroupIngress, AuthorizeSecurityGroupEgress.

use super::super::super::tagging::TagSpecifications;
use super::describe::WireRule;
use super::request::RulesRequest;
use super::{ApiError, Asked, Call, Changed, Code, Rules, change, rule_text, tag};
use crate::model::{Direction, ResourceId, SecurityGroupRule, SecurityGroupRuleId};
use crate::store::{self, random_bits};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::hash_map::Entry;

/// The most rules of a group, each way, as EC2's quotas allow at most.
const MAX_RULES: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Authorized {
    r#return: bool,
    security_group_rules: Vec<WireRule>,
}

pub(super) async fn authorize(
    call: Call,
    mut request: RulesRequest,
    direction: Direction,
) -> Result<Authorized, ApiError> {
    let place = call.world.config.place.clone();
    let group = request.group()?;
    let asked = request.rules(place.account())?;
    if asked.is_empty() {
        let message = "The request must contain the parameter IpPermissions";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    let tags = TagSpecifications::new(request.tag_specifications, &["security-group-rule"])?;
    let done = change(&call, move |store| {
        let mut rules = Rules::read(store, group.find(store)?, direction)?;
        let mut added = Vec::with_capacity(asked.len());
        for asked in asked {
            let rule = rules.add(store, asked)?;
            tag(
                store,
                ResourceId::SecurityGroupRule(rule.id),
                tags.of("security-group-rule"),
            )?;
            added.push(WireRule::read(store, &place, &rules.group, &rule)?);
        }
        let authorized = Authorized {
            r#return: true,
            security_group_rules: added,
        };
        Ok(Changed::vpc(rules.group.vpc, authorized))
    });
    done.await
}

impl Rules {
    fn add(&mut self, store: &Connection, asked: Asked) -> Result<SecurityGroupRule, ApiError> {
        let peer = asked.peer(store, &self.group)?;
        let full = self.rules.len() >= MAX_RULES;
        match self.rules.entry((asked.traffic, peer)) {
            Entry::Occupied(entry) => {
                let (traffic, peer) = entry.key();
                let rule = rule_text(self.direction, traffic, *peer);
                let message = format!("the specified rule \"{rule}\" already exists");
                Err(ApiError::new(Code::InvalidPermissionDuplicate, message))
            }
            Entry::Vacant(_) if full => {
                let message = format!("A security group may have {MAX_RULES} rules each way");
                Err(ApiError::new(Code::RulesPerSecurityGroupLimitExceeded, message))
            }
            Entry::Vacant(entry) => {
                let rule = SecurityGroupRule {
                    id: SecurityGroupRuleId::from_random(random_bits()),
                    group: self.group.id,
                    direction: self.direction,
                    traffic: entry.key().0.clone(),
                    peer,
                    description: asked.description,
                };
                store::security_groups::add_rule(store, &rule)?;
                Ok(entry.insert(rule).clone())
            }
        }
    }
}
