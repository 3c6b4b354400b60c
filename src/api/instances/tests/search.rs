//! Describe operations among many instances: filters of each kind, and pages of what they leave.

use super::super::super::testing::{TestWorld, stopped_instance};
use crate::model::{
    Attachment, AttachmentState, GIB, InstanceId, ResourceId, Tag, Volume, VolumeId, VolumeLimits, VolumeState,
};
use crate::store::{self, StoreError, random_bits};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Stopped instances, by id; every second is tagged, every third has a volume.
async fn instances(test: &TestWorld, count: usize) -> Vec<String> {
    let mut ids: Vec<InstanceId> = Vec::new();
    for _ in 0..count {
        ids.push(stopped_instance(test).await);
    }
    ids.sort();
    let all = ids.clone();
    let written = test.world.store.write(move |tx| {
        for (number, &instance) in all.iter().enumerate() {
            if number % 2 == 0 {
                let (key, value) = ("Role".into(), "database".into());
                store::tags::put(tx, ResourceId::Instance(instance), &Tag { key, value })?;
            }
            if number % 3 == 0 {
                attach(tx, instance, "/dev/sdf")?;
            }
        }
        Ok::<_, StoreError>(())
    });
    written.await.unwrap();
    ids.iter().map(ToString::to_string).collect()
}

/// Attaches a new volume.
pub(super) fn attach(
    connection: &rusqlite::Connection,
    instance: InstanceId,
    device_name: &str,
) -> Result<(), StoreError> {
    let now = OffsetDateTime::now_utc();
    let volume = Volume {
        id: VolumeId::from_random(random_bits()),
        size: GIB,
        snapshot: None,
        state: VolumeState::InUse,
        limits: VolumeLimits::default(),
        created: now,
    };
    store::volumes::add(connection, &volume)?;
    let attachment = Attachment {
        volume: volume.id,
        instance,
        device_name: device_name.into(),
        delete_on_termination: false,
        attached: now,
        state: AttachmentState::Attached,
    };
    store::volumes::attach(connection, &attachment)
}

/// The ids that all pages have, sorted: an answer has them by reservation.
async fn pages(test: &TestWorld, filters: &Value) -> Vec<String> {
    let list = |answer: &Value| {
        let reservations = answer["Reservations"].as_array().unwrap().iter();
        let instances = reservations.flat_map(|reservation| reservation["Instances"].as_array().unwrap().clone());
        instances.collect()
    };
    pages_of(test, "DescribeInstances", json!({"Filters": filters}), list).await
}

async fn pages_of(
    test: &TestWorld,
    operation: &str,
    mut request: Value,
    list: impl Fn(&Value) -> Vec<Value>,
) -> Vec<String> {
    request["MaxResults"] = json!(5);
    let mut found = Vec::new();
    loop {
        let answer = test.call(operation, request.clone()).await.unwrap();
        let page: Vec<String> = list(&answer)
            .iter()
            .map(|one| one["InstanceId"].as_str().unwrap().to_owned())
            .collect();
        let more = !answer["NextToken"].is_null();
        assert!(!more || page.len() == 5, "{answer}");
        found.extend(page);
        if !more {
            found.sort();
            return found;
        }
        request["NextToken"] = answer["NextToken"].clone();
    }
}

#[tokio::test]
async fn pages_put_together_are_all_that_filters_of_every_kind_leave() {
    let test = TestWorld::new().await;
    let ids = instances(&test, 40).await;
    let of = |wanted: fn(usize) -> bool| -> Vec<String> {
        let numbered = ids.iter().enumerate().filter(|(number, _)| wanted(*number));
        numbered.map(|(_, id)| id.clone()).collect()
    };
    let tagged = json!({"Name": "tag:Role", "Values": ["data*"]});
    let stopped = json!({"Name": "instance-state-name", "Values": ["stopped"]});
    let running = json!({"Name": "instance-state-name", "Values": ["running"]});
    let attached = json!({"Name": "block-device-mapping.device-name", "Values": ["/dev/sdf"]});
    assert_eq!(pages(&test, &json!([])).await, ids);
    assert_eq!(pages(&test, &json!([stopped])).await, ids);
    assert_eq!(pages(&test, &json!([tagged])).await, of(|number| number % 2 == 0));
    assert_eq!(pages(&test, &json!([attached])).await, of(|number| number % 3 == 0));
    let all_kinds = json!([attached, tagged, stopped]);
    assert_eq!(pages(&test, &all_kinds).await, of(|number| number % 6 == 0));
    assert!(pages(&test, &json!([tagged, running])).await.is_empty());
}

#[tokio::test]
async fn statuses_and_credits_have_pages_of_their_own() {
    let test = TestWorld::new().await;
    let ids = instances(&test, 40).await;
    let test = test.restart().await;
    let standard = ids[..7].iter();
    let standard: Vec<Value> = standard
        .map(|id| json!({"InstanceId": id, "CpuCredits": "standard"}))
        .collect();
    let standard = json!({"InstanceCreditSpecifications": standard});
    test.call("ModifyInstanceCreditSpecification", standard).await.unwrap();
    let items = |member: &'static str| move |answer: &Value| answer[member].as_array().unwrap().clone();

    let credits = json!({});
    let list = items("InstanceCreditSpecifications");
    let found = pages_of(&test, "DescribeInstanceCreditSpecifications", credits, list).await;
    assert_eq!(found, ids[7..]);
    let few = json!({"Filters": [{"Name": "instance-id", "Values": [ids[0], ids[20], ids[39]]}]});
    let list = items("InstanceCreditSpecifications");
    let found = pages_of(&test, "DescribeInstanceCreditSpecifications", few, list).await;
    assert_eq!(found, [ids[20].clone(), ids[39].clone()]);

    let statuses = async |request: Value| {
        let list = items("InstanceStatuses");
        pages_of(&test, "DescribeInstanceStatus", request, list).await
    };
    assert_eq!(statuses(json!({"IncludeAllInstances": true})).await, ids);
    assert!(statuses(json!({})).await.is_empty());
    let filtered = |name: &str, value: &str| {
        let filters = json!([{"Name": name, "Values": [value]}]);
        json!({"IncludeAllInstances": true, "Filters": filters})
    };
    assert_eq!(statuses(filtered("instance-state-name", "stopped")).await, ids);
    assert_eq!(statuses(filtered("system-status.status", "not-*")).await, ids);
    assert!(statuses(filtered("system-status.status", "ok")).await.is_empty());
    assert!(statuses(filtered("event.code", "*")).await.is_empty());
}
