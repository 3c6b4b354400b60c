//! `IpPermission`, in which EC2 writes several rules about the same traffic as one.

use super::super::{ApiError, Code};
use super::{found, named, texts};
use crate::api::shown::shown;
use crate::model::{Peer, PrefixListId, SecurityGroup, SecurityGroupId, SecurityGroupRule, Traffic, TrafficError};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Traffic, and whom it comes from or goes to.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct IpPermission {
    pub(super) ip_protocol: Option<String>,
    pub(super) from_port: Option<i64>,
    pub(super) to_port: Option<i64>,
    pub(super) ip_ranges: Vec<IpRange>,
    pub(super) ipv6_ranges: Vec<Ipv6Range>,
    pub(super) prefix_list_ids: Vec<ListReference>,
    pub(super) user_id_group_pairs: Vec<GroupReference>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct IpRange {
    cidr_ip: String,
    description: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Ipv6Range {
    cidr_ipv6: String,
    description: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct ListReference {
    prefix_list_id: String,
    description: Option<String>,
}

/// `UserIdGroupPair`.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct GroupReference {
    group_id: Option<String>,
    group_name: Option<String>,
    user_id: Option<String>,
    description: Option<String>,
}

impl IpRange {
    /// A block without a description.
    pub(super) const fn new(cidr_ip: String) -> Self {
        Self {
            cidr_ip,
            description: None,
        }
    }
}

impl GroupReference {
    /// A group by its name, without a description.
    pub(super) const fn by_name(name: String, owner: Option<String>) -> Self {
        Self {
            group_id: None,
            group_name: Some(name),
            user_id: owner,
            description: None,
        }
    }
}

/// `SecurityGroupRuleRequest`: a rule by itself.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RuleRequest {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    referenced_group_id: Option<String>,
    description: Option<String>,
}

/// A rule that a request is about, as far as that can be told without looking at what there is.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) traffic: Traffic,
    peer: AskedPeer,
    pub(super) description: Option<String>,
}

#[derive(Debug)]
enum AskedPeer {
    Block(IpNet),
    Group(SecurityGroupId),
    GroupName(String),
    List(PrefixListId),
}

impl IpPermission {
    /// The rules that it stands for, one for each that it names.
    ///
    /// # Errors
    /// `InvalidPermission.Malformed` if it names nobody, or a group by id and name; `InvalidParameterValue` for what is no
    /// protocol, port, block or description; `InvalidGroup.NotFound` for a group of another account; the ids' own codes.
    pub(super) fn rules(self, account: &str) -> Result<Vec<Asked>, ApiError> {
        let traffic = traffic(self.ip_protocol.as_deref(), self.from_port, self.to_port)?;
        let mut peers = Vec::new();
        for range in self.ip_ranges {
            peers.push((AskedPeer::Block(block::<Ipv4Net>(&range.cidr_ip)?), range.description));
        }
        for range in self.ipv6_ranges {
            peers.push((AskedPeer::Block(block::<Ipv6Net>(&range.cidr_ipv6)?), range.description));
        }
        for list in self.prefix_list_ids {
            let id = found::prefix_list_id(&list.prefix_list_id)?;
            peers.push((AskedPeer::List(id), list.description));
        }
        for group in self.user_id_group_pairs {
            let peer = match (&group.group_id, group.group_name) {
                _ if group.user_id.as_deref().is_some_and(|user| user != account) => {
                    let message = "A security group of another account is not here";
                    return Err(ApiError::new(Code::InvalidGroupNotFound, message));
                }
                (Some(id), None) => AskedPeer::Group(found::group_id(id)?),
                (None, Some(name)) => AskedPeer::GroupName(name),
                _ => return Err(malformed("A pair names its group by GroupId or by GroupName")),
            };
            peers.push((peer, group.description));
        }
        if peers.is_empty() {
            return Err(malformed(
                "A permission needs a range, a prefix list or a security group that it is about",
            ));
        }
        let asked = peers.into_iter().map(|(peer, description)| {
            Ok(Asked {
                traffic: traffic.clone(),
                peer,
                description: texts::description(description)?,
            })
        });
        asked.collect()
    }

    /// Rules as EC2 shows them: those about the same traffic as one permission.
    pub(super) fn of<'r>(rules: impl IntoIterator<Item = &'r SecurityGroupRule>, account: &str) -> Vec<Self> {
        let mut permissions: BTreeMap<_, Self> = BTreeMap::new();
        for rule in rules {
            let key = (rule.traffic.protocol(), rule.traffic.numbers());
            let permission = permissions.entry(key).or_insert_with(|| Self::about(&rule.traffic));
            permission.add(rule, account);
        }
        permissions.into_values().collect()
    }

    fn about(traffic: &Traffic) -> Self {
        let (from_port, to_port) = traffic.numbers().unzip();
        Self {
            ip_protocol: Some(traffic.protocol_name()),
            from_port,
            to_port,
            ..Self::default()
        }
    }

    fn add(&mut self, rule: &SecurityGroupRule, account: &str) {
        let description = rule.description.clone();
        match rule.peer {
            Peer::Block(IpNet::V4(block)) => self.ip_ranges.push(IpRange {
                cidr_ip: block.to_string(),
                description,
            }),
            Peer::Block(IpNet::V6(block)) => self.ipv6_ranges.push(Ipv6Range {
                cidr_ipv6: block.to_string(),
                description,
            }),
            Peer::PrefixList(list) => self.prefix_list_ids.push(ListReference {
                prefix_list_id: list.to_string(),
                description,
            }),
            Peer::Group(group) => self.user_id_group_pairs.push(GroupReference {
                group_id: Some(group.to_string()),
                user_id: Some(account.into()),
                description,
                ..GroupReference::default()
            }),
        }
    }
}

impl RuleRequest {
    /// The rule.
    ///
    /// # Errors
    /// `InvalidPermission.Malformed` if it is not about just one peer; else as [`IpPermission::rules`].
    pub(super) fn rule(self) -> Result<Asked, ApiError> {
        let traffic = traffic(self.ip_protocol.as_deref(), self.from_port, self.to_port)?;
        let peer = match (
            self.cidr_ipv4,
            self.cidr_ipv6,
            self.prefix_list_id,
            self.referenced_group_id,
        ) {
            (Some(text), None, None, None) => AskedPeer::Block(block::<Ipv4Net>(&text)?),
            (None, Some(text), None, None) => AskedPeer::Block(block::<Ipv6Net>(&text)?),
            (None, None, Some(id), None) => AskedPeer::List(found::prefix_list_id(&id)?),
            (None, None, None, Some(id)) => AskedPeer::Group(found::group_id(&id)?),
            _ => return Err(malformed("A rule is about one range, prefix list or security group")),
        };
        Ok(Asked {
            traffic,
            peer,
            description: texts::description(self.description)?,
        })
    }
}

impl Asked {
    /// Whom the rule is about, of what there is; groups are looked for in the VPC of `group`, which the rule is of.
    ///
    /// # Errors
    /// `InvalidGroup.NotFound`, `InvalidPrefixListID.NotFound`.
    pub(super) fn peer(&self, store: &Connection, group: &SecurityGroup) -> Result<Peer, ApiError> {
        match &self.peer {
            AskedPeer::Block(block) => Ok(Peer::Block(*block)),
            AskedPeer::List(list) => found::prefix_list(store, *list).map(|list| Peer::PrefixList(list.id)),
            AskedPeer::GroupName(name) => named(store, group.vpc, name).map(|peer| Peer::Group(peer.id)),
            AskedPeer::Group(id) => match found::group(store, *id)? {
                peer if peer.vpc == group.vpc => Ok(Peer::Group(peer.id)),
                peer => {
                    let message = format!(
                        "The security groups '{}' and '{}' are in different VPCs",
                        group.id, peer.id
                    );
                    Err(ApiError::new(Code::InvalidGroupNotFound, message))
                }
            },
        }
    }
}

/// The traffic that a request's loose members mean.
///
/// # Errors
/// `MissingParameter` without a protocol, `InvalidParameterValue` for what does not go together.
fn traffic(protocol: Option<&str>, from: Option<i64>, to: Option<i64>) -> Result<Traffic, ApiError> {
    let number = match protocol {
        None => {
            let message = "The request must contain the parameter IpProtocol";
            return Err(ApiError::new(Code::MissingParameter, message));
        }
        Some("all") => Some(-1),
        Some("icmp") => Some(1),
        Some("tcp") => Some(6),
        Some("udp") => Some(17),
        Some("icmpv6") => Some(58),
        Some(number) => number.parse().ok(),
    };
    let invalid = |error: TrafficError| ApiError::new(Code::InvalidParameterValue, error.to_string());
    let number = number.ok_or_else(|| {
        let shown = protocol
            .unwrap_or_default()
            .chars()
            .take(64)
            .flat_map(char::escape_debug);
        let message = format!(
            "Invalid value '{}' for IP protocol. Unknown protocol.",
            shown.collect::<String>()
        );
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    Traffic::from_numbers(number, from, to).map_err(invalid)
}

/// A block of a request, without its host bits: EC2 keeps blocks in their canonical form.
fn block<T: FromStr + Into<IpNet>>(text: &str) -> Result<IpNet, ApiError> {
    let parsed: Result<T, _> = text.parse();
    parsed.map(|block| block.into().trunc()).map_err(|_| {
        let shown = shown(text);
        ApiError::new(Code::InvalidParameterValue, format!("CIDR block {shown} is malformed"))
    })
}

fn malformed(message: &str) -> ApiError {
    ApiError::new(Code::InvalidPermissionMalformed, message)
}
