//! kiln's own resources over a real socket.

use super::upgrade;
use crate::api::operations;
use crate::api::testing::TestWorld;
use crate::instance::Happened;
use crate::model::{InstanceId, InstanceState, ReplaceRootVolumeTaskId, ReplaceRootVolumeTaskState, Stage};
use crate::wire::Routes;
use crate::wire::server::body::Answer;
use crate::wire::server::{Asked, Limits, Respond, serve};
use hyper::Response;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

/// A world that is served on a socket.
struct Served {
    world: TestWorld,
    directory: tempfile::TempDir,
    stop: oneshot::Sender<()>,
}

impl Served {
    async fn start() -> Self {
        let world = TestWorld::new().await;
        let routes = Routes::new(Arc::clone(&world.world), operations());
        let (directory, stop) = listen(routes);
        Self { world, directory, stop }
    }

    async fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(self.directory.path().join("s")).await.unwrap())
    }

    /// A whole answer: status and body.
    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(&format!("GET {path}")).await
    }

    async fn ask(&self, request: &str) -> (u16, Value) {
        let mut stream = self.connect().await;
        let request = format!("{request} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap())
    }

    fn tell(&self, what: Happened) {
        let events = &self.world.world.instances.parts().events;
        events.tell(InstanceId::from_random(1), what);
    }
}

fn listen<R: Respond>(routes: R) -> (tempfile::TempDir, oneshot::Sender<()>) {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("s")).unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        let _ = stopped.await;
    };
    tokio::spawn(serve(listener, Arc::new(routes), Limits::default(), stopped));
    (directory, stop)
}

/// Reads the head of an answer, up to its empty line.
async fn head(stream: &mut BufReader<UnixStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    head
}

/// The next line of JSON in a chunked body.
async fn line(stream: &mut BufReader<UnixStream>) -> Option<Value> {
    let mut text = String::new();
    loop {
        text.clear();
        let read = stream.read_line(&mut text).await.unwrap();
        if read == 0 || text == "0\r\n" {
            return None;
        }
        if text.starts_with('{') {
            return Some(serde_json::from_str(&text).unwrap());
        }
    }
}

fn documented() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
}

fn all_happenings() -> Vec<Happened> {
    vec![
        Happened::State {
            previous: Some(InstanceState::Running),
            state: InstanceState::Stopping,
            reason: Some("why".into()),
        },
        Happened::Reached(Stage::Login),
        Happened::Rebooting,
        Happened::Reset,
        Happened::RootVolume {
            task: ReplaceRootVolumeTaskId::from_random(1),
            state: ReplaceRootVolumeTaskState::Failing,
            reason: Some("why".into()),
        },
        Happened::DeviceNeedsReset {
            device: "vol-1".into(),
            reason: "A loop".into(),
        },
    ]
}

#[tokio::test]
async fn events_come_as_lines_until_the_daemon_stops() {
    let served = Served::start().await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: k\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let schema = &documented()["components"]["schemas"]["Event"];
    for what in all_happenings() {
        served.tell(what);
        let event = line(&mut stream).await.unwrap();
        assert_eq!(event["InstanceId"], "i-00000000000000001");
        assert!(
            schema["properties"]["Event"]["enum"]
                .as_array()
                .unwrap()
                .contains(&event["Event"]),
            "{event}"
        );
        for key in event.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key} is not documented");
        }
    }
    served.stop.send(()).unwrap();
    assert_eq!(line(&mut stream).await, None);
}

#[tokio::test]
async fn a_listener_that_hangs_up_gives_its_place_back() {
    let served = Served::start().await;
    // More than there are places, one after the other.
    for _ in 0..super::MAX_STREAMS + 20 {
        let mut stream = served.connect().await;
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: k\r\n\r\n")
            .await
            .unwrap();
        let mut head = head(&mut stream).await;
        // The place is free a moment after the end of the connection.
        while head.starts_with("HTTP/1.1 503") {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream = served.connect().await;
            stream
                .write_all(b"GET /events HTTP/1.1\r\nHost: k\r\n\r\n")
                .await
                .unwrap();
            head = self::head(&mut stream).await;
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[tokio::test]
async fn the_status_has_what_its_description_says() {
    let served = Served::start().await;
    let (code, status) = served.get("/status").await;
    assert_eq!(code, 200);
    let keys: BTreeSet<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = documented();
    let required = documented["components"]["schemas"]["Status"]["required"]
        .as_array()
        .unwrap();
    assert_eq!(keys, required.iter().map(|key| key.as_str().unwrap()).collect());
    assert_eq!(status["Version"], documented["info"]["version"]);
    assert_eq!(status["VCpus"], status["VCpusFree"]);
}

#[tokio::test]
async fn the_pool_has_what_its_description_says() {
    let served = Served::start().await;
    let (code, pool) = served.get("/pool").await;
    assert_eq!(code, 200);
    let keys: BTreeSet<&str> = pool.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = documented();
    let required = documented["components"]["schemas"]["Pool"]["required"]
        .as_array()
        .unwrap();
    assert_eq!(keys, required.iter().map(|key| key.as_str().unwrap()).collect());
    assert!(pool["FreeBytes"].as_u64().unwrap() > 0);
    assert_eq!(pool["Freeable"], serde_json::json!([]));
}

#[tokio::test]
async fn every_documented_path_is_there_and_no_other() {
    let served = Served::start().await;
    for (path, item) in documented()["paths"].as_object().unwrap() {
        if path == "/events" {
            continue;
        }
        let filled = path
            .replace("{id}", "i-00000000000000001")
            .replace("{snapshot}", "snap-00000000000000001");
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let (_, answer) = served.ask(&format!("{} {filled}", method.to_uppercase())).await;
            assert_ne!(answer["Error"]["Code"], "NotFound", "{method} {path}");
        }
    }
    for path in [
        "/DescribeInstances",
        "/status/",
        "/instances",
        "/instances/i-00000000000000001",
        "/x/y/z",
    ] {
        let (code, answer) = served.get(path).await;
        assert_eq!((code, &answer["Error"]["Code"]), (404, &json!("NotFound")), "{path}");
        assert!(answer["RequestId"].is_string());
    }
}

#[tokio::test]
async fn an_instance_that_is_none_or_unknown_is_named_so() {
    let served = Served::start().await;
    for (id, code) in [
        ("i-1", "InvalidInstanceID.Malformed"),
        ("%2e%2e", "InvalidInstanceID.Malformed"),
        ("i-00000000000000001", "InvalidInstanceID.NotFound"),
    ] {
        let (status, answer) = served.get(&format!("/instances/{id}/timeline")).await;
        assert_eq!((status, answer["Error"]["Code"].as_str()), (400, Some(code)));
    }
    let (status, answer) = served.get("/instances/i-00000000000000001/console").await;
    assert_eq!(
        (status, answer["Error"]["Code"].as_str()),
        (426, Some("UpgradeRequired"))
    );
}

#[tokio::test]
async fn a_port_of_a_guest_is_a_number_and_no_document() {
    let served = Served::start().await;
    for (path, status, code) in [
        ("ports/0", 400, "InvalidParameterValue"),
        ("ports/65536", 400, "InvalidParameterValue"),
        ("ports/22", 426, "UpgradeRequired"),
        ("vsock/x", 400, "InvalidParameterValue"),
        ("vsock/4294967295", 400, "InvalidParameterValue"),
        ("vsock/4294967294", 426, "UpgradeRequired"),
    ] {
        let (got, answer) = served.get(&format!("/instances/i-00000000000000001/{path}")).await;
        assert_eq!((got, answer["Error"]["Code"].as_str()), (status, Some(code)), "{path}");
    }
}

#[tokio::test]
async fn nobody_connects_to_an_instance_that_is_not_there() {
    let served = Served::start().await;
    for (path, protocol) in [("ports/22", "kiln-tcp"), ("vsock/22", "kiln-vsock")] {
        let mut stream = served.connect().await;
        let request = format!(
            "GET /instances/i-00000000000000001/{path} HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 400"), "{path}");
        let length = head.split("content-length: ").nth(1).unwrap();
        let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["Error"]["Code"], "InvalidInstanceID.NotFound");
    }
}

/// Upgrades whatever it is asked to a connection to `console`.
struct Upgrading(std::sync::Mutex<Option<UnixStream>>);

impl Respond for Upgrading {
    async fn respond(self: Arc<Self>, asked: Asked) -> Response<Answer> {
        let console = self.0.lock().unwrap().take().unwrap();
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        upgrade::join(asked, "kiln-console", BufReader::new(console), permit)
    }
}

#[tokio::test]
async fn an_upgraded_connection_carries_the_consoles_bytes_both_ways() {
    let (console, mut guest) = UnixStream::pair().unwrap();
    let (directory, stop) = listen(Upgrading(std::sync::Mutex::new(Some(console))));
    let stream = UnixStream::connect(directory.path().join("s")).await.unwrap();
    let mut stream = BufReader::new(stream);
    // What is typed at once with the request belongs to the console, too.
    let request = b"GET /c HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: kiln-console\r\n\r\nearly ";
    stream.write_all(request).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101"));
    stream.write_all(b"and late").await.unwrap();
    let mut typed = [0; 14];
    guest.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"early and late");
    // Any bytes at all.
    let shown: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut arrived = vec![0; shown.len()];
    let (written, read) = tokio::join!(guest.write_all(&shown), stream.read_exact(&mut arrived));
    written.unwrap();
    read.unwrap();
    assert!(arrived == shown);
    stop.send(()).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}
