//! What is refused, what is on record, and what becomes of a task whose guest does not run. `tests/small_guests.rs` has guests.

use crate::api::testing::{TestWorld, stopped_instance};
use crate::model::{
    Attachment, AttachmentState, InstanceState, ReplaceRootVolumeTaskState as TaskState, Volume, VolumeId,
    VolumeLimits, VolumeState,
};
use crate::store;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;

const ROOT: VolumeId = VolumeId::from_random(7);

/// A world with an instance that is on record as running, and has no machine: nothing can be done with its guest.
async fn world() -> (TestWorld, String) {
    let world = TestWorld::new().await;
    world.tiny_image().await;
    let id = stopped_instance(&world).await;
    let written = world.world.store.write(move |tx| {
        let mut instance = store::instances::get(tx, id)?.unwrap();
        instance.state = InstanceState::Running;
        store::instances::update(tx, &instance)?;
        let created = OffsetDateTime::now_utc();
        let volume = Volume {
            id: ROOT,
            size: 2 << 30,
            snapshot: Some(TestWorld::TINY_SNAPSHOT),
            state: VolumeState::InUse,
            limits: VolumeLimits::default(),
            created,
        };
        store::volumes::add(tx, &volume)?;
        let attachment = Attachment {
            volume: ROOT,
            instance: id,
            device_name: "/dev/sda1".into(),
            delete_on_termination: true,
            attached: created,
            state: AttachmentState::Attached,
        };
        store::volumes::attach(tx, &attachment)
    });
    written.await.unwrap();
    (world, id.to_string())
}

/// The task as it is described once it has ended.
async fn ended(world: &TestWorld, task: &Value) -> Value {
    let ids = json!({"ReplaceRootVolumeTaskIds": [task["ReplaceRootVolumeTaskId"]]});
    loop {
        let tasks = world.call("DescribeReplaceRootVolumeTasks", ids.clone()).await.unwrap();
        let task = &tasks["ReplaceRootVolumeTasks"][0];
        if task.get("CompleteTime").is_some() {
            return task.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_task_whose_guest_does_not_run_fails_and_leaves_no_volume() {
    let (world, instance) = world().await;
    let request = json!({
        "InstanceId": instance,
        "ClientToken": "once",
        "DeleteReplacedRootVolume": true,
        "TagSpecifications": [{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "why", "Value": "patch"}]}],
    });
    let answer = world
        .call("CreateReplaceRootVolumeTask", request.clone())
        .await
        .unwrap();
    let task = &answer["ReplaceRootVolumeTask"];
    assert_eq!(
        (&task["InstanceId"], &task["SnapshotId"], &task["TaskState"]),
        (
            &json!(instance),
            &json!(TestWorld::TINY_SNAPSHOT.to_string()),
            &json!("pending")
        ),
        "{task}"
    );
    assert_eq!(task["Tags"][0]["Value"], "patch");
    let failed = ended(&world, task).await;
    assert_eq!(failed["TaskState"], "failed");

    let volumes = world.call("DescribeVolumes", json!({})).await.unwrap();
    let volumes = volumes["Volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    assert_eq!(volumes[0]["Attachments"][0]["InstanceId"], json!(instance));

    // The same request again is the same task; another one with its token is a mistake.
    let again = world
        .call("CreateReplaceRootVolumeTask", request.clone())
        .await
        .unwrap();
    assert_eq!(
        again["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"],
        task["ReplaceRootVolumeTaskId"]
    );
    let mut other = request;
    other["DeleteReplacedRootVolume"] = false.into();
    let refused = world.refused("CreateReplaceRootVolumeTask", other).await;
    assert_eq!(refused, "IdempotentParameterMismatch");
}

#[tokio::test]
async fn tasks_are_found_by_their_ids_their_instance_and_their_tags() {
    let (world, instance) = world().await;
    let request = json!({
        "InstanceId": instance,
        "TagSpecifications": [{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "why", "Value": "patch"}]}],
    });
    let answer = world.call("CreateReplaceRootVolumeTask", request).await.unwrap();
    ended(&world, &answer["ReplaceRootVolumeTask"]).await;
    for (filter, value, count) in [
        ("instance-id", instance.as_str(), 1),
        ("instance-id", "i-*", 1),
        ("instance-id", "i-0", 0),
        ("tag:why", "patch", 1),
        ("tag-key", "who", 0),
    ] {
        let filters = json!({"Filters": [{"Name": filter, "Values": [value]}]});
        let found = world.call("DescribeReplaceRootVolumeTasks", filters).await.unwrap();
        let found = found["ReplaceRootVolumeTasks"].as_array().unwrap().len();
        assert_eq!(found, count, "{filter} {value}");
    }
    for (ids, code) in [
        (json!(["replacevol-1"]), "InvalidReplaceRootVolumeTaskId.Malformed"),
        (
            json!(["replacevol-00000000000000001"]),
            "InvalidReplaceRootVolumeTaskId.NotFound",
        ),
    ] {
        let refused = world
            .refused(
                "DescribeReplaceRootVolumeTasks",
                json!({"ReplaceRootVolumeTaskIds": ids}),
            )
            .await;
        assert_eq!(refused, code);
    }
}

#[tokio::test]
async fn what_can_not_be_replaced_or_used_for_it_is_refused() {
    let (world, instance) = world().await;
    let stopped = stopped_instance(&world).await.to_string();
    let image = TestWorld::TINY_IMAGE.to_string();
    for (request, code) in [
        (json!({"InstanceId": "i-1"}), "InvalidInstanceID.Malformed"),
        (
            json!({"InstanceId": "i-00000000000000001"}),
            "InvalidInstanceID.NotFound",
        ),
        (json!({"InstanceId": stopped}), "IncorrectInstanceState"),
        (
            json!({"InstanceId": instance, "ImageId": image, "SnapshotId": "snap-00000000000000005"}),
            "InvalidParameterCombination",
        ),
        (
            json!({"InstanceId": instance, "ImageId": "ami-00000000000000001"}),
            "InvalidAMIID.NotFound",
        ),
        (
            json!({"InstanceId": instance, "SnapshotId": "snap-00000000000000001"}),
            "InvalidSnapshot.NotFound",
        ),
        (
            json!({"InstanceId": instance, "VolumeId": ROOT.to_string()}),
            "IncorrectState",
        ),
        (
            json!({"InstanceId": instance, "ImageId": image, "DryRun": true}),
            "DryRunOperation",
        ),
    ] {
        let refused = world.refused("CreateReplaceRootVolumeTask", request.clone()).await;
        assert_eq!(refused, code, "{request}");
    }
    let tasks = world.world.store.read(store::replace_root_volume_tasks::list);
    assert_eq!(tasks.await.unwrap(), []);
    assert_eq!(world.world.store.read(store::volumes::list).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_task_of_an_instance_is_under_way_at_a_time() {
    let (world, instance) = world().await;
    let first = world
        .call("CreateReplaceRootVolumeTask", json!({"InstanceId": instance}))
        .await
        .unwrap();
    ended(&world, &first["ReplaceRootVolumeTask"]).await;
    let unfinished = world.world.store.write(|tx| {
        let mut task = store::replace_root_volume_tasks::list(tx)?.remove(0);
        (task.state, task.completed) = (TaskState::InProgress, None);
        store::replace_root_volume_tasks::put(tx, &task)
    });
    unfinished.await.unwrap();
    let refused = world
        .refused("CreateReplaceRootVolumeTask", json!({"InstanceId": instance}))
        .await;
    assert_eq!(refused, "IncorrectState");
}
