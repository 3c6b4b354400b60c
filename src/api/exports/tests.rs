//! Exports out of a real directory to real files.

use super::super::testing::{TestWorld, file};
use crate::model::{ExportTask, ExportTaskId, ImageId, SnapshotId, TaskState};
use crate::store;
use kiln_images::formats::{detect, digest_of, import};
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::AtomicBool;
use time::OffsetDateTime;

const MIB: u64 = 1 << 20;

/// An image of a disk of 64 MiB; gives its id and its snapshot's.
async fn image(world: &TestWorld, name: &str, bytes: &[u8]) -> (String, String) {
    let request = json!({
        "DiskContainers": [{"Format": "RAW", "Url": "fd:0"}],
        "TagSpecifications": [{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": name}]}],
    });
    let task = world
        .call_with("ImportImage", request, vec![file(bytes, 64 * MIB)])
        .await
        .unwrap();
    let task = world.ended(&task).await;
    let image = text(&task, "ImageId").to_owned();
    (image, text(&task["SnapshotDetails"][0], "SnapshotId").to_owned())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("No {key} in {value}"))
}

fn to(image: &str, format: &str) -> Value {
    json!({"ImageId": image, "DiskImageFormat": format, "Url": "fd:0"})
}

/// An empty file, and the descriptor of it that is sent.
fn empty() -> (File, OwnedFd) {
    let file = tempfile::tempfile().unwrap();
    let sent = file.try_clone().unwrap();
    (file, sent.into())
}

/// How many descriptors of this process are of that file.
fn times_open(file: &File) -> usize {
    let file = file.metadata().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    // Other tests close theirs meanwhile.
    let open = open.filter_map(|one| std::fs::metadata(one.ok()?.path()).ok());
    open.filter(|one| (one.dev(), one.ino()) == (file.dev(), file.ino()))
        .count()
}

/// A disk with so much data that its export is still under way when one looks.
fn much() -> Vec<u8> {
    (0..48 * MIB)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

#[tokio::test]
async fn an_image_is_exported_in_every_format_and_comes_back_the_same() {
    let world = TestWorld::new().await;
    let (image, snapshot) = image(&world, "mine", b"boot sector").await;
    let original = File::open(world.world.layout.snapshot(snapshot.parse().unwrap())).unwrap();
    let original = digest_of(&original).unwrap();
    for format in ["RAW", "QCOW2", "VMDK", "VHD"] {
        let (written, sent) = empty();
        let mut request = to(&image, format);
        request["Description"] = "for the archive".into();
        let task = world.call_with("ExportImage", request, vec![sent]).await.unwrap();
        assert!(text(&task, "ExportImageTaskId").starts_with("export-ami-"));
        assert_eq!(
            (text(&task, "DiskImageFormat"), text(&task, "ImageId")),
            (format, image.as_str())
        );
        let task = world.ended(&task).await;
        assert_eq!(
            (text(&task, "Status"), text(&task, "Progress")),
            ("completed", "100"),
            "{task}"
        );
        assert_eq!(text(&task, "Description"), "for the archive");

        let told = detect(&written).unwrap().to_string().to_ascii_uppercase();
        assert_eq!(told, format);
        let (folder, back) = (tempfile::tempdir().unwrap(), tempfile::tempfile().unwrap());
        let (folder, never) = (File::open(folder.path()).unwrap(), AtomicBool::new(false));
        let again = import(&written, None, &back, &folder, &mut |_| {}, &never).unwrap();
        assert_eq!((again.virtual_size, again.digest), (64 * MIB, original), "{format}");
    }
    // The file is the client's: nothing of ours is left.
    world.assert_files(&[format!("snapshots/{snapshot}.raw")]).await;
}

#[tokio::test]
async fn an_image_may_go_while_it_is_exported() {
    let world = TestWorld::new().await;
    let (image, _) = image(&world, "mine", &much()).await;
    let (written, sent) = empty();
    let task = world
        .call_with("ExportImage", to(&image, "VMDK"), vec![sent])
        .await
        .unwrap();
    let all = json!({"ImageId": image, "DeleteAssociatedSnapshots": true});
    world.call("DeregisterImage", all).await.unwrap();
    world.assert_files(&[]).await;
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "Status"), "completed", "{task}");
    let (folder, back) = (tempfile::tempdir().unwrap(), tempfile::tempfile().unwrap());
    let folder = File::open(folder.path()).unwrap();
    import(&written, None, &back, &folder, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let mut bytes = vec![0; 48 << 20];
    back.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == much());
}

#[tokio::test]
async fn a_cancelled_export_is_deleted_and_lets_go_of_the_file() {
    let world = TestWorld::new().await;
    let (image, _) = image(&world, "mine", &much()).await;
    let (written, sent) = empty();
    let task = world
        .call_with("ExportImage", to(&image, "VMDK"), vec![sent])
        .await
        .unwrap();
    assert_eq!(times_open(&written), 2);
    let id = text(&task, "ExportImageTaskId");
    world
        .call("CancelExportTask", json!({"ExportTaskId": id}))
        .await
        .unwrap();
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "Status"), "deleted");
    assert!(
        text(&task, "StatusMessage").starts_with("Cancelled by a user"),
        "{task}"
    );
    assert_eq!(times_open(&written), 1);
    let again = world.refused("CancelExportTask", json!({"ExportTaskId": id})).await;
    assert_eq!(again, "IncorrectState");
}

#[tokio::test]
async fn tasks_are_tagged_found_and_paged() {
    let world = TestWorld::new().await;
    let (image, _) = image(&world, "mine", b"x").await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        let mut request = to(&image, "RAW");
        request["TagSpecifications"] =
            json!([{"ResourceType": "export-image-task", "Tags": [{"Key": "Name", "Value": name}]}]);
        let task = world.call_with("ExportImage", request, vec![empty().1]).await.unwrap();
        assert_eq!(task["Tags"], json!([{"Key": "Name", "Value": name}]));
        world.ended(&task).await;
        ids.push(text(&task, "ExportImageTaskId").to_owned());
    }
    let describe = async |request| world.call("DescribeExportImageTasks", request).await.unwrap();
    let of = |answer: &Value| answer["ExportImageTasks"].as_array().unwrap().len();
    let tagged = json!({"Filters": [{"Name": "tag:Name", "Values": ["t*"]}]});
    assert_eq!(of(&describe(tagged).await), 2);
    let active = json!({"Filters": [{"Name": "task-state", "Values": ["active"]}]});
    assert_eq!(of(&describe(active).await), 0);
    let completed = json!({"Filters": [{"Name": "task-state", "Values": ["completed"]}]});
    assert_eq!(of(&describe(completed).await), 3);
    let first = describe(json!({"MaxResults": 2})).await;
    let rest = describe(json!({"MaxResults": 2, "NextToken": first["NextToken"]})).await;
    assert_eq!((of(&first), of(&rest), rest.get("NextToken")), (2, 1, None));
    let types = json!({"Filters": [{"Name": "resource-type", "Values": ["export-image-task"]}]});
    let tags = world.call("DescribeTags", types).await.unwrap();
    assert_eq!(tags["Tags"].as_array().unwrap().len(), 3);

    let unknown = json!({"ExportImageTaskIds": ["export-ami-00000000000000001"]});
    let refused = world.refused("DescribeExportImageTasks", unknown).await;
    assert_eq!(refused, "InvalidExportTaskID.NotFound");
    for id in ["export-i-00000000000000001", "ami-00000000000000001"] {
        let refused = world.refused("CancelExportTask", json!({"ExportTaskId": id})).await;
        assert_eq!(refused, "InvalidExportTaskID.Malformed");
    }
    // A week later nothing is known of them.
    let later = OffsetDateTime::now_utc() + time::Duration::days(1);
    let forget = world
        .world
        .store
        .write(move |store| store::exports::forget_ended(store, later));
    forget.await.unwrap();
    assert_eq!(of(&describe(json!({})).await), 0);
    let all = json!({"ResourceType": "export-image-task"});
    let tags = world.call("DescribeTags", json!({})).await.unwrap();
    assert!(!tags.to_string().contains("export-"), "{all} {tags}");
}

#[tokio::test]
async fn a_token_gives_the_first_task_again_and_no_other_request_may_have_it() {
    let world = TestWorld::new().await;
    let (image, _) = image(&world, "mine", b"x").await;
    let with_token = |format: &str| {
        let mut request = to(&image, format);
        request["ClientToken"] = "once".into();
        request
    };
    let (_first, sent) = empty();
    let first = world
        .call_with("ExportImage", with_token("RAW"), vec![sent])
        .await
        .unwrap();
    let first = world.ended(&first).await;
    let (second, sent) = empty();
    let again = world
        .call_with("ExportImage", with_token("RAW"), vec![sent])
        .await
        .unwrap();
    assert_eq!(first["ExportImageTaskId"], again["ExportImageTaskId"]);
    assert_eq!(second.metadata().unwrap().len(), 0, "it was exported twice");
    let other = world.call_with("ExportImage", with_token("VHD"), vec![empty().1]).await;
    assert_eq!(other.unwrap_err().code.as_str(), "IdempotentParameterMismatch");
}

/// A descriptor of a new file with these bytes, opened as `options` say.
fn opened(bytes: &[u8], options: &mut std::fs::OpenOptions) -> OwnedFd {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    options.open(path).unwrap().into()
}

#[tokio::test]
async fn bad_requests_are_refused_with_ec2s_codes_and_begin_nothing() {
    let world = TestWorld::new().await;
    let (image, snapshot) = image(&world, "mine", b"x").await;
    let (pipe, _write) = rustix::pipe::pipe().unwrap();
    let no_file = json!({"ImageId": image, "DiskImageFormat": "RAW"});
    let mut s3 = no_file.clone();
    s3["S3ExportLocation"] = json!({"S3Bucket": "mine"});
    let mut dry = to(&image, "RAW");
    dry["DryRun"] = true.into();
    let mut role = to(&image, "RAW");
    role["RoleName"] = "vmimport".into();
    let open = File::options;
    for (code, says, request, files) in [
        ("UnsupportedOperation", "S3", s3, vec![empty().1]),
        ("UnsupportedOperation", "RoleName", role, vec![empty().1]),
        ("MissingParameter", "fd:0", no_file, vec![]),
        ("InvalidParameterValue", "0 files", to(&image, "RAW"), vec![]),
        (
            "InvalidParameterValue",
            "no path",
            json!({"ImageId": image, "DiskImageFormat": "RAW", "Url": "/etc/passwd"}),
            vec![],
        ),
        ("InvalidParameterValue", "regular file", to(&image, "RAW"), vec![pipe]),
        (
            "InvalidParameterValue",
            "open for writing",
            to(&image, "RAW"),
            vec![opened(b"", open().read(true))],
        ),
        (
            "InvalidParameterValue",
            "appending",
            to(&image, "RAW"),
            vec![opened(b"", open().append(true))],
        ),
        (
            "InvalidParameterValue",
            "not empty: it has 4",
            to(&image, "RAW"),
            vec![opened(b"mine", open().write(true))],
        ),
        (
            "InvalidParameterValue",
            "DiskImageFormat",
            to(&image, "ISO"),
            vec![empty().1],
        ),
        ("InvalidAMIID.Malformed", "", to("debian", "RAW"), vec![empty().1]),
        (
            "InvalidAMIID.NotFound",
            "does not exist",
            to("ami-00000000000000001", "RAW"),
            vec![empty().1],
        ),
        ("DryRunOperation", "", dry, vec![empty().1]),
    ] {
        let refused = world
            .call_with("ExportImage", request.clone(), files)
            .await
            .unwrap_err();
        assert_eq!(refused.code.as_str(), code, "{request}: {refused}");
        let message = refused.message.to_lowercase();
        assert!(message.contains(&says.to_lowercase()), "{request}: {refused}");
    }
    let id: SnapshotId = snapshot.parse().unwrap();
    let damaged = world.world.store.write(move |store| {
        let mut snapshot = store::snapshots::get(store, id)?.unwrap();
        snapshot.state = crate::model::SnapshotState::Error;
        snapshot.state_message = Some("It was hit by lightning".into());
        store::snapshots::put(store, &snapshot)
    });
    damaged.await.unwrap();
    let refused = world.call_with("ExportImage", to(&image, "RAW"), vec![empty().1]).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code.as_str(), "IncorrectState");
    assert!(refused.message.ends_with("It was hit by lightning"), "{refused}");
    let none = world.call("DescribeExportImageTasks", json!({})).await.unwrap();
    assert_eq!(none, json!({"ExportImageTasks": []}));
}

#[tokio::test]
async fn an_export_that_was_active_when_the_daemon_died_is_deleted() {
    let world = TestWorld::new().await;
    let id = ExportTaskId::from_random(7);
    let task = ExportTask {
        id,
        client_token: None,
        request_digest: String::new(),
        state: TaskState::Active,
        progress: 0,
        message: None,
        description: None,
        format: "raw".into(),
        image: ImageId::from_random(1),
        snapshot: SnapshotId::from_random(1),
        created: OffsetDateTime::now_utc(),
    };
    let put = world.world.store.write(move |store| store::exports::put(store, &task));
    put.await.unwrap();
    let world = world.restart().await;
    let request = json!({"ExportImageTaskIds": [id.to_string()]});
    let task = world.call("DescribeExportImageTasks", request).await.unwrap();
    let task = &task["ExportImageTasks"][0];
    assert_eq!(text(task, "Status"), "deleted");
    assert!(text(task, "StatusMessage").contains("daemon died"), "{task}");
}

#[tokio::test]
async fn a_snapshot_whose_file_is_gone_ends_the_task_and_says_so() {
    let world = TestWorld::new().await;
    let (image, snapshot) = image(&world, "mine", b"x").await;
    let path = world.world.layout.snapshot(snapshot.parse().unwrap());
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    let task = world
        .call_with("ExportImage", to(&image, "RAW"), vec![empty().1])
        .await
        .unwrap();
    let task = world.ended(&task).await;
    assert_eq!(text(&task, "Status"), "deleted");
    assert!(text(&task, "StatusMessage").contains(&snapshot), "{task}");
}

#[tokio::test]
async fn a_stopping_daemon_ends_its_exports() {
    let world = TestWorld::new().await;
    let (image, _) = image(&world, "mine", &much()).await;
    let task = world
        .call_with("ExportImage", to(&image, "VMDK"), vec![empty().1])
        .await
        .unwrap();
    world.world.exports.stop().await;
    let task = world.ended(&task).await;
    assert_eq!(
        text(&task, "StatusMessage"),
        "The daemon was stopped while the export ran"
    );
    let refused = world.call_with("ExportImage", to(&image, "RAW"), vec![empty().1]).await;
    assert_eq!(refused.unwrap_err().code.as_str(), "ResourceCountLimitExceeded");
}
