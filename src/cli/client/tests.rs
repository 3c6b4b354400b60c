//! The client against a server of a few lines on a socket of its own.

use super::*;
use crate::cli::error::Exit;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;
use std::fs::File;
use std::io::{IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a server was sent with one request.
struct Seen {
    text: String,
    files: Vec<OwnedFd>,
}

/// A server of one connection that answers with `answer` once it has seen a whole request.
fn server(answer: impl Into<String>) -> (tempfile::TempDir, Client, JoinHandle<(Seen, UnixStream)>) {
    let answer: String = answer.into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kiln.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let seen = receive(&stream);
        stream.write_all(answer.as_bytes()).unwrap();
        (seen, stream)
    });
    (folder, Client::new(path), thread)
}

fn receive(stream: &UnixStream) -> Seen {
    let mut seen = Seen {
        text: String::new(),
        files: Vec::new(),
    };
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                seen.files.extend(files);
            }
        }
        seen.text.push_str(std::str::from_utf8(&bytes[..got.bytes]).unwrap());
        let length = seen
            .text
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"));
        let length: usize = length.map_or(0, |(number, _)| number.parse().unwrap());
        if seen
            .text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() >= length)
        {
            return seen;
        }
    }
}

#[tokio::test]
async fn an_operation_is_posted_and_its_answer_read() {
    let (_folder, client, thread) = server("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"Images\":[]}");
    let answer = client.call("DescribeImages", &json!({"Owners": ["self"]})).await;
    assert_eq!(answer.unwrap(), json!({"Images": []}));
    let (seen, _) = thread.join().unwrap();
    assert!(
        seen.text.starts_with("POST /DescribeImages HTTP/1.1\r\n"),
        "{}",
        seen.text
    );
    assert!(seen.text.ends_with("\r\n\r\n{\"Owners\":[\"self\"]}"), "{}", seen.text);
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_an_error() {
    let (_folder, client, thread) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    let error = client.call("DescribeImages", &json!({})).await.unwrap_err();
    assert!(matches!(error, CommandError::Answer { .. }));
    drop(thread.join().unwrap());
}

#[tokio::test]
async fn open_files_reach_the_daemon_with_the_first_bytes() {
    let (_folder, client, thread) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"the disk").unwrap();
    file.rewind().unwrap();
    let files = vec![OwnedFd::from(file), OwnedFd::from(tempfile::tempfile().unwrap())];
    assert_eq!(
        client.call_with_files("ImportImage", &json!({}), files).await.unwrap(),
        json!({})
    );
    let (mut seen, _) = thread.join().unwrap();
    assert_eq!(seen.files.len(), 2);
    let mut text = String::new();
    File::from(seen.files.remove(0)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "the disk");
}

#[tokio::test]
async fn a_refusal_says_code_message_and_request() {
    let body = r#"{"Error":{"Code":"InvalidAMIID.NotFound","Message":"No image ami-1"},"RequestId":"request-number"}"#;
    let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", body.len());
    let (_folder, client, thread) = server(head + body);
    let error = client.call("RunInstances", &json!({})).await.unwrap_err();
    drop(thread.join().unwrap());
    let CommandError::Refused {
        code,
        message,
        request_id,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidAMIID.NotFound", "No image ami-1")
    );
    assert_eq!(request_id, "request-number");
    assert_eq!(error.exit(), Exit::NotFound);
}

#[tokio::test]
async fn lines_come_one_by_one_however_they_are_cut() {
    let (_folder, client, thread) = server(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"A\":\r\na\r\n1}\n\n{\"A\":2\r\n2\r\n}\n\r\n0\r\n\r\n",
    );
    let mut lines = client.lines("/events").await.unwrap();
    assert_eq!(lines.next().await.unwrap(), Some(json!({"A": 1})));
    assert_eq!(lines.next().await.unwrap(), Some(json!({"A": 2})));
    assert_eq!(lines.next().await.unwrap(), None);
    drop(thread.join().unwrap());
}

#[tokio::test]
async fn an_upgrade_leaves_a_raw_connection() {
    let (_folder, client, thread) =
        server("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: kiln-console\r\n\r\nlogin: ");
    let mut console = client.upgrade("/instances/i-1/console", "kiln-console").await.unwrap();
    console.write_all(b"root\r").await.unwrap();
    let (seen, mut stream) = thread.join().unwrap();
    assert!(seen.text.contains("upgrade: kiln-console\r\n"), "{}", seen.text);
    let mut typed = [0; 5];
    stream.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"root\r");
    drop(stream);
    let mut shown = String::new();
    console.read_to_string(&mut shown).await.unwrap();
    assert_eq!(shown, "login: ");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_or_goes_away_has_an_exit_status_of_its_own() {
    let client = Client::new("/no/such/kiln.sock".into());
    assert_eq!(client.get("/status").await.unwrap_err().exit(), Exit::DaemonDown);
    let (_folder, client, thread) = server("");
    let asked = tokio::spawn(async move { client.get("/status").await });
    drop(
        tokio::task::spawn_blocking(move || thread.join().unwrap())
            .await
            .unwrap(),
    );
    assert_eq!(asked.await.unwrap().unwrap_err().exit(), Exit::DaemonDown);
}
