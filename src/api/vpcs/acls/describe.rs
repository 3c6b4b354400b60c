//! DescribeNetworkAcls, and a network ACL as EC2 writes it.

use super::super::super::tagging::WireTag;
use super::super::super::{ApiError, Call, Code, paging};
use super::listing::{Asked, Kind, Shown, list};
use crate::config::Place;
use crate::model::{Direction, LAST_ENTRY, NetworkAcl, NetworkAclEntry, NetworkAclId, ResourceId, Traffic};
use crate::store::{self, StoreError};
use ipnet::{IpNet, Ipv4Net};
use rusqlite::Connection;
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribedAcls {
    network_acls: Vec<WireAcl>,
    next_token: Option<String>,
}

const ACLS: Kind = Kind {
    what: "networkAcl",
    malformed: Code::InvalidNetworkAclIdMalformed,
    not_found: Code::InvalidNetworkAclIdNotFound,
    filters: &[
        "association.association-id",
        "association.network-acl-id",
        "association.subnet-id",
        "default",
        "entry.cidr",
        "entry.egress",
        "entry.icmp.code",
        "entry.icmp.type",
        "entry.ipv6-cidr",
        "entry.port-range.from",
        "entry.port-range.to",
        "entry.protocol",
        "entry.rule-action",
        "entry.rule-number",
        "network-acl-id",
        "owner-id",
        "vpc-id",
    ],
    max_results: paging::MAX_RESULTS,
};

pub(super) async fn describe(call: Call, asked: Asked) -> Result<DescribedAcls, ApiError> {
    let place = call.world.config.place.clone();
    let read = move |store: &Connection| {
        let all = store::network_acls::list(store)?;
        all.iter().map(|acl| WireAcl::read(store, &place, acl)).collect()
    };
    let (network_acls, next_token) = list::<NetworkAclId, _, _>(&call, asked, &ACLS, read).await?;
    Ok(DescribedAcls {
        network_acls,
        next_token,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAcl {
    network_acl_id: String,
    vpc_id: String,
    owner_id: String,
    is_default: bool,
    associations: Vec<WireAssociation>,
    entries: Vec<WireEntry>,
    tags: Vec<WireTag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireAssociation {
    network_acl_association_id: String,
    network_acl_id: String,
    subnet_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireEntry {
    egress: bool,
    rule_number: u16,
    rule_action: &'static str,
    protocol: String,
    cidr_block: Option<String>,
    ipv6_cidr_block: Option<String>,
    icmp_type_code: Option<WireMessages>,
    port_range: Option<WirePorts>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireMessages {
    code: i64,
    r#type: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WirePorts {
    from: i64,
    to: i64,
}

impl WireAcl {
    pub(super) fn read(store: &Connection, place: &Place, acl: &NetworkAcl) -> Result<Self, StoreError> {
        let tags = store::tags::of(store, ResourceId::NetworkAcl(acl.id))?;
        let associations = acl.associations.iter().map(|one| WireAssociation {
            network_acl_association_id: one.id.to_string(),
            network_acl_id: acl.id.to_string(),
            subnet_id: one.subnet.to_string(),
        });
        let of = |direction| {
            let own = acl.entries.iter().filter(move |entry| entry.direction == direction);
            own.map(WireEntry::from).chain([WireEntry::from(&last(direction))])
        };
        Ok(Self {
            network_acl_id: acl.id.to_string(),
            vpc_id: acl.vpc.to_string(),
            owner_id: place.account().to_owned(),
            is_default: acl.is_default,
            associations: associations.collect(),
            entries: of(Direction::Egress).chain(of(Direction::Ingress)).collect(),
            tags: tags.into_iter().map(Into::into).collect(),
        })
    }
}

/// What every ACL ends with.
fn last(direction: Direction) -> NetworkAclEntry {
    NetworkAclEntry {
        direction,
        number: LAST_ENTRY,
        traffic: Traffic::All,
        block: Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(),
        allow: false,
    }
}

impl From<&NetworkAclEntry> for WireEntry {
    fn from(entry: &NetworkAclEntry) -> Self {
        let text = entry.block.to_string();
        let (cidr_block, ipv6_cidr_block) = match entry.block {
            IpNet::V4(_) => (Some(text), None),
            IpNet::V6(_) => (None, Some(text)),
        };
        let is_icmp = matches!(entry.traffic, Traffic::Icmp(_) | Traffic::Icmpv6(_));
        let (messages, ports) = match entry.traffic.numbers() {
            Some((r#type, code)) if is_icmp => (Some(WireMessages { code, r#type }), None),
            Some((from, to)) => (None, Some(WirePorts { from, to })),
            None => (None, None),
        };
        Self {
            egress: entry.direction == Direction::Egress,
            rule_number: entry.number,
            rule_action: if entry.allow { "allow" } else { "deny" },
            protocol: entry.traffic.protocol().to_string(),
            cidr_block,
            ipv6_cidr_block,
            icmp_type_code: messages,
            port_range: ports,
        }
    }
}

impl Shown for WireAcl {
    fn id(&self) -> &str {
        &self.network_acl_id
    }

    fn tags(&self) -> &[WireTag] {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        if let Some(name) = filter.strip_prefix("association.") {
            return self.associations.iter().map(|one| one.value(name)).collect();
        }
        if let Some(name) = filter.strip_prefix("entry.") {
            return self.entries.iter().flat_map(|entry| entry.values(name)).collect();
        }
        vec![match filter {
            "default" => self.is_default.to_string(),
            "network-acl-id" => self.network_acl_id.clone(),
            "owner-id" => self.owner_id.clone(),
            _ => self.vpc_id.clone(),
        }]
    }
}

impl WireAssociation {
    fn value(&self, name: &str) -> String {
        match name {
            "association-id" => self.network_acl_association_id.clone(),
            "network-acl-id" => self.network_acl_id.clone(),
            _ => self.subnet_id.clone(),
        }
    }
}

impl WireEntry {
    fn values(&self, name: &str) -> Vec<String> {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).into_iter().collect();
        let (messages, ports) = (self.icmp_type_code.as_ref(), self.port_range.as_ref());
        match name {
            "cidr" => self.cidr_block.iter().cloned().collect(),
            "egress" => vec![self.egress.to_string()],
            "icmp.code" => number(messages.map(|messages| messages.code)),
            "icmp.type" => number(messages.map(|messages| messages.r#type)),
            "ipv6-cidr" => self.ipv6_cidr_block.iter().cloned().collect(),
            "port-range.from" => number(ports.map(|ports| ports.from)),
            "port-range.to" => number(ports.map(|ports| ports.to)),
            // By its number, and by its name where EC2 has one.
            "protocol" => {
                let name = match self.protocol.as_str() {
                    "1" => Some("icmp"),
                    "6" => Some("tcp"),
                    "17" => Some("udp"),
                    _ => None,
                };
                name.map(str::to_owned)
                    .into_iter()
                    .chain([self.protocol.clone()])
                    .collect()
            }
            "rule-action" => vec![self.rule_action.into()],
            _ => vec![self.rule_number.to_string()],
        }
    }
}
