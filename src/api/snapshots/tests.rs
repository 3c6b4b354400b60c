//! With whom snapshots are shared.

use super::super::testing::{TestWorld, file};
use serde_json::{Value, json};

/// A world with a snapshot in it.
async fn world() -> (TestWorld, String) {
    let world = TestWorld::new().await;
    let request = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0"}});
    let files = vec![file(b"disk", 1 << 20)];
    let task = world.call_with("ImportSnapshot", request, files).await.unwrap();
    let ended = world.ended(&task).await;
    let id = ended["SnapshotTaskDetail"]["SnapshotId"].as_str().unwrap().to_owned();
    (world, id)
}

async fn permissions(world: &TestWorld, id: &str) -> Value {
    let request = json!({"SnapshotId": id, "Attribute": "createVolumePermission"});
    let shown = world.call("DescribeSnapshotAttribute", request).await.unwrap();
    shown["CreateVolumePermissions"].clone()
}

/// Whether a snapshot is among those that these may make volumes of.
async fn is_restorable(world: &TestWorld, user: &str) -> bool {
    let request = json!({"RestorableByUserIds": [user]});
    let found = world.call("DescribeSnapshots", request).await.unwrap();
    !found["Snapshots"].as_array().unwrap().is_empty()
}

const OTHER: &str = "123456789012";

#[tokio::test]
async fn a_snapshot_is_shared_with_accounts_or_everybody_and_no_more() {
    let (world, id) = world().await;
    assert_eq!(permissions(&world, &id).await, json!([]));
    let modify = |more: Value| {
        let mut request = json!({"SnapshotId": id});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let add = modify(json!({"CreateVolumePermission": {"Add": [{"UserId": OTHER}]}}));
    world.call("ModifySnapshotAttribute", add).await.unwrap();
    let all = modify(json!({"Attribute": "createVolumePermission", "OperationType": "add", "GroupNames": ["all"]}));
    world.call("ModifySnapshotAttribute", all).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        permissions(&world, &id).await,
        json!([{"UserId": OTHER}, {"Group": "all"}])
    );
    let remove = modify(json!({"CreateVolumePermission": {"Remove": [{"Group": "all"}]}}));
    world.call("ModifySnapshotAttribute", remove).await.unwrap();
    assert!(is_restorable(&world, OTHER).await && is_restorable(&world, "self").await);
    assert!(!is_restorable(&world, "all").await && !is_restorable(&world, "210987654321").await);
    let reset = modify(json!({"Attribute": "createVolumePermission"}));
    world.call("ResetSnapshotAttribute", reset).await.unwrap();
    assert_eq!(permissions(&world, &id).await, json!([]));
    world.call("DeleteSnapshot", json!({"SnapshotId": id})).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_changed_of_a_snapshot_is_refused() {
    let (world, id) = world().await;
    let codes = json!({"SnapshotId": id, "Attribute": "productCodes"});
    let shown = world.call("DescribeSnapshotAttribute", codes.clone()).await.unwrap();
    assert_eq!(shown, json!({"SnapshotId": id, "ProductCodes": []}));
    let missing = json!({"SnapshotId": "snap-0123456789abcdef0", "UserIds": [OTHER]});
    let both = json!({"Add": [{"UserId": OTHER}], "Remove": [{"Group": "all"}]});
    for (operation, request, code) in [
        ("ResetSnapshotAttribute", codes.clone(), "InvalidParameterValue"),
        ("ModifySnapshotAttribute", codes, "InvalidParameterValue"),
        ("ModifySnapshotAttribute", json!({"SnapshotId": id}), "MissingParameter"),
        (
            "ModifySnapshotAttribute",
            json!({"SnapshotId": id, "UserIds": ["1"]}),
            "InvalidParameterValue",
        ),
        (
            "ModifySnapshotAttribute",
            json!({"SnapshotId": id, "CreateVolumePermission": both}),
            "InvalidParameterCombination",
        ),
        ("ModifySnapshotAttribute", missing, "InvalidSnapshot.NotFound"),
        (
            "ModifySnapshotAttribute",
            json!({"SnapshotId": id, "UserIds": [OTHER], "DryRun": true}),
            "DryRunOperation",
        ),
    ] {
        assert_eq!(world.refused(operation, request.clone()).await, code, "{request}");
    }
    assert_eq!(permissions(&world, &id).await, json!([]));
}
