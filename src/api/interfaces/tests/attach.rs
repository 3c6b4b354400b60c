//! Attaching to instances that are stopped, and detaching from them.

use super::super::super::vpcs::tests::{make_subnet, make_vpc, text};
use super::{create, described, world_with_instance};
use serde_json::json;

#[tokio::test]
async fn a_stopped_instance_is_given_an_interface_and_gives_it_up() {
    let (world, instance, subnet, _) = world_with_instance().await;
    let id = text(&create(&world, json!({"SubnetId": subnet})).await, "NetworkInterfaceId");
    let attach = json!({"NetworkInterfaceId": id, "InstanceId": instance, "DeviceIndex": 1});
    let dry = json!({"NetworkInterfaceId": id, "InstanceId": instance, "DeviceIndex": 1, "DryRun": true});
    assert_eq!(
        world.refused("AttachNetworkInterface", dry.clone()).await,
        "DryRunOperation"
    );
    let attached = world.call("AttachNetworkInterface", attach.clone()).await.unwrap();
    let attachment = text(&attached, "AttachmentId");
    let shown = described(&world, &id).await;
    assert_eq!(text(&shown, "Status"), "in-use");
    for (member, value) in [
        ("AttachmentId", json!(attachment)),
        ("InstanceId", json!(instance)),
        ("DeviceIndex", json!(1)),
        ("Status", json!("attached")),
        ("DeleteOnTermination", json!(false)),
    ] {
        assert_eq!(shown["Attachment"][member], value, "{member}");
    }
    for request in [attach, dry] {
        assert_eq!(
            world.refused("AttachNetworkInterface", request).await,
            "InvalidNetworkInterface.InUse"
        );
    }
    let request = json!({"InstanceIds": [instance]});
    let answer = world.call("DescribeInstances", request).await.unwrap();
    let interfaces = &answer["Reservations"][0]["Instances"][0]["NetworkInterfaces"];
    assert_eq!(interfaces[1]["NetworkInterfaceId"], json!(id));

    let detach = json!({"AttachmentId": attachment});
    world.call("DetachNetworkInterface", detach.clone()).await.unwrap();
    let shown = described(&world, &id).await;
    assert_eq!(
        (text(&shown, "Status"), shown.get("Attachment")),
        ("available".into(), None)
    );
    assert_eq!(
        world.refused("DetachNetworkInterface", detach).await,
        "InvalidAttachmentID.NotFound"
    );
}

#[tokio::test]
async fn what_cant_be_attached_is_refused_by_ec2s_codes() {
    let (world, instance, subnet, primary) = world_with_instance().await;
    let id = text(&create(&world, json!({"SubnetId": subnet})).await, "NetworkInterfaceId");
    let elsewhere = make_vpc(&world, "10.1.0.0/16").await;
    let elsewhere = make_subnet(&world, &elsewhere, "10.1.0.0/24").await;
    let foreign = text(
        &create(&world, json!({"SubnetId": elsewhere})).await,
        "NetworkInterfaceId",
    );
    for (interface, instance, index, code) in [
        (id.as_str(), instance.as_str(), 0, "InvalidParameterValue"),
        (&id, &instance, 8, "AttachmentLimitExceeded"),
        (&id, &instance, -1, "InvalidParameterValue"),
        (&id, "i-00000000000000001", 1, "InvalidInstanceID.NotFound"),
        (&id, "i-1", 1, "InvalidInstanceID.Malformed"),
        (
            "eni-00000000000000001",
            &instance,
            1,
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (&foreign, &instance, 1, "InvalidParameterCombination"),
        (&primary, &instance, 1, "InvalidNetworkInterface.InUse"),
    ] {
        let request = json!({"NetworkInterfaceId": interface, "InstanceId": instance, "DeviceIndex": index});
        assert_eq!(
            world.refused("AttachNetworkInterface", request.clone()).await,
            code,
            "{request}"
        );
    }
    let attachment = text(&described(&world, &primary).await["Attachment"], "AttachmentId");
    let detach = json!({"AttachmentId": attachment});
    assert_eq!(
        world.refused("DetachNetworkInterface", detach).await,
        "OperationNotPermitted"
    );
}
