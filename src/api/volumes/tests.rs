//! Volumes and their snapshots through the API, in a real store, without guests. Those that guests use are seen in `tests/`.

use super::super::testing::{TestWorld, file};
use crate::model::{Attachment, AttachmentState, VolumeState};
use crate::store::{self, StoreError};
use serde_json::{Value, json};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const ZONE: &str = "local-1a";

fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("No {key} in {value}")).to_owned()
}

/// The one object that a Describe operation gives of an id.
async fn described(world: &TestWorld, operation: &str, ids: &str, id: &str) -> Value {
    let answer = world.call(operation, json!({ids: [id]})).await.unwrap();
    let objects = answer.as_object().unwrap().values().next().unwrap();
    objects[0].clone()
}

async fn volume(world: &TestWorld, id: &str) -> Value {
    described(world, "DescribeVolumes", "VolumeIds", id).await
}

/// Makes a volume and waits until it is there.
async fn create(world: &TestWorld, more: Value) -> String {
    let mut request = json!({"AvailabilityZone": ZONE});
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = world.call("CreateVolume", request).await.unwrap();
    let id = text(&made, "VolumeId");
    let deadline = Instant::now() + Duration::from_secs(60);
    while volume(world, &id).await["State"] != "available" {
        assert!(Instant::now() < deadline, "{}", volume(world, &id).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    id
}

fn path(world: &TestWorld, id: &str) -> std::path::PathBuf {
    world.world.layout.volume(id.parse().unwrap())
}

fn write(world: &TestWorld, id: &str, what: &str) {
    let mut file = std::fs::File::options().write(true).open(path(world, id)).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(what.as_bytes()).unwrap();
}

fn read(world: &TestWorld, id: &str, length: usize) -> String {
    let mut file = std::fs::File::open(path(world, id)).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_volume_is_made_empty_or_of_a_snapshot_and_a_snapshot_of_a_volume() {
    let world = TestWorld::new().await;
    let tags = json!([{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]);
    let first = create(&world, json!({"Size": 2, "TagSpecifications": tags})).await;
    let shown = volume(&world, &first).await;
    assert_eq!((&shown["Size"], &shown["SnapshotId"]), (&json!(2), &json!("")));
    assert_eq!(shown["Tags"], json!([{"Key": "a", "Value": "b"}]));
    assert_eq!(std::fs::metadata(path(&world, &first)).unwrap().len(), 2 << 30);

    write(&world, &first, "before");
    let request = json!({"VolumeId": first, "Description": "of it"});
    let snapshot = text(&world.call("CreateSnapshot", request).await.unwrap(), "SnapshotId");
    let deadline = Instant::now() + Duration::from_secs(60);
    let completed = loop {
        let shown = described(&world, "DescribeSnapshots", "SnapshotIds", &snapshot).await;
        if shown["State"] == "completed" {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for (member, value) in [
        ("VolumeId", json!(first)),
        ("VolumeSize", json!(2)),
        ("Progress", json!("100%")),
        ("Description", json!("of it")),
    ] {
        assert_eq!(completed[member], value, "{member}");
    }
    write(&world, &first, "after!");
    let second = create(&world, json!({"SnapshotId": snapshot, "Size": 3})).await;
    assert_eq!(std::fs::metadata(path(&world, &second)).unwrap().len(), 3 << 30);
    assert_eq!(
        (read(&world, &first, 6), read(&world, &second, 6)),
        ("after!".into(), "before".into())
    );
    world
        .call("DeleteSnapshot", json!({"SnapshotId": snapshot}))
        .await
        .unwrap();
    for id in [first, second] {
        let delete = json!({"VolumeId": id});
        world.call("DeleteVolume", delete.clone()).await.unwrap();
        assert_eq!(world.refused("DeleteVolume", delete).await, "InvalidVolume.NotFound");
    }
    world.assert_files(&[]).await;
}

#[tokio::test]
async fn impossible_volumes_are_refused() {
    let world = TestWorld::new().await;
    let imported = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0"}});
    let task = world
        .call_with("ImportSnapshot", imported, vec![file(b"x", 3 << 30)])
        .await
        .unwrap();
    let snapshot = world.ended(&task).await["SnapshotTaskDetail"]["SnapshotId"].clone();
    for (request, code) in [
        (json!({"Size": 1}), "MissingParameter"),
        (
            json!({"AvailabilityZone": "elsewhere", "Size": 1}),
            "InvalidZone.NotFound",
        ),
        (json!({"AvailabilityZone": ZONE}), "MissingParameter"),
        (json!({"AvailabilityZone": ZONE, "Size": 0}), "InvalidParameterValue"),
        (
            json!({"AvailabilityZone": ZONE, "Size": 65537}),
            "InvalidParameterValue",
        ),
        (
            json!({"AvailabilityZone": ZONE, "Size": 1, "SnapshotId": snapshot}),
            "InvalidParameterValue",
        ),
        (
            json!({"AvailabilityZone": ZONE, "SnapshotId": "snap-00000000000000001"}),
            "InvalidSnapshot.NotFound",
        ),
        (
            json!({"AvailabilityZone": ZONE, "Size": 1, "VolumeType": "io2"}),
            "UnsupportedOperation",
        ),
        (
            json!({"AvailabilityZone": ZONE, "Size": 1, "Encrypted": true}),
            "UnsupportedOperation",
        ),
        (
            json!({"AvailabilityZone": ZONE, "Size": 1, "DryRun": true}),
            "DryRunOperation",
        ),
    ] {
        assert_eq!(world.refused("CreateVolume", request.clone()).await, code, "{request}");
    }
    let none = world.call("DescribeVolumes", json!({})).await.unwrap();
    assert_eq!(none, json!({"Volumes": []}));
}

#[tokio::test]
async fn a_request_that_comes_again_makes_no_other_volume() {
    let world = TestWorld::new().await;
    let request = json!({"Size": 1, "ClientToken": "once"});
    let first = create(&world, request.clone()).await;
    assert_eq!(create(&world, request).await, first);
    let other = json!({"AvailabilityZone": ZONE, "Size": 2, "ClientToken": "once"});
    assert_eq!(
        world.refused("CreateVolume", other).await,
        "IdempotentParameterMismatch"
    );
}

#[tokio::test]
async fn a_volume_grows_and_does_not_shrink() {
    let world = TestWorld::new().await;
    let id = create(&world, json!({"Size": 1})).await;
    let grow = |size: i64| json!({"VolumeId": id, "Size": size});
    let grown = world.call("ModifyVolume", grow(3)).await.unwrap();
    let modification = &grown["VolumeModification"];
    for (member, value) in [
        ("ModificationState", json!("completed")),
        ("OriginalSize", json!(1)),
        ("TargetSize", json!(3)),
        ("Progress", json!(100)),
    ] {
        assert_eq!(modification[member], value, "{member}");
    }
    assert_eq!(volume(&world, &id).await["Size"], json!(3));
    assert_eq!(std::fs::metadata(path(&world, &id)).unwrap().len(), 3 << 30);
    assert_eq!(world.refused("ModifyVolume", grow(2)).await, "InvalidParameterValue");
    let filters = json!({"Filters": [{"Name": "modification-state", "Values": ["completed"]}]});
    let listed = world.call("DescribeVolumesModifications", filters).await.unwrap();
    assert_eq!(listed["VolumesModifications"], json!([modification]));
    let status = described(&world, "DescribeVolumeStatus", "VolumeIds", &id).await;
    assert_eq!(status["VolumeStatus"]["Status"], "ok");
}

#[tokio::test]
async fn whether_io_goes_on_by_itself_is_kept_for_each_volume() {
    let world = TestWorld::new().await;
    let (id, other) = (
        create(&world, json!({"Size": 1})).await,
        create(&world, json!({"Size": 1})).await,
    );
    let shown = async |world: &TestWorld, id: &str| {
        let request = json!({"VolumeId": id, "Attribute": "autoEnableIO"});
        let shown = world.call("DescribeVolumeAttribute", request).await.unwrap();
        shown["AutoEnableIO"]["Value"].clone()
    };
    assert_eq!(shown(&world, &id).await, json!(false));
    let modify = |auto: Value| json!({"VolumeId": id, "AutoEnableIO": auto});
    world
        .call("ModifyVolumeAttribute", modify(json!({"Value": true})))
        .await
        .unwrap();
    let refused = world.refused("ModifyVolumeAttribute", modify(json!({}))).await;
    assert_eq!(refused, "MissingParameter");
    let missing = json!({"VolumeId": "vol-0123456789abcdef0", "AutoEnableIO": {"Value": true}});
    assert_eq!(
        world.refused("ModifyVolumeAttribute", missing).await,
        "InvalidVolume.NotFound"
    );
    let world = world.restart().await;
    assert_eq!(shown(&world, &id).await, json!(true));
    assert_eq!(shown(&world, &other).await, json!(false));
}

#[tokio::test]
async fn nothing_is_encrypted_by_default() {
    let world = TestWorld::new().await;
    let answer = world.call("GetEbsEncryptionByDefault", json!({})).await.unwrap();
    assert_eq!(answer, json!({"EbsEncryptionByDefault": false, "SseType": "none"}));
}

#[tokio::test]
async fn a_volume_is_limited_as_gp3_is_and_zero_lifts_the_limit() {
    let world = TestWorld::new().await;
    let id = create(&world, json!({"Size": 8, "Iops": 4000})).await;
    let there = volume(&world, &id).await;
    assert_eq!((&there["Iops"], there.get("Throughput")), (&json!(4000), None));
    let modify = |more: Value| {
        let mut request = json!({"VolumeId": id});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let changed = world
        .call("ModifyVolume", modify(json!({"Throughput": 500})))
        .await
        .unwrap();
    let changed = &changed["VolumeModification"];
    assert_eq!(
        (&changed["OriginalIops"], &changed["TargetIops"]),
        (&json!(4000), &json!(4000))
    );
    assert_eq!(
        (changed.get("OriginalThroughput"), &changed["TargetThroughput"]),
        (None, &json!(500))
    );
    for wrong in [
        json!({"Iops": 100}),
        json!({"Throughput": 1001}),
        json!({"Iops": 3000, "Throughput": 800}),
    ] {
        assert_eq!(
            world.refused("ModifyVolume", modify(wrong)).await,
            "InvalidParameterValue"
        );
    }
    world
        .call("ModifyVolume", modify(json!({"Iops": 0, "Size": 9})))
        .await
        .unwrap();
    let there = volume(&world, &id).await;
    assert_eq!(
        (there.get("Iops"), &there["Throughput"], &there["Size"]),
        (None, &json!(500), &json!(9))
    );
}

/// A crash between the promise to grow and the growing, and one before a volume that was asked for is there.
#[tokio::test]
async fn what_was_promised_of_volumes_is_done_by_the_next_daemon() {
    let world = TestWorld::new().await;
    let [grows, comes] = [
        create(&world, json!({"Size": 1})).await,
        create(&world, json!({"Size": 1})).await,
    ];
    std::fs::remove_file(path(&world, &comes)).unwrap();
    let (growing, coming) = (grows.parse().unwrap(), comes.parse().unwrap());
    let written = world.world.store.write(move |store| {
        let modification = crate::model::VolumeModification {
            original_limits: crate::model::VolumeLimits::default(),
            target_limits: crate::model::VolumeLimits::default(),
            volume: growing,
            original_size: 1 << 30,
            target_size: 5 << 30,
            started: OffsetDateTime::now_utc(),
            ended: None,
        };
        store::volumes::put_modification(store, &modification)?;
        store::volumes::set_state(store, coming, VolumeState::Creating)
    });
    written.await.unwrap();
    let world = world.restart().await;
    assert_eq!(volume(&world, &grows).await["Size"], json!(5));
    let deadline = Instant::now() + Duration::from_secs(60);
    while volume(&world, &comes).await["State"] != "available" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(std::fs::metadata(path(&world, &comes)).unwrap().len(), 1 << 30);
}

#[tokio::test]
async fn a_stopped_instance_is_given_a_volume_and_gives_it_up() {
    let (world, instance, root) = world_with_instance().await;
    let id = create(&world, json!({"Size": 1})).await;
    let attach =
        |id: &str, instance: &str, device: &str| json!({"VolumeId": id, "InstanceId": instance, "Device": device});
    for (request, code) in [
        (attach(&id, &instance, "/dev/sda1"), "InvalidParameterValue"),
        (attach(&id, &instance, "/dev/xvda"), "InvalidParameterValue"),
        (attach(&id, &instance, "nowhere"), "InvalidParameterValue"),
        (attach(&root, &instance, "/dev/sdf"), "VolumeInUse"),
        (
            attach("vol-00000000000000001", &instance, "/dev/sdf"),
            "InvalidVolume.NotFound",
        ),
        (
            attach(&id, "i-00000000000000001", "/dev/sdf"),
            "InvalidInstanceID.NotFound",
        ),
    ] {
        assert_eq!(world.refused("AttachVolume", request.clone()).await, code, "{request}");
        let mut dry = request.clone();
        dry["DryRun"] = json!(true);
        assert_eq!(world.refused("AttachVolume", dry).await, code, "{request}");
    }
    let mut dry = attach(&id, &instance, "/dev/sdf");
    dry["DryRun"] = json!(true);
    assert_eq!(world.refused("AttachVolume", dry).await, "DryRunOperation");
    assert_eq!(volume(&world, &id).await["State"], "available");
    let attached = world
        .call("AttachVolume", attach(&id, &instance, "/dev/sdf"))
        .await
        .unwrap();
    assert_eq!(
        (text(&attached, "State"), text(&attached, "Device")),
        ("attached".into(), "/dev/sdf".into())
    );
    let shown = volume(&world, &id).await;
    assert_eq!(shown["State"], "in-use");
    assert_eq!(shown["Attachments"], json!([attached]));
    assert_eq!(
        world.refused("DeleteVolume", json!({"VolumeId": id})).await,
        "VolumeInUse"
    );
    assert_eq!(
        world.refused("AttachVolume", attach(&id, &instance, "/dev/sdg")).await,
        "VolumeInUse"
    );
    let several = json!({"InstanceSpecification": {"InstanceId": instance, "ExcludeBootVolume": true}});
    let several = world.call("CreateSnapshots", several).await.unwrap();
    assert_eq!(several["Snapshots"][0]["VolumeId"], json!(id));
    assert_eq!(several["Snapshots"].as_array().unwrap().len(), 1);

    let wrong = json!({"VolumeId": id, "Device": "/dev/sdg"});
    assert_eq!(world.refused("DetachVolume", wrong).await, "IncorrectState");
    let detached = world.call("DetachVolume", json!({"VolumeId": id})).await.unwrap();
    assert_eq!(text(&detached, "State"), "detaching");
    assert_eq!(volume(&world, &id).await["State"], "available");
    assert_eq!(
        world.refused("DetachVolume", json!({"VolumeId": id})).await,
        "IncorrectState"
    );
}

/// A world with a stopped instance that the daemon has taken up, and its root volume.
async fn world_with_instance() -> (TestWorld, String, String) {
    let world = TestWorld::new().await;
    let root = create(&world, json!({"Size": 1})).await;
    let instance = super::super::testing::stopped_instance(&world).await;
    let attachment = Attachment {
        volume: root.parse().unwrap(),
        instance,
        device_name: "/dev/sda1".into(),
        delete_on_termination: true,
        attached: OffsetDateTime::now_utc(),
        state: AttachmentState::Attached,
    };
    let written = world.world.store.write(move |store| {
        store::volumes::attach(store, &attachment)?;
        store::volumes::set_state(store, attachment.volume, VolumeState::InUse)?;
        Ok::<_, StoreError>(())
    });
    written.await.unwrap();
    (world.restart().await, instance.to_string(), root)
}

#[tokio::test]
async fn an_image_of_a_stopped_instance_has_its_volumes_as_they_are_wanted() {
    let (world, instance, root) = world_with_instance().await;
    let data = create(&world, json!({"Size": 1})).await;
    let attach = json!({"VolumeId": data, "InstanceId": instance, "Device": "/dev/sdf"});
    world.call("AttachVolume", attach).await.unwrap();
    write(&world, &root, "marker");
    let tags = json!([
        {"ResourceType": "image", "Tags": [{"Key": "of", "Value": "image"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "snapshot"}]},
    ]);
    let request = |name: &str, mappings: Value| {
        json!({
            "InstanceId": instance, "Name": name, "Description": "cake", "BlockDeviceMappings": mappings,
            "TagSpecifications": tags,
        })
    };
    for (mappings, code) in [
        (json!([{"DeviceName": "/dev/sdz"}]), "InvalidBlockDeviceMapping"),
        (
            json!([{"DeviceName": "/dev/sda1", "NoDevice": ""}]),
            "InvalidBlockDeviceMapping",
        ),
        (
            json!([{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 0}}]),
            "InvalidBlockDeviceMapping",
        ),
    ] {
        let refused = world.refused("CreateImage", request("cake", mappings.clone())).await;
        assert_eq!(refused, code, "{mappings}");
    }
    let bigger = json!([{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 4, "DeleteOnTermination": true}}]);
    let made = world.call("CreateImage", request("cake", bigger)).await.unwrap();
    let id = text(&made, "ImageId");
    let deadline = Instant::now() + Duration::from_secs(60);
    let image = loop {
        let image = described(&world, "DescribeImages", "ImageIds", &id).await;
        if image["State"] == "available" {
            break image;
        }
        assert!(Instant::now() < deadline, "{image}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(
        (text(&image, "RootDeviceName"), text(&image, "Description")),
        ("/dev/sda1".into(), "cake".into())
    );
    assert_eq!(image["Tags"], json!([{"Key": "of", "Value": "image"}]));
    let devices = image["BlockDeviceMappings"].as_array().unwrap();
    let shown: Vec<_> = devices
        .iter()
        .map(|one| {
            (
                text(one, "DeviceName"),
                one["Ebs"]["VolumeSize"].clone(),
                one["Ebs"]["DeleteOnTermination"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("/dev/sda1".into(), json!(1), json!(true)),
            ("/dev/sdf".into(), json!(4), json!(true))
        ]
    );
    let snapshot = text(&devices[0]["Ebs"], "SnapshotId");
    let tagged = described(&world, "DescribeSnapshots", "SnapshotIds", &snapshot).await;
    assert_eq!(tagged["Tags"], json!([{"Key": "of", "Value": "snapshot"}]));
    let again = create(&world, json!({"SnapshotId": snapshot})).await;
    assert_eq!(read(&world, &again, 6), "marker");
    assert_eq!(
        world.refused("CreateImage", request("cake", json!([]))).await,
        "InvalidAMIName.Duplicate"
    );
    assert_eq!(
        world.refused("DeleteSnapshot", json!({"SnapshotId": snapshot})).await,
        "InvalidSnapshot.InUse"
    );
    let copied = copy(&world, &id).await;
    let parts = |image: &Value, member: &str| -> Vec<Value> {
        let devices = image["BlockDeviceMappings"].as_array().unwrap().iter();
        devices.map(|one| one["Ebs"][member].clone()).collect()
    };
    assert_eq!(parts(&copied, "VolumeSize"), parts(&image, "VolumeSize"));
    assert_ne!(parts(&copied, "SnapshotId"), parts(&image, "SnapshotId"));
    assert_eq!(copied["Tags"], image["Tags"]);
    let source =
        |image: &Value| ["SourceImageId", "SourceImageRegion", "SourceInstanceId"].map(|member| image[member].clone());
    let launched_of = "ami-00000000000000001";
    assert_eq!(source(&image), [json!(launched_of), json!("local-1"), json!(instance)]);
    assert_eq!(source(&copied), [json!(id), json!("local-1"), Value::Null]);
    for (filter, value, found) in [
        ("source-image-id", json!(id), &copied),
        ("source-instance-id", json!(instance), &image),
    ] {
        let filters = json!({"Filters": [{"Name": filter, "Values": [value]}]});
        let found_by = world.call("DescribeImages", filters).await.unwrap();
        assert_eq!(found_by["Images"], json!([found]));
    }
    let of_copy = parts(&copied, "SnapshotId").remove(0);
    let of_copy = create(&world, json!({"SnapshotId": of_copy})).await;
    assert_eq!(read(&world, &of_copy, 6), "marker");

    let without = json!([{"DeviceName": "/dev/sdf", "NoDevice": ""}]);
    let made = world.call("CreateImage", request("without", without)).await.unwrap();
    let image = described(&world, "DescribeImages", "ImageIds", &text(&made, "ImageId")).await;
    assert_eq!(image["BlockDeviceMappings"].as_array().unwrap().len(), 1);
}

/// Copies an image with its tags; gives the copy's description.
async fn copy(world: &TestWorld, id: &str) -> Value {
    let request = |name: &str, region: &str| json!({"SourceImageId": id, "SourceRegion": region, "Name": name, "CopyImageTags": true, "ClientToken": "copy"});
    for (request, code) in [
        (request("copy", "elsewhere-1"), "InvalidParameterValue"),
        (request("cake", "local-1"), "InvalidAMIName.Duplicate"),
    ] {
        assert_eq!(world.refused("CopyImage", request).await, code);
    }
    let made = world.call("CopyImage", request("copy", "local-1")).await.unwrap();
    let again = world.call("CopyImage", request("copy", "local-1")).await.unwrap();
    assert_eq!(again, made);
    let other = request("other", "local-1");
    assert_eq!(world.refused("CopyImage", other).await, "IdempotentParameterMismatch");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let image = described(world, "DescribeImages", "ImageIds", &text(&made, "ImageId")).await;
        if image["State"] == "available" {
            return image;
        }
        assert!(Instant::now() < deadline, "{image}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_image_is_registered_with_several_volumes_of_which_one_is_the_root() {
    let world = TestWorld::new().await;
    let volume = create(&world, json!({"Size": 1})).await;
    let mut snapshots = Vec::new();
    for _ in 0..2 {
        let made = world.call("CreateSnapshot", json!({"VolumeId": volume})).await.unwrap();
        snapshots.push(text(&made, "SnapshotId"));
    }
    // What SDKs send along always.
    let copied =
        json!({"SourceRegion": "local-1", "SourceSnapshotId": snapshots[0], "PresignedUrl": "https://local-1/"});
    let deadline = Instant::now() + Duration::from_secs(60);
    let copied = loop {
        // It is still being made where the file system shares no blocks.
        match world.call("CopySnapshot", copied.clone()).await {
            Ok(copied) => break text(&copied, "SnapshotId"),
            Err(error) => assert!(
                error.code.as_str() == "IncorrectState" && Instant::now() < deadline,
                "{error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    snapshots.push(copied);
    for snapshot in &snapshots {
        while described(&world, "DescribeSnapshots", "SnapshotIds", snapshot).await["State"] != "completed" {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mapping = |name: &str, snapshot: &str| json!({"DeviceName": name, "Ebs": {"SnapshotId": snapshot}});
    let all = json!([
        mapping("/dev/sda1", &snapshots[0]),
        mapping("/dev/sdf", &snapshots[1]),
        mapping("/dev/sdg", &snapshots[2])
    ]);
    let twice = json!([mapping("/dev/sda1", &snapshots[0]), mapping("/dev/sda1", &snapshots[1])]);
    for (request, code) in [
        (
            json!({"Name": "several", "BlockDeviceMappings": all}),
            "MissingParameter",
        ),
        (
            json!({"Name": "several", "BlockDeviceMappings": all, "RootDeviceName": "/dev/sdz"}),
            "InvalidBlockDeviceMapping",
        ),
        (
            json!({"Name": "several", "BlockDeviceMappings": twice, "RootDeviceName": "/dev/sda1"}),
            "InvalidBlockDeviceMapping",
        ),
    ] {
        assert_eq!(world.refused("RegisterImage", request.clone()).await, code, "{request}");
    }
    let request = json!({"Name": "several", "BlockDeviceMappings": all, "RootDeviceName": "/dev/sda1"});
    let made = world.call("RegisterImage", request).await.unwrap();
    let image = described(&world, "DescribeImages", "ImageIds", &text(&made, "ImageId")).await;
    let devices = image["BlockDeviceMappings"].as_array().unwrap().iter();
    let stay: Vec<_> = devices.map(|one| one["Ebs"]["DeleteOnTermination"].clone()).collect();
    assert_eq!(stay, [json!(true), json!(false), json!(false)]);
}

/// The daemon dies while copies are taken: their instant is over, and the record says so.
#[tokio::test]
async fn copies_that_a_crash_interrupted_are_in_error_and_leave_no_file() {
    let world = TestWorld::new().await;
    let id = create(&world, json!({"Size": 1})).await;
    let parsed = id.parse().unwrap();
    let written = world.world.store.write(move |store| {
        let volume = store::volumes::get(store, parsed)?.unwrap();
        let snapshot = super::super::snapshots::add_pending(store, &volume, None, &[]);
        Ok::<_, StoreError>(snapshot.unwrap_or_else(|error| panic!("{error}")))
    });
    let snapshot = written.await.unwrap().id;
    let path = world.world.layout.snapshot(snapshot);
    let file = world.world.volumes.files().create(&snapshot.to_string(), &path).await;
    drop(file.unwrap());
    let world = world.restart().await;
    let shown = described(&world, "DescribeSnapshots", "SnapshotIds", &snapshot.to_string()).await;
    assert_eq!(shown["State"], "error");
    assert!(text(&shown, "StateMessage").contains("daemon ended"));
    world.assert_files(&[format!("volumes/{id}.raw")]).await;
    let delete = json!({"SnapshotId": snapshot.to_string()});
    world.call("DeleteSnapshot", delete).await.unwrap();
}
