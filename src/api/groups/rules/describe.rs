//! DescribeSecurityGroupRules.

use super::super::super::paging::MAX_RESULTS;
use super::super::super::tagging::WireTag;
use super::listing::{self, Kind, Shown};
use super::{ApiError, Call, Code, arn};
use crate::config::Place;
use crate::model::{
    Direction, Peer, ResourceId, SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId,
};
use crate::store::{self, StoreError};
use ipnet::IpNet;
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashMap;

/// `SecurityGroupRule`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireRule {
    security_group_rule_id: String,
    security_group_rule_arn: String,
    group_id: String,
    group_owner_id: String,
    is_egress: bool,
    #[serde(flatten)]
    parts: Parts,
    referenced_group_info: Option<Referenced>,
    tags: Vec<WireTag>,
}

/// What a rule lets through, as far as its forms on the wire agree.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Parts {
    ip_protocol: String,
    from_port: i64,
    to_port: i64,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    description: Option<String>,
}

/// `ReferencedSecurityGroup`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Referenced {
    group_id: String,
    user_id: String,
    vpc_id: String,
}

impl From<&SecurityGroupRule> for Parts {
    fn from(rule: &SecurityGroupRule) -> Self {
        let (from_port, to_port) = rule.traffic.numbers().unwrap_or((-1, -1));
        let mut parts = Self {
            ip_protocol: rule.traffic.protocol_name(),
            from_port,
            to_port,
            cidr_ipv4: None,
            cidr_ipv6: None,
            prefix_list_id: None,
            description: rule.description.clone(),
        };
        match rule.peer {
            Peer::Block(IpNet::V4(block)) => parts.cidr_ipv4 = Some(block.to_string()),
            Peer::Block(IpNet::V6(block)) => parts.cidr_ipv6 = Some(block.to_string()),
            Peer::PrefixList(list) => parts.prefix_list_id = Some(list.to_string()),
            Peer::Group(_) => {}
        }
        parts
    }
}

/// The group that a rule names.
pub(super) const fn referenced(rule: &SecurityGroupRule) -> Option<SecurityGroupId> {
    match rule.peer {
        Peer::Group(group) => Some(group),
        Peer::Block(_) | Peer::PrefixList(_) => None,
    }
}

impl WireRule {
    /// A rule of that group, with its tags.
    pub(super) fn read(
        store: &Connection,
        place: &Place,
        group: &SecurityGroup,
        rule: &SecurityGroupRule,
    ) -> Result<Self, StoreError> {
        let resource = ResourceId::SecurityGroupRule(rule.id);
        Ok(Self {
            security_group_rule_id: rule.id.to_string(),
            security_group_rule_arn: arn(place, resource),
            group_id: rule.group.to_string(),
            group_owner_id: place.account().into(),
            is_egress: rule.direction == Direction::Egress,
            parts: Parts::from(rule),
            referenced_group_info: referenced(rule).map(|referenced| Referenced {
                group_id: referenced.to_string(),
                user_id: place.account().into(),
                // A group names none of another VPC.
                vpc_id: group.vpc.to_string(),
            }),
            tags: store::tags::of(store, resource)?.into_iter().map(Into::into).collect(),
        })
    }
}

impl Shown for WireRule {
    fn id(&self) -> &str {
        &self.security_group_rule_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "group-id" => self.group_id.clone(),
            _ => self.security_group_rule_id.clone(),
        }]
    }
}

const RULES: Kind = Kind {
    what: "security group rule",
    malformed: Code::InvalidSecurityGroupRuleIdMalformed,
    not_found: Code::InvalidSecurityGroupRuleIdNotFound,
    filters: &["group-id", "security-group-rule-id"],
    max_results: MAX_RESULTS,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    security_group_rules: Vec<WireRule>,
    next_token: Option<String>,
}

pub(super) async fn describe(call: Call, asked: listing::Asked) -> Result<Described, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let groups = store::security_groups::list(store)?;
        let groups: HashMap<SecurityGroupId, SecurityGroup> =
            groups.into_iter().map(|group| (group.id, group)).collect();
        let mut rules = store::security_groups::rules(store)?;
        rules.sort_by_key(|rule| rule.id);
        let of_groups = rules.iter().filter_map(|rule| Some((rule, groups.get(&rule.group)?)));
        of_groups
            .map(|(rule, group)| WireRule::read(store, &place, group, rule))
            .collect()
    };
    let (security_group_rules, next_token) =
        listing::list::<SecurityGroupRuleId, _, _>(&call, asked, &RULES, read).await?;
    Ok(Described {
        security_group_rules,
        next_token,
    })
}
