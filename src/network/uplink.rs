//! The way out of a VPC's namespace: a pair of links, and the host's own rules about them.
//!
//! Both ends have link-local addresses of a block that the host is told (`network.transit`), so no network of anybody's
//! is shadowed. What leaves the VPC has left its addresses behind (the namespace's own rules masquerade it), so the host
//! never sees the VPC's, and two VPCs may have the same. The host's table is one a VPC, and goes with it.

use crate::model::VpcId;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The inner end's name, in every namespace.
pub const INNER_LINK: &str = "uplink";
/// Both ends' addresses are in one block of this length.
pub const PAIR_LENGTH: u8 = 31;

/// The way out of one VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// The host's end.
    pub link: String,
    /// The host's table.
    pub table: String,
    /// The address of the host's end.
    pub outer: Ipv4Addr,
    /// The address of the inner end.
    pub inner: Ipv4Addr,
}

impl Uplink {
    /// That of a VPC, whose `number` says which addresses of `transit` it has; none if there are no more.
    #[must_use]
    pub fn of(vpc: VpcId, number: u32, transit: Ipv4Net) -> Option<Self> {
        let first = u32::from(transit.network()).checked_add(number.checked_mul(2)?)?;
        let (outer, inner) = (Ipv4Addr::from(first), Ipv4Addr::from(first.checked_add(1)?));
        let digits = format!("{:017x}", vpc.bits());
        // 15 characters are all that a link's name may have.
        let tail = digits.get(digits.len() - 11..)?;
        let fits = transit.contains(&outer) && transit.contains(&inner);
        fits.then(|| Self {
            link: format!("kiln{tail}"),
            table: format!("kiln-{digits}"),
            outer,
            inner,
        })
    }

    /// The host's rules, in the place of any that were: what comes out of the VPC gets the host's address, reaches
    /// nothing of the host itself but by answering it, and no link-local address of the host's network, such as a cloud's own
    /// metadata.
    #[must_use]
    pub fn rules(&self) -> Value {
        let table = json!({"family": "ip", "name": self.table});
        let chain = |name: &str, kind: &str, hook: &str, priority: i32| {
            json!({"add": {"chain": {
                "family": "ip", "table": self.table, "name": name,
                "type": kind, "hook": hook, "prio": priority, "policy": "accept",
            }}})
        };
        let rule = |chain: &str, expressions: Value| json!({"add": {"rule": {"family": "ip", "table": self.table, "chain": chain, "expr": expressions}}});
        let from_vpc = json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": self.link}});
        let link_local = json!({"prefix": {"addr": "169.254.0.0", "len": 16}});
        json!({"nftables": [
            {"add": {"table": table}},
            {"delete": {"table": table}},
            {"add": {"table": table}},
            chain("input", "filter", "input", 0),
            rule("input", json!([
                from_vpc,
                {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
                {"accept": null},
            ])),
            rule("input", json!([from_vpc, {"drop": null}])),
            chain("forward", "filter", "forward", 0),
            rule("forward", json!([
                from_vpc,
                {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": link_local}},
                {"drop": null},
            ])),
            chain("postrouting", "nat", "postrouting", 100),
            rule("postrouting", json!([
                {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": self.inner}},
                {"masquerade": null},
            ])),
        ]})
    }
}

/// What removes a table of the host's; one that is not there is added first, so that it is no error.
#[must_use]
pub fn no_table(name: &str) -> Value {
    let table = json!({"family": "ip", "name": name});
    json!({"nftables": [{"add": {"table": table}}, {"delete": {"table": table}}]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_vpcs_share_an_address_and_names_fit_the_kernel(bits: u128, a in 0..2000_u32, b in 0..2000_u32) {
            let transit: Ipv4Net = "169.254.128.0/21".parse().unwrap();
            let (id, other) = (VpcId::from_random(bits), VpcId::from_random(!bits));
            let (first, second) = (Uplink::of(id, a, transit), Uplink::of(other, b, transit));
            prop_assert_eq!(first.is_some(), a < 1024);
            if let Some((first, second)) = first.zip(second) {
                prop_assert!(first.link.len() < 16);
                prop_assert_ne!(&first.link, &second.link);
                let shared = [first.outer, first.inner].iter().any(|address| [second.outer, second.inner].contains(address));
                prop_assert_eq!(shared, a == b);
            }
        }
    }
}
