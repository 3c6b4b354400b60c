//! IPv6 addresses, which no interface gets.

use super::{create, json, text, world};
use serde_json::Value;

#[tokio::test]
async fn ipv6_addresses_are_refused_once_all_else_is_right() {
    let (world, _, subnet) = world().await;
    let interface = text(&create(&world, json!({"SubnetId": subnet})).await, "NetworkInterfaceId");
    let of = |more: Value| {
        let mut request = json!({"NetworkInterfaceId": interface});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let message = |error: crate::api::ApiError| (error.code.as_str(), error.message);
    let assign = world
        .call("AssignIpv6Addresses", of(json!({"Ipv6AddressCount": 1})))
        .await;
    let (code, why) = message(assign.unwrap_err());
    assert_eq!(code, "InvalidParameterValue");
    assert!(why.contains(&subnet) && why.contains("no IPv6 CIDR block"), "{why}");
    let unassign = world
        .call("UnassignIpv6Addresses", of(json!({"Ipv6Addresses": ["2001:db8::1"]})))
        .await;
    let (code, why) = message(unassign.unwrap_err());
    assert_eq!(code, "InvalidParameterValue");
    assert!(why.contains("no IPv6 addresses"), "{why}");
    let elsewhere = json!({"NetworkInterfaceId": "eni-0123456789abcdef0", "Ipv6Addresses": ["2001:db8::1"]});
    for (operation, request, code) in [
        ("AssignIpv6Addresses", of(json!({})), "MissingParameter"),
        ("UnassignIpv6Addresses", of(json!({})), "MissingParameter"),
        (
            "AssignIpv6Addresses",
            of(json!({"Ipv6Addresses": ["2001:db8::1"], "Ipv6AddressCount": 1})),
            "InvalidParameterCombination",
        ),
        (
            "AssignIpv6Addresses",
            elsewhere.clone(),
            "InvalidNetworkInterfaceID.NotFound",
        ),
        ("UnassignIpv6Addresses", elsewhere, "InvalidNetworkInterfaceID.NotFound"),
    ] {
        assert_eq!(world.refused(operation, request).await, code, "{operation}");
    }
    let wrong = world
        .call("AssignIpv6Addresses", of(json!({"Ipv6Prefixes": ["2001:db8::/64"]})))
        .await;
    assert!(wrong.unwrap_err().message.contains("2001:db8::/64"));
}
