//! Network interfaces, as they are described.

use super::super::super::testing::TestWorld;
use super::super::super::vpcs::tests::{add_interface, filter, list, make_subnet, make_vpc, text};
use super::attach_on_record;
use serde_json::json;
use std::net::Ipv4Addr;

#[tokio::test]
async fn an_interface_is_shown_with_its_surroundings_and_found_by_them() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    let attached = add_interface(&world, &subnet, Ipv4Addr::new(10, 0, 0, 5)).await;
    let free = add_interface(&world, &subnet, Ipv4Addr::new(10, 0, 0, 6)).await;
    let instance = attach_on_record(&world, attached.id).await;
    let tag = json!({"Resources": [attached.id.to_string()], "Tags": [{"Key": "of", "Value": "me"}]});
    world.call("CreateTags", tag).await.unwrap();

    let request = json!({"NetworkInterfaceIds": [attached.id.to_string()], "IncludeManagedResources": true});
    let described = world.call("DescribeNetworkInterfaces", request).await.unwrap();
    let shown = &described["NetworkInterfaces"][0];
    let name = "ip-10-0-0-5.local-1.compute.internal";
    for (member, value) in [
        ("VpcId", json!(vpc)),
        ("SubnetId", json!(subnet)),
        ("PrivateIpAddress", json!("10.0.0.5")),
        ("PrivateDnsName", json!(name)),
        ("MacAddress", json!(attached.mac.to_string())),
        ("Status", json!("in-use")),
        ("SourceDestCheck", json!(true)),
        ("TagSet", json!([{"Key": "of", "Value": "me"}])),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    assert_eq!(text(&shown["Groups"][0], "GroupName"), "default");
    assert_eq!(text(&shown["Attachment"], "InstanceId"), instance);
    let addresses = json!([{"Primary": true, "PrivateIpAddress": "10.0.0.5", "PrivateDnsName": name}]);
    assert_eq!(shown["PrivateIpAddresses"], addresses);

    for (name, value, count) in [
        ("attachment.instance-id", instance.as_str(), 1),
        ("attachment.device-index", "0", 1),
        ("status", "available", 1),
        ("addresses.private-ip-address", "10.0.0.6", 1),
        ("mac-address", &free.mac.to_string(), 1),
        ("group-id", "sg-*", 2),
        ("group-name", "default", 2),
        ("subnet-id", &subnet, 2),
        ("vpc-id", &vpc, 2),
        ("association.public-ip", "*", 0),
        ("tag:of", "me", 1),
    ] {
        let found = world
            .call("DescribeNetworkInterfaces", filter(name, value))
            .await
            .unwrap();
        assert_eq!(list(&found, "NetworkInterfaces").len(), count, "{name}={value}");
    }
}

#[tokio::test]
async fn an_interface_has_no_name_where_none_is_resolved() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    add_interface(&world, &subnet, Ipv4Addr::new(10, 0, 0, 5)).await;
    let off = json!({"VpcId": vpc, "EnableDnsSupport": {"Value": false}});
    world.call("ModifyVpcAttribute", off).await.unwrap();
    let described = world.call("DescribeNetworkInterfaces", json!({})).await.unwrap();
    assert!(described["NetworkInterfaces"][0].get("PrivateDnsName").is_none());
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_told_by_ec2s_codes() {
    let world = TestWorld::new().await;
    for (id, code) in [
        ("eni-00000000000000001", "InvalidNetworkInterfaceID.NotFound"),
        ("eni-1", "InvalidNetworkInterfaceId.Malformed"),
    ] {
        let refused = world
            .refused("DescribeNetworkInterfaces", json!({"NetworkInterfaceIds": [id]}))
            .await;
        assert_eq!(refused, code);
    }
    let none = world
        .call("DescribeNetworkInterfaces", filter("status", "in-use"))
        .await
        .unwrap();
    assert_eq!(none, json!({"NetworkInterfaces": []}));
}
