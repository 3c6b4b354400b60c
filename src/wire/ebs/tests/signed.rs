//! The same on the endpoint, where each request is signed.

use super::{block, sum};
use crate::volumes::blocks::BLOCK;
use crate::wire::server::body::MAX_BODY;
use crate::wire::testing::Endpoint;
use serde_json::{Value, json};

/// The headers of a block whose data the signature does not cover.
fn unsigned(sum: &str) -> [(&str, &str); 4] {
    [
        ("x-amz-checksum", sum),
        ("x-amz-checksum-algorithm", "SHA256"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-data-length", "524288"),
    ]
}

#[tokio::test]
async fn a_snapshot_is_written_and_read_with_signatures() {
    let endpoint = Endpoint::start().await;
    let begun = endpoint
        .ask("ebs", "POST /snapshots", &[], br#"{"VolumeSize": 1}"#)
        .await;
    assert_eq!(begun.status, 201);
    let begun = begun.json();
    let id = begun["SnapshotId"].as_str().unwrap();
    let put = format!("PUT /snapshots/{id}/blocks/7");
    let data = block(9);
    let sum = sum(&data);
    let [checksum, algorithm, said, length] = unsigned(&sum);
    for headers in [
        vec![checksum, algorithm, length],
        vec![checksum, algorithm, said, length],
        vec![checksum, algorithm, said, length, ("expect", "100-continue")],
    ] {
        assert_eq!(endpoint.ask("ebs", &put, &headers, &data).await.status, 201);
    }
    let other = endpoint.ask("ebs", &put, &unsigned(&sum), &block(1)).await;
    other.invalid("INVALID_PARAMETER_VALUE");
    let complete = format!("POST /snapshots/completion/{id}");
    let completed = endpoint
        .ask("ebs", &complete, &[("x-amz-changedblockscount", "1")], &[])
        .await;
    assert_eq!(completed.status, 202);
    let described = endpoint.world.call("DescribeSnapshots", json!({"SnapshotIds": [id]}));
    assert_eq!(described.await.unwrap()["Snapshots"][0]["State"], "completed");
    let listed = endpoint
        .ask("ebs", &format!("GET /snapshots/{id}/blocks"), &[], &[])
        .await;
    let listed = listed.json();
    let token = listed["Blocks"][0]["BlockToken"].as_str().unwrap();
    let read = format!("GET /snapshots/{id}/blocks/7?blockToken={token}");
    assert!(endpoint.ask("ebs", &read, &[], &[]).await.body == data);
}

#[tokio::test]
async fn who_does_not_sign_or_signs_for_another_service_is_told_so_in_its_form() {
    let endpoint = Endpoint::start().await;
    let patience = std::time::Duration::from_secs(60);
    for (authorization, status, kind) in [
        ("", 403, "MissingAuthenticationToken"),
        ("Authorization: AWS4-HMAC-SHA256 x\r\n", 400, "IncompleteSignature"),
        ("Authorization: Basic eDp5\r\n", 403, "UnrecognizedClientException"),
    ] {
        let request = format!("GET /snapshots/x/blocks HTTP/1.1\r\nHost: k\r\n{authorization}\r\n");
        let answer = endpoint.raw(request.as_bytes(), patience).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["x-amzn-errortype"], kind);
    }
    let put = "PUT /snapshots/snap-00000000000000001/blocks/1";
    let long = vec![1; BLOCK + 1];
    let long = endpoint.ask("ebs", put, &unsigned(&sum(&long)), &long).await;
    long.invalid("INVALID_PARAMETER_VALUE");
    let longer = endpoint.ask("ebs", put, &unsigned("x"), &vec![1; MAX_BODY + 1]).await;
    longer.refused(413, "RequestEntityTooLarge", None);
    for path in [
        "GET /",
        "GET /snapshots",
        "POST /RunInstances",
        "GET //snapshots/x/blocks",
    ] {
        let nothing = endpoint.ask("ebs", path, &[], &[]).await;
        nothing.refused(404, "UnknownOperationException", None);
    }
    let ec2 = endpoint.ask("ec2", "GET /snapshots/x/blocks", &[], &[]).await;
    assert_eq!(ec2.status, 404);
    assert!(
        ec2.text().contains("<Code>UnknownOperationException</Code>"),
        "{}",
        ec2.text()
    );
    let ssm = [("x-amz-target", "AmazonSSM.GetParameter")];
    let ssm = endpoint.ask("ssm", "POST /snapshots", &ssm, b"{}").await;
    assert_eq!(
        (ssm.status, ssm.json()["__type"].clone()),
        (404, Value::from("UnknownOperationException"))
    );
}
