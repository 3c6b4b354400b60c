//! Internet gateways.

use super::super::super::testing::TestWorld;
use super::{filter, list, make_gateway, make_table, make_vpc, tagged, text};
use serde_json::{Value, json};

#[tokio::test]
async fn a_gateway_is_attached_to_one_vpc_and_a_vpc_has_one() {
    let world = TestWorld::new().await;
    let request = json!({"TagSpecifications": tagged("internet-gateway")});
    let made = world.call("CreateInternetGateway", request).await.unwrap();
    let gateway = text(&made["InternetGateway"], "InternetGatewayId");
    assert_eq!(made["InternetGateway"]["Attachments"], json!([]));
    let (one, two) = (
        make_vpc(&world, "10.0.0.0/16").await,
        make_vpc(&world, "10.0.0.0/16").await,
    );
    let with = |gateway: &str, vpc: &str| json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.call("AttachInternetGateway", with(&gateway, &one)).await.unwrap();
    let described = world
        .call("DescribeInternetGateways", filter("attachment.vpc-id", &one))
        .await
        .unwrap();
    let attachments = json!([{"VpcId": one, "State": "available"}]);
    assert_eq!(described["InternetGateways"][0]["Attachments"], attachments);
    assert_eq!(text(&described["InternetGateways"][0], "InternetGatewayId"), gateway);

    let other = make_gateway(&world, None).await;
    for (operation, request, code) in [
        (
            "AttachInternetGateway",
            with(&gateway, &one),
            "Resource.AlreadyAssociated",
        ),
        (
            "AttachInternetGateway",
            with(&gateway, &two),
            "Resource.AlreadyAssociated",
        ),
        ("AttachInternetGateway", with(&other, &one), "InvalidParameterValue"),
        ("DetachInternetGateway", with(&gateway, &two), "Gateway.NotAttached"),
        ("DetachInternetGateway", with(&other, &one), "Gateway.NotAttached"),
        (
            "DeleteInternetGateway",
            json!({"InternetGatewayId": gateway}),
            "DependencyViolation",
        ),
    ] {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    }
    world.call("DetachInternetGateway", with(&gateway, &one)).await.unwrap();
    world.call("AttachInternetGateway", with(&other, &one)).await.unwrap();
    world
        .call("DeleteInternetGateway", json!({"InternetGatewayId": gateway}))
        .await
        .unwrap();
    let refused = world
        .refused("DeleteInternetGateway", json!({"InternetGatewayId": gateway}))
        .await;
    assert_eq!(refused, "InvalidInternetGatewayID.NotFound");
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn a_route_to_a_gateway_that_was_detached_or_deleted_leads_nowhere_and_can_be_deleted() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let table = make_table(&world, &vpc).await;
    let gateway = make_gateway(&world, Some(&vpc)).await;
    let request = json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    assert_eq!(
        world.call("CreateRoute", request).await.unwrap(),
        json!({"Return": true})
    );
    let state = async || {
        let described = world
            .call("DescribeRouteTables", json!({"RouteTableIds": [table]}))
            .await
            .unwrap();
        text(&described["RouteTables"][0]["Routes"][1], "State")
    };
    let attachment = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    assert_eq!(state().await, "active");
    world.call("DetachInternetGateway", attachment.clone()).await.unwrap();
    assert_eq!(state().await, "blackhole");
    world.call("AttachInternetGateway", attachment.clone()).await.unwrap();
    assert_eq!(state().await, "active");
    world.call("DetachInternetGateway", attachment).await.unwrap();
    world
        .call("DeleteInternetGateway", json!({"InternetGatewayId": gateway}))
        .await
        .unwrap();
    assert_eq!(state().await, "blackhole");
    let blackholes = world
        .call("DescribeRouteTables", filter("route.state", "blackhole"))
        .await
        .unwrap();
    assert_eq!(list(&blackholes, "RouteTables").len(), 1);
    let route = json!({"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"});
    world.call("DeleteRoute", route).await.unwrap();
}

#[tokio::test]
async fn dry_runs_and_bad_requests_change_nothing() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let gateway = make_gateway(&world, None).await;
    let before = world.call("DescribeInternetGateways", json!({})).await.unwrap();
    let unknown = "igw-00000000000000001";
    let request = |gateway: &str, vpc: &str| json!({"InternetGatewayId": gateway, "VpcId": vpc});
    let dry = |mut request: Value| {
        request["DryRun"] = true.into();
        request
    };
    for (operation, request, code) in [
        ("CreateInternetGateway", dry(json!({})), "DryRunOperation"),
        ("AttachInternetGateway", dry(request(&gateway, &vpc)), "DryRunOperation"),
        (
            "DeleteInternetGateway",
            dry(json!({"InternetGatewayId": gateway})),
            "DryRunOperation",
        ),
        (
            "AttachInternetGateway",
            request(unknown, &vpc),
            "InvalidInternetGatewayID.NotFound",
        ),
        (
            "AttachInternetGateway",
            request("igw-1", &vpc),
            "InvalidInternetGatewayId.Malformed",
        ),
        (
            "AttachInternetGateway",
            request(&gateway, "vpc-00000000000000001"),
            "InvalidVpcID.NotFound",
        ),
        (
            "DescribeInternetGateways",
            json!({"InternetGatewayIds": [unknown]}),
            "InvalidInternetGatewayID.NotFound",
        ),
    ] {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    }
    assert_eq!(world.call("DescribeInternetGateways", json!({})).await.unwrap(), before);
}
