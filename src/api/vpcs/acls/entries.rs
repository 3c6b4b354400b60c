//! CreateNetworkAclEntry, ReplaceNetworkAclEntry, DeleteNetworkAclEntry.

use super::super::super::{ApiError, Call, Code};
use super::{Changed, block, change, found};
use crate::api::shown::shown;
use crate::model::{Direction, LAST_ENTRY, NetworkAcl, NetworkAclEntry, NetworkAclId, Traffic};
use crate::store;
use ipnet::IpNet;
use serde::Deserialize;

/// The most entries of an ACL, each way, as EC2 allows at most.
const MAX_ENTRIES: usize = 40;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct EntryRequest {
    network_acl_id: String,
    egress: bool,
    rule_number: i64,
    rule_action: String,
    protocol: String,
    cidr_block: Option<String>,
    ipv6_cidr_block: Option<String>,
    icmp_type_code: Option<Messages>,
    port_range: Option<Ports>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Messages {
    code: Option<i64>,
    r#type: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ports {
    from: Option<i64>,
    to: Option<i64>,
}

/// An entry that is right in itself, and the ACL that is to have it.
struct Wanted {
    acl: NetworkAclId,
    entry: NetworkAclEntry,
}

impl TryFrom<EntryRequest> for Wanted {
    type Error = ApiError;

    fn try_from(request: EntryRequest) -> Result<Self, ApiError> {
        let traffic = traffic(&request)?;
        let block = network(request.cidr_block.as_deref(), request.ipv6_cidr_block.as_deref())?;
        if matches!(traffic, Traffic::Icmpv6(_)) && block.addr().is_ipv4() {
            return Err(invalid("The protocol 58 (ICMPv6) needs an Ipv6CidrBlock".into()));
        }
        Ok(Self {
            acl: found::acl_id(&request.network_acl_id)?,
            entry: NetworkAclEntry {
                direction: direction(request.egress),
                number: rule_number(request.rule_number)?,
                traffic,
                block,
                // EC2's model lets `allow` and `deny` through.
                allow: request.rule_action == "allow",
            },
        })
    }
}

const fn direction(egress: bool) -> Direction {
    match egress {
        true => Direction::Egress,
        false => Direction::Ingress,
    }
}

fn rule_number(number: i64) -> Result<u16, ApiError> {
    let parsed = u16::try_from(number)
        .ok()
        .filter(|parsed| (1..LAST_ENTRY).contains(parsed));
    parsed.ok_or_else(|| {
        let last = LAST_ENTRY - 1;
        invalid(format!(
            "Value ({number}) for parameter ruleNumber is invalid. Expecting 1 to {last}"
        ))
    })
}

/// What of the request's loose numbers counts depends on the protocol.
fn traffic(request: &EntryRequest) -> Result<Traffic, ApiError> {
    let protocol = match request.protocol.as_str() {
        "all" => -1,
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" => 58,
        number => number.parse().map_err(|_| {
            let shown = shown(number);
            invalid(format!(
                "Invalid protocol {shown}: -1 for all, tcp, udp, icmp, icmpv6, or a number"
            ))
        })?,
    };
    let missing = |member: &str| {
        let message = format!("The request must contain the parameter {member} for the protocol {protocol}");
        ApiError::new(Code::MissingParameter, message)
    };
    let (from, to) = match protocol {
        1 | 58 => {
            let messages = request.icmp_type_code.as_ref().ok_or_else(|| missing("IcmpTypeCode"))?;
            (messages.r#type, messages.code)
        }
        6 | 17 => {
            let ports = request.port_range.as_ref().ok_or_else(|| missing("PortRange"))?;
            (ports.from, ports.to)
        }
        _ => (None, None),
    };
    Traffic::from_numbers(protocol, from, to).map_err(|error| invalid(error.to_string()))
}

/// The one block of a request, without host bits.
fn network(v4: Option<&str>, v6: Option<&str>) -> Result<IpNet, ApiError> {
    let (member, text) = match (v4, v6) {
        (Some(text), None) => ("CidrBlock", text),
        (None, Some(text)) => ("Ipv6CidrBlock", text),
        (None, None) => {
            let message = "The request must contain the parameter CidrBlock or Ipv6CidrBlock";
            return Err(ApiError::new(Code::MissingParameter, message));
        }
        (Some(_), Some(_)) => {
            let message = "An entry has a CidrBlock or an Ipv6CidrBlock, not both";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
    };
    let network = match member {
        "CidrBlock" => IpNet::V4(block::network(member, text)?),
        _ => IpNet::V6(block::network(member, text)?),
    };
    Ok(network.trunc())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

/// Whether the ACL has an entry of that place.
fn has(acl: &NetworkAcl, direction: Direction, number: u16) -> bool {
    let place = (direction, number);
    acl.entries.iter().any(|entry| (entry.direction, entry.number) == place)
}

fn missing(number: u16) -> ApiError {
    let message = format!("The network acl entry identified by {number} does not exist");
    ApiError::new(Code::InvalidNetworkAclEntryNotFound, message)
}

pub(super) async fn create(call: Call, request: EntryRequest) -> Result<(), ApiError> {
    let Wanted { acl, entry } = request.try_into()?;
    let done = change(&call, move |store| {
        let acl = found::acl(store, acl)?;
        if has(&acl, entry.direction, entry.number) {
            let message = format!("The network acl entry identified by {} already exists.", entry.number);
            return Err(ApiError::new(Code::NetworkAclEntryAlreadyExists, message));
        }
        let others = acl.entries.iter().filter(|other| other.direction == entry.direction);
        if others.count() >= MAX_ENTRIES {
            let way = entry.direction.name();
            let message = format!(
                "The networkAcl '{}' has {MAX_ENTRIES} {way} entries, the most it can have",
                acl.id
            );
            return Err(ApiError::new(Code::NetworkAclEntryLimitExceeded, message));
        }
        store::network_acls::put_entry(store, acl.id, &entry)?;
        Ok(Changed::vpc(acl.vpc, ()))
    });
    done.await
}

pub(super) async fn replace(call: Call, request: EntryRequest) -> Result<(), ApiError> {
    let Wanted { acl, entry } = request.try_into()?;
    let done = change(&call, move |store| {
        let acl = found::acl(store, acl)?;
        if !has(&acl, entry.direction, entry.number) {
            return Err(missing(entry.number));
        }
        store::network_acls::put_entry(store, acl.id, &entry)?;
        Ok(Changed::vpc(acl.vpc, ()))
    });
    done.await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteEntry {
    network_acl_id: String,
    egress: bool,
    rule_number: i64,
}

pub(super) async fn delete(call: Call, request: DeleteEntry) -> Result<(), ApiError> {
    let id = found::acl_id(&request.network_acl_id)?;
    let (direction, number) = (direction(request.egress), rule_number(request.rule_number)?);
    let done = change(&call, move |store| {
        let acl = found::acl(store, id)?;
        if !has(&acl, direction, number) {
            return Err(missing(number));
        }
        store::network_acls::remove_entry(store, id, direction, number)?;
        Ok(Changed::vpc(acl.vpc, ()))
    });
    done.await
}
