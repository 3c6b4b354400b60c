use super::*;
use crate::model::{MacAddress, NetworkInterface, NetworkInterfaceId, SecurityGroupId, SubnetId};
use crate::store::{self, random_bits};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

#[tokio::test]
async fn a_new_group_lets_everything_out_and_nothing_in() {
    let world = TestWorld::new().await;
    let tags = json!([{"ResourceType": "security-group", "Tags": [{"Key": "of", "Value": "me"}]}]);
    let request = json!({"GroupName": "web  ", "Description": "Web servers", "TagSpecifications": tags});
    let made = world.call("CreateSecurityGroup", request).await.unwrap();
    let id = text(&made, "GroupId");
    assert_eq!(made["Tags"], json!([{"Key": "of", "Value": "me"}]));
    let vpcs = json!({"Filters": [{"Name": "is-default", "Values": ["true"]}]});
    let vpcs = world.call("DescribeVpcs", vpcs).await.unwrap();

    let world = world.restart().await;
    let group = describe(&world, &id).await;
    let expected = json!({
        "GroupId": id,
        "SecurityGroupArn": format!("arn:aws:ec2:local-1:000000000000:security-group/{id}"),
        "GroupName": "web",
        "Description": "Web servers",
        "OwnerId": "000000000000",
        "VpcId": vpcs["Vpcs"][0]["VpcId"],
        "IpPermissions": [],
        "IpPermissionsEgress": [{
            "IpProtocol": "-1",
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
            "UserIdGroupPairs": [],
        }],
        "Tags": [{"Key": "of", "Value": "me"}],
    });
    assert_eq!(group, expected);
    assert_eq!(made["SecurityGroupArn"], expected["SecurityGroupArn"]);
}

#[tokio::test]
async fn a_name_is_a_groups_own_in_its_vpc() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world).await;
    make_group(&world, "web").await;
    let again = json!({"GroupName": "web", "Description": "Again"});
    assert_eq!(
        world.refused("CreateSecurityGroup", again).await,
        "InvalidGroup.Duplicate"
    );
    let elsewhere = json!({"GroupName": "web", "Description": "Elsewhere", "VpcId": vpc});
    let elsewhere = text(&world.call("CreateSecurityGroup", elsewhere).await.unwrap(), "GroupId");

    // A name is looked for in the default VPC alone.
    let named = world
        .call("DescribeSecurityGroups", json!({"GroupNames": ["web"]}))
        .await
        .unwrap();
    assert_eq!(list(&named, "SecurityGroups").len(), 1);
    assert_ne!(named["SecurityGroups"][0]["GroupId"], json!(elsewhere));
    let default = world.call("DescribeVpcs", json!({})).await.unwrap();
    let default = list(&default, "Vpcs")
        .iter()
        .find(|vpc| vpc["IsDefault"] == true)
        .unwrap()
        .clone();
    assert_eq!(named["SecurityGroups"][0]["VpcId"], default["VpcId"]);
    for name in ["other", "WEB"] {
        let refused = world
            .refused("DescribeSecurityGroups", json!({"GroupNames": [name]}))
            .await;
        assert_eq!(refused, "InvalidGroup.NotFound");
    }
}

#[tokio::test]
async fn names_and_descriptions_are_as_ec2_lets_them_be() {
    let world = TestWorld::new().await;
    let long = "x".repeat(256);
    for (name, description, code) in [
        ("sg-web", "d", "InvalidParameterValue"),
        ("SG-web", "d", "InvalidParameterValue"),
        ("", "d", "InvalidParameterValue"),
        (" ", "d", "InvalidParameterValue"),
        ("é", "d", "InvalidParameterValue"),
        (&long, "d", "InvalidParameterValue"),
        ("default", "d", "InvalidGroup.Reserved"),
        ("web", "", "InvalidParameterValue"),
        ("web", "a\nb", "InvalidParameterValue"),
        ("web", &long, "InvalidParameterValue"),
    ] {
        let request = json!({"GroupName": name, "Description": description});
        assert_eq!(
            world.refused("CreateSecurityGroup", request).await,
            code,
            "{name:?} {description:?}"
        );
    }
    let request = json!({"GroupName": "a Z_0.-:/()#,@[]+=&;{}!$*", "Description": "d", "DryRun": true});
    assert_eq!(world.refused("CreateSecurityGroup", request).await, "DryRunOperation");
    let request = json!({"GroupName": "web", "Description": "d", "VpcId": "vpc-0123456789abcdef0"});
    assert_eq!(
        world.refused("CreateSecurityGroup", request).await,
        "InvalidVpcID.NotFound"
    );
}

#[tokio::test]
async fn without_a_default_vpc_a_group_needs_a_vpc_and_an_id() {
    let world = TestWorld::new().await;
    let delete = world.world.store.write(|store| {
        for table in [
            "routes",
            "network_acl_associations",
            "subnets",
            "internet_gateways",
            "route_tables",
        ] {
            store.execute(&format!("DELETE FROM {table}"), [])?;
        }
        for table in ["network_acls", "security_groups", "vpcs"] {
            store.execute(&format!("DELETE FROM {table}"), [])?;
        }
        Ok::<_, store::StoreError>(())
    });
    delete.await.unwrap();
    for (operation, request) in [
        ("CreateSecurityGroup", json!({"GroupName": "web", "Description": "d"})),
        ("DescribeSecurityGroups", json!({"GroupNames": ["web"]})),
        ("DeleteSecurityGroup", json!({"GroupName": "web"})),
    ] {
        assert_eq!(
            world.refused(operation, request).await,
            "VPCIdNotSpecified",
            "{operation}"
        );
    }
}

/// Puts an interface into the default subnet and these groups.
async fn add_interface(world: &TestWorld, group: &str) -> NetworkInterfaceId {
    let group: SecurityGroupId = group.parse().unwrap();
    let add = world.world.store.write(move |store| {
        let subnet: SubnetId = store::subnets::default(store)?.unwrap().id;
        let interface = NetworkInterface {
            id: NetworkInterfaceId::from_random(random_bits()),
            number: store::network_interfaces::free_number(store)?,
            subnet,
            mac: MacAddress::from_random([1, 2, 3, 4, 5]),
            address: Ipv4Addr::new(172, 31, 0, 10),
            secondary: Vec::new(),
            description: String::new(),
            source_dest_check: true,
            groups: vec![group],
            public_at_start: false,
            public: None,
            attachment: None,
            created: OffsetDateTime::now_utc(),
        };
        store::network_interfaces::add(store, &interface)?;
        Ok::<_, store::StoreError>(interface.id)
    });
    add.await.unwrap()
}

#[tokio::test]
async fn a_group_that_is_used_is_not_deleted_and_one_that_is_not_goes_with_its_tags() {
    let world = TestWorld::new().await;
    let (web, database) = (make_group(&world, "web").await, make_group(&world, "database").await);
    let pairs = json!([{"GroupId": web}]);
    let named = json!([{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": pairs}]);
    let rule = text(&authorize(&world, &database, named).await[0], "SecurityGroupRuleId");
    // What a group says of itself does not hold it.
    let itself = authorize(&world, &web, json!([{"IpProtocol": "-1", "UserIdGroupPairs": pairs}])).await;
    let itself = text(&itself[0], "SecurityGroupRuleId");
    let tag = json!({"Resources": [web, itself], "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", tag).await.unwrap();
    let request = json!({"GroupId": web});
    assert_eq!(
        world.refused("DeleteSecurityGroup", request.clone()).await,
        "DependencyViolation"
    );
    let revoke = json!({"GroupId": database, "SecurityGroupRuleIds": [rule]});
    world.call("RevokeSecurityGroupIngress", revoke).await.unwrap();

    let interface = add_interface(&world, &web).await;
    let refused = world.call("DeleteSecurityGroup", request.clone()).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "DependencyViolation");
    assert!(refused.message.contains(&interface.to_string()), "{refused}");
    let remove = world
        .world
        .store
        .write(move |store| store::network_interfaces::remove(store, interface));
    remove.await.unwrap();

    let dry = json!({"GroupId": web, "DryRun": true});
    assert_eq!(world.refused("DeleteSecurityGroup", dry).await, "DryRunOperation");
    let deleted = world.call("DeleteSecurityGroup", request.clone()).await.unwrap();
    assert_eq!(deleted, json!({"Return": true, "GroupId": web}));
    assert_eq!(
        world.refused("DeleteSecurityGroup", request).await,
        "InvalidGroup.NotFound"
    );
    assert_eq!(world.call("DescribeTags", json!({})).await.unwrap()["Tags"], json!([]));
    world
        .call("DeleteSecurityGroup", json!({"GroupName": "database"}))
        .await
        .unwrap();
    let left = world.call("DescribeSecurityGroups", json!({})).await.unwrap();
    assert_eq!(list(&left, "SecurityGroups").len(), 1);
}

#[tokio::test]
async fn the_default_group_stays() {
    let world = TestWorld::new().await;
    let group = world
        .call("DescribeSecurityGroups", json!({"GroupNames": ["default"]}))
        .await
        .unwrap();
    let group = text(&group["SecurityGroups"][0], "GroupId");
    for request in [json!({"GroupId": group}), json!({"GroupName": "default"})] {
        assert_eq!(world.refused("DeleteSecurityGroup", request).await, "CannotDelete");
    }
    for (request, code) in [
        (json!({}), "MissingParameter"),
        (
            json!({"GroupId": group, "GroupName": "default"}),
            "InvalidParameterCombination",
        ),
        (json!({"GroupId": "sg-1"}), "InvalidGroupId.Malformed"),
        (json!({"GroupId": "sg-0123456789abcdef0"}), "InvalidGroup.NotFound"),
    ] {
        assert_eq!(
            world.refused("DeleteSecurityGroup", request.clone()).await,
            code,
            "{request}"
        );
    }
}

#[tokio::test]
async fn groups_are_found_by_what_their_rules_say() {
    let world = TestWorld::new().await;
    let (web, database) = (make_group(&world, "web").await, make_group(&world, "database").await);
    let offices = make_list(&world, &["203.0.113.0/24"]).await;
    let mut open = tcp(80, &["192.0.2.0/24"]);
    open["Ipv6Ranges"] = json!([{"CidrIpv6": "2001:db8::/32"}]);
    open["PrefixListIds"] = json!([{"PrefixListId": offices}]);
    authorize(&world, &web, json!([open])).await;
    let inner = json!([{
        "IpProtocol": "udp", "FromPort": 53, "ToPort": 54, "UserIdGroupPairs": [{"GroupId": web}],
    }]);
    authorize(&world, &database, inner).await;
    for (name, value, expected) in [
        ("ip-permission.cidr", "192.0.2.*", vec![&web]),
        ("ip-permission.ipv6-cidr", "2001:db8::/32", vec![&web]),
        ("ip-permission.prefix-list-id", &offices, vec![&web]),
        ("ip-permission.from-port", "80", vec![&web]),
        ("ip-permission.to-port", "54", vec![&database]),
        ("ip-permission.protocol", "udp", vec![&database]),
        ("ip-permission.group-id", &web, vec![&database]),
        ("ip-permission.group-name", "web", vec![&database]),
        ("ip-permission.group-name", "data*", vec![]),
        ("egress.ip-permission.cidr", "192.0.2.0/24", vec![]),
        ("description", "For a test", vec![&web, &database]),
        ("group-name", "we?", vec![&web]),
        ("group-id", &database, vec![&database]),
    ] {
        let request = json!({"Filters": [{"Name": name, "Values": [value]}]});
        let answer = world.call("DescribeSecurityGroups", request).await.unwrap();
        let mut found: Vec<String> = list(&answer, "SecurityGroups")
            .iter()
            .map(|one| text(one, "GroupId"))
            .collect();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name}={value}");
    }
    // Ingress and egress of the default group name what every group has.
    let own = json!({"Filters": [{"Name": "egress.ip-permission.protocol", "Values": ["-1"]}]});
    let answer = world.call("DescribeSecurityGroups", own).await.unwrap();
    assert_eq!(list(&answer, "SecurityGroups").len(), 3);
    let user = json!({"Filters": [{"Name": "ip-permission.user-id", "Values": ["000000000000"]}]});
    let answer = world.call("DescribeSecurityGroups", user).await.unwrap();
    assert_eq!(list(&answer, "SecurityGroups").len(), 2);
}

#[tokio::test]
async fn groups_come_in_pages_and_by_their_vpc() {
    let world = TestWorld::new().await;
    for number in 0..6 {
        make_group(&world, &format!("group {number}")).await;
    }
    let first = world
        .call("DescribeSecurityGroups", json!({"MaxResults": 5}))
        .await
        .unwrap();
    let second = json!({"MaxResults": 5, "NextToken": first["NextToken"]});
    let second = world.call("DescribeSecurityGroups", second).await.unwrap();
    assert_eq!(
        list(&first, "SecurityGroups").len() + list(&second, "SecurityGroups").len(),
        7
    );
    assert!(second.get("NextToken").is_none());

    let vpc = make_vpc(&world).await;
    let answer = world
        .call("GetSecurityGroupsForVpc", json!({"VpcId": vpc}))
        .await
        .unwrap();
    let [default] = list(&answer, "SecurityGroupForVpcs").as_slice() else {
        panic!("{answer}")
    };
    assert_eq!(
        (&default["GroupName"], &default["PrimaryVpcId"]),
        (&json!("default"), &json!(vpc))
    );
    let defaults = json!([{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]);
    let found = world
        .call("DescribeSecurityGroups", json!({"Filters": defaults}))
        .await
        .unwrap();
    assert_eq!(list(&found, "SecurityGroups").len(), 1);
    let filtered = json!({"VpcId": vpc, "Filters": [{"Name": "group-name", "Values": ["group *"]}]});
    let answer = world.call("GetSecurityGroupsForVpc", filtered).await.unwrap();
    assert_eq!(answer, json!({"SecurityGroupForVpcs": []}));
}

#[tokio::test]
async fn nothing_is_peered_so_no_reference_is_stale() {
    let world = TestWorld::new().await;
    let (vpc, group) = (make_vpc(&world).await, make_group(&world, "web").await);
    let answer = world
        .call("DescribeSecurityGroupReferences", json!({"GroupId": [group]}))
        .await
        .unwrap();
    assert_eq!(answer, json!({"SecurityGroupReferenceSet": []}));
    let answer = world
        .call("DescribeStaleSecurityGroups", json!({"VpcId": vpc}))
        .await
        .unwrap();
    assert_eq!(answer, json!({"StaleSecurityGroupSet": []}));
    for (operation, request, code) in [
        (
            "DescribeSecurityGroupReferences",
            json!({"GroupId": ["sg-0123456789abcdef0"]}),
            "InvalidGroup.NotFound",
        ),
        (
            "DescribeStaleSecurityGroups",
            json!({"VpcId": "vpc-0123456789abcdef0"}),
            "InvalidVpcID.NotFound",
        ),
        (
            "GetSecurityGroupsForVpc",
            json!({"VpcId": "vpc-0123456789abcdef0"}),
            "InvalidVpcID.NotFound",
        ),
    ] {
        assert_eq!(world.refused(operation, request).await, code, "{operation}");
    }
}
