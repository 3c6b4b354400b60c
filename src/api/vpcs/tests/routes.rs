//! Route tables, routes and associations.

use super::super::super::testing::TestWorld;
use super::{filter, list, make_gateway, make_subnet, make_table, make_vpc, only, tagged, text};
use crate::model::{InternetGatewayId, Route, RouteTableId};
use crate::store::{self, StoreError};
use ipnet::Ipv4Net;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_table_is_made_once_for_a_token_and_goes_with_its_tags() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let request = json!({"VpcId": vpc, "ClientToken": "once", "TagSpecifications": tagged("route-table")});
    let made = world.call("CreateRouteTable", request.clone()).await.unwrap();
    assert_eq!(made["ClientToken"], "once");
    assert_eq!(
        made["RouteTable"]["Tags"],
        json!([{"Key": "of", "Value": "route-table"}])
    );
    let world = world.restart().await;
    assert_eq!(world.call("CreateRouteTable", request).await.unwrap(), made);
    let other = json!({"VpcId": vpc, "ClientToken": "once"});
    assert_eq!(
        world.refused("CreateRouteTable", other).await,
        "IdempotentParameterMismatch"
    );
    let tables = world.call("DescribeRouteTables", filter("vpc-id", &vpc)).await.unwrap();
    assert_eq!(list(&tables, "RouteTables").len(), 2);
    let id = &made["RouteTable"]["RouteTableId"];
    world
        .call("DeleteRouteTable", json!({"RouteTableId": id}))
        .await
        .unwrap();
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
    let again = world.refused("DeleteRouteTable", json!({"RouteTableId": id})).await;
    assert_eq!(again, "InvalidRouteTableID.NotFound");
}

#[tokio::test]
async fn a_route_goes_to_a_gateway_of_its_vpc_and_everything_else_is_refused() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let other_vpc = make_vpc(&world, "10.0.0.0/16").await;
    let table = make_table(&world, &vpc).await;
    let gateway = make_gateway(&world, Some(&vpc)).await;
    let others = make_gateway(&world, Some(&other_vpc)).await;
    let detached = make_gateway(&world, None).await;
    let to = |destination: &str, gateway: &str| json!({"RouteTableId": table, "DestinationCidrBlock": destination, "GatewayId": gateway});
    world.call("CreateRoute", to("192.168.1.9/16", &gateway)).await.unwrap();
    world
        .call("ReplaceRoute", to("192.168.0.0/16", &gateway))
        .await
        .unwrap();
    let world = &world;
    let refused = async |operation: &str, request: Value, code: &str| {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    };
    for (request, code) in [
        (to("192.168.0.0/16", &gateway), "RouteAlreadyExists"),
        (to("10.0.0.0/16", &gateway), "RouteAlreadyExists"),
        (to("10.0.1.0/24", &gateway), "InvalidParameterValue"),
        (to("169.254.169.254/32", &gateway), "InvalidParameterValue"),
        (to("nowhere", &gateway), "InvalidParameterValue"),
        (to("0.0.0.0/0", &others), "InvalidParameterValue"),
        (to("0.0.0.0/0", &detached), "InvalidParameterValue"),
        (to("0.0.0.0/0", "igw-00000000000000001"), "InvalidGatewayID.NotFound"),
        (to("0.0.0.0/0", "eni-00000000000000001"), "InvalidGatewayID.NotFound"),
        (to("0.0.0.0/0", "vgw-00000000000000001"), "UnsupportedOperation"),
        (to("0.0.0.0/0", "local"), "UnsupportedOperation"),
        (
            json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}),
            "MissingParameter",
        ),
        (json!({"RouteTableId": table, "GatewayId": gateway}), "MissingParameter"),
        (
            json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}),
            "UnsupportedOperation",
        ),
        (
            json!({"RouteTableId": table, "DestinationIpv6CidrBlock": "::/0", "GatewayId": gateway}),
            "UnsupportedOperation",
        ),
        (
            json!({"RouteTableId": "rtb-00000000000000001", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}),
            "InvalidRouteTableID.NotFound",
        ),
    ] {
        refused("CreateRoute", request, code).await;
    }
    let mut dry = to("0.0.0.0/0", &gateway);
    dry["DryRun"] = true.into();
    refused("CreateRoute", dry, "DryRunOperation").await;
    refused("ReplaceRoute", to("0.0.0.0/0", &gateway), "InvalidParameterValue").await;
    let delete = |destination: &str| json!({"RouteTableId": table, "DestinationCidrBlock": destination});
    refused("DeleteRoute", delete("0.0.0.0/0"), "InvalidRoute.NotFound").await;
    refused("DeleteRoute", delete("10.0.0.0/16"), "InvalidParameterValue").await;
    world.call("DeleteRoute", delete("192.168.3.0/16")).await.unwrap();
}

#[tokio::test]
async fn a_table_has_no_more_routes_than_it_may_have() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let table = make_table(&world, &vpc).await;
    let gateway = make_gateway(&world, Some(&vpc)).await;
    let (id, to): (RouteTableId, InternetGatewayId) = (table.parse().unwrap(), gateway.parse().unwrap());
    let fill = world.world.store.write(move |store| {
        let all = Ipv4Net::new([192, 168, 0, 0].into(), 16).unwrap().subnets(25).unwrap();
        for destination in all.take(500) {
            let gateway = to;
            store::route_tables::put_route(store, id, &Route { destination, gateway })?;
        }
        Ok::<_, StoreError>(())
    });
    fill.await.unwrap();
    let mut request = json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    let refused = world.refused("CreateRoute", request.clone()).await;
    assert_eq!(refused, "RouteLimitExceeded");
    request["DestinationCidrBlock"] = "192.168.0.0/25".into();
    world.call("ReplaceRoute", request).await.unwrap();
}

#[tokio::test]
async fn a_subnet_uses_the_table_that_it_is_associated_with() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    let (one, two) = (make_table(&world, &vpc).await, make_table(&world, &vpc).await);
    let associate = |table: &str| json!({"RouteTableId": table, "SubnetId": subnet});
    let first = world.call("AssociateRouteTable", associate(&one)).await.unwrap();
    assert_eq!(first["AssociationState"]["State"], "associated");
    assert_eq!(world.call("AssociateRouteTable", associate(&one)).await.unwrap(), first);
    let refused = world.refused("AssociateRouteTable", associate(&two)).await;
    assert_eq!(refused, "Resource.AlreadyAssociated");
    let refused = world.refused("DeleteRouteTable", json!({"RouteTableId": one})).await;
    assert_eq!(refused, "DependencyViolation");

    let replace = json!({"AssociationId": first["AssociationId"], "RouteTableId": two});
    let replaced = world
        .call("ReplaceRouteTableAssociation", replace.clone())
        .await
        .unwrap();
    let used = only(&world, "DescribeRouteTables", &vpc, ("association.subnet-id", &subnet)).await;
    assert_eq!(text(&used, "RouteTableId"), two);
    assert_eq!(
        used["Associations"][0]["RouteTableAssociationId"],
        replaced["NewAssociationId"]
    );
    let gone = world.refused("ReplaceRouteTableAssociation", replace).await;
    assert_eq!(gone, "InvalidAssociationID.NotFound");

    let disassociate = json!({"AssociationId": replaced["NewAssociationId"]});
    world
        .call("DisassociateRouteTable", disassociate.clone())
        .await
        .unwrap();
    let gone = world.refused("DisassociateRouteTable", disassociate).await;
    assert_eq!(gone, "InvalidAssociationID.NotFound");
    world
        .call("DeleteRouteTable", json!({"RouteTableId": two}))
        .await
        .unwrap();
}

#[tokio::test]
async fn another_table_can_become_the_main_one_and_the_old_one_is_then_like_any_other() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let old = only(&world, "DescribeRouteTables", &vpc, ("association.main", "true")).await;
    let association = text(&old["Associations"][0], "RouteTableAssociationId");
    let new = make_table(&world, &vpc).await;
    let main = json!({"AssociationId": association});
    assert_eq!(
        world.refused("DisassociateRouteTable", main).await,
        "InvalidParameterValue"
    );
    let refused = world
        .refused("DeleteRouteTable", json!({"RouteTableId": old["RouteTableId"]}))
        .await;
    assert_eq!(refused, "DependencyViolation");
    let replace = json!({"AssociationId": association, "RouteTableId": new});
    let replaced = world.call("ReplaceRouteTableAssociation", replace).await.unwrap();
    let main = only(&world, "DescribeRouteTables", &vpc, ("association.main", "true")).await;
    assert_eq!(text(&main, "RouteTableId"), new);
    assert_eq!(
        main["Associations"][0]["RouteTableAssociationId"],
        replaced["NewAssociationId"]
    );
    world
        .call("DeleteRouteTable", json!({"RouteTableId": old["RouteTableId"]}))
        .await
        .unwrap();
    world.call("DeleteVpc", json!({"VpcId": vpc})).await.unwrap();
}

#[tokio::test]
async fn tables_and_subnets_of_two_vpcs_do_not_go_together() {
    let world = TestWorld::new().await;
    let (one, two) = (
        make_vpc(&world, "10.0.0.0/16").await,
        make_vpc(&world, "10.0.0.0/16").await,
    );
    let subnet = make_subnet(&world, &one, "10.0.0.0/24").await;
    let (near, far) = (make_table(&world, &one).await, make_table(&world, &two).await);
    let associate = |table: &str| json!({"RouteTableId": table, "SubnetId": subnet});
    assert_eq!(
        world.refused("AssociateRouteTable", associate(&far)).await,
        "InvalidParameterValue"
    );
    let made = world.call("AssociateRouteTable", associate(&near)).await.unwrap();
    for (operation, request, code) in [
        (
            "ReplaceRouteTableAssociation",
            json!({"AssociationId": made["AssociationId"], "RouteTableId": far}),
            "InvalidParameterValue",
        ),
        (
            "ReplaceRouteTableAssociation",
            json!({"AssociationId": "x", "RouteTableId": near}),
            "InvalidAssociationID.NotFound",
        ),
        ("AssociateRouteTable", json!({"RouteTableId": near}), "MissingParameter"),
        (
            "AssociateRouteTable",
            json!({"RouteTableId": near, "GatewayId": "igw-00000000000000001"}),
            "UnsupportedOperation",
        ),
        (
            "CreateRouteTable",
            json!({"VpcId": "vpc-00000000000000001"}),
            "InvalidVpcID.NotFound",
        ),
        (
            "DescribeRouteTables",
            json!({"MaxResults": 101}),
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    }
}

/// Something that is done to the routes of a table; the gateways are two, by turns attached.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create(Ipv4Net),
    Replace(Ipv4Net),
    Delete(Ipv4Net),
    /// The other gateway is attached to the VPC from now on.
    Swap,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few destinations, some of which are one when the host bits are gone.
    let destination = (0..4_u8, any::<bool>(), prop::sample::select(vec![0_u8, 8, 24]));
    let destination = destination
        .prop_map(|(third, host, prefix)| Ipv4Net::new([198, 51, third, u8::from(host)].into(), prefix).unwrap());
    let step = prop_oneof![
        4 => destination.clone().prop_map(Step::Create),
        2 => destination.clone().prop_map(Step::Replace),
        2 => destination.prop_map(Step::Delete),
        1 => Just(Step::Swap),
    ];
    prop::collection::vec(step, 1..30)
}

#[test]
fn whatever_is_done_to_routes_a_table_has_those_that_a_map_would_have() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(TestWorld::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(20));
    let done = runner.run(&steps(), |steps| {
        runtime.block_on(run(&world, steps));
        Ok(())
    });
    done.unwrap();
}

async fn run(world: &TestWorld, steps: Vec<Step>) {
    let vpc = make_vpc(world, "10.0.0.0/16").await;
    let table = make_table(world, &vpc).await;
    let mut attached = make_gateway(world, Some(&vpc)).await;
    let mut other = make_gateway(world, None).await;
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    for step in steps {
        let request = |destination: Ipv4Net, gateway: Option<&String>| {
            let mut request = json!({"RouteTableId": table, "DestinationCidrBlock": destination.to_string()});
            if let Some(gateway) = gateway {
                request["GatewayId"] = gateway.as_str().into();
            }
            request
        };
        match step {
            Step::Create(to) => {
                let answer = world.call("CreateRoute", request(to, Some(&attached))).await;
                let key = to.trunc().to_string();
                assert_eq!(answer.is_ok(), !model.contains_key(&key), "{step:?} {answer:?}");
                model.entry(key).or_insert_with(|| attached.clone());
            }
            Step::Replace(to) => {
                let answer = world.call("ReplaceRoute", request(to, Some(&attached))).await;
                let there = model.get_mut(&to.trunc().to_string());
                assert_eq!(answer.is_ok(), there.is_some(), "{step:?} {answer:?}");
                there.into_iter().for_each(|gateway| gateway.clone_from(&attached));
            }
            Step::Delete(to) => {
                let answer = world.call("DeleteRoute", request(to, None)).await;
                let there = model.remove(&to.trunc().to_string());
                assert_eq!(answer.is_ok(), there.is_some(), "{step:?} {answer:?}");
            }
            Step::Swap => {
                let attachment = |gateway: &String| json!({"InternetGatewayId": gateway, "VpcId": vpc});
                world
                    .call("DetachInternetGateway", attachment(&attached))
                    .await
                    .unwrap();
                world.call("AttachInternetGateway", attachment(&other)).await.unwrap();
                std::mem::swap(&mut attached, &mut other);
            }
        }
    }
    let described = world
        .call("DescribeRouteTables", json!({"RouteTableIds": [table]}))
        .await
        .unwrap();
    let routes = list(&described["RouteTables"][0], "Routes");
    let found: BTreeMap<String, String> = routes
        .iter()
        .skip(1)
        .map(|route| (text(route, "DestinationCidrBlock"), text(route, "GatewayId")))
        .collect();
    assert_eq!(found, model);
    for route in routes.iter().skip(1) {
        let state = if text(route, "GatewayId") == attached {
            "active"
        } else {
            "blackhole"
        };
        assert_eq!(route["State"], state);
    }
}
