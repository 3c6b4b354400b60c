//! Subnets.

use super::super::super::testing::TestWorld;
use super::{add_interface, filter, list, make_subnet, make_table, make_vpc, only, tagged, text};
use crate::model::Block;
use crate::store;
use proptest::prelude::*;
use serde_json::json;
use std::net::Ipv4Addr;

#[tokio::test]
async fn a_subnet_has_a_block_of_its_vpcs_a_zone_and_the_default_acl() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let request = json!({
        "VpcId": vpc, "CidrBlock": "10.0.3.77/24", "AvailabilityZone": "local-1a", "TagSpecifications": tagged("subnet"),
    });
    let made = world.call("CreateSubnet", request).await.unwrap();
    let subnet = &made["Subnet"];
    for (member, value) in [
        ("CidrBlock", json!("10.0.3.0/24")),
        ("AvailabilityZone", json!("local-1a")),
        ("AvailabilityZoneId", json!("local-1-az1")),
        ("AvailableIpAddressCount", json!(251)),
        ("MapPublicIpOnLaunch", json!(false)),
        ("DefaultForAz", json!(false)),
        ("State", json!("available")),
        ("Tags", json!([{"Key": "of", "Value": "subnet"}])),
    ] {
        assert_eq!(subnet[member], value, "{member}");
    }
    let id = text(subnet, "SubnetId");
    assert_eq!(
        text(subnet, "SubnetArn"),
        format!("arn:aws:ec2:local-1:000000000000:subnet/{id}")
    );
    let acl = only(&world, "DescribeNetworkAcls", &vpc, ("association.subnet-id", &id)).await;
    assert_eq!(acl["IsDefault"], true);
    let world = world.restart().await;
    let described = world.call("DescribeSubnets", json!({"SubnetIds": [id]})).await.unwrap();
    assert_eq!(described["Subnets"][0], *subnet);
}

#[tokio::test]
async fn a_subnet_with_an_interface_in_it_stays_and_one_without_goes_with_its_associations() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    let table = make_table(&world, &vpc).await;
    let request = json!({"RouteTableId": table, "SubnetId": subnet});
    world.call("AssociateRouteTable", request).await.unwrap();
    let tag = json!({"Resources": [subnet], "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", tag).await.unwrap();
    let interface = add_interface(&world, &subnet, Ipv4Addr::new(10, 0, 0, 4)).await;
    let described = only(&world, "DescribeSubnets", &vpc, ("available-ip-address-count", "250")).await;
    assert_eq!(text(&described, "SubnetId"), subnet);
    let error = world
        .call("DeleteSubnet", json!({"SubnetId": subnet}))
        .await
        .unwrap_err();
    assert_eq!(error.code.as_str(), "DependencyViolation");
    assert!(error.message.contains(&interface.id.to_string()), "{error}");

    let remove = world
        .world
        .store
        .write(move |store| store::network_interfaces::remove(store, interface.id));
    remove.await.unwrap();
    world.call("DeleteSubnet", json!({"SubnetId": subnet})).await.unwrap();
    assert_eq!(
        world.refused("DeleteSubnet", json!({"SubnetId": subnet})).await,
        "InvalidSubnetID.NotFound"
    );
    for operation in ["DescribeRouteTables", "DescribeNetworkAcls"] {
        let answer = world
            .call(operation, filter("association.subnet-id", &subnet))
            .await
            .unwrap();
        assert!(
            answer.as_object().unwrap().values().all(|list| *list == json!([])),
            "{answer}"
        );
    }
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn what_a_subnet_has_is_modified_one_at_a_time_and_what_it_can_not_have_is_refused() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    let on = json!({"Value": true});
    world
        .call(
            "ModifySubnetAttribute",
            json!({"SubnetId": subnet, "MapPublicIpOnLaunch": on}),
        )
        .await
        .unwrap();
    let described = only(&world, "DescribeSubnets", &vpc, ("map-public-ip-on-launch", "true")).await;
    assert_eq!(text(&described, "SubnetId"), subnet);
    for harmless in [
        json!({"SubnetId": subnet, "AssignIpv6AddressOnCreation": {"Value": false}}),
        json!({"SubnetId": subnet, "EnableDns64": {"Value": false}}),
        json!({"SubnetId": subnet, "EnableResourceNameDnsAAAARecordOnLaunch": {"Value": false}}),
        json!({"SubnetId": subnet, "PrivateDnsHostnameTypeOnLaunch": "ip-name"}),
    ] {
        world.call("ModifySubnetAttribute", harmless).await.unwrap();
    }
    for (request, code) in [
        (json!({"SubnetId": subnet}), "MissingParameter"),
        (
            json!({"SubnetId": subnet, "MapPublicIpOnLaunch": on, "EnableDns64": {"Value": false}}),
            "InvalidParameterCombination",
        ),
        (
            json!({"SubnetId": subnet, "AssignIpv6AddressOnCreation": on}),
            "UnsupportedOperation",
        ),
        (json!({"SubnetId": subnet, "EnableDns64": on}), "UnsupportedOperation"),
        (
            json!({"SubnetId": subnet, "EnableResourceNameDnsARecordOnLaunch": on}),
            "UnsupportedOperation",
        ),
        (
            json!({"SubnetId": subnet, "PrivateDnsHostnameTypeOnLaunch": "resource-name"}),
            "UnsupportedOperation",
        ),
        (
            json!({"SubnetId": subnet, "CustomerOwnedIpv4Pool": "ipv4pool-coip-1"}),
            "UnsupportedOperation",
        ),
        (
            json!({"SubnetId": "subnet-00000000000000001", "MapPublicIpOnLaunch": on}),
            "InvalidSubnetID.NotFound",
        ),
    ] {
        assert_eq!(
            world.refused("ModifySubnetAttribute", request.clone()).await,
            code,
            "{request}"
        );
    }
}

#[tokio::test]
async fn the_default_subnet_is_made_again_in_the_first_room_there_is() {
    let world = TestWorld::new().await;
    let zone = json!({"AvailabilityZoneId": "local-1-az1"});
    assert_eq!(
        world.refused("CreateDefaultSubnet", zone.clone()).await,
        "DefaultSubnetAlreadyExistsInAvailabilityZone"
    );
    let before = world.call("DescribeSubnets", json!({})).await.unwrap();
    let subnet = &before["Subnets"][0];
    let vpc = text(subnet, "VpcId");
    world
        .call("DeleteSubnet", json!({"SubnetId": subnet["SubnetId"]}))
        .await
        .unwrap();
    let room: Vec<Block> = world.world.default_vpc_block.default_subnets().collect();
    let part_of_the_first = format!("{}/28", room[0].net().addr());
    make_subnet(&world, &vpc, &part_of_the_first).await;
    let made = world.call("CreateDefaultSubnet", zone).await.unwrap();
    let made = &made["Subnet"];
    assert_eq!(
        (&made["CidrBlock"], &made["DefaultForAz"]),
        (&json!(room[1].to_string()), &json!(true))
    );
    assert_eq!(made["MapPublicIpOnLaunch"], true);
    for (request, code) in [
        (json!({}), "MissingParameter"),
        (json!({"AvailabilityZone": "eu-west-1a"}), "InvalidParameterValue"),
        (
            json!({"AvailabilityZone": "local-1a", "Ipv6Native": true}),
            "UnsupportedOperation",
        ),
    ] {
        assert_eq!(
            world.refused("CreateDefaultSubnet", request.clone()).await,
            code,
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_subnet_out_of_place_is_refused_in_ec2s_codes() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/20").await;
    make_subnet(&world, &vpc, "10.0.8.0/24").await;
    let of = |block: &str| json!({"VpcId": vpc, "CidrBlock": block});
    let mut elsewhere = of("10.0.0.0/24");
    elsewhere["AvailabilityZone"] = "local-1b".into();
    let mut ipv6 = of("10.0.0.0/24");
    ipv6["Ipv6CidrBlock"] = "fd00::/64".into();
    let mut dry = of("10.0.0.0/24");
    dry["DryRun"] = true.into();
    for (request, code) in [
        (json!({"VpcId": vpc}), "MissingParameter"),
        (of("10.0.0.0"), "InvalidParameterValue"),
        (of("10.0.0.0/29"), "InvalidSubnet.Range"),
        (of("10.0.0.0/19"), "InvalidSubnet.Range"),
        (of("10.0.16.0/24"), "InvalidSubnet.Range"),
        (of("10.0.8.128/25"), "InvalidSubnet.Conflict"),
        (of("10.0.0.0/20"), "InvalidSubnet.Conflict"),
        (elsewhere, "InvalidParameterValue"),
        (ipv6, "UnsupportedOperation"),
        (dry, "DryRunOperation"),
        (
            json!({"VpcId": "vpc-00000000000000001", "CidrBlock": "10.0.0.0/24"}),
            "InvalidVpcID.NotFound",
        ),
    ] {
        assert_eq!(world.refused("CreateSubnet", request.clone()).await, code, "{request}");
    }
    let subnets = world.call("DescribeSubnets", filter("vpc-id", &vpc)).await.unwrap();
    assert_eq!(list(&subnets, "Subnets").len(), 1);
}

/// Something that is done to the subnets of a VPC.
#[derive(Debug, Clone)]
enum Step {
    Create(Block),
    /// One of those that are there, by its place.
    Delete(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let block = (0..16_u8, any::<u8>(), 20..=28_u8).prop_map(|(third, fourth, prefix)| {
        let text = format!("10.0.{third}.{fourth}/{prefix}");
        Step::Create(text.parse().unwrap())
    });
    let step = prop_oneof![3 => block, 1 => any::<prop::sample::Index>().prop_map(Step::Delete)];
    prop::collection::vec(step, 1..40)
}

#[test]
fn whatever_is_created_and_deleted_the_subnets_of_a_vpc_share_no_address() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(TestWorld::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(20));
    let done = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let vpc = make_vpc(&world, "10.0.0.0/20").await;
            let mut model: Vec<(String, Block)> = Vec::new();
            for step in steps {
                match step {
                    Step::Create(block) => {
                        let request = json!({"VpcId": vpc, "CidrBlock": block.to_string()});
                        let answer = world.call("CreateSubnet", request).await;
                        let free = !model.iter().any(|(_, other)| other.overlaps(block));
                        assert_eq!(answer.is_ok(), free, "{block} beside {model:?}: {answer:?}");
                        if let Ok(made) = answer {
                            model.push((text(&made["Subnet"], "SubnetId"), block));
                        }
                    }
                    Step::Delete(_) if model.is_empty() => {}
                    Step::Delete(which) => {
                        let (id, _) = model.remove(which.index(model.len()));
                        world.call("DeleteSubnet", json!({"SubnetId": id})).await.unwrap();
                    }
                }
            }
            let described = world.call("DescribeSubnets", filter("vpc-id", &vpc)).await.unwrap();
            let subnets = list(&described, "Subnets").iter();
            let mut found: Vec<(String, Block)> = subnets
                .map(|subnet| (text(subnet, "SubnetId"), text(subnet, "CidrBlock").parse().unwrap()))
                .collect();
            found.sort();
            model.sort();
            assert_eq!(found, model);
        });
        Ok(())
    });
    done.unwrap();
}
