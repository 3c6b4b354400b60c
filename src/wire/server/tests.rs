//! The server over a real Unix socket, with a responder that shows what reached it.

use super::body::{self, Answer, answer, typed};
use super::*;
use http_body_util::Full;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Tells what reached it; `/wait` answers after a moment, `/big` with 8 MiB.
struct Mirror;

impl Respond for Mirror {
    async fn respond(self: Arc<Self>, asked: Asked) -> Response<Answer> {
        match asked.request.uri().path() {
            "/wait" => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                answer(200, "waited".into())
            }
            "/big" => typed(200, "text/plain", Answer::Whole(Full::new(vec![b'x'; 8 << 20].into()))),
            _ => match body::read(asked.request.into_body()).await {
                Ok(bytes) => {
                    let read = |file| {
                        let mut text = String::new();
                        File::from(file).read_to_string(&mut text).unwrap();
                        text
                    };
                    let files: Vec<String> = asked.files.take().into_iter().map(read).collect();
                    answer(
                        200,
                        json!({"Bytes": bytes.len(), "Files": files, "Uid": asked.caller.uid}).to_string(),
                    )
                }
                Err(error) => answer(error.code.status(), error.message),
            },
        }
    }
}

struct Served {
    directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Served {
    fn start(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, Arc::new(Mirror), limits, stopped));
        Self {
            directory,
            stop: Some(stop),
            server,
        }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.directory.path().join("s")).await.unwrap()
    }

    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

fn quick() -> Limits {
    Limits {
        connections: 4,
        head_time: Duration::from_millis(300),
        stall_time: Duration::from_millis(300),
        drain_time: Duration::from_secs(5),
        ..Limits::default()
    }
}

const CLOSE: &str = "Host: k\r\nConnection: close\r\n";

/// The status and the body of the one answer that is left on the connection.
async fn read_answer(stream: &mut UnixStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // A reset after the answer is an end like any other.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (
        status,
        text.split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_owned()),
    )
}

/// An open file with that text in it, at its beginning.
fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// Sends bytes with files, in one message.
async fn send_with(stream: &UnixStream, bytes: &str, files: &[File]) {
    let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    stream.writable().await.unwrap();
    let sent = sendmsg(
        stream,
        &[IoSlice::new(bytes.as_bytes())],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
    assert_eq!(sent, bytes.len());
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_request_gets_the_files_that_came_with_it_and_the_next_one_its_own() {
    let served = Served::start(Limits::default());
    let mut stream = served.connect().await;
    let request = "POST /a HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\n\r\n{}";
    for texts in [vec!["one", "two"], vec![], vec!["three"]] {
        let files: Vec<File> = texts.iter().map(|text| file(text)).collect();
        send_with(&stream, request, &files).await;
        let mut bytes = vec![0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["Files"], json!(texts));
        assert_eq!(body["Uid"], rustix::process::getuid().as_raw());
    }
}

#[tokio::test]
async fn files_that_a_request_did_not_want_are_not_the_next_ones() {
    let served = Served::start(Limits::default());
    let mut stream = served.connect().await;
    send_with(&stream, "GET /wait HTTP/1.1\r\nHost: k\r\n\r\n", &[file("stale")]).await;
    let read = stream.read(&mut [0; 4096]).await.unwrap();
    assert!(read > 0);
    stream
        .write_all(format!("POST /a HTTP/1.1\r\n{CLOSE}\r\n").as_bytes())
        .await
        .unwrap();
    let (_, body) = read_answer(&mut stream).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["Files"], json!([]));
}

#[tokio::test]
async fn a_client_that_says_nothing_or_nothing_more_is_cut() {
    let served = Served::start(quick());
    let mut silent = served.connect().await;
    let mut idle = served.connect().await;
    idle.write_all(b"POST /a HTTP/1.1\r\nHost: k\r\n\r\n").await.unwrap();
    for stream in [&mut silent, &mut idle] {
        let mut bytes = Vec::new();
        let rest = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes));
        rest.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn files_beyond_eight_are_closed_and_none_is_left_open() {
    let served = Served::start(Limits::default());
    let before = open_files();
    let mut stream = served.connect().await;
    let files: Vec<File> = (0..12).map(|n| file(&n.to_string())).collect();
    send_with(
        &stream,
        &format!("POST /a HTTP/1.1\r\n{CLOSE}Content-Length: 2\r\n\r\n{{}}"),
        &files,
    )
    .await;
    let (_, body) = read_answer(&mut stream).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["Files"].as_array().unwrap().len(), 8);
    drop((stream, files));
    // Other tests of this process open and close files, too: wait for a moment at which none is ours.
    let gone = async {
        while open_files() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_client_that_drips_its_request_is_cut() {
    let served = Served::start(quick());
    let mut stream = served.connect().await;
    let begun = std::time::Instant::now();
    for byte in b"GET / HTTP/1.1\r\nHost: kiln\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let served = Served::start(Limits {
        connections: 1,
        ..quick()
    });
    let mut idle = served.connect().await;
    idle.write_all(b"GET /big HTTP/1.1\r\nHost: k\r\n\r\n").await.unwrap();
    // The only place for a connection is free again once the first is cut.
    let (status, _) = served.ask(&format!("POST /a HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whether_it_says_so_or_not() {
    let served = Served::start(Limits::default());
    let long = "x".repeat(body::MAX_BODY + 1);
    let (status, _) = served
        .ask(&format!(
            "POST /a HTTP/1.1\r\n{CLOSE}Content-Length: {}\r\n\r\n",
            body::MAX_BODY + 1
        ))
        .await;
    assert_eq!(status, 413);
    let mut stream = served.connect().await;
    let head = format!(
        "POST /a HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        long.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may hang up before it has all of it.
    let _ = stream.write_all(long.as_bytes()).await;
    let (status, _) = read_answer(&mut stream).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn more_clients_than_places_are_all_served() {
    let served = Arc::new(Served::start(quick()));
    let mut clients = JoinSet::new();
    for _ in 0..40 {
        let served = Arc::clone(&served);
        clients.spawn(async move {
            served
                .ask(&format!("POST /a HTTP/1.1\r\n{CLOSE}Content-Length: 2\r\n\r\n{{}}"))
                .await
                .0
        });
    }
    assert!(clients.join_all().await.into_iter().all(|status| status == 200));
}

#[tokio::test]
async fn a_stop_lets_an_answer_under_way_end_and_takes_no_new_request() {
    let mut served = Served::start(Limits::default());
    let mut busy = served.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: k\r\n\r\n").await.unwrap();
    let mut idle = served.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.stop.take().unwrap().send(()).unwrap();
    let (status, body) = read_answer(&mut busy).await;
    assert_eq!((status, body.as_str()), (200, "waited"));
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap_or(0), 0);
    tokio::time::timeout(Duration::from_secs(2), &mut served.server)
        .await
        .unwrap()
        .unwrap();
    assert!(UnixStream::connect(served.directory.path().join("s")).await.is_err());
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let served = Served::start(quick());
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)),
    ] {
        let mut stream = served.connect().await;
        let _ = stream.write_all(garbage.as_bytes()).await;
        let (status, _) = read_answer(&mut stream).await;
        assert!(status == 0 || (400..500).contains(&status), "{status}");
    }
    let (status, _) = served.ask(&format!("POST /a HTTP/1.1\r\n{CLOSE}\r\n")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let served = Served::start(Limits::default());
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream
            .write_all(format!("POST /a HTTP/1.1\r\n{CLOSE}\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        ids.insert(
            text.lines()
                .find_map(|line| line.strip_prefix("x-amzn-requestid: "))
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.len() == 36));
}
