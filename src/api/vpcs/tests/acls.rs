//! Network ACLs.

use super::super::super::testing::TestWorld;
use super::{filter, list, make_subnet, make_vpc, only, tagged, text};
use serde_json::{Value, json};

async fn make_acl(world: &TestWorld, vpc: &str) -> String {
    let made = world.call("CreateNetworkAcl", json!({"VpcId": vpc})).await.unwrap();
    text(&made["NetworkAcl"], "NetworkAclId")
}

/// An entry that lets TCP to port 22 in.
fn ssh(acl: &str, number: i64) -> Value {
    json!({
        "NetworkAclId": acl, "Egress": false, "RuleNumber": number, "RuleAction": "allow", "Protocol": "tcp",
        "CidrBlock": "10.9.8.7/8", "PortRange": {"From": 22, "To": 22},
    })
}

fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}

async fn entries(world: &TestWorld, acl: &str) -> Value {
    let described = world
        .call("DescribeNetworkAcls", json!({"NetworkAclIds": [acl]}))
        .await
        .unwrap();
    described["NetworkAcls"][0]["Entries"].clone()
}

fn last(egress: bool) -> Value {
    json!({"Egress": egress, "RuleNumber": 32767, "RuleAction": "deny", "Protocol": "-1", "CidrBlock": "0.0.0.0/0"})
}

#[tokio::test]
async fn a_new_acl_denies_everything_and_is_made_once_for_a_token() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let request = json!({"VpcId": vpc, "ClientToken": "once", "TagSpecifications": tagged("network-acl")});
    let made = world.call("CreateNetworkAcl", request.clone()).await.unwrap();
    assert_eq!(made["NetworkAcl"]["Entries"], json!([last(true), last(false)]));
    assert_eq!(world.call("CreateNetworkAcl", request).await.unwrap(), made);
    let other = json!({"VpcId": vpc, "ClientToken": "once"});
    assert_eq!(
        world.refused("CreateNetworkAcl", other).await,
        "IdempotentParameterMismatch"
    );
    let id = json!({"NetworkAclId": made["NetworkAcl"]["NetworkAclId"]});
    world.call("DeleteNetworkAcl", id.clone()).await.unwrap();
    assert_eq!(
        world.refused("DeleteNetworkAcl", id).await,
        "InvalidNetworkAclID.NotFound"
    );
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn entries_are_kept_by_direction_and_number_and_shown_as_they_were_given() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let acl = make_acl(&world, &vpc).await;
    let entry = |number: i64, further: Value| {
        let mut entry = json!({"NetworkAclId": acl, "Egress": true, "RuleNumber": number, "RuleAction": "deny"});
        entry
            .as_object_mut()
            .unwrap()
            .extend(further.as_object().unwrap().clone());
        entry
    };
    for request in [
        ssh(&acl, 110),
        with(ssh(&acl, 100), "Protocol", "17".into()),
        entry(
            5,
            json!({"Protocol": "1", "IcmpTypeCode": {"Type": 8, "Code": -1}, "CidrBlock": "0.0.0.0/0"}),
        ),
        entry(
            6,
            json!({"Protocol": "58", "IcmpTypeCode": {"Type": -1, "Code": -1}, "Ipv6CidrBlock": "fd00::1/8"}),
        ),
        entry(
            7,
            json!({"Protocol": "47", "CidrBlock": "192.0.2.0/24", "PortRange": {"From": 1, "To": 2}}),
        ),
    ] {
        world.call("CreateNetworkAclEntry", request).await.unwrap();
    }
    let shown = |egress: bool, number: i64, action: &str, protocol: &str, further: Value| {
        let mut entry = json!({"Egress": egress, "RuleNumber": number, "RuleAction": action, "Protocol": protocol});
        entry
            .as_object_mut()
            .unwrap()
            .extend(further.as_object().unwrap().clone());
        entry
    };
    let port = json!({"CidrBlock": "10.0.0.0/8", "PortRange": {"From": 22, "To": 22}});
    let world = world.restart().await;
    assert_eq!(
        entries(&world, &acl).await,
        json!([
            shown(
                true,
                5,
                "deny",
                "1",
                json!({"CidrBlock": "0.0.0.0/0", "IcmpTypeCode": {"Type": 8, "Code": -1}})
            ),
            shown(
                true,
                6,
                "deny",
                "58",
                json!({"Ipv6CidrBlock": "fd00::/8", "IcmpTypeCode": {"Type": -1, "Code": -1}})
            ),
            shown(true, 7, "deny", "47", json!({"CidrBlock": "192.0.2.0/24"})),
            last(true),
            shown(false, 100, "allow", "17", port.clone()),
            shown(false, 110, "allow", "6", port),
            last(false),
        ])
    );
    for (name, value, count) in [
        ("entry.protocol", "tcp", 1),
        ("entry.protocol", "17", 1),
        ("entry.icmp.type", "8", 1),
        ("entry.ipv6-cidr", "fd*", 1),
        ("entry.port-range.from", "22", 1),
        ("entry.rule-number", "32767", 3),
        ("entry.rule-number", "9", 0),
    ] {
        let found = world.call("DescribeNetworkAcls", filter(name, value)).await.unwrap();
        assert_eq!(list(&found, "NetworkAcls").len(), count, "{name}={value}");
    }
}

#[tokio::test]
async fn an_entry_is_replaced_where_it_is_and_deleted_where_it_was() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let acl = make_acl(&world, &vpc).await;
    world.call("CreateNetworkAclEntry", ssh(&acl, 1)).await.unwrap();
    let again = world.refused("CreateNetworkAclEntry", ssh(&acl, 1)).await;
    assert_eq!(again, "NetworkAclEntryAlreadyExists");
    // The other way the number is free.
    let outward = with(ssh(&acl, 1), "Egress", true.into());
    assert_eq!(
        world.refused("ReplaceNetworkAclEntry", outward.clone()).await,
        "InvalidNetworkAclEntry.NotFound"
    );
    world.call("CreateNetworkAclEntry", outward).await.unwrap();
    let denied = with(ssh(&acl, 1), "RuleAction", "deny".into());
    world.call("ReplaceNetworkAclEntry", denied).await.unwrap();
    assert_eq!(entries(&world, &acl).await[2]["RuleAction"], "deny");
    let delete = json!({"NetworkAclId": acl, "Egress": false, "RuleNumber": 1});
    world.call("DeleteNetworkAclEntry", delete.clone()).await.unwrap();
    assert_eq!(
        world.refused("DeleteNetworkAclEntry", delete).await,
        "InvalidNetworkAclEntry.NotFound"
    );
    assert_eq!(entries(&world, &acl).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn entries_that_mean_nothing_and_too_many_are_refused() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let acl = make_acl(&world, &vpc).await;
    let request = ssh(&acl, 1);
    let without = |member: &str| {
        let mut request = request.clone();
        request.as_object_mut().unwrap().remove(member);
        request
    };
    for (request, code) in [
        (ssh(&acl, 0), "InvalidParameterValue"),
        (ssh(&acl, 32767), "InvalidParameterValue"),
        (ssh(&acl, -1), "InvalidParameterValue"),
        (without("PortRange"), "MissingParameter"),
        (without("CidrBlock"), "MissingParameter"),
        (
            with(request.clone(), "Ipv6CidrBlock", "::/0".into()),
            "InvalidParameterCombination",
        ),
        (
            with(request.clone(), "CidrBlock", "::/0".into()),
            "InvalidParameterValue",
        ),
        (
            with(request.clone(), "PortRange", json!({"From": 23, "To": 22})),
            "InvalidParameterValue",
        ),
        (with(request.clone(), "Protocol", "ftp".into()), "InvalidParameterValue"),
        (with(request.clone(), "Protocol", "256".into()), "InvalidParameterValue"),
        (with(request.clone(), "Protocol", "1".into()), "MissingParameter"),
        (
            with(
                with(request.clone(), "Protocol", "58".into()),
                "IcmpTypeCode",
                json!({"Type": 1, "Code": 0}),
            ),
            "InvalidParameterValue",
        ),
        (
            with(request.clone(), "NetworkAclId", "acl-1".into()),
            "InvalidNetworkAclId.Malformed",
        ),
        (
            with(request.clone(), "NetworkAclId", "acl-00000000000000001".into()),
            "InvalidNetworkAclID.NotFound",
        ),
        (with(request.clone(), "DryRun", true.into()), "DryRunOperation"),
    ] {
        assert_eq!(
            world.refused("CreateNetworkAclEntry", request.clone()).await,
            code,
            "{request}"
        );
    }
    for number in 1..=40 {
        world.call("CreateNetworkAclEntry", ssh(&acl, number)).await.unwrap();
    }
    let refused = world.refused("CreateNetworkAclEntry", ssh(&acl, 41)).await;
    assert_eq!(refused, "NetworkAclEntryLimitExceeded");
}

#[tokio::test]
async fn a_subnet_always_uses_one_acl_and_the_default_one_stays() {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    let default = only(&world, "DescribeNetworkAcls", &vpc, ("association.subnet-id", &subnet)).await;
    let default_id = text(&default, "NetworkAclId");
    let delete = |acl: &str| json!({"NetworkAclId": acl});
    assert_eq!(
        world.refused("DeleteNetworkAcl", delete(&default_id)).await,
        "InvalidParameterValue"
    );

    let acl = make_acl(&world, &vpc).await;
    let replace = |association: &Value, acl: &str| json!({"AssociationId": association, "NetworkAclId": acl});
    let old = &default["Associations"][0]["NetworkAclAssociationId"];
    let replaced = world
        .call("ReplaceNetworkAclAssociation", replace(old, &acl))
        .await
        .unwrap();
    let used = only(&world, "DescribeNetworkAcls", &vpc, ("association.subnet-id", &subnet)).await;
    assert_eq!(text(&used, "NetworkAclId"), acl);
    assert_eq!(
        used["Associations"][0]["NetworkAclAssociationId"],
        replaced["NewAssociationId"]
    );
    assert_eq!(
        world.refused("DeleteNetworkAcl", delete(&acl)).await,
        "DependencyViolation"
    );

    let other_vpc = make_vpc(&world, "10.0.0.0/16").await;
    let far = make_acl(&world, &other_vpc).await;
    let new = &replaced["NewAssociationId"];
    let replace_far = world.refused("ReplaceNetworkAclAssociation", replace(new, &far)).await;
    assert_eq!(replace_far, "InvalidParameterValue");
    let gone = world.refused("ReplaceNetworkAclAssociation", replace(old, &acl)).await;
    assert_eq!(gone, "InvalidAssociationID.NotFound");
    world
        .call("ReplaceNetworkAclAssociation", replace(new, &default_id))
        .await
        .unwrap();
    world.call("DeleteNetworkAcl", delete(&acl)).await.unwrap();
}
