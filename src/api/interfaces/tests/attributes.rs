//! Attributes: changed one at a time, and shown one at a time.

use super::super::super::vpcs::tests::text;
use super::{create, described, world_with_instance};
use serde_json::json;

#[tokio::test]
async fn attributes_are_changed_one_at_a_time() {
    let (world, _, subnet, primary) = world_with_instance().await;
    let vpc = text(&described(&world, &primary).await, "VpcId");
    let group = json!({"GroupName": "g", "Description": "g", "VpcId": vpc});
    let group = text(&world.call("CreateSecurityGroup", group).await.unwrap(), "GroupId");
    let attachment = text(&described(&world, &primary).await["Attachment"], "AttachmentId");
    let with = |change: serde_json::Value| {
        let mut request = json!({"NetworkInterfaceId": primary});
        request
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        request
    };
    for change in [
        json!({"Description": {"Value": "front"}}),
        json!({"SourceDestCheck": {"Value": false}}),
        json!({"Groups": [group]}),
        json!({"Attachment": {"AttachmentId": attachment, "DeleteOnTermination": false}}),
    ] {
        world
            .call("ModifyNetworkInterfaceAttribute", with(change))
            .await
            .unwrap();
    }
    let shown = described(&world, &primary).await;
    assert_eq!(text(&shown, "Description"), "front");
    assert_eq!(shown["SourceDestCheck"], json!(false));
    assert_eq!(shown["Groups"], json!([{"GroupId": group, "GroupName": "g"}]));
    assert_eq!(shown["Attachment"]["DeleteOnTermination"], json!(false));
    for (attribute, member) in [
        ("description", "Description"),
        ("sourceDestCheck", "SourceDestCheck"),
        ("groupSet", "Groups"),
        ("attachment", "Attachment"),
    ] {
        let request = with(json!({"Attribute": attribute}));
        let answer = world.call("DescribeNetworkInterfaceAttribute", request).await.unwrap();
        let one = &answer[member];
        assert_eq!(*one.get("Value").unwrap_or(one), shown[member], "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
    }
    world
        .call(
            "ResetNetworkInterfaceAttribute",
            with(json!({"SourceDestCheck": "sourceDestCheck"})),
        )
        .await
        .unwrap();
    assert_eq!(described(&world, &primary).await["SourceDestCheck"], json!(true));

    let free = text(&create(&world, json!({"SubnetId": subnet})).await, "NetworkInterfaceId");
    for (change, code) in [
        (json!({}), "MissingParameter"),
        (
            json!({"Description": {"Value": "a"}, "SourceDestCheck": {"Value": true}}),
            "InvalidParameterCombination",
        ),
        (json!({"Attachment": {"AttachmentId": attachment}}), "MissingParameter"),
        (
            json!({"NetworkInterfaceId": free, "Attachment": {"AttachmentId": attachment, "DeleteOnTermination": true}}),
            "InvalidAttachmentID.NotFound",
        ),
        (json!({"Groups": ["sg-00000000000000001"]}), "InvalidGroup.NotFound"),
    ] {
        let refused = world
            .refused("ModifyNetworkInterfaceAttribute", with(change.clone()))
            .await;
        assert_eq!(refused, code, "{change}");
    }
}
