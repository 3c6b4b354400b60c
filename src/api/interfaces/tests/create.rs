//! Making and deleting interfaces, and their addresses.

use super::super::super::vpcs::tests::{list, make_subnet, make_vpc, text};
use super::{attach_on_record, create, described, world};
use serde_json::{Value, json};

fn addresses(interface: &Value) -> Vec<String> {
    let addresses = list(interface, "PrivateIpAddresses").iter();
    addresses.map(|one| text(one, "PrivateIpAddress")).collect()
}

#[tokio::test]
async fn an_interface_is_made_as_it_was_asked_for() {
    let (world, vpc, subnet) = world().await;
    let request = json!({
        "SubnetId": subnet, "Description": "spare", "PrivateIpAddress": "10.0.0.9",
        "PrivateIpAddresses": [
            {"PrivateIpAddress": "10.0.0.9", "Primary": true},
            {"PrivateIpAddress": "10.0.0.20"},
            {"PrivateIpAddress": "10.0.0.10", "Primary": false},
        ],
        "TagSpecifications": [{"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}],
    });
    let made = create(&world, request).await;
    assert_eq!(described(&world, &text(&made, "NetworkInterfaceId")).await, made);
    for (member, value) in [
        ("VpcId", json!(vpc)),
        ("Description", json!("spare")),
        ("Status", json!("available")),
        ("SourceDestCheck", json!(true)),
        ("TagSet", json!([{"Key": "a", "Value": "b"}])),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    assert_eq!(addresses(&made), ["10.0.0.9", "10.0.0.20", "10.0.0.10"]);
    assert_eq!(text(&made["Groups"][0], "GroupName"), "default");
    let other = json!({"SubnetId": subnet, "SecondaryPrivateIpAddressCount": 2});
    let other = create(&world, other).await;
    assert_eq!(addresses(&other), ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
}

#[tokio::test]
async fn impossible_interfaces_are_refused_and_nothing_of_them_stays() {
    let (world, _, subnet) = world().await;
    create(&world, json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.9"})).await;
    let elsewhere = make_vpc(&world, "10.1.0.0/16").await;
    let group = json!({"GroupName": "g", "Description": "g", "VpcId": elsewhere});
    let group = text(&world.call("CreateSecurityGroup", group).await.unwrap(), "GroupId");
    for (request, code) in [
        (
            json!({"SubnetId": "subnet-00000000000000001"}),
            "InvalidSubnetID.NotFound",
        ),
        (json!({"SubnetId": subnet, "Groups": [group]}), "InvalidParameter"),
        (
            json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.9"}),
            "InvalidIPAddress.InUse",
        ),
        (
            json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.1"}),
            "InvalidParameterValue",
        ),
        (
            json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.1.9"}),
            "InvalidParameterValue",
        ),
        (
            json!({"SubnetId": subnet, "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.9"}]}),
            "InvalidIPAddress.InUse",
        ),
        (
            json!({"SubnetId": subnet, "SecondaryPrivateIpAddressCount": 50}),
            "PrivateIpAddressLimitExceeded",
        ),
        (
            json!({"SubnetId": subnet, "SecondaryPrivateIpAddressCount": -1}),
            "InvalidParameterValue",
        ),
        (
            json!({"SubnetId": subnet, "InterfaceType": "efa"}),
            "UnsupportedOperation",
        ),
        (
            json!({"SubnetId": subnet, "PrivateIpAddress": "10.0.0.8", "PrivateIpAddresses": [
                {"PrivateIpAddress": "10.0.0.7", "Primary": true}
            ]}),
            "InvalidParameterCombination",
        ),
        (json!({"SubnetId": subnet, "DryRun": true}), "DryRunOperation"),
    ] {
        assert_eq!(
            world.refused("CreateNetworkInterface", request.clone()).await,
            code,
            "{request}"
        );
    }
    let all = world.call("DescribeNetworkInterfaces", json!({})).await.unwrap();
    assert_eq!(list(&all, "NetworkInterfaces").len(), 1);
}

#[tokio::test]
async fn a_subnet_gives_no_more_addresses_than_it_has() {
    let (world, vpc, _) = world().await;
    let small = make_subnet(&world, &vpc, "10.0.1.0/28").await;
    create(&world, json!({"SubnetId": small, "SecondaryPrivateIpAddressCount": 9})).await;
    let two = json!({"SubnetId": small, "SecondaryPrivateIpAddressCount": 1});
    assert_eq!(
        world.refused("CreateNetworkInterface", two).await,
        "InsufficientFreeAddressesInSubnet"
    );
    create(&world, json!({"SubnetId": small})).await;
}

#[tokio::test]
async fn a_request_that_comes_again_makes_no_other_interface() {
    let (world, _, subnet) = world().await;
    let request = json!({"SubnetId": subnet, "ClientToken": "once"});
    let first = create(&world, request.clone()).await;
    assert_eq!(create(&world, request).await, first);
    let other = json!({"SubnetId": subnet, "Description": "other", "ClientToken": "once"});
    assert_eq!(
        world.refused("CreateNetworkInterface", other).await,
        "IdempotentParameterMismatch"
    );
}

#[tokio::test]
async fn an_interface_is_deleted_when_nothing_has_it_and_keeps_its_subnet_until_then() {
    let (world, _, subnet) = world().await;
    let made = create(&world, json!({"SubnetId": subnet, "SecondaryPrivateIpAddressCount": 1})).await;
    let id = text(&made, "NetworkInterfaceId");
    let deletes_subnet = json!({"SubnetId": subnet});
    assert_eq!(
        world.refused("DeleteSubnet", deletes_subnet.clone()).await,
        "DependencyViolation"
    );
    let delete = json!({"NetworkInterfaceId": id});
    world.call("DeleteNetworkInterface", delete.clone()).await.unwrap();
    assert_eq!(
        world.refused("DeleteNetworkInterface", delete).await,
        "InvalidNetworkInterfaceID.NotFound"
    );
    let attached = create(&world, json!({"SubnetId": subnet})).await;
    let attached = text(&attached, "NetworkInterfaceId");
    attach_on_record(&world, attached.parse().unwrap()).await;
    let delete = json!({"NetworkInterfaceId": attached});
    assert_eq!(
        world.refused("DeleteNetworkInterface", delete).await,
        "InvalidNetworkInterface.InUse"
    );
    assert_eq!(
        world.refused("DeleteSubnet", deletes_subnet).await,
        "DependencyViolation"
    );
}

#[tokio::test]
async fn secondary_addresses_come_and_go_and_are_taken_from_others_only_if_that_is_allowed() {
    let (world, _, subnet) = world().await;
    let [one, other] =
        ["10.0.0.9", "10.0.0.10"].map(|address| json!({"SubnetId": subnet, "PrivateIpAddress": address}));
    let one = text(&create(&world, one).await, "NetworkInterfaceId");
    let other = text(&create(&world, other).await, "NetworkInterfaceId");
    let assign = |id: &str, addresses: &[&str], reassign| json!({"NetworkInterfaceId": id, "PrivateIpAddresses": addresses, "AllowReassignment": reassign});
    let answer = world
        .call(
            "AssignPrivateIpAddresses",
            assign(&one, &["10.0.0.30", "10.0.0.31"], false),
        )
        .await
        .unwrap();
    assert_eq!(list(&answer, "AssignedPrivateIpAddresses").len(), 2);
    for (addresses, reassign) in [(["10.0.0.30"], false), (["10.0.0.9"], true)] {
        let refused = world
            .refused("AssignPrivateIpAddresses", assign(&other, &addresses, reassign))
            .await;
        assert_eq!(refused, "InvalidIPAddress.InUse", "{addresses:?}");
    }
    world
        .call("AssignPrivateIpAddresses", assign(&other, &["10.0.0.30"], true))
        .await
        .unwrap();
    assert_eq!(addresses(&described(&world, &one).await), ["10.0.0.9", "10.0.0.31"]);
    assert_eq!(addresses(&described(&world, &other).await), ["10.0.0.10", "10.0.0.30"]);

    let unassign = |addresses: &[&str]| json!({"NetworkInterfaceId": one, "PrivateIpAddresses": addresses});
    for wrong in [["10.0.0.9"], ["10.0.0.30"]] {
        let refused = world.refused("UnassignPrivateIpAddresses", unassign(&wrong)).await;
        assert_eq!(refused, "InvalidParameterValue", "{wrong:?}");
    }
    world
        .call("UnassignPrivateIpAddresses", unassign(&["10.0.0.31"]))
        .await
        .unwrap();
    assert_eq!(addresses(&described(&world, &one).await), ["10.0.0.9"]);
    for wrong in [
        json!({"NetworkInterfaceId": one}),
        json!({"NetworkInterfaceId": one, "SecondaryPrivateIpAddressCount": 1, "PrivateIpAddresses": ["10.0.0.40"]}),
    ] {
        let refused = world.refused("AssignPrivateIpAddresses", wrong.clone()).await;
        assert_eq!(refused, "InvalidParameterCombination", "{wrong}");
    }
}
