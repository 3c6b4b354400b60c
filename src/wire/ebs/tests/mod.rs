//! The EBS direct API over a real socket.

mod reading;
mod signed;
mod writing;

use crate::api::operations;
use crate::api::testing::TestWorld;
use crate::base64;
use crate::volumes::blocks::BLOCK;
use crate::wire::Routes;
use crate::wire::server::{Limits, serve};
use crate::wire::testing::Answer;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const MINUTE: Duration = Duration::from_secs(60);

/// A world that is served on a socket.
struct Served {
    world: TestWorld,
    directory: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        Self::serve(TestWorld::new().await)
    }

    fn serve(world: TestWorld) -> Self {
        let routes = Routes::new(Arc::clone(&world.world), operations());
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, Arc::new(routes), Limits::default(), stopped));
        Self {
            world,
            directory,
            stop,
            server,
        }
    }

    /// As the next daemon finds it.
    async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
        Self::serve(self.world.restart().await)
    }

    async fn ask(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let stream = UnixStream::connect(self.directory.path().join("s")).await.unwrap();
        let mut head = format!("{request} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let bytes = [head.as_bytes(), body].concat();
        Answer::to(stream, &bytes, MINUTE).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], &[]).await
    }

    async fn begin(&self, request: Value) -> Answer {
        self.ask("POST /snapshots", &[], request.to_string().as_bytes()).await
    }

    /// Begins a snapshot of 1 GiB; gives its id.
    async fn begun(&self) -> String {
        let answer = self.begin(json!({"VolumeSize": 1})).await;
        assert_eq!(answer.status, 201);
        answer.json()["SnapshotId"].as_str().unwrap().to_owned()
    }

    async fn put(&self, id: &str, index: u32, block: &[u8]) -> Answer {
        let sum = sum(block);
        let headers = [
            ("x-amz-Data-Length", block.len().to_string()),
            ("x-amz-Checksum", sum),
            ("x-amz-Checksum-Algorithm", "SHA256".into()),
            ("x-amz-Progress", "42".into()),
        ];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.ask(&format!("PUT /snapshots/{id}/blocks/{index}"), &headers, block)
            .await
    }

    async fn complete(&self, id: &str, count: u32) -> Answer {
        let headers = [("x-amz-ChangedBlocksCount", &*count.to_string())];
        self.ask(&format!("POST /snapshots/completion/{id}"), &headers, &[])
            .await
    }

    async fn described(&self, id: &str) -> Value {
        let answer = self.world.call("DescribeSnapshots", json!({"SnapshotIds": [id]})).await;
        answer.unwrap()["Snapshots"][0].clone()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.world.world.layout.snapshot(id.parse().unwrap())
    }

    /// How many files the ledger knows.
    async fn ledger(&self) -> usize {
        self.world
            .world
            .store
            .read(crate::store::ledger::list)
            .await
            .unwrap()
            .len()
    }

    /// Lets a snapshot look as if nothing had been written to it for so long.
    fn idle(&self, id: &str, time: Duration) {
        let file = std::fs::File::options().write(true).open(self.path(id)).unwrap();
        file.set_modified(SystemTime::now() - time).unwrap();
    }

    /// A snapshot that was written with these blocks.
    async fn written(&self, blocks: &[(u32, u8)]) -> String {
        let id = self.begun().await;
        for (index, byte) in blocks {
            assert_eq!(self.put(&id, *index, &block(*byte)).await.status, 201);
        }
        assert_eq!(
            self.complete(&id, u32::try_from(blocks.len()).unwrap()).await.status,
            202
        );
        id
    }

    /// The indexes and tokens of a list.
    async fn listed(&self, path: &str) -> Vec<(u64, Value)> {
        let answer = self.get(path).await.json();
        assert_eq!(answer["BlockSize"], 524_288, "{answer}");
        assert!(answer["ExpiryTime"].as_i64().is_some());
        let blocks = answer.get("Blocks").or_else(|| answer.get("ChangedBlocks")).unwrap();
        let blocks = blocks.as_array().unwrap().iter();
        blocks
            .map(|block| (block["BlockIndex"].as_u64().unwrap(), block.clone()))
            .collect()
    }
}

fn block(byte: u8) -> Vec<u8> {
    vec![byte; BLOCK]
}

fn sum(bytes: &[u8]) -> String {
    base64::encode(&Sha256::digest(bytes))
}

#[tokio::test]
async fn what_is_not_of_this_api_is_not_here() {
    let served = Served::start().await;
    for request in [
        "GET /snapshots",
        "PUT /snapshots",
        "GET /snapshots/x",
        "DELETE /snapshots/x/blocks/1",
    ] {
        assert_eq!(served.ask(request, &[], &[]).await.status, 404, "{request}");
    }
}

#[test]
fn no_request_is_a_fault_of_ours() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = runtime.block_on(Served::start());
    let known = runtime.block_on(served.written(&[(1, 1)]));
    let word = || {
        prop_oneof![
            Just(known.clone()),
            Just("snap-00000000000000001".to_owned()),
            "[0-9]{1,12}",
            "(%[0-9a-f]{2}|[ -~&&[^ #?/]]){0,24}",
        ]
    };
    let path = (
        prop::sample::select(vec!["blocks", "changedblocks", "completion"]),
        word(),
        word(),
    );
    let query = (
        prop::sample::select(vec!["blockToken", "pageToken", "maxResults", "x"]),
        word(),
    );
    let headers = prop::collection::vec(
        (
            prop::sample::select(vec![
                "x-amz-ChangedBlocksCount",
                "x-amz-Checksum",
                "x-amz-Checksum-Algorithm",
                "x-amz-Data-Length",
                "x-amz-Progress",
            ]),
            "[ -~\u{80}-\u{ff}]{0,40}",
        ),
        0..4,
    );
    let method = prop::sample::select(vec!["GET", "PUT", "POST"]);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(400));
    let requests = (method, path, query, headers, "\\PC{0,80}");
    let done = runner.run(&requests, |(method, (kind, one, two), (name, value), headers, body)| {
        let path = match kind {
            "completion" => format!("/snapshots/completion/{one}"),
            kind => format!("/snapshots/{one}/{kind}/{two}"),
        };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = path.strip_suffix('/').unwrap_or(&path);
        for request in [format!("{method} {path}?{name}={value}"), format!("{method} {path}")] {
            let answer = runtime.block_on(served.ask(&request, &headers, body.as_bytes()));
            prop_assert!(answer.status < 500, "{request} {headers:?}");
        }
        let answer = runtime.block_on(served.ask("POST /snapshots", &headers, body.as_bytes()));
        prop_assert_eq!(answer.status, 400);
        Ok(())
    });
    done.unwrap();
}
