//! Lists and blocks of snapshots that are there.

use super::{Served, block, sum};
use crate::api::testing::file;
use crate::volumes::blocks::BLOCK;
use serde_json::json;

#[tokio::test]
async fn a_block_is_read_with_the_token_that_its_list_gave() {
    let served = Served::start().await;
    let id = served.written(&[(0, 1), (5, 2)]).await;
    let blocks = served
        .listed(&format!("/snapshots/{id}/blocks?maxResults=100&startingBlockIndex=1"))
        .await;
    let [(5, listed)] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    let token = listed["BlockToken"].as_str().unwrap();
    let answer = served
        .get(&format!("/snapshots/{id}/blocks/5?blockToken={token}"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-amz-data-length"], "524288");
    assert_eq!(answer.headers["x-amz-checksum"], sum(&block(2)));
    assert_eq!(answer.headers["x-amz-checksum-algorithm"], "SHA256");
    assert!(answer.body == block(2));
    for (path, reason) in [
        (format!("{id}/blocks/4?blockToken={token}"), "INVALID_BLOCK_TOKEN"),
        (format!("{id}/blocks/5?blockToken=AAAA%2B%3D"), "INVALID_BLOCK_TOKEN"),
        (format!("{id}/blocks/5"), "INVALID_BLOCK_TOKEN"),
        (format!("{id}/blocks/x?blockToken={token}"), "INVALID_BLOCK"),
        (
            format!("{id}/blocks/5?blockToken={token}&x=1"),
            "INVALID_PARAMETER_VALUE",
        ),
        ("snap-1/blocks/5?blockToken=A".into(), "INVALID_SNAPSHOT_ID"),
        (format!("{id}/blocks?maxResults=99"), "INVALID_PARAMETER_VALUE"),
        (format!("{id}/blocks?maxResults=10001"), "INVALID_PARAMETER_VALUE"),
        (format!("{id}/blocks?startingBlockIndex=-1"), "INVALID_PARAMETER_VALUE"),
        (format!("{id}/blocks?pageToken=AAAA"), "INVALID_PAGE_TOKEN"),
        (
            format!("{id}/changedblocks?firstSnapshotId=vol-1"),
            "INVALID_SNAPSHOT_ID",
        ),
    ] {
        served.get(&format!("/snapshots/{path}")).await.invalid(reason);
    }
    let none = "snap-00000000000000001";
    for path in [
        format!("{none}/blocks/5?blockToken={token}"),
        format!("{none}/blocks"),
        format!("{none}/changedblocks"),
        format!("{id}/changedblocks?firstSnapshotId={none}"),
    ] {
        let answer = served.get(&format!("/snapshots/{path}")).await;
        answer.refused(404, "ResourceNotFoundException", Some("SNAPSHOT_NOT_FOUND"));
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_a_disk_that_ends_within_a_block_ends_in_zeros() {
    let served = Served::start().await;
    let mut bytes = Vec::new();
    bytes.resize(150 * BLOCK + 512, 1);
    let imported = json!({"DiskContainer": {"Format": "raw", "Url": "fd:0"}});
    let disk = file(&bytes, bytes.len() as u64);
    let task = served
        .world
        .call_with("ImportSnapshot", imported, vec![disk])
        .await
        .unwrap();
    let task = served.world.ended(&task).await;
    let id = task["SnapshotTaskDetail"]["SnapshotId"].as_str().unwrap();
    let mut token = None;
    for (list, member) in [("changedblocks", "ChangedBlocks"), ("blocks", "Blocks")] {
        let path = format!("/snapshots/{id}/{list}?maxResults=100");
        let first = served.get(&path).await.json();
        let next = first["NextToken"].as_str().unwrap();
        let second = served.get(&format!("{path}&pageToken={next}")).await.json();
        let pages = [&first, &second].map(|page| page[member].as_array().unwrap().len());
        assert_eq!(pages, [100, 51], "{list}");
        assert_eq!((second.get("NextToken"), &second["VolumeSize"]), (None, &json!(1)));
        // A token is of one list.
        let other = format!("/snapshots/{id}/changedblocks?firstSnapshotId={id}&pageToken={next}");
        served.get(&other).await.invalid("INVALID_PAGE_TOKEN");
        token = second[member][50].get("BlockToken").cloned();
    }
    let token = token.unwrap();
    let path = format!("/snapshots/{id}/blocks/150?blockToken={}", token.as_str().unwrap());
    let last = served.get(&path).await.body;
    assert!(last == [vec![1; 512], vec![0; BLOCK - 512]].concat());
}

#[tokio::test]
async fn the_changed_blocks_are_those_that_differ() {
    let served = Served::start().await;
    let first = served.written(&[(0, 1), (1, 1), (9, 9)]).await;
    let second = served
        .begin(json!({"VolumeSize": 2, "ParentSnapshotId": first}))
        .await
        .json();
    assert_eq!(second["ParentSnapshotId"], first.as_str());
    let second = second["SnapshotId"].as_str().unwrap();
    for (index, byte) in [(1, 2), (9, 9), (3000, 3)] {
        assert_eq!(served.put(second, index, &block(byte)).await.status, 201);
    }
    assert_eq!(served.complete(second, 3).await.status, 202);
    let path = format!("/snapshots/{second}/changedblocks");
    let changed = served.listed(&format!("{path}?firstSnapshotId={first}")).await;
    assert_eq!(changed.iter().map(|block| block.0).collect::<Vec<_>>(), [1, 3000]);
    let has_first = |at: usize| changed[at].1.get("FirstBlockToken").is_some();
    assert_eq!((has_first(0), has_first(1)), (true, false));
    for (snapshot, member, byte) in [(first.as_str(), "FirstBlockToken", 1), (second, "SecondBlockToken", 2)] {
        let token = changed[0].1[member].as_str().unwrap();
        let read = served
            .get(&format!("/snapshots/{snapshot}/blocks/1?blockToken={token}"))
            .await;
        assert!(read.body == block(byte), "{member}");
    }
    let all = served.listed(&path).await;
    assert_eq!(all.iter().map(|block| block.0).collect::<Vec<_>>(), [0, 1, 9, 3000]);
    // Any two may be compared, also this way round.
    let back = served
        .listed(&format!("/snapshots/{first}/changedblocks?firstSnapshotId={second}"))
        .await;
    assert_eq!(back.iter().map(|block| block.0).collect::<Vec<_>>(), [1]);
}
