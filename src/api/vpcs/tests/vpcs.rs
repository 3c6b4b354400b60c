//! The VPCs themselves, and the default one.

use super::super::super::testing::TestWorld;
use super::{filter, list, make_gateway, make_subnet, make_table, make_vpc, only, tagged, text};
use crate::model::{SecurityGroup, SecurityGroupId};
use crate::store;
use serde_json::{Value, json};
use time::OffsetDateTime;

#[tokio::test]
async fn a_vpc_comes_with_a_main_table_an_acl_a_group_and_dhcp_options() {
    let world = TestWorld::new().await;
    let request = json!({"CidrBlock": "10.1.2.3/16", "InstanceTenancy": "default", "TagSpecifications": tagged("vpc")});
    let made = world.call("CreateVpc", request).await.unwrap();
    let vpc = &made["Vpc"];
    assert_eq!(vpc["CidrBlock"], "10.1.0.0/16");
    assert_eq!((&vpc["State"], &vpc["IsDefault"]), (&json!("available"), &json!(false)));
    assert_eq!(vpc["Tags"], json!([{"Key": "of", "Value": "vpc"}]));
    let id = text(vpc, "VpcId");

    let table = only(&world, "DescribeRouteTables", &id, ("association.main", "true")).await;
    let local = json!([{
        "DestinationCidrBlock": "10.1.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active",
    }]);
    assert_eq!(table["Routes"], local);
    assert_eq!(list(&table, "Associations").len(), 1);

    let acl = only(&world, "DescribeNetworkAcls", &id, ("default", "true")).await;
    let entry = |egress: bool, number: u16, action: &str| {
        json!({
            "Egress": egress, "RuleNumber": number, "RuleAction": action, "Protocol": "-1", "CidrBlock": "0.0.0.0/0",
        })
    };
    let both = |egress| [entry(egress, 100, "allow"), entry(egress, 32767, "deny")];
    assert_eq!(acl["Entries"], json!([both(true), both(false)].concat()));

    let rules = world.world.store.read(store::security_groups::rules).await.unwrap();
    let groups = world.world.store.read(store::security_groups::list).await.unwrap();
    let group = groups.iter().find(|group| group.vpc.to_string() == id).unwrap();
    assert_eq!(group.name, "default");
    assert_eq!(rules.iter().filter(|rule| rule.group == group.id).count(), 2);

    let options = json!({"DhcpOptionsIds": [vpc["DhcpOptionsId"]]});
    let options = world.call("DescribeDhcpOptions", options).await.unwrap();
    let configurations = json!([
        {"Key": "domain-name", "Values": [{"Value": "local-1.compute.internal"}]},
        {"Key": "domain-name-servers", "Values": [{"Value": "AmazonProvidedDNS"}]},
    ]);
    assert_eq!(options["DhcpOptions"][0]["DhcpConfigurations"], configurations);
}

#[tokio::test]
async fn the_default_vpc_is_there_from_the_start_with_a_subnet_and_a_way_out() {
    let world = TestWorld::new().await;
    let before = world.call("DescribeVpcs", json!({})).await.unwrap();
    let [vpc] = list(&before, "Vpcs").as_slice() else {
        panic!("{before}")
    };
    let block = world.world.default_vpc_block;
    assert_eq!(
        (&vpc["IsDefault"], &vpc["CidrBlock"]),
        (&json!(true), &json!(block.to_string()))
    );
    let id = text(vpc, "VpcId");
    let subnet = only(&world, "DescribeSubnets", &id, ("default-for-az", "true")).await;
    assert_eq!(
        (&subnet["CidrBlock"], &subnet["MapPublicIpOnLaunch"]),
        (&json!(format!("{}/20", block.net().addr())), &json!(true))
    );
    assert_eq!(subnet["AvailableIpAddressCount"], 4091);
    let gateways = world
        .call("DescribeInternetGateways", filter("attachment.vpc-id", &id))
        .await
        .unwrap();
    let table = only(&world, "DescribeRouteTables", &id, ("association.main", "true")).await;
    let route = &table["Routes"][1];
    assert_eq!(
        (&route["DestinationCidrBlock"], &route["State"]),
        (&json!("0.0.0.0/0"), &json!("active"))
    );
    assert_eq!(route["GatewayId"], gateways["InternetGateways"][0]["InternetGatewayId"]);

    let world = world.restart().await;
    assert_eq!(world.call("DescribeVpcs", json!({})).await.unwrap(), before);
    assert_eq!(
        world.refused("CreateDefaultVpc", json!({})).await,
        "DefaultVpcAlreadyExists"
    );
}

/// Deletes the default VPC with all that is in it.
async fn delete_default(world: &TestWorld) {
    let vpcs = world.call("DescribeVpcs", filter("is-default", "true")).await.unwrap();
    let id = text(&vpcs["Vpcs"][0], "VpcId");
    let subnets = world.call("DescribeSubnets", json!({})).await.unwrap();
    for subnet in list(&subnets, "Subnets") {
        world
            .call("DeleteSubnet", json!({"SubnetId": subnet["SubnetId"]}))
            .await
            .unwrap();
    }
    let gateways = world
        .call("DescribeInternetGateways", filter("attachment.vpc-id", &id))
        .await
        .unwrap();
    let gateway = text(&gateways["InternetGateways"][0], "InternetGatewayId");
    let request = json!({"InternetGatewayId": gateway, "VpcId": id});
    world.call("DetachInternetGateway", request).await.unwrap();
    world
        .call("DeleteInternetGateway", json!({"InternetGatewayId": gateway}))
        .await
        .unwrap();
    world.call("DeleteVpc", json!({"VpcId": id})).await.unwrap();
}

#[tokio::test]
async fn a_default_vpc_that_was_deleted_is_made_again_when_asked_for_and_at_the_next_start() {
    let world = TestWorld::new().await;
    delete_default(&world).await;
    assert_eq!(
        world.call("DescribeVpcs", json!({})).await.unwrap(),
        json!({"Vpcs": []})
    );
    let zone = json!({"AvailabilityZone": "local-1a"});
    assert_eq!(
        world.refused("CreateDefaultSubnet", zone).await,
        "DefaultVpcDoesNotExist"
    );
    assert_eq!(
        world.refused("CreateDefaultVpc", json!({"DryRun": true})).await,
        "DryRunOperation"
    );
    let made = world.call("CreateDefaultVpc", json!({})).await.unwrap();
    assert_eq!(made["Vpc"]["IsDefault"], true);
    delete_default(&world).await;
    let world = world.restart().await;
    let vpcs = world.call("DescribeVpcs", filter("isDefault", "true")).await.unwrap();
    assert_eq!(list(&vpcs, "Vpcs").len(), 1);
}

#[tokio::test]
async fn a_vpc_is_not_deleted_while_something_is_in_it_and_the_error_names_that() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let refused = async |left: &str| {
        let error = world.call("DeleteVpc", json!({"VpcId": vpc})).await.unwrap_err();
        assert_eq!(error.code.as_str(), "DependencyViolation");
        assert!(error.message.contains(left), "{left}: {}", error.message);
    };
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    refused(&subnet).await;
    world.call("DeleteSubnet", json!({"SubnetId": subnet})).await.unwrap();
    let gateway = make_gateway(&world, Some(&vpc)).await;
    refused(&gateway).await;
    let attachment = json!({"InternetGatewayId": gateway, "VpcId": vpc});
    world.call("DetachInternetGateway", attachment).await.unwrap();
    let table = make_table(&world, &vpc).await;
    refused(&table).await;
    world
        .call("DeleteRouteTable", json!({"RouteTableId": table}))
        .await
        .unwrap();
    let acl = world.call("CreateNetworkAcl", json!({"VpcId": vpc})).await.unwrap();
    let acl = text(&acl["NetworkAcl"], "NetworkAclId");
    refused(&acl).await;
    world
        .call("DeleteNetworkAcl", json!({"NetworkAclId": acl}))
        .await
        .unwrap();
    let group = SecurityGroup {
        id: SecurityGroupId::from_random(1),
        vpc: vpc.parse().unwrap(),
        name: "mine".into(),
        description: String::new(),
        created: OffsetDateTime::now_utc(),
    };
    let id = group.id;
    let add = world
        .world
        .store
        .write(move |store| store::security_groups::add(store, &group));
    add.await.unwrap();
    refused(&id.to_string()).await;
    let remove = world
        .world
        .store
        .write(move |store| store::security_groups::remove(store, id));
    remove.await.unwrap();
    world.call("DeleteVpc", json!({"VpcId": vpc})).await.unwrap();
    assert_eq!(
        world.refused("DeleteVpc", json!({"VpcId": vpc})).await,
        "InvalidVpcID.NotFound"
    );
}

#[tokio::test]
async fn a_deleted_vpc_takes_what_it_came_with_and_all_tags_of_it() {
    let world = TestWorld::new().await;
    let counts = async || {
        let mut counts = Vec::new();
        for operation in ["DescribeVpcs", "DescribeRouteTables", "DescribeNetworkAcls"] {
            let answer = world.call(operation, json!({})).await.unwrap();
            counts.push(
                answer
                    .as_object()
                    .unwrap()
                    .values()
                    .next()
                    .unwrap()
                    .as_array()
                    .unwrap()
                    .len(),
            );
        }
        counts.push(
            world
                .world
                .store
                .read(store::security_groups::list)
                .await
                .unwrap()
                .len(),
        );
        counts.push(
            world
                .world
                .store
                .read(store::security_groups::rules)
                .await
                .unwrap()
                .len(),
        );
        counts
    };
    let before = counts().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let table = only(&world, "DescribeRouteTables", &vpc, ("association.main", "true")).await;
    let acl = only(&world, "DescribeNetworkAcls", &vpc, ("default", "true")).await;
    let groups = world.world.store.read(store::security_groups::list).await.unwrap();
    let group = groups.iter().find(|group| group.vpc.to_string() == vpc).unwrap().id;
    let rules = world
        .world
        .store
        .read(move |store| store::security_groups::rules_of(store, group));
    let rule = rules.await.unwrap()[0].id.to_string();
    let resources = json!([vpc, table["RouteTableId"], acl["NetworkAclId"], group.to_string(), rule]);
    let request = json!({"Resources": resources, "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", request).await.unwrap();
    assert_eq!(
        world.refused("DeleteVpc", json!({"VpcId": vpc, "DryRun": true})).await,
        "DryRunOperation"
    );
    world.call("DeleteVpc", json!({"VpcId": vpc})).await.unwrap();
    assert_eq!(counts().await, before);
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn the_number_of_a_vpc_is_the_lowest_that_no_other_has() {
    let world = TestWorld::new().await;
    let first = make_vpc(&world, "10.0.0.0/16").await;
    make_vpc(&world, "10.0.0.0/16").await;
    world.call("DeleteVpc", json!({"VpcId": first})).await.unwrap();
    make_vpc(&world, "10.0.0.0/16").await;
    let vpcs = world.world.store.read(store::vpcs::list).await.unwrap();
    let mut numbers: Vec<u32> = vpcs.iter().map(|vpc| vpc.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn attributes_are_described_one_by_one_and_modified_one_at_a_time() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let attribute = async |name: &str| {
        let request = json!({"VpcId": vpc, "Attribute": name});
        let described = world.call("DescribeVpcAttribute", request).await.unwrap();
        let members = described.as_object().unwrap();
        assert_eq!(members.len(), 2, "{described}");
        let value = members.iter().find(|(name, _)| *name != "VpcId").unwrap().1;
        value["Value"].as_bool().unwrap()
    };
    let modify = |member: &str, value: bool| json!({"VpcId": vpc, member: {"Value": value}});
    assert!(attribute("enableDnsSupport").await);
    assert!(!attribute("enableDnsHostnames").await);
    assert!(!attribute("enableNetworkAddressUsageMetrics").await);
    world
        .call("ModifyVpcAttribute", modify("EnableDnsHostnames", true))
        .await
        .unwrap();
    assert!(attribute("enableDnsHostnames").await);
    for (member, value) in [
        ("EnableDnsHostnames", false),
        ("EnableDnsSupport", false),
        ("EnableNetworkAddressUsageMetrics", false),
    ] {
        world.call("ModifyVpcAttribute", modify(member, value)).await.unwrap();
    }
    assert!(!attribute("enableDnsSupport").await);
    let mut both = modify("EnableDnsSupport", true);
    both["EnableDnsHostnames"] = json!({"Value": true});
    for (request, code) in [
        (both, "InvalidParameterCombination"),
        (modify("EnableDnsHostnames", true), "InvalidParameterCombination"),
        (modify("EnableNetworkAddressUsageMetrics", true), "UnsupportedOperation"),
        (json!({"VpcId": vpc}), "MissingParameter"),
    ] {
        assert_eq!(
            world.refused("ModifyVpcAttribute", request.clone()).await,
            code,
            "{request}"
        );
    }
}

#[tokio::test]
async fn vpcs_are_found_by_filters_and_come_in_pages() {
    let world = TestWorld::new().await;
    for n in 0..7 {
        make_vpc(&world, &format!("10.{n}.0.0/16")).await;
    }
    let found = world.call("DescribeVpcs", filter("cidr", "10.3.*")).await.unwrap();
    let found = text(&found["Vpcs"][0], "VpcId");
    for (name, value, count) in [
        ("vpc-id", found.as_str(), 1),
        ("is-default", "false", 7),
        ("cidr-block-association.state", "associated", 8),
        ("ipv6-cidr-block-association.state", "*", 0),
        ("dhcp-options-id", "dopt-*", 8),
        ("state", "available", 8),
        ("owner-id", "000000000000", 8),
        ("tag-key", "*", 0),
    ] {
        let answer = world.call("DescribeVpcs", filter(name, value)).await.unwrap();
        assert_eq!(list(&answer, "Vpcs").len(), count, "{name}={value}");
    }
    let first = world.call("DescribeVpcs", json!({"MaxResults": 5})).await.unwrap();
    let rest = json!({"MaxResults": 5, "NextToken": first["NextToken"]});
    let rest = world.call("DescribeVpcs", rest).await.unwrap();
    assert_eq!((list(&first, "Vpcs").len(), list(&rest, "Vpcs").len()), (5, 3));
    assert!(rest.get("NextToken").is_none());
}

#[tokio::test]
async fn bad_requests_are_refused_in_ec2s_codes_and_make_nothing() {
    let world = TestWorld::new().await;
    let before = world.call("DescribeVpcs", json!({})).await.unwrap();
    let create = |further: Value| {
        let mut request = json!({"CidrBlock": "10.0.0.0/16"});
        request
            .as_object_mut()
            .unwrap()
            .extend(further.as_object().unwrap().clone());
        request
    };
    for (operation, request, code) in [
        ("CreateVpc", json!({}), "MissingParameter"),
        ("CreateVpc", json!({"CidrBlock": "ten"}), "InvalidParameterValue"),
        ("CreateVpc", json!({"CidrBlock": "10.0.0.0/8"}), "InvalidVpc.Range"),
        ("CreateVpc", json!({"CidrBlock": "10.0.0.0/29"}), "InvalidVpc.Range"),
        ("CreateVpc", json!({"CidrBlock": "169.254.0.0/16"}), "InvalidVpc.Range"),
        (
            "CreateVpc",
            create(json!({"InstanceTenancy": "dedicated"})),
            "UnsupportedOperation",
        ),
        (
            "CreateVpc",
            create(json!({"AmazonProvidedIpv6CidrBlock": true})),
            "UnsupportedOperation",
        ),
        (
            "CreateVpc",
            create(json!({"Ipv4IpamPoolId": "ipam-pool-1"})),
            "UnsupportedOperation",
        ),
        (
            "CreateVpc",
            create(json!({"TagSpecifications": tagged("subnet")})),
            "InvalidParameterValue",
        ),
        ("CreateVpc", create(json!({"DryRun": true})), "DryRunOperation"),
        ("DeleteVpc", json!({"VpcId": "vpc-1"}), "InvalidVpcId.Malformed"),
        (
            "DescribeVpcs",
            json!({"VpcIds": ["vpc-00000000000000001"]}),
            "InvalidVpcID.NotFound",
        ),
        ("DescribeVpcs", filter("colour", "red"), "InvalidParameterValue"),
        (
            "DescribeVpcs",
            json!({"VpcIds": ["vpc-00000000000000001"], "MaxResults": 5}),
            "InvalidParameterCombination",
        ),
    ] {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    }
    assert_eq!(world.call("DescribeVpcs", json!({})).await.unwrap(), before);
}
