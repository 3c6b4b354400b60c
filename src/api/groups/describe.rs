//! DescribeSecurityGroups, GetSecurityGroupsForVpc, DescribeSecurityGroupReferences, DescribeStaleSecurityGroups.

use super::super::filter::Filter;
use super::super::paging::{MAX_RESULTS, Page};
use super::super::tagging::WireTag;
use super::super::{ApiError, Call, Code};
use super::listing::{self, Asked, Kind, Shown};
use super::permission::IpPermission;
use super::{arn, default_vpc, found, named};
use crate::config::Place;
use crate::model::{Direction, Peer, ResourceId, SecurityGroup, SecurityGroupId, SecurityGroupRule};
use crate::store::{self, StoreError};
use ipnet::IpNet;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct DescribeSecurityGroups {
    group_ids: Vec<String>,
    group_names: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    security_groups: Vec<WireGroup>,
    next_token: Option<String>,
}

/// `SecurityGroup`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireGroup {
    group_id: String,
    security_group_arn: String,
    group_name: String,
    description: String,
    owner_id: String,
    vpc_id: String,
    ip_permissions: Vec<IpPermission>,
    ip_permissions_egress: Vec<IpPermission>,
    tags: Vec<WireTag>,
    /// What filters look at.
    #[serde(skip)]
    rules: Vec<SecurityGroupRule>,
    #[serde(skip)]
    names: Arc<Names>,
}

/// The names of all groups.
type Names = HashMap<SecurityGroupId, String>;

impl WireGroup {
    fn read(
        store: &Connection,
        place: &Place,
        group: SecurityGroup,
        rules: Vec<SecurityGroupRule>,
        names: &Arc<Names>,
    ) -> Result<Self, StoreError> {
        let resource = ResourceId::SecurityGroup(group.id);
        let permissions = |direction| {
            let rules = rules.iter().filter(|rule| rule.direction == direction);
            IpPermission::of(rules, place.account())
        };
        Ok(Self {
            group_id: group.id.to_string(),
            security_group_arn: arn(place, resource),
            group_name: group.name,
            description: group.description,
            owner_id: place.account().into(),
            vpc_id: group.vpc.to_string(),
            ip_permissions: permissions(Direction::Ingress),
            ip_permissions_egress: permissions(Direction::Egress),
            tags: store::tags::of(store, resource)?.into_iter().map(Into::into).collect(),
            rules,
            names: Arc::clone(names),
        })
    }

    /// What the rules of a direction have under a filter's name.
    fn rule_values(&self, direction: Direction, what: &str) -> Vec<String> {
        let rules = self.rules.iter().filter(|rule| rule.direction == direction);
        rules.filter_map(|rule| self.rule_value(rule, what)).collect()
    }

    fn rule_value(&self, rule: &SecurityGroupRule, what: &str) -> Option<String> {
        match (what, rule.peer) {
            ("cidr", Peer::Block(IpNet::V4(block))) => Some(block.to_string()),
            ("ipv6-cidr", Peer::Block(IpNet::V6(block))) => Some(block.to_string()),
            ("prefix-list-id", Peer::PrefixList(list)) => Some(list.to_string()),
            ("group-id", Peer::Group(group)) => Some(group.to_string()),
            ("group-name", Peer::Group(group)) => self.names.get(&group).cloned(),
            ("user-id", Peer::Group(_)) => Some(self.owner_id.clone()),
            ("from-port", _) => rule.traffic.numbers().map(|(from, _)| from.to_string()),
            ("to-port", _) => rule.traffic.numbers().map(|(_, to)| to.to_string()),
            ("protocol", _) => Some(rule.traffic.protocol_name()),
            _ => None,
        }
    }
}

impl Shown for WireGroup {
    fn id(&self) -> &str {
        &self.group_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        if let Some(what) = filter.strip_prefix("ip-permission.") {
            return self.rule_values(Direction::Ingress, what);
        }
        if let Some(what) = filter.strip_prefix("egress.ip-permission.") {
            return self.rule_values(Direction::Egress, what);
        }
        vec![match filter {
            "description" => self.description.clone(),
            "group-id" => self.group_id.clone(),
            "group-name" => self.group_name.clone(),
            "owner-id" => self.owner_id.clone(),
            // `primary-vpc-id` in GetSecurityGroupsForVpc.
            _ => self.vpc_id.clone(),
        }]
    }
}

const GROUPS: Kind = Kind {
    what: "security group",
    malformed: Code::InvalidGroupIdMalformed,
    not_found: Code::InvalidGroupNotFound,
    filters: &[
        "description",
        "egress.ip-permission.cidr",
        "egress.ip-permission.from-port",
        "egress.ip-permission.group-id",
        "egress.ip-permission.group-name",
        "egress.ip-permission.ipv6-cidr",
        "egress.ip-permission.prefix-list-id",
        "egress.ip-permission.protocol",
        "egress.ip-permission.to-port",
        "egress.ip-permission.user-id",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "ip-permission.user-id",
        "owner-id",
        "vpc-id",
    ],
    max_results: MAX_RESULTS,
};

pub(super) async fn describe(call: Call, request: DescribeSecurityGroups) -> Result<Described, ApiError> {
    let mut ids = request.group_ids;
    if !request.group_names.is_empty() {
        let names = request.group_names;
        let of_names = call.world.store.read(move |store| {
            let vpc = default_vpc(store)?;
            names
                .iter()
                .map(|name| named(store, vpc, name))
                .collect::<Result<Vec<_>, _>>()
        });
        ids.extend(of_names.await?.iter().map(|group| group.id.to_string()));
    }
    let asked = Asked::new(ids, request.filters, request.max_results, request.next_token);
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| groups(store, &place);
    let (security_groups, next_token) = listing::list::<SecurityGroupId, _, _>(&call, asked, &GROUPS, read).await?;
    Ok(Described {
        security_groups,
        next_token,
    })
}

/// All groups, by id.
fn groups(store: &Connection, place: &Place) -> Result<Vec<WireGroup>, StoreError> {
    let mut rules: HashMap<SecurityGroupId, Vec<SecurityGroupRule>> = HashMap::new();
    for rule in store::security_groups::rules(store)? {
        rules.entry(rule.group).or_default().push(rule);
    }
    let groups = store::security_groups::list(store)?;
    let names = Arc::new(groups.iter().map(|group| (group.id, group.name.clone())).collect());
    let shown = groups.into_iter().map(|group| {
        let rules = rules.remove(&group.id).unwrap_or_default();
        WireGroup::read(store, place, group, rules, &names)
    });
    shown.collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetSecurityGroupsForVpc {
    vpc_id: String,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupsForVpc {
    security_group_for_vpcs: Vec<GroupForVpc>,
    next_token: Option<String>,
}

/// `SecurityGroupForVpc`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GroupForVpc {
    group_id: String,
    group_name: String,
    description: String,
    owner_id: String,
    primary_vpc_id: String,
    tags: Vec<WireTag>,
}

const GROUPS_FOR_VPC: Kind = Kind {
    filters: &["description", "group-id", "group-name", "owner-id", "primary-vpc-id"],
    ..GROUPS
};

pub(super) async fn for_vpc(call: Call, request: GetSecurityGroupsForVpc) -> Result<GroupsForVpc, ApiError> {
    let vpc = found::vpc_id(&request.vpc_id)?;
    call.world.store.read(move |store| found::vpc(store, vpc)).await?;
    let asked = Asked::new(Vec::new(), request.filters, request.max_results, request.next_token);
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let mut groups = groups(store, &place)?;
        groups.retain(|group| group.vpc_id == vpc.to_string());
        Ok(groups)
    };
    let (groups, next_token) = listing::list::<SecurityGroupId, _, _>(&call, asked, &GROUPS_FOR_VPC, read).await?;
    let groups = groups.into_iter().map(|group| GroupForVpc {
        group_id: group.group_id,
        group_name: group.group_name,
        description: group.description,
        owner_id: group.owner_id,
        primary_vpc_id: group.vpc_id,
        tags: group.tags,
    });
    Ok(GroupsForVpc {
        security_group_for_vpcs: groups.collect(),
        next_token,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeReferences {
    group_id: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct References {
    security_group_reference_set: [(); 0],
}

/// Which VPCs on the other side of a peering or a transit gateway have rules that name these groups: there are neither.
pub(super) async fn references(call: Call, request: DescribeReferences) -> Result<References, ApiError> {
    let ids: Vec<SecurityGroupId> = request
        .group_id
        .iter()
        .map(|id| found::group_id(id))
        .collect::<Result<_, _>>()?;
    let all_there = call
        .world
        .store
        .read(move |store| ids.into_iter().try_for_each(|id| found::group(store, id).map(drop)));
    all_there.await?;
    Ok(References {
        security_group_reference_set: [],
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeStale {
    vpc_id: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stale {
    stale_security_group_set: [(); 0],
}

/// Which groups of a VPC have rules that name a group in a VPC which is no longer peered: there are no peerings.
pub(super) async fn stale(call: Call, request: DescribeStale) -> Result<Stale, ApiError> {
    let vpc = found::vpc_id(&request.vpc_id)?;
    let (token, size) = (request.next_token.as_deref(), request.max_results);
    Page::new(call.digest, token, size, &(5..=255), false)?;
    call.world.store.read(move |store| found::vpc(store, vpc)).await?;
    Ok(Stale {
        stale_security_group_set: [],
    })
}
