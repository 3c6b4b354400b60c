use super::*;

#[tokio::test]
async fn each_range_of_a_permission_is_a_rule_and_one_permission_is_shown_of_them() {
    let world = TestWorld::new().await;
    let (web, peer) = (make_group(&world, "web").await, make_group(&world, "peer").await);
    let offices = make_list(&world, &["203.0.113.0/24"]).await;
    let permission = json!({
        "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
        "IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "us"}, {"CidrIp": "192.0.2.7/32"}],
        "Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/32"}],
        "PrefixListIds": [{"PrefixListId": offices, "Description": "them"}],
        "UserIdGroupPairs": [{"GroupName": "peer", "UserId": "000000000000"}],
    });
    let tags = json!([{"ResourceType": "security-group-rule", "Tags": [{"Key": "of", "Value": "me"}]}]);
    let request = json!({"GroupId": web, "IpPermissions": [permission], "TagSpecifications": tags});
    let answer = world.call("AuthorizeSecurityGroupIngress", request).await.unwrap();
    assert_eq!(answer["Return"], true);
    let rules = list(&answer, "SecurityGroupRules");
    assert_eq!(rules.len(), 5);
    let id = text(&rules[0], "SecurityGroupRuleId");
    let first = json!({
        "SecurityGroupRuleId": id,
        "SecurityGroupRuleArn": format!("arn:aws:ec2:local-1:000000000000:security-group-rule/{id}"),
        "GroupId": web,
        "GroupOwnerId": "000000000000",
        "IsEgress": false,
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        // EC2 keeps blocks without their host bits.
        "CidrIpv4": "10.0.0.0/8",
        "Description": "us",
        "Tags": [{"Key": "of", "Value": "me"}],
    });
    assert_eq!(rules[0], first);
    let vpc = describe(&world, &web).await["VpcId"].clone();
    let referenced = json!({"GroupId": peer, "UserId": "000000000000", "VpcId": vpc});
    assert_eq!(rules[4]["ReferencedGroupInfo"], referenced);

    let described = world
        .call("DescribeSecurityGroupRules", json!({"SecurityGroupRuleIds": [id]}))
        .await
        .unwrap();
    assert_eq!(described["SecurityGroupRules"], json!([first]));
    let group = describe(&world, &web).await;
    let [shown] = list(&group, "IpPermissions").as_slice() else {
        panic!("{group}")
    };
    let mut ranges = list(shown, "IpRanges").clone();
    ranges.sort_by_key(|range| text(range, "CidrIp"));
    assert_eq!(
        ranges,
        [
            json!({"CidrIp": "10.0.0.0/8", "Description": "us"}),
            json!({"CidrIp": "192.0.2.7/32"})
        ]
    );
    assert_eq!(shown["Ipv6Ranges"], json!([{"CidrIpv6": "2001:db8::/32"}]));
    assert_eq!(
        shown["PrefixListIds"],
        json!([{"PrefixListId": offices, "Description": "them"}])
    );
    assert_eq!(
        shown["UserIdGroupPairs"],
        json!([{"GroupId": peer, "UserId": "000000000000"}])
    );
}

#[tokio::test]
async fn the_flat_form_of_the_first_years_is_understood() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let flat = json!({
        "GroupName": "web", "IpProtocol": "tcp", "FromPort": 80, "ToPort": 90, "CidrIp": "0.0.0.0/0",
    });
    world.call("AuthorizeSecurityGroupIngress", flat.clone()).await.unwrap();
    let peer = json!({"GroupName": "web", "SourceSecurityGroupName": "default"});
    let answer = world.call("AuthorizeSecurityGroupIngress", peer.clone()).await.unwrap();
    let mut made: Vec<String> = list(&answer, "SecurityGroupRules")
        .iter()
        .map(|rule| text(rule, "IpProtocol"))
        .collect();
    made.sort();
    assert_eq!(made, ["icmp", "tcp", "udp"]);
    world.call("RevokeSecurityGroupIngress", flat).await.unwrap();
    world.call("RevokeSecurityGroupIngress", peer).await.unwrap();
    assert_eq!(describe(&world, &web).await["IpPermissions"], json!([]));

    let both =
        json!({"GroupId": web, "CidrIp": "0.0.0.0/0", "IpProtocol": "-1", "IpPermissions": [tcp(1, &["10.0.0.0/8"])]});
    let named = json!({"GroupId": web, "SourceSecurityGroupName": "default", "IpProtocol": "tcp"});
    for request in [both, named] {
        assert_eq!(
            world.refused("AuthorizeSecurityGroupIngress", request.clone()).await,
            "InvalidParameterCombination",
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_rule_is_there_once_and_a_request_that_is_refused_does_nothing() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    authorize(&world, &web, json!([tcp(22, &["10.0.0.0/8"])])).await;
    let before = describe(&world, &web).await;
    for (permissions, code) in [
        (
            json!([tcp(23, &["10.0.0.0/8"]), tcp(22, &["10.255.0.1/8"])]),
            "InvalidPermission.Duplicate",
        ),
        (
            json!([tcp(23, &["10.0.0.0/8", "10.0.0.0/8"])]),
            "InvalidPermission.Duplicate",
        ),
        (json!([tcp(23, &[])]), "InvalidPermission.Malformed"),
        (
            json!([{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{}]}]),
            "InvalidPermission.Malformed",
        ),
        (json!([tcp(23, &["10.0.0.0"])]), "InvalidParameterValue"),
        (json!([tcp(23, &["10.0.0.0/33"])]), "InvalidParameterValue"),
        (json!([tcp(23, &["::/0"])]), "InvalidParameterValue"),
        (
            json!([{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]),
            "InvalidParameterValue",
        ),
        (
            json!([{"IpProtocol": "tcp", "FromPort": 2, "ToPort": 1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]),
            "InvalidParameterValue",
        ),
        (
            json!([{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65536, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]),
            "InvalidParameterValue",
        ),
        (
            json!([{"IpProtocol": "256", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]),
            "InvalidParameterValue",
        ),
        (
            json!([{"IpProtocol": "ipx", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]),
            "InvalidParameterValue",
        ),
        (json!([{"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]), "MissingParameter"),
        (
            json!([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "é"}]}]),
            "InvalidParameterValue",
        ),
        (
            json!([{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}]),
            "InvalidGroupId.Malformed",
        ),
        (
            json!([{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "nobody"}]}]),
            "InvalidGroup.NotFound",
        ),
        (
            json!([{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web, "UserId": "1"}]}]),
            "InvalidGroup.NotFound",
        ),
        (
            json!([{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0"}]}]),
            "InvalidPrefixListID.NotFound",
        ),
        (json!([]), "MissingParameter"),
    ] {
        let request = json!({"GroupId": web, "IpPermissions": permissions});
        assert_eq!(
            world.refused("AuthorizeSecurityGroupIngress", request).await,
            code,
            "{permissions}"
        );
    }
    let dry = json!({"GroupId": web, "IpPermissions": [tcp(23, &["10.0.0.0/8"])], "DryRun": true});
    assert_eq!(
        world.refused("AuthorizeSecurityGroupIngress", dry).await,
        "DryRunOperation"
    );
    assert_eq!(describe(&world, &web).await, before);
}

#[tokio::test]
async fn a_group_of_another_vpc_is_nobody() {
    let world = TestWorld::new().await;
    let (web, vpc) = (make_group(&world, "web").await, make_vpc(&world).await);
    let other = json!({"GroupName": "other", "Description": "d", "VpcId": vpc});
    let other = text(&world.call("CreateSecurityGroup", other).await.unwrap(), "GroupId");
    let request = json!({
        "GroupId": web, "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]}],
    });
    assert_eq!(
        world.refused("AuthorizeSecurityGroupIngress", request).await,
        "InvalidGroup.NotFound"
    );
    // A name means the group in the same VPC.
    let request = json!({
        "GroupId": other, "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "web"}]}],
    });
    assert_eq!(
        world.refused("AuthorizeSecurityGroupEgress", request).await,
        "InvalidGroup.NotFound"
    );
}

#[tokio::test]
async fn a_group_has_a_thousand_rules_each_way_and_no_more() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let ranges: Vec<String> = (0..1000_u16)
        .map(|number| format!("10.0.{}.{}/32", number >> 8, number & 255))
        .collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    assert_eq!(authorize(&world, &web, json!([tcp(22, &ranges)])).await.len(), 1000);
    let one_more = json!({"GroupId": web, "IpPermissions": [tcp(23, &["10.0.0.0/8"])]});
    let refused = world.refused("AuthorizeSecurityGroupIngress", one_more.clone()).await;
    assert_eq!(refused, "RulesPerSecurityGroupLimitExceeded");
    world.call("AuthorizeSecurityGroupEgress", one_more).await.unwrap();
    let shown = describe(&world, &web).await;
    assert_eq!(list(&shown["IpPermissions"][0], "IpRanges").len(), 1000);
}

/// What Terraform's provider does with a new group.
#[tokio::test]
async fn the_rule_that_lets_everything_out_is_revoked_with_ports_that_it_has_not() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let everything = |range: Value| {
        let mut permission = json!({"IpProtocol": "-1", "FromPort": 0, "ToPort": 0});
        permission
            .as_object_mut()
            .unwrap()
            .extend(range.as_object().unwrap().clone());
        json!({"GroupId": web, "IpPermissions": [permission]})
    };
    let ipv4 = everything(json!({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}));
    let ipv6 = everything(json!({"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}));
    let revoked = world.call("RevokeSecurityGroupEgress", ipv4.clone()).await.unwrap();
    let [rule] = list(&revoked, "RevokedSecurityGroupRules").as_slice() else {
        panic!("{revoked}")
    };
    assert_eq!(
        (&rule["CidrIpv4"], &rule["IsEgress"], &rule["FromPort"]),
        (&json!("0.0.0.0/0"), &json!(true), &json!(-1))
    );
    for gone in [ipv4, ipv6] {
        let refused = world.refused("RevokeSecurityGroupEgress", gone).await;
        assert_eq!(refused, "InvalidPermission.NotFound");
    }
    assert_eq!(describe(&world, &web).await["IpPermissionsEgress"], json!([]));
}

#[tokio::test]
async fn rules_are_revoked_all_or_none_by_what_they_say_or_by_their_ids() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let made = authorize(
        &world,
        &web,
        json!([tcp(22, &["10.0.0.0/8", "192.0.2.0/24"]), tcp(80, &["0.0.0.0/0"])]),
    )
    .await;
    let ids: Vec<String> = made.iter().map(|rule| text(rule, "SecurityGroupRuleId")).collect();
    let tag = json!({"Resources": [ids[0]], "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", tag).await.unwrap();
    let by_ids = |ids: &[&String]| json!({"GroupId": web, "SecurityGroupRuleIds": ids});
    let missing = "sgr-0123456789abcdef0".to_owned();
    for (operation, request, code) in [
        (
            "RevokeSecurityGroupIngress",
            by_ids(&[&ids[0], &missing]),
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (
            "RevokeSecurityGroupEgress",
            by_ids(&[&ids[0]]),
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (
            "RevokeSecurityGroupIngress",
            by_ids(&[&"sgr-1".to_owned()]),
            "InvalidSecurityGroupRuleId.Malformed",
        ),
        (
            "RevokeSecurityGroupIngress",
            json!({"GroupId": web}),
            "MissingParameter",
        ),
        (
            "RevokeSecurityGroupIngress",
            json!({"GroupId": web, "SecurityGroupRuleIds": [ids[0]], "IpPermissions": [tcp(80, &["0.0.0.0/0"])]}),
            "InvalidParameterCombination",
        ),
        (
            "RevokeSecurityGroupIngress",
            json!({"GroupId": web, "IpPermissions": [tcp(22, &["10.0.0.0/8", "198.51.100.0/24"])]}),
            "InvalidPermission.NotFound",
        ),
        (
            "RevokeSecurityGroupIngress",
            json!({"GroupId": web, "SecurityGroupRuleIds": [ids[0]], "DryRun": true}),
            "DryRunOperation",
        ),
    ] {
        assert_eq!(world.refused(operation, request.clone()).await, code, "{request}");
    }
    let described = json!({"Filters": [{"Name": "group-id", "Values": [web]}]});
    let all = world
        .call("DescribeSecurityGroupRules", described.clone())
        .await
        .unwrap();
    assert_eq!(list(&all, "SecurityGroupRules").len(), 4);

    let revoked = world
        .call("RevokeSecurityGroupIngress", by_ids(&[&ids[0], &ids[0]]))
        .await
        .unwrap();
    assert_eq!(revoked["RevokedSecurityGroupRules"].as_array().unwrap().len(), 1);
    let rest = json!({"GroupId": web, "IpPermissions": [tcp(22, &["192.0.2.0/24"]), tcp(80, &["0.0.0.0/0"])]});
    world.call("RevokeSecurityGroupIngress", rest).await.unwrap();
    let all = world.call("DescribeSecurityGroupRules", described).await.unwrap();
    let [left] = list(&all, "SecurityGroupRules").as_slice() else {
        panic!("{all}")
    };
    assert_eq!(left["IsEgress"], true);
    assert_eq!(world.call("DescribeTags", json!({})).await.unwrap()["Tags"], json!([]));
}

#[tokio::test]
async fn a_rule_is_modified_in_place() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let made = authorize(&world, &web, json!([tcp(22, &["10.0.0.0/8"]), tcp(80, &["0.0.0.0/0"])])).await;
    let id = text(&made[0], "SecurityGroupRuleId");
    let tag = json!({"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", tag).await.unwrap();
    let update = |rule: Value| {
        json!({
            "GroupId": web, "SecurityGroupRules": [{"SecurityGroupRuleId": id, "SecurityGroupRule": rule}],
        })
    };
    let new = json!({
        "IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIpv6": "2001:db8::/32", "Description": "names",
    });
    assert_eq!(
        world
            .call("ModifySecurityGroupRules", update(new.clone()))
            .await
            .unwrap(),
        json!({"Return": true})
    );
    let described = world
        .call("DescribeSecurityGroupRules", json!({"SecurityGroupRuleIds": [id]}))
        .await
        .unwrap();
    let rule = &described["SecurityGroupRules"][0];
    for (key, value) in new.as_object().unwrap() {
        assert_eq!(&rule[key], value, "{key}");
    }
    assert!(rule.get("CidrIpv4").is_none());
    assert_eq!(rule["Tags"], json!([{"Key": "a", "Value": "b"}]));

    for (rule, code) in [
        (
            json!({"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIpv4": "0.0.0.0/0"}),
            "InvalidPermission.Duplicate",
        ),
        (
            json!({"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}),
            "InvalidPermission.Malformed",
        ),
        (
            json!({"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0", "CidrIpv6": "::/0"}),
            "InvalidPermission.Malformed",
        ),
        (json!({"CidrIpv4": "0.0.0.0/0"}), "MissingParameter"),
        (
            json!({"IpProtocol": "-1", "ReferencedGroupId": "sg-0123456789abcdef0"}),
            "InvalidGroup.NotFound",
        ),
    ] {
        assert_eq!(
            world.refused("ModifySecurityGroupRules", update(rule.clone())).await,
            code,
            "{rule}"
        );
    }
    let other = make_group(&world, "other").await;
    let elsewhere = json!({
        "GroupId": other, "SecurityGroupRules": [{"SecurityGroupRuleId": id, "SecurityGroupRule": new}],
    });
    let refused = world.refused("ModifySecurityGroupRules", elsewhere).await;
    assert_eq!(refused, "InvalidSecurityGroupRuleId.NotFound");
}

#[tokio::test]
async fn descriptions_are_written_by_what_rules_say_or_by_their_ids() {
    let world = TestWorld::new().await;
    let web = make_group(&world, "web").await;
    let made = authorize(&world, &web, json!([tcp(22, &["10.0.0.0/8"]), tcp(80, &["0.0.0.0/0"])])).await;
    let id = text(&made[1], "SecurityGroupRuleId");
    let mut permission = tcp(22, &["10.0.0.0/8"]);
    permission["IpRanges"][0]["Description"] = json!("us");
    let operation = "UpdateSecurityGroupRuleDescriptionsIngress";
    let request = json!({"GroupName": "web", "IpPermissions": [permission]});
    assert_eq!(world.call(operation, request).await.unwrap(), json!({"Return": true}));
    let by_id = json!({"SecurityGroupRuleId": id, "Description": "all"});
    let request = json!({"GroupId": web, "SecurityGroupRuleDescriptions": [by_id]});
    world.call(operation, request.clone()).await.unwrap();
    let group = describe(&world, &web).await;
    assert_eq!(group["IpPermissions"][0]["IpRanges"][0]["Description"], "us");
    assert_eq!(group["IpPermissions"][1]["IpRanges"][0]["Description"], "all");

    world
        .call(
            operation,
            json!({"GroupId": web, "IpPermissions": [tcp(22, &["10.0.0.0/8"])]}),
        )
        .await
        .unwrap();
    let group = describe(&world, &web).await;
    assert_eq!(group["IpPermissions"][0]["IpRanges"], json!([{"CidrIp": "10.0.0.0/8"}]));
    for (operation, request, code) in [
        (operation, json!({"GroupId": web}), "MissingParameter"),
        (
            operation,
            json!({"GroupId": web, "IpPermissions": [tcp(23, &["10.0.0.0/8"])]}),
            "InvalidPermission.NotFound",
        ),
        (
            "UpdateSecurityGroupRuleDescriptionsEgress",
            request,
            "InvalidSecurityGroupRuleId.NotFound",
        ),
    ] {
        assert_eq!(world.refused(operation, request).await, code);
    }
}
