use super::*;

/// The blocks of a list, in a version or the current one.
async fn blocks(world: &TestWorld, list_id: &str, version: Option<u32>) -> Vec<String> {
    let mut request = json!({"PrefixListId": list_id});
    if let Some(version) = version {
        request["TargetVersion"] = json!(version);
    }
    let answer = world.call("GetManagedPrefixListEntries", request).await.unwrap();
    list(&answer, "Entries")
        .iter()
        .map(|entry| text(entry, "Cidr"))
        .collect()
}

#[tokio::test]
async fn a_list_is_made_once_a_client_token() {
    let world = TestWorld::new().await;
    let mut request = json!({
        "PrefixListName": "offices", "AddressFamily": "IPv6", "MaxEntries": 2, "ClientToken": "t",
        "Entries": [{"Cidr": "2001:db8::1/32", "Description": "ours"}],
        "TagSpecifications": [{"ResourceType": "prefix-list", "Tags": [{"Key": "of", "Value": "me"}]}],
    });
    let made = world.call("CreateManagedPrefixList", request.clone()).await.unwrap();
    let id = text(&made["PrefixList"], "PrefixListId");
    let expected = json!({
        "PrefixListId": id,
        "PrefixListArn": format!("arn:aws:ec2:local-1:000000000000:prefix-list/{id}"),
        "PrefixListName": "offices",
        "AddressFamily": "IPv6",
        "State": "create-complete",
        "MaxEntries": 2,
        "Version": 1,
        "OwnerId": "000000000000",
        "Tags": [{"Key": "of", "Value": "me"}],
    });
    assert_eq!(made["PrefixList"], expected);
    let world = world.restart().await;
    let again = world.call("CreateManagedPrefixList", request.clone()).await.unwrap();
    assert_eq!(again, made);
    request["MaxEntries"] = json!(3);
    let refused = world.refused("CreateManagedPrefixList", request).await;
    assert_eq!(refused, "IdempotentParameterMismatch");

    let filter =
        json!({"Filters": [{"Name": "prefix-list-name", "Values": ["off*"]}, {"Name": "tag:of", "Values": ["me"]}]});
    let described = world.call("DescribeManagedPrefixLists", filter).await.unwrap();
    assert_eq!(described, json!({"PrefixLists": [expected]}));
    let entries = world
        .call("GetManagedPrefixListEntries", json!({"PrefixListId": id}))
        .await
        .unwrap();
    assert_eq!(
        entries,
        json!({"Entries": [{"Cidr": "2001:db8::/32", "Description": "ours"}]})
    );
}

#[tokio::test]
async fn other_entries_are_a_new_version_and_the_old_ones_can_still_be_read() {
    let world = TestWorld::new().await;
    let id = make_list(&world, &["10.0.0.0/8", "192.0.2.0/24"]).await;
    let modify = json!({
        "PrefixListId": id, "CurrentVersion": 1,
        "RemoveEntries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "192.0.2.0/24"}],
        "AddEntries": [{"Cidr": "192.0.2.0/24", "Description": "again"}, {"Cidr": "198.51.100.0/24"}],
    });
    let modified = world.call("ModifyManagedPrefixList", modify.clone()).await.unwrap();
    assert_eq!(modified["PrefixList"]["Version"], 2);
    assert_eq!(modified["PrefixList"]["State"], "modify-complete");
    assert_eq!(
        world.refused("ModifyManagedPrefixList", modify).await,
        "PrefixListVersionMismatch"
    );
    let third = json!({"PrefixListId": id, "CurrentVersion": 2, "AddEntries": [{"Cidr": "10.0.0.0/8"}]});
    world.call("ModifyManagedPrefixList", third).await.unwrap();
    // A name and a size are no version.
    let renamed = json!({"PrefixListId": id, "PrefixListName": "sites", "MaxEntries": 4});
    let renamed = world.call("ModifyManagedPrefixList", renamed).await.unwrap();
    assert_eq!(
        (
            &renamed["PrefixList"]["PrefixListName"],
            &renamed["PrefixList"]["Version"]
        ),
        (&json!("sites"), &json!(3))
    );

    assert_eq!(blocks(&world, &id, Some(1)).await, ["10.0.0.0/8", "192.0.2.0/24"]);
    assert_eq!(blocks(&world, &id, Some(2)).await, ["192.0.2.0/24", "198.51.100.0/24"]);
    let current = ["10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24"];
    assert_eq!(blocks(&world, &id, Some(3)).await, current);
    assert_eq!(blocks(&world, &id, None).await, current);
    for version in [0, 4, -1] {
        let request = json!({"PrefixListId": id, "TargetVersion": version});
        assert_eq!(
            world.refused("GetManagedPrefixListEntries", request).await,
            "InvalidParameterValue"
        );
    }
    let mut pages = Vec::new();
    let mut request = json!({"PrefixListId": id, "MaxResults": 2});
    loop {
        let page = world
            .call("GetManagedPrefixListEntries", request.clone())
            .await
            .unwrap();
        pages.extend(list(&page, "Entries").iter().map(|entry| text(entry, "Cidr")));
        let Some(token) = page.get("NextToken") else { break };
        request["NextToken"] = token.clone();
    }
    assert_eq!(pages, current);
}

#[tokio::test]
async fn a_list_that_a_rule_names_stays_and_one_that_none_names_goes_with_its_tags() {
    let world = TestWorld::new().await;
    let (id, web) = (
        make_list(&world, &["10.0.0.0/8"]).await,
        make_group(&world, "web").await,
    );
    let rule = json!([{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": id}]}]);
    authorize(&world, &web, rule.clone()).await;
    let request = json!({"PrefixListId": id});
    let refused = world
        .call("DeleteManagedPrefixList", request.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_str(), "DependencyViolation");
    assert!(refused.message.contains(&web), "{refused}");
    let revoke = json!({"GroupId": web, "IpPermissions": rule});
    world.call("RevokeSecurityGroupIngress", revoke).await.unwrap();
    let tag = json!({"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]});
    world.call("CreateTags", tag).await.unwrap();
    let deleted = world.call("DeleteManagedPrefixList", request.clone()).await.unwrap();
    assert_eq!(deleted["PrefixList"]["State"], "delete-complete");
    assert_eq!(
        world.refused("DeleteManagedPrefixList", request).await,
        "InvalidPrefixListID.NotFound"
    );
    assert_eq!(world.call("DescribeTags", json!({})).await.unwrap()["Tags"], json!([]));
}

#[tokio::test]
async fn what_is_no_list_is_told_in_ec2s_codes() {
    let world = TestWorld::new().await;
    let id = make_list(&world, &["10.0.0.0/8"]).await;
    let create = |change: Value| {
        let mut request = json!({"PrefixListName": "l", "AddressFamily": "IPv4", "MaxEntries": 1, "Entries": []});
        request
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        ("CreateManagedPrefixList", request)
    };
    let modify = |change: Value| {
        let mut request = json!({"PrefixListId": id});
        request
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        ("ModifyManagedPrefixList", request)
    };
    for ((operation, request), code) in [
        (create(json!({"PrefixListName": ""})), "InvalidParameterValue"),
        (
            create(json!({"PrefixListName": "com.amazonaws.x"})),
            "InvalidParameterValue",
        ),
        (create(json!({"AddressFamily": "IPv5"})), "InvalidParameterValue"),
        (create(json!({"MaxEntries": 0})), "InvalidParameterValue"),
        (create(json!({"MaxEntries": 1001})), "InvalidParameterValue"),
        (create(json!({"Entries": [{"Cidr": "::/0"}]})), "InvalidParameterValue"),
        (
            create(json!({"Entries": [{"Cidr": "10.0.0.1"}]})),
            "InvalidParameterValue",
        ),
        (
            create(json!({"Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "11.0.0.0/8"}]})),
            "PrefixListMaxEntriesExceeded",
        ),
        (
            create(json!({"MaxEntries": 2, "Entries": [{"Cidr": "10.0.0.0/8"}, {"Cidr": "10.1.0.0/8"}]})),
            "InvalidParameterValue",
        ),
        (create(json!({"DryRun": true})), "DryRunOperation"),
        (modify(json!({})), "MissingParameter"),
        (
            modify(json!({"MaxEntries": 2, "AddEntries": [{"Cidr": "11.0.0.0/8"}]})),
            "InvalidParameterCombination",
        ),
        (
            modify(json!({"AddEntries": [{"Cidr": "10.0.0.0/8"}]})),
            "InvalidPrefixListModification",
        ),
        (
            modify(json!({"RemoveEntries": [{"Cidr": "11.0.0.0/8"}]})),
            "InvalidPrefixListModification",
        ),
        (
            modify(json!({"AddEntries": [{"Cidr": "1.0.0.0/8"}, {"Cidr": "2.0.0.0/8"}, {"Cidr": "3.0.0.0/8"}]})),
            "PrefixListMaxEntriesExceeded",
        ),
        (
            modify(json!({"PrefixListId": "pl-1", "PrefixListName": "x"})),
            "InvalidPrefixListId.Malformed",
        ),
        (
            modify(json!({"PrefixListId": "pl-0123456789abcdef0", "PrefixListName": "x"})),
            "InvalidPrefixListID.NotFound",
        ),
    ] {
        assert_eq!(world.refused(operation, request.clone()).await, code, "{request}");
    }
    let lists = world.call("DescribeManagedPrefixLists", json!({})).await.unwrap();
    assert_eq!(list(&lists, "PrefixLists").len(), 1);
    assert_eq!(lists["PrefixLists"][0]["Version"], 1);
}

#[tokio::test]
async fn amazons_services_have_no_lists_here() {
    let world = TestWorld::new().await;
    let id = make_list(&world, &[]).await;
    assert_eq!(
        world.call("DescribePrefixLists", json!({})).await.unwrap(),
        json!({"PrefixLists": []})
    );
    let refused = world
        .refused("DescribePrefixLists", json!({"PrefixListIds": [id]}))
        .await;
    assert_eq!(refused, "InvalidPrefixListID.NotFound");
}
