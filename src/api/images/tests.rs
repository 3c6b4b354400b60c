//! Images made of snapshots.

use super::super::testing::{TestWorld, file};
use crate::model::ImageOwner;
use crate::store;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A world with a completed snapshot of 3 GiB in it.
async fn world() -> (TestWorld, String) {
    let world = TestWorld::new().await;
    let request = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0"}});
    let task = world
        .call_with("ImportSnapshot", request, vec![file(b"disk", 3 << 30)])
        .await
        .unwrap();
    let task = world.ended(&task).await;
    let snapshot = task["SnapshotTaskDetail"]["SnapshotId"].as_str().unwrap().to_owned();
    (world, snapshot)
}

fn register(name: &str, snapshot: &str, more: Value) -> Value {
    let mut request = json!({
        "Name": name,
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}],
    });
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    request
}

#[tokio::test]
async fn an_image_is_registered_from_a_snapshot_and_described_as_ec2_does() {
    let (world, snapshot) = world().await;
    let tags = json!({"TagSpecifications": [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]});
    let answer = world
        .call("RegisterImage", register("mine", &snapshot, tags))
        .await
        .unwrap();
    let described = world
        .call("DescribeImages", json!({"ImageIds": [answer["ImageId"]]}))
        .await
        .unwrap();
    let image = &described["Images"][0];
    for (member, expected) in [
        ("Architecture", json!("x86_64")),
        ("ImageLocation", json!("000000000000/mine")),
        ("ImageType", json!("machine")),
        ("OwnerId", json!("000000000000")),
        ("Public", json!(false)),
        ("RootDeviceType", json!("ebs")),
        ("State", json!("available")),
        ("Tags", json!([{"Key": "a", "Value": "b"}])),
        ("VirtualizationType", json!("hvm")),
    ] {
        assert_eq!(image[member], expected, "{member}");
    }
    let ebs = json!({
        "SnapshotId": snapshot, "VolumeSize": 3, "VolumeType": "gp3", "DeleteOnTermination": true, "Encrypted": false,
    });
    assert_eq!(
        image["BlockDeviceMappings"],
        json!([{"DeviceName": "/dev/sda1", "Ebs": ebs}])
    );
    assert!(image.get("KernelId").is_none() && image.get("Description").is_none());
    assert!(image["CreationDate"].as_str().unwrap().ends_with(".000Z"));
}

#[tokio::test]
async fn what_can_be_no_image_is_refused_with_ec2s_codes() {
    let (world, snapshot) = world().await;
    world
        .call("RegisterImage", register("taken", &snapshot, json!({})))
        .await
        .unwrap();
    let missing = "snap-00000000000000001";
    let sized = |size: i64| {
        let ebs = json!({"SnapshotId": snapshot, "VolumeSize": size});
        json!({"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": ebs}]})
    };
    for (code, request) in [
        ("InvalidAMIName.Duplicate", register("taken", &snapshot, json!({}))),
        ("InvalidAMIName.Malformed", register("a;b;c", &snapshot, json!({}))),
        ("InvalidSnapshot.NotFound", register("new", missing, json!({}))),
        ("InvalidSnapshotID.Malformed", register("new", "snap-1", json!({}))),
        ("InvalidBlockDeviceMapping", register("new", &snapshot, sized(2))),
        ("InvalidParameterValue", register("new", &snapshot, sized(0))),
        (
            "InvalidBlockDeviceMapping",
            register("new", &snapshot, json!({"RootDeviceName": "/dev/sdb"})),
        ),
        (
            "MissingParameter",
            register("new", &snapshot, json!({"BlockDeviceMappings": []})),
        ),
        (
            "InvalidAKIID.NotFound",
            register("new", &snapshot, json!({"KernelId": "aki-00000000000000001"})),
        ),
        (
            "InvalidAKIID.Malformed",
            register("new", &snapshot, json!({"KernelId": "aki-x"})),
        ),
        (
            "InvalidParameterCombination",
            register("new", &snapshot, json!({"RamdiskId": "ari-00000000000000001"})),
        ),
        (
            "UnsupportedOperation",
            register("new", &snapshot, json!({"BootMode": "uefi"})),
        ),
        (
            "UnsupportedOperation",
            register("new", &snapshot, json!({"Architecture": "i386"})),
        ),
        (
            "UnsupportedOperation",
            register("new", &snapshot, json!({"ImdsSupport": "v2.0"})),
        ),
        ("UnknownParameter", register("new", &snapshot, json!({"Colour": "red"}))),
        ("DryRunOperation", register("new", &snapshot, json!({"DryRun": true}))),
    ] {
        assert_eq!(world.refused("RegisterImage", request.clone()).await, code, "{request}");
    }
    let images = world.call("DescribeImages", json!({})).await.unwrap();
    assert_eq!(images["Images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn images_are_found_by_filters_owners_and_ids() {
    let (world, snapshot) = world().await;
    for name in ["web-1", "web-2", "db-1"] {
        world
            .call("RegisterImage", register(name, &snapshot, json!({"Description": name})))
            .await
            .unwrap();
    }
    let count = async |request: Value| {
        let answer = world.call("DescribeImages", request).await.unwrap();
        answer["Images"].as_array().unwrap().len()
    };
    let filter = |name: &str, value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
    for (name, value, expected) in [
        ("name", "web-*", 2),
        ("name", "web-?", 2),
        ("name", "WEB-*", 0),
        ("block-device-mapping.snapshot-id", snapshot.as_str(), 3),
        ("block-device-mapping.volume-size", "3", 3),
        ("is-public", "true", 0),
        ("platform", "windows", 0),
        ("root-device-type", "ebs", 3),
    ] {
        assert_eq!(count(filter(name, value)).await, expected, "{name}={value}");
    }
    assert_eq!(count(json!({"Owners": ["self"]})).await, 3);
    assert_eq!(count(json!({"Owners": ["000000000000", "amazon"]})).await, 3);
    assert_eq!(count(json!({"Owners": ["amazon"]})).await, 0);
    assert_eq!(count(json!({"ExecutableUsers": ["all"]})).await, 0);
    assert_eq!(
        world.refused("DescribeImages", filter("colour", "red")).await,
        "InvalidParameterValue"
    );
    let unknown = json!({"ImageIds": ["ami-00000000000000001"]});
    assert_eq!(world.refused("DescribeImages", unknown).await, "InvalidAMIID.NotFound");
    assert_eq!(
        world.refused("DescribeImages", json!({"ImageIds": ["i-1"]})).await,
        "InvalidAMIID.Malformed"
    );
}

#[tokio::test]
async fn a_snapshot_stays_as_long_as_an_image_needs_it() {
    let (world, snapshot) = world().await;
    let mut images = Vec::new();
    for name in ["one", "two"] {
        let answer = world
            .call("RegisterImage", register(name, &snapshot, json!({})))
            .await
            .unwrap();
        images.push(answer["ImageId"].clone());
    }
    assert_eq!(
        world.refused("DeleteSnapshot", json!({"SnapshotId": snapshot})).await,
        "InvalidSnapshot.InUse"
    );
    let dry = json!({"ImageId": images[0], "DryRun": true});
    assert_eq!(world.refused("DeregisterImage", dry).await, "DryRunOperation");
    for (image, code) in images.iter().zip(["skipped", "success"]) {
        let request = json!({"ImageId": image, "DeleteAssociatedSnapshots": true});
        let answer = world.call("DeregisterImage", request.clone()).await.unwrap();
        assert_eq!(answer["DeleteSnapshotResults"][0]["ReturnCode"], code);
        assert_eq!(world.refused("DeregisterImage", request).await, "InvalidAMIID.NotFound");
    }
    world.assert_files(&[]).await;
}

#[tokio::test]
async fn an_image_is_what_its_owner_says_of_it() {
    let (world, snapshot) = world().await;
    let made = world
        .call("RegisterImage", register("mine", &snapshot, json!({})))
        .await
        .unwrap();
    let id = made["ImageId"].as_str().unwrap();
    let of = |more: Value| {
        let mut request = json!({"ImageId": id});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let shown = |filters: Value| {
        let world = &world;
        async move { world.call("DescribeImages", filters).await.unwrap()["Images"].clone() }
    };
    let attribute = |name: &str| {
        let (world, request) = (&world, of(json!({"Attribute": name})));
        async move { world.call("DescribeImageAttribute", request).await.unwrap() }
    };
    for change in [
        json!({"Description": {"Value": "the first"}}),
        json!({"Attribute": "description", "Value": "the second"}),
        json!({"LaunchPermission": {"Add": [{"Group": "all"}, {"UserId": "123456789012"}]}}),
        json!({"OperationType": "remove", "UserIds": ["123456789012"]}),
    ] {
        world.call("ModifyImageAttribute", of(change)).await.unwrap();
    }
    assert_eq!(attribute("description").await["Description"]["Value"], "the second");
    assert_eq!(
        attribute("launchPermission").await["LaunchPermissions"],
        json!([{"Group": "all"}])
    );
    let public = json!({"Filters": [{"Name": "is-public", "Values": ["true"]}], "ExecutableUsers": ["all"]});
    assert_eq!(shown(public.clone()).await.as_array().unwrap().len(), 1);
    let reset = of(json!({"Attribute": "launchPermission"}));
    world.call("ResetImageAttribute", reset).await.unwrap();
    assert_eq!(shown(public).await, json!([]));
    assert_eq!(attribute("launchPermission").await["LaunchPermissions"], json!([]));
    for (change, code) in [
        (json!({}), "MissingParameter"),
        (
            json!({"LaunchPermission": {"Add": [{"Group": "some"}]}}),
            "InvalidParameterValue",
        ),
        (
            json!({"LaunchPermission": {"Add": [{"UserId": "1"}]}}),
            "InvalidParameterValue",
        ),
        (
            json!({"Description": {"Value": "a"}, "UserGroups": ["all"]}),
            "InvalidParameterCombination",
        ),
    ] {
        let refused = world.refused("ModifyImageAttribute", of(change.clone())).await;
        assert_eq!(refused, code, "{change}");
    }

    let year = OffsetDateTime::now_utc().year();
    let at = |year: i32| json!({"DeprecateAt": format!("{year}-02-01T00:00:31Z")});
    for wrong in [year - 1, year + 11] {
        let refused = world.refused("EnableImageDeprecation", of(at(wrong))).await;
        assert_eq!(refused, "InvalidParameterValue");
    }
    world.call("EnableImageDeprecation", of(at(year + 2))).await.unwrap();
    world
        .call("EnableImageDeregistrationProtection", of(json!({})))
        .await
        .unwrap();
    let image = shown(json!({"ImageIds": [id]})).await[0].clone();
    assert_eq!(image["DeprecationTime"], format!("{}-02-01T00:01:00.000Z", year + 2));
    assert_eq!(image["DeregistrationProtection"], "enabled-without-cooldown");
    assert_eq!(
        world.refused("DeregisterImage", of(json!({}))).await,
        "OperationNotPermitted"
    );
    world
        .call("DisableImageDeregistrationProtection", of(json!({})))
        .await
        .unwrap();
    world.call("DisableImageDeprecation", of(json!({}))).await.unwrap();
    let image = shown(json!({"ImageIds": [id]})).await[0].clone();
    assert!(image.get("DeprecationTime").is_none());
    world.call("DeregisterImage", of(json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_disabled_image_is_hidden_private_and_not_launched_until_it_is_enabled() {
    let (world, snapshot) = world().await;
    let image = world
        .call("RegisterImage", register("mine", &snapshot, json!({})))
        .await
        .unwrap()["ImageId"]
        .clone();
    let share = json!({"ImageId": image, "LaunchPermission": {"Add": [{"Group": "all"}]}});
    world.call("ModifyImageAttribute", share.clone()).await.unwrap();
    let of = json!({"ImageId": image});
    let dry = json!({"ImageId": image, "DryRun": true});
    assert_eq!(world.refused("DisableImage", dry).await, "DryRunOperation");
    assert_eq!(
        world.call("DisableImage", of.clone()).await.unwrap(),
        json!({"Return": true})
    );
    let all = world
        .call("DescribeImages", json!({"ImageIds": [image]}))
        .await
        .unwrap();
    assert_eq!(all, json!({"Images": []}));
    let all = world
        .call("DescribeImages", json!({"IncludeDisabled": true}))
        .await
        .unwrap();
    assert_eq!(
        (&all["Images"][0]["State"], &all["Images"][0]["Public"]),
        (&json!("disabled"), &json!(false))
    );
    let launch = json!({"ImageId": image, "MinCount": 1, "MaxCount": 1, "DryRun": true});
    for (operation, request) in [
        ("RunInstances", launch.clone()),
        ("ModifyImageAttribute", share.clone()),
        (
            "CopyImage",
            json!({"Name": "other", "SourceImageId": image, "SourceRegion": "local-1"}),
        ),
    ] {
        assert_eq!(
            world.refused(operation, request).await,
            "InvalidAMIID.Unavailable",
            "{operation}"
        );
    }
    let world = world.restart().await;
    assert_eq!(world.call("EnableImage", of).await.unwrap(), json!({"Return": true}));
    let all = world.call("DescribeImages", json!({})).await.unwrap();
    assert_eq!(
        (&all["Images"][0]["State"], &all["Images"][0]["Public"]),
        (&json!("available"), &json!(false))
    );
    assert_eq!(world.refused("RunInstances", launch).await, "DryRunOperation");
    world.call("ModifyImageAttribute", share).await.unwrap();
    let missing = json!({"ImageId": "ami-0123456789abcdef0"});
    assert_eq!(world.refused("DisableImage", missing).await, "InvalidAMIID.NotFound");
}

#[tokio::test]
async fn a_quick_start_image_is_found_by_the_name_and_owner_that_it_has_on_ec2() {
    let world = TestWorld::new().await;
    world.tiny_image().await;
    let count = async |owner: &str, name: &str| {
        let filters = json!([{"Name": "name", "Values": [name]}]);
        let request = json!({"Owners": [owner], "Filters": filters});
        let answer = world.call("DescribeImages", request).await.unwrap();
        answer["Images"].as_array().unwrap().len()
    };
    let debian = ("136693071363", "debian-12-amd64-*");
    assert_eq!(count(debian.0, debian.1).await, 0);
    for (owner, found) in [(ImageOwner::Account, 0), (ImageOwner::QuickStart, 1)] {
        let change = world.world.store.write(move |store| {
            let mut image = store::images::get(store, TestWorld::TINY_IMAGE)?.unwrap();
            store::images::remove(store, image.id)?;
            image.name = "debian-12".into();
            image.owner = owner;
            store::images::put(store, &image)
        });
        change.await.unwrap();
        assert_eq!(count(debian.0, debian.1).await, found);
    }
    assert_eq!(count("amazon", "debian-12").await, 1);
    assert_eq!(count(debian.0, "ubuntu*").await, 0);
}
