//! Imports into a real directory.

use super::super::testing::{TestWorld, file};
use crate::model::{GIB, ImportImageTaskId, ImportTask, ImportTaskId, SnapshotId, TaskState};
use crate::store::{self, ledger};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use time::OffsetDateTime;

const MIB: u64 = 1 << 20;

fn name(name: &str) -> Value {
    json!([{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": name}]}])
}

fn raw(image: &str) -> Value {
    json!({"DiskContainers": [{"Format": "RAW", "Url": "fd:0"}], "TagSpecifications": name(image)})
}

/// A disk with something in it and much nothing.
fn disk() -> OwnedFd {
    file(b"boot sector", 64 * MIB)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("No {key} in {value}"))
}

#[tokio::test]
async fn a_raw_disk_becomes_an_image_whose_snapshot_is_sparse() {
    let world = TestWorld::new().await;
    let task = world.call_with("ImportImage", raw("mine"), vec![disk()]).await.unwrap();
    assert!(text(&task, "ImportTaskId").starts_with("import-ami-"));
    let task = world.ended(&task).await;
    assert_eq!(
        (text(&task, "Status"), text(&task, "Progress")),
        ("completed", "100"),
        "{task}"
    );
    let images = world.call("DescribeImages", json!({"Owners": ["self"]})).await.unwrap();
    let image = &images["Images"][0];
    assert_eq!(image["ImageId"], task["ImageId"]);
    assert_eq!((text(image, "Name"), text(image, "State")), ("mine", "available"));
    let ebs = &image["BlockDeviceMappings"][0]["Ebs"];
    assert_eq!(ebs["VolumeSize"], 1);
    let snapshot = text(ebs, "SnapshotId");
    world.assert_files(&[format!("snapshots/{snapshot}.raw")]).await;
    let written = std::fs::metadata(world.world.layout.snapshot(snapshot.parse().unwrap())).unwrap();
    assert_eq!(written.len(), 64 * MIB);
    assert!(written.blocks() * 512 < MIB);
    let snapshots = world
        .call("DescribeSnapshots", json!({"SnapshotIds": [snapshot]}))
        .await
        .unwrap();
    assert_eq!(text(&snapshots["Snapshots"][0], "State"), "completed");
    assert_eq!(text(&snapshots["Snapshots"][0], "Progress"), "100%");
}

#[tokio::test]
async fn an_image_brings_its_kernel_and_ram_disk_and_all_go_with_it() {
    let world = TestWorld::new().await;
    let request = json!({
        "DiskContainers": [
            {"Format": "raw", "Url": "fd:2"},
            {"Format": "kernel", "Url": "fd:0", "CommandLine": "console=ttyS0 root=/dev/vda"},
            {"Format": "ramdisk", "Url": "fd:1"},
        ],
        "TagSpecifications": name("with-kernel"),
    });
    let files = vec![file(b"\x7fELF", 4096), file(b"cpio", 512), disk()];
    let task = world.call_with("ImportImage", request, files).await.unwrap();
    let task = world.ended(&task).await;
    let image = world
        .call("DescribeImages", json!({"ImageIds": [task["ImageId"]]}))
        .await
        .unwrap();
    let image = &image["Images"][0];
    let (kernel, ramdisk) = (text(image, "KernelId"), text(image, "RamdiskId"));
    let id = kernel.parse().unwrap();
    let stored = world
        .world
        .store
        .read(move |store| store::kernels::get(store, id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (stored.command_line.as_str(), stored.size),
        ("console=ttyS0 root=/dev/vda", 4096)
    );
    assert_eq!(
        world.refused("DeregisterImage", json!({"ImageId": kernel})).await,
        "DependencyViolation"
    );
    let snapshot = text(&image["BlockDeviceMappings"][0]["Ebs"], "SnapshotId");
    world
        .assert_files(&[
            format!("kernels/{kernel}"),
            format!("ramdisks/{ramdisk}"),
            format!("snapshots/{snapshot}.raw"),
        ])
        .await;
    let all = json!({"ImageId": task["ImageId"], "DeleteAssociatedSnapshots": true});
    let removed = world.call("DeregisterImage", all).await.unwrap();
    assert_eq!(
        removed["DeleteSnapshotResults"],
        json!([{"SnapshotId": snapshot, "ReturnCode": "success"}])
    );
    world.assert_files(&[]).await;
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn a_snapshot_can_be_imported_by_itself_and_deleted() {
    let world = TestWorld::new().await;
    let request = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0", "Description": "a disk"}});
    let task = world.call_with("ImportSnapshot", request, vec![disk()]).await.unwrap();
    let task = world.ended(&task).await;
    assert!(text(&task, "ImportTaskId").starts_with("import-snap-"));
    let snapshot = text(&task["SnapshotTaskDetail"], "SnapshotId");
    let images = world.call("DescribeImportImageTasks", json!({})).await.unwrap();
    assert_eq!(images, json!({"ImportImageTasks": []}));
    world
        .call("DeleteSnapshot", json!({"SnapshotId": snapshot}))
        .await
        .unwrap();
    world.assert_files(&[]).await;
    assert_eq!(
        world.refused("DeleteSnapshot", json!({"SnapshotId": snapshot})).await,
        "InvalidSnapshot.NotFound"
    );
}

#[tokio::test]
async fn what_is_no_disk_or_no_kernel_ends_as_deleted_and_leaves_nothing() {
    let world = TestWorld::new().await;
    let qcow2 = json!({"DiskContainers": [{"Format": "qcow2", "Url": "fd:0"}], "TagSpecifications": name("bad")});
    let truncated = file(b"QFI\xfb\0\0\0\x03", 8);
    let task = world.call_with("ImportImage", qcow2, vec![truncated]).await.unwrap();
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "Status"), "deleted");
    assert!(
        text(&task, "StatusMessage").starts_with("The disk can't be imported: "),
        "{task}"
    );
    let mut kernel = raw("bad");
    let container = json!({"Format": "kernel", "Url": "fd:1"});
    kernel["DiskContainers"].as_array_mut().unwrap().push(container);
    let task = world
        .call_with("ImportImage", kernel, vec![disk(), file(b"#!/bin/sh", 9)])
        .await
        .unwrap();
    let task = world.ended(&task).await;
    assert!(text(&task, "StatusMessage").contains("neither a bzImage"), "{task}");
    assert!(task.get("ImageId").is_none());
    world.assert_files(&[]).await;
    let images = world.call("DescribeImages", json!({})).await.unwrap();
    assert_eq!(images, json!({"Images": []}));
    // The name is free again.
    let task = world.call_with("ImportImage", raw("bad"), vec![disk()]).await.unwrap();
    assert_eq!(text(&world.ended(&task).await, "Status"), "completed");
}

/// An OVA with a disk and a digest of it.
fn ova(digest_of_disk: &str) -> OwnedFd {
    let descriptor = br#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
        <References><File ovf:id="file1" ovf:href="vm-disk1.img"/></References>
        <DiskSection><Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="1048576"/></DiskSection></Envelope>"#;
    let digest = Sha256::digest(descriptor);
    let manifest = format!("SHA256(vm.ovf)= {digest:x}\nSHA256(vm-disk1.img)= {digest_of_disk}\n");
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    let disk = vec![7; MIB as usize];
    for (name, contents) in [
        ("vm.ovf", &descriptor[..]),
        ("vm.mf", manifest.as_bytes()),
        ("vm-disk1.img", &disk),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, contents).unwrap();
    }
    archive.into_inner().unwrap().into()
}

#[tokio::test]
async fn an_ova_becomes_an_image_and_a_damaged_one_says_which_file_it_is() {
    let world = TestWorld::new().await;
    let digest = format!("{:x}", Sha256::digest(vec![7; MIB as usize]));
    let request = json!({"DiskContainers": [{"Format": "OVA", "Url": "fd:0"}], "TagSpecifications": name("appliance")});
    let task = world
        .call_with("ImportImage", request.clone(), vec![ova(&digest)])
        .await
        .unwrap();
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "Status"), "completed", "{task}");
    let detail = &task["SnapshotDetails"][0];
    assert_eq!(text(detail, "Format"), "ova");
    let snapshot = text(detail, "SnapshotId").parse().unwrap();
    let disk = std::fs::read(world.world.layout.snapshot(snapshot)).unwrap();
    assert!(disk == vec![7; MIB as usize]);
    let request = json!({"DiskContainer": {"Url": "fd:0"}});
    for (digest, says) in [
        (&*digest, None),
        ("00", Some("the contents of \"vm-disk1.img\" are not those")),
    ] {
        let task = world
            .call_with("ImportSnapshot", request.clone(), vec![ova(digest)])
            .await
            .unwrap();
        let task = world.ended(&task).await;
        let detail = &task["SnapshotTaskDetail"];
        match says {
            None => assert_eq!(text(detail, "Status"), "completed", "{task}"),
            Some(says) => assert!(text(detail, "StatusMessage").contains(says), "{task}"),
        }
    }
}

#[tokio::test]
async fn a_cancelled_import_leaves_nothing_and_says_why() {
    let world = TestWorld::new().await;
    // Full of data, and so long enough at work to be met there.
    let data = file(&vec![7; 256 * MIB as usize], 256 * MIB);
    let task = world.call_with("ImportImage", raw("slow"), vec![data]).await.unwrap();
    let id = text(&task, "ImportTaskId");
    let pending = world.call("DescribeImages", json!({})).await.unwrap();
    assert_eq!(text(&pending["Images"][0], "State"), "pending");
    let request = json!({"ImportTaskId": id, "CancelReason": "wrong disk"});
    let answer = world.call("CancelImportTask", request.clone()).await.unwrap();
    assert_eq!(
        (text(&answer, "PreviousState"), text(&answer, "State")),
        ("active", "deleting")
    );
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "StatusMessage"), "Cancelled by a user: wrong disk");
    world.assert_files(&[]).await;
    assert_eq!(world.refused("CancelImportTask", request).await, "IncorrectState");
}

#[tokio::test]
async fn an_import_that_died_with_the_daemon_is_taken_away_at_the_next_start() {
    let world = TestWorld::new().await;
    let task = ImportTask {
        id: ImportTaskId::Image(ImportImageTaskId::from_random(1)),
        client_token: None,
        request_digest: String::new(),
        state: TaskState::Active,
        progress: 0,
        message: None,
        description: None,
        format: "raw".into(),
        snapshot: SnapshotId::from_random(2),
        image: None,
        created: OffsetDateTime::now_utc(),
    };
    let files = world.world.volumes.files().clone();
    files
        .create(&task.snapshot.to_string(), &world.world.layout.snapshot(task.snapshot))
        .await
        .unwrap();
    // A kernel gets its record at the end only.
    let kernel = crate::model::KernelId::from_random(3);
    files
        .create(&kernel.to_string(), &world.world.layout.kernel(kernel))
        .await
        .unwrap();
    let row = task.clone();
    world
        .world
        .store
        .write(move |store| store::imports::put(store, &row))
        .await
        .unwrap();
    assert_eq!(world.world.store.read(ledger::list).await.unwrap().len(), 2);
    let world = world.restart().await;
    world.assert_files(&[]).await;
    let task = world.ended(&json!({"ImportTaskId": task.id.to_string()})).await;
    assert_eq!(text(&task, "Status"), "deleted");
    assert!(text(&task, "StatusMessage").contains("daemon died"));
}

#[tokio::test]
async fn a_task_that_ended_a_week_ago_is_forgotten_with_its_tags_and_its_image_stays() {
    let world = TestWorld::new().await;
    let mut request = raw("old");
    let tags = json!({"ResourceType": "import-image-task", "Tags": [{"Key": "a", "Value": "b"}]});
    request["TagSpecifications"].as_array_mut().unwrap().push(tags);
    let task = world.call_with("ImportImage", request, vec![disk()]).await.unwrap();
    world.ended(&task).await;
    let world = world.restart().await;
    let id: ImportTaskId = text(&task, "ImportTaskId").parse().unwrap();
    let on_record = async || {
        world
            .world
            .store
            .read(move |store| store::imports::get(store, id))
            .await
            .unwrap()
            .is_some()
    };
    assert!(on_record().await);
    let later = OffsetDateTime::now_utc() + time::Duration::seconds(1);
    world
        .world
        .store
        .write(move |store| store::imports::forget_ended(store, later))
        .await
        .unwrap();
    assert!(!on_record().await);
    let tags = world.call("DescribeTags", json!({})).await.unwrap();
    assert_eq!(tags["Tags"].as_array().unwrap().len(), 1, "{tags}");
    let images = world.call("DescribeImages", json!({})).await.unwrap();
    assert_eq!(images["Images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_imported_is_there_after_a_restart() {
    let world = TestWorld::new().await;
    let task = world.call_with("ImportImage", raw("kept"), vec![disk()]).await.unwrap();
    world.ended(&task).await;
    let before = world.call("DescribeImages", json!({})).await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.call("DescribeImages", json!({})).await.unwrap(), before);
}

#[tokio::test]
async fn a_stopping_daemon_ends_its_imports() {
    let world = TestWorld::new().await;
    let data = file(&vec![7; 256 * MIB as usize], 256 * MIB);
    let task = world.call_with("ImportImage", raw("slow"), vec![data]).await.unwrap();
    world.world.imports.stop().await;
    let task = world.ended(&task).await;
    assert_eq!(
        text(&task, "StatusMessage"),
        "The daemon was stopped while the import ran"
    );
    world.assert_files(&[]).await;
    let refused = world
        .call_with("ImportImage", raw("late"), vec![disk()])
        .await
        .unwrap_err();
    assert_eq!(refused.code.as_str(), "ResourceCountLimitExceeded");
}

#[tokio::test]
async fn a_token_gives_the_first_task_again_and_no_other_request_may_have_it() {
    let world = TestWorld::new().await;
    let with_token = |image: &str| {
        let mut request = raw(image);
        request["ClientToken"] = "once".into();
        request
    };
    let first = world
        .call_with("ImportImage", with_token("one"), vec![disk()])
        .await
        .unwrap();
    let again = world
        .call_with("ImportImage", with_token("one"), vec![disk()])
        .await
        .unwrap();
    assert_eq!(first["ImportTaskId"], again["ImportTaskId"]);
    let other = world
        .call_with("ImportImage", with_token("two"), vec![disk()])
        .await
        .unwrap_err();
    assert_eq!(other.code.as_str(), "IdempotentParameterMismatch");
    world.ended(&first).await;
    let tasks = world.call("DescribeImportImageTasks", json!({})).await.unwrap();
    assert_eq!(tasks["ImportImageTasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_requests_are_refused_with_ec2s_codes_and_begin_nothing() {
    let world = TestWorld::new().await;
    let containers = |containers: Value| json!({"DiskContainers": containers});
    let (pipe, _write) = rustix::pipe::pipe().unwrap();
    for (code, request, files) in [
        ("MissingParameter", json!({}), vec![]),
        ("MissingParameter", containers(json!([{"Format": "raw"}])), vec![]),
        (
            "InvalidParameterValue",
            containers(json!([{"Format": "raw", "Url": "fd:0"}])),
            vec![],
        ),
        (
            "InvalidParameterValue",
            containers(json!([{"Format": "raw", "Url": "/etc/shadow"}])),
            vec![],
        ),
        (
            "InvalidParameterValue",
            containers(json!([{"Format": "raw", "Url": "fd:0"}])),
            vec![pipe],
        ),
        (
            "InvalidParameterValue",
            containers(json!([{"Format": "iso", "Url": "fd:0"}])),
            vec![disk()],
        ),
        (
            "InvalidParameterCombination",
            containers(json!([{"Format": "raw", "Url": "fd:0", "CommandLine": "x"}])),
            vec![disk()],
        ),
        (
            "InvalidParameterCombination",
            containers(json!([{"Url": "fd:0"}, {"Format": "ramdisk", "Url": "fd:1"}])),
            vec![disk(), disk()],
        ),
        (
            "UnsupportedOperation",
            containers(json!([{"Url": "fd:0"}, {"Url": "fd:1"}])),
            vec![disk(), disk()],
        ),
        ("UnsupportedOperation", json!({"LicenseType": "BYOL"}), vec![]),
        ("UnsupportedOperation", json!({"Platform": "Windows"}), vec![]),
        (
            "InvalidAMIName.Malformed",
            json!({"TagSpecifications": name("x")}),
            vec![],
        ),
        (
            "DryRunOperation",
            json!({"DryRun": true, "DiskContainers": [{"Url": "fd:0"}]}),
            vec![disk()],
        ),
    ] {
        let refused = world
            .call_with("ImportImage", request.clone(), files)
            .await
            .unwrap_err();
        assert_eq!(refused.code.as_str(), code, "{request}: {refused}");
    }
    world.assert_files(&[]).await;
    let none = world.call("DescribeImportImageTasks", json!({})).await.unwrap();
    assert_eq!(none, json!({"ImportImageTasks": []}));
    let unknown = json!({"ImportTaskId": "import-ami-00000000000000001"});
    assert_eq!(
        world.refused("CancelImportTask", unknown).await,
        "InvalidConversionTaskId"
    );
}

#[tokio::test]
async fn a_quick_start_image_is_amazons_and_a_name_is_unique_with_its_owner() {
    let world = TestWorld::new().await;
    let mut quick = raw("debian-12");
    quick["ImageOwnerAlias"] = "amazon".into();
    for request in [quick.clone(), raw("debian-12")] {
        let task = world.call_with("ImportImage", request, vec![disk()]).await.unwrap();
        assert_eq!(text(&world.ended(&task).await, "Status"), "completed");
    }
    let refused = world.call_with("ImportImage", quick, vec![disk()]).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "InvalidAMIName.Duplicate");
    let amazon = world
        .call("DescribeImages", json!({"Owners": ["amazon"]}))
        .await
        .unwrap();
    let images = amazon["Images"].as_array().unwrap();
    assert_eq!((images.len(), text(&images[0], "ImageOwnerAlias")), (1, "amazon"));
    assert_eq!(images[0]["Public"], true);
    assert_eq!(
        images[0]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"],
        64 * MIB / GIB + 1
    );
}

#[tokio::test]
async fn images_of_other_owners_are_public_and_found_by_their_category() {
    let world = TestWorld::new().await;
    let with = |name: &str, more: Value| {
        let mut request = raw(name);
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let code = json!([{"ProductCodeId": "4wrd9x", "ProductCodeType": "marketplace"}]);
    for request in [
        raw("mine"),
        with("theirs", json!({"OwnerId": "123456789012"})),
        with(
            "sold",
            json!({"ImageOwnerAlias": "aws-marketplace", "ProductCodes": code}),
        ),
        with("quick", json!({"ImageOwnerAlias": "amazon"})),
    ] {
        let task = world.call_with("ImportImage", request, vec![disk()]).await.unwrap();
        assert_eq!(text(&world.ended(&task).await, "Status"), "completed");
    }
    let filter = |name: &str, value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
    for (request, names) in [
        (json!({"Owners": ["self"]}), &["mine"][..]),
        (json!({"Owners": ["amazon"]}), &["quick"]),
        (json!({"Owners": ["aws-marketplace"]}), &["sold"]),
        (json!({"Owners": ["123456789012"]}), &["theirs"]),
        (json!({"ExecutableUsers": ["all"]}), &["quick", "sold", "theirs"]),
        (filter("is-public", "true"), &["quick", "sold", "theirs"]),
        (filter("is-public", "false"), &["mine"]),
        (filter("owner-id", "123456789012"), &["theirs"]),
        (filter("owner-alias", "aws-marketplace"), &["sold"]),
        (filter("product-code", "4wrd9x"), &["sold"]),
        (filter("product-code.type", "marketplace"), &["sold"]),
        (filter("product-code", "other"), &[]),
    ] {
        let answer = world.call("DescribeImages", request.clone()).await.unwrap();
        let images = answer["Images"].as_array().unwrap();
        let mut found: Vec<&str> = images.iter().map(|image| text(image, "Name")).collect();
        found.sort_unstable();
        assert_eq!(found, names, "{request}");
        for image in images {
            assert_eq!(image["Public"], *names != ["mine"], "{image}");
            let is_sold = image["Name"] == "sold";
            assert_eq!(image.get("ProductCodes"), is_sold.then_some(&code), "{image}");
        }
    }
    let sold = world.call("DescribeImages", filter("name", "sold")).await.unwrap();
    let attribute = json!({"ImageId": sold["Images"][0]["ImageId"], "Attribute": "productCodes"});
    let attribute = world.call("DescribeImageAttribute", attribute).await.unwrap();
    assert_eq!(attribute["ProductCodes"], code);
}

#[tokio::test]
async fn an_owner_that_can_not_be_is_refused() {
    let world = TestWorld::new().await;
    let codes = |id: &str| json!([{"ProductCodeId": id}]);
    for (code, more) in [
        ("InvalidParameterValue", json!({"OwnerId": "000000000000"})),
        ("InvalidParameterValue", json!({"OwnerId": "amazon"})),
        ("InvalidParameterValue", json!({"ImageOwnerAlias": "self"})),
        (
            "InvalidParameterCombination",
            json!({"ImageOwnerAlias": "amazon", "OwnerId": "123456789012"}),
        ),
        ("InvalidParameterCombination", json!({"ProductCodes": codes("a")})),
        (
            "InvalidParameterValue",
            json!({"ImageOwnerAlias": "aws-marketplace", "ProductCodes": codes("a b")}),
        ),
    ] {
        let mut request = raw("new");
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let refused = world.call_with("ImportImage", request, vec![disk()]).await.unwrap_err();
        assert_eq!(refused.code.as_str(), code, "{more}: {refused}");
    }
}
