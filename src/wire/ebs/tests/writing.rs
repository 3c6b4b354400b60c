//! Snapshots that clients write.

use super::{MINUTE, Served, block, sum};
use crate::volumes::blocks::BLOCK;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn what_is_written_block_by_block_is_a_snapshot_and_then_a_volume_whatever_restarts() {
    let served = Served::start().await;
    let request = json!({"VolumeSize": 2, "Description": "by hand", "Timeout": 10, "ClientToken": "once",
        "Tags": [{"Key": "a", "Value": "b"}]});
    let begun = served.begin(request.clone()).await;
    assert_eq!(begun.status, 201);
    let begun = begun.json();
    let id = begun["SnapshotId"].as_str().unwrap().to_owned();
    let members = json!({"SnapshotId": id, "OwnerId": "000000000000", "Status": "pending", "VolumeSize": 2,
        "BlockSize": 524_288, "Description": "by hand", "Tags": [{"Key": "a", "Value": "b"}], "SseType": "none",
        "StartTime": begun["StartTime"]});
    assert_eq!(begun, members);
    let answer = served.put(&id, 4095, &block(7)).await;
    assert_eq!(
        (answer.status, &answer.headers["x-amz-checksum"]),
        (201, &sum(&block(7)))
    );
    assert_eq!(answer.headers["x-amz-checksum-algorithm"], "SHA256");
    let shown = served.described(&id).await;
    assert_eq!(
        (&shown["State"], &shown["Progress"]),
        (&json!("pending"), &json!("42%"))
    );
    // It is no snapshot for others yet.
    let volume = json!({"AvailabilityZone": "local-1a", "SnapshotId": id});
    assert_eq!(
        served.world.refused("CreateVolume", volume.clone()).await,
        "IncorrectState"
    );
    served
        .get(&format!("/snapshots/{id}/blocks"))
        .await
        .invalid("INVALID_SNAPSHOT_ID");

    let served = served.restart().await;
    assert_eq!(served.described(&id).await["State"], "pending");
    // The same request is answered with the same snapshot, another one refused.
    assert_eq!(served.begin(request).await.json(), begun);
    let other = served.begin(json!({"VolumeSize": 1, "ClientToken": "once"})).await;
    other.refused(409, "ConflictException", None);
    assert_eq!(served.put(&id, 1, &block(1)).await.status, 201);
    // A block that is written again is one block.
    assert_eq!(served.put(&id, 1, &block(2)).await.status, 201);
    served.complete(&id, 3).await.invalid("INVALID_PARAMETER_VALUE");
    let completed = served.complete(&id, 2).await;
    assert_eq!(
        (completed.status, completed.json()),
        (202, json!({"Status": "completed"}))
    );
    assert_eq!(served.complete(&id, 2).await.status, 202, "an answer that was lost");
    served.complete(&id, 1).await.invalid("INVALID_PARAMETER_VALUE");
    served.put(&id, 1, &block(3)).await.invalid("INVALID_SNAPSHOT_ID");

    let served = served.restart().await;
    let blocks = served.listed(&format!("/snapshots/{id}/blocks")).await;
    assert_eq!(blocks.iter().map(|block| block.0).collect::<Vec<_>>(), [1, 4095]);
    let made = served.world.call("CreateVolume", volume).await.unwrap();
    let path = served
        .world
        .world
        .layout
        .volume(made["VolumeId"].as_str().unwrap().parse().unwrap());
    let deadline = Instant::now() + MINUTE;
    let wanted = json!({"VolumeIds": [made["VolumeId"]]});
    while served.world.call("DescribeVolumes", wanted.clone()).await.unwrap()["Volumes"][0]["State"] != "available" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let file = std::fs::File::open(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 2 << 30);
    let mut read = block(0);
    for (index, byte) in [(1, 2), (4095, 7), (2, 0)] {
        file.read_exact_at(&mut read, index * BLOCK as u64).unwrap();
        assert!(read == block(byte), "{index}");
    }
    let id = id.as_str();
    served
        .world
        .call("DeleteSnapshot", json!({"SnapshotId": id}))
        .await
        .unwrap();
    let volume = made["VolumeId"].as_str().unwrap();
    served.world.assert_files(&[format!("volumes/{volume}.raw")]).await;
}

#[tokio::test]
async fn a_block_that_is_not_as_it_should_be_is_refused_and_not_written() {
    let served = Served::start().await;
    let id = served.begun().await;
    let (good, right) = (block(1), sum(&block(1)));
    let length = ("x-amz-Data-Length", "524288");
    let checksum = ("x-amz-Checksum", right.as_str());
    let algorithm = ("x-amz-Checksum-Algorithm", "SHA256");
    let wrong = sum(b"");
    let put = format!("PUT /snapshots/{id}/blocks/0");
    for headers in [
        vec![length, checksum],
        vec![length, algorithm],
        vec![checksum, algorithm],
        vec![length, checksum, algorithm, checksum],
        vec![length, ("x-amz-Checksum", wrong.as_str()), algorithm],
        vec![length, ("x-amz-Checksum", "AAAA"), algorithm],
        vec![length, ("x-amz-Checksum", "\u{e9}"), algorithm],
        vec![length, checksum, ("x-amz-Checksum-Algorithm", "MD5")],
        vec![("x-amz-Data-Length", "524287"), checksum, algorithm],
        vec![("x-amz-Data-Length", "99999999999999999999"), checksum, algorithm],
        vec![("x-amz-Data-Length", "-1"), checksum, algorithm],
        vec![length, checksum, algorithm, ("x-amz-Progress", "101")],
        vec![length, checksum, algorithm, ("x-amz-Progress", "x")],
    ] {
        served
            .ask(&put, &headers, &good)
            .await
            .invalid("INVALID_PARAMETER_VALUE");
    }
    let encoded = [length, checksum, algorithm, ("Content-Encoding", "aws-chunked")];
    served
        .ask(&put, &encoded, &good)
        .await
        .invalid("INVALID_CONTENT_ENCODING");
    let headers = [length, checksum, algorithm];
    for body in [&good[1..], &[], &[good.as_slice(), b"x"].concat()] {
        served
            .ask(&put, &headers, body)
            .await
            .invalid("INVALID_PARAMETER_VALUE");
    }
    for (index, reason) in [
        ("2048", "INVALID_BLOCK"),
        ("-1", "INVALID_BLOCK"),
        ("4294967296", "INVALID_BLOCK"),
    ] {
        let put = format!("PUT /snapshots/{id}/blocks/{index}");
        served.ask(&put, &headers, &good).await.invalid(reason);
    }
    let put = "PUT /snapshots/snap-00000000000000001/blocks/0";
    let none = served.ask(put, &headers, &good).await;
    none.refused(404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"));
    assert_eq!(served.complete(&id, 0).await.status, 202);
    assert!(served.listed(&format!("/snapshots/{id}/blocks")).await.is_empty());
}

#[tokio::test]
async fn a_snapshot_that_is_not_as_it_should_be_is_not_begun() {
    let served = Served::start().await;
    let pending = served.begun().await;
    let completed = served.begin(json!({"VolumeSize": 2})).await.json()["SnapshotId"].clone();
    assert_eq!(served.complete(completed.as_str().unwrap(), 0).await.status, 202);
    let many: Vec<Value> = (0..51).map(|n| json!({"Key": n.to_string(), "Value": ""})).collect();
    for (request, reason) in [
        (json!({}), "INVALID_PARAMETER_VALUE"),
        (json!([]), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": "1"}), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": 0}), "INVALID_VOLUME_SIZE"),
        (json!({"VolumeSize": -1}), "INVALID_VOLUME_SIZE"),
        (json!({"VolumeSize": i64::MAX}), "INVALID_VOLUME_SIZE"),
        (json!({"VolumeSize": 1, "Colour": 1}), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": 1, "Timeout": 9}), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": 1, "Timeout": 4321}), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": 1, "Encrypted": true}), "INVALID_PARAMETER_VALUE"),
        (json!({"VolumeSize": 1, "KmsKeyArn": "arn"}), "INVALID_PARAMETER_VALUE"),
        (
            json!({"VolumeSize": 1, "ClientToken": "a b"}),
            "INVALID_PARAMETER_VALUE",
        ),
        (json!({"VolumeSize": 1, "ClientToken": ""}), "INVALID_PARAMETER_VALUE"),
        (
            json!({"VolumeSize": 1, "ClientToken": "x".repeat(256)}),
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({"VolumeSize": 1, "Description": "x".repeat(256)}),
            "INVALID_PARAMETER_VALUE",
        ),
        (
            json!({"VolumeSize": 1, "Tags": [{"Key": "aws:x", "Value": ""}]}),
            "INVALID_TAG",
        ),
        (json!({"VolumeSize": 1, "Tags": many}), "INVALID_TAG"),
        (json!({"VolumeSize": 1, "ParentSnapshotId": "x"}), "INVALID_SNAPSHOT_ID"),
        (
            json!({"VolumeSize": 1, "ParentSnapshotId": pending}),
            "INVALID_SNAPSHOT_ID",
        ),
        (
            json!({"VolumeSize": 1, "ParentSnapshotId": completed}),
            "INVALID_VOLUME_SIZE",
        ),
    ] {
        served.begin(request).await.invalid(reason);
    }
    served
        .ask("POST /snapshots", &[], b"{")
        .await
        .invalid("INVALID_PARAMETER_VALUE");
    served
        .ask("POST /snapshots", &[], &[b' '; 200 << 10])
        .await
        .invalid("INVALID_PARAMETER_VALUE");
    let parent = json!({"VolumeSize": 1, "ParentSnapshotId": "snap-00000000000000001"});
    let none = served.begin(parent).await;
    none.refused(404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"));
    let plain = json!({"VolumeSize": 1, "Encrypted": false, "Tags": null});
    assert_eq!(served.begin(plain).await.status, 201);
    // There is an end to how many are written at one time, and a place is free again when one is given up.
    let mut last = pending;
    let full = loop {
        let answer = served.begin(json!({"VolumeSize": 1})).await;
        if answer.status != 201 {
            break answer;
        }
        answer.json()["SnapshotId"].as_str().unwrap().clone_into(&mut last);
    };
    full.refused(
        402,
        "ServiceQuotaExceededException",
        Some("DEPENDENCY_SERVICE_QUOTA_EXCEEDED"),
    );
    served
        .world
        .call("DeleteSnapshot", json!({"SnapshotId": last}))
        .await
        .unwrap();
    served.begun().await;
}

#[tokio::test]
async fn a_completion_is_of_what_was_written() {
    let served = Served::start().await;
    let id = served.begun().await;
    // Written in another order than theirs.
    for (index, byte) in [(2040, 3), (0, 1), (7, 2)] {
        assert_eq!(served.put(&id, index, &block(byte)).await.status, 201);
    }
    let sums: Vec<u8> = [1, 2, 3].iter().flat_map(|byte| Sha256::digest(block(*byte))).collect();
    let (right, wrong) = (sum(&sums), sum(b""));
    let count = ("x-amz-ChangedBlocksCount", "3");
    let complete = format!("POST /snapshots/completion/{id}");
    for headers in [
        vec![],
        vec![("x-amz-ChangedBlocksCount", "x")],
        vec![("x-amz-ChangedBlocksCount", "2")],
        vec![count, ("x-amz-Checksum", &wrong)],
        vec![count, ("x-amz-Checksum", "x")],
        vec![count, ("x-amz-Checksum", &right), ("x-amz-Checksum-Algorithm", "MD5")],
        vec![
            count,
            ("x-amz-Checksum", &right),
            ("x-amz-Checksum-Aggregation-Method", "TREE"),
        ],
    ] {
        served
            .ask(&complete, &headers, &[])
            .await
            .invalid("INVALID_PARAMETER_VALUE");
    }
    let linear = ("x-amz-Checksum-Aggregation-Method", "LINEAR");
    let headers = [
        count,
        ("x-amz-Checksum", right.as_str()),
        ("x-amz-Checksum-Algorithm", "SHA256"),
        linear,
    ];
    assert_eq!(served.ask(&complete, &headers, &[]).await.status, 202);
    served.complete("snap-1", 0).await.invalid("INVALID_SNAPSHOT_ID");
    let none = served.complete("snap-00000000000000001", 0).await;
    none.refused(404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"));
}

#[tokio::test]
async fn a_snapshot_that_nobody_writes_to_is_given_up() {
    let served = Served::start().await;
    let (used, forgotten, timed) = (served.begun().await, served.begun().await, served.begun().await);
    served.idle(&used, 59 * MINUTE);
    assert_eq!(served.put(&used, 0, &block(1)).await.status, 201);
    // By its use.
    served.idle(&used, 61 * MINUTE);
    served.put(&used, 0, &block(1)).await.invalid("INVALID_SNAPSHOT_ID");
    served.complete(&used, 1).await.invalid("INVALID_SNAPSHOT_ID");
    // By the next daemon.
    served.idle(&forgotten, 61 * MINUTE);
    served.idle(&timed, 60 * MINUTE - Duration::from_millis(1500));
    let served = served.restart().await;
    for id in [&used, &forgotten] {
        let shown = served.described(id).await;
        assert_eq!(shown["State"], "error");
        assert!(
            shown["StateMessage"].as_str().unwrap().contains("60 minutes"),
            "{shown}"
        );
    }
    // By the clock.
    assert_eq!(served.described(&timed).await["State"], "pending");
    let deadline = Instant::now() + MINUTE;
    // Its files go after its state, and from the ledger last.
    while served.described(&timed).await["State"] == "pending" || served.ledger().await > 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for id in [&used, &forgotten, &timed] {
        served
            .world
            .call("DeleteSnapshot", json!({"SnapshotId": id}))
            .await
            .unwrap();
    }
    served.world.assert_files(&[]).await;
}

#[tokio::test]
async fn one_block_is_written_by_one_request_at_a_time_and_many_blocks_at_once() {
    let served = Arc::new(Served::start().await);
    let id = served.begun().await;
    let mut puts = tokio::task::JoinSet::new();
    for index in 0..40_u32 {
        let (served, id) = (Arc::clone(&served), id.clone());
        // The last eight are of one block.
        let index = index.min(32);
        puts.spawn(async move {
            (
                index,
                served.put(&id, index, &block(u8::try_from(index).unwrap())).await,
            )
        });
    }
    let mut written = std::collections::BTreeSet::new();
    while let Some(put) = puts.join_next().await {
        match put.unwrap() {
            (index, answer) if answer.status == 201 => {
                written.insert(index);
            }
            (index, answer) => {
                assert_eq!(index, 32);
                answer.invalid("CONFLICTING_BLOCK_UPDATE");
            }
        }
    }
    assert_eq!(written.len(), 33);
    assert_eq!(served.complete(&id, 33).await.status, 202);
}
