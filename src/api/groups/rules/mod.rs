//! The rules of security groups.

mod authorize;
mod describe;
mod descriptions;
mod modify;
mod request;
mod revoke;

use super::super::{ApiError, Call, Code, Operation, ids};
use super::permission::Asked;
use super::{Changed, Named, arn, change, found, listing, tag, texts};
use crate::model::{Direction, Peer, SecurityGroup, SecurityGroupRule, SecurityGroupRuleId, Traffic};
use crate::store;
use rusqlite::Connection;
use std::collections::HashMap;

pub(super) fn rows() -> Vec<Operation> {
    use Direction::{Egress, Ingress};
    vec![
        Operation::new("AuthorizeSecurityGroupEgress", |call, request| {
            authorize::authorize(call, request, Egress)
        }),
        Operation::new("AuthorizeSecurityGroupIngress", |call, request| {
            authorize::authorize(call, request, Ingress)
        }),
        Operation::new("DescribeSecurityGroupRules", describe::describe),
        Operation::new("ModifySecurityGroupRules", modify::modify),
        Operation::new("RevokeSecurityGroupEgress", |call, request| {
            revoke::revoke(call, request, Egress)
        }),
        Operation::new("RevokeSecurityGroupIngress", |call, request| {
            revoke::revoke(call, request, Ingress)
        }),
        Operation::new("UpdateSecurityGroupRuleDescriptionsEgress", |call, request| {
            descriptions::update(call, request, Egress)
        }),
        Operation::new("UpdateSecurityGroupRuleDescriptionsIngress", |call, request| {
            descriptions::update(call, request, Ingress)
        }),
    ]
}

/// The rules of a group in one direction. No two of them let the same through.
struct Rules {
    group: SecurityGroup,
    direction: Direction,
    rules: HashMap<(Traffic, Peer), SecurityGroupRule>,
}

impl Rules {
    fn read(store: &Connection, group: SecurityGroup, direction: Direction) -> Result<Self, ApiError> {
        let rules = store::security_groups::rules_of(store, group.id)?.into_iter();
        let rules = rules.filter(|rule| rule.direction == direction);
        Ok(Self {
            direction,
            rules: rules.map(|rule| ((rule.traffic.clone(), rule.peer), rule)).collect(),
            group,
        })
    }

    /// The rule that a request describes.
    ///
    /// # Errors
    /// `InvalidPermission.NotFound`; as [`Asked::peer`].
    fn find(&self, store: &Connection, asked: &Asked) -> Result<&SecurityGroupRule, ApiError> {
        let peer = asked.peer(store, &self.group)?;
        self.rules.get(&(asked.traffic.clone(), peer)).ok_or_else(|| {
            let rule = rule_text(self.direction, &asked.traffic, peer);
            let message = format!(
                "The rule \"{rule}\" does not exist in the security group '{}'",
                self.group.id
            );
            ApiError::new(Code::InvalidPermissionNotFound, message)
        })
    }

    /// The rule of that id.
    ///
    /// # Errors
    /// `InvalidSecurityGroupRuleId.NotFound` if it is not one of these.
    fn get(&self, id: SecurityGroupRuleId) -> Result<&SecurityGroupRule, ApiError> {
        let found = self.rules.values().find(|rule| rule.id == id);
        found.ok_or_else(|| no_rule(id))
    }
}

/// A rule as messages show it.
fn rule_text(direction: Direction, traffic: &Traffic, peer: Peer) -> String {
    let side = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let peer = match peer {
        Peer::Block(block) => block.to_string(),
        Peer::Group(group) => group.to_string(),
        Peer::PrefixList(list) => list.to_string(),
    };
    format!("{traffic} {side} {peer}")
}

fn rule_id(text: &str) -> Result<SecurityGroupRuleId, ApiError> {
    ids::parse(text, Code::InvalidSecurityGroupRuleIdMalformed)
}

fn no_rule(id: SecurityGroupRuleId) -> ApiError {
    ids::not_found(Code::InvalidSecurityGroupRuleIdNotFound, "security group rule", &[id])
}
