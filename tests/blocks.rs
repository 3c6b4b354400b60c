//! A snapshot that a client writes block by block while the daemon is killed at any moment: what was answered is there, and what was
//! not can be asked for again. Needs no guests, so it runs anywhere.

use kiln_harness::{Api, Daemon, Setup};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const BLOCK: usize = 512 << 10;
/// How often the daemon is killed.
const KILLS: u32 = 12;
/// How many clients write at one time.
const CLIENTS: u32 = 4;
/// How many blocks a client writes until its daemon is killed, at most.
const ROUND: u32 = 16;

fn base64(bytes: &[u8]) -> String {
    kiln::base64::encode(bytes)
}

/// The letter that a block is full of.
fn letter(number: u32) -> char {
    char::from(b'a' + u8::try_from(number % 26).unwrap())
}

fn put(api: &Api, id: &str, index: u32, letter: char) -> Option<u16> {
    let block = letter.to_string().repeat(BLOCK);
    let sum = base64(&Sha256::digest(&block));
    let head = format!(
        "PUT /snapshots/{id}/blocks/{index} HTTP/1.1\r\nx-amz-Data-Length: {BLOCK}\r\nx-amz-Checksum: {sum}\r\n\
         x-amz-Checksum-Algorithm: SHA256"
    );
    Some(api.ask(&head, &block)?.0)
}

/// Begins a snapshot of 1 GiB; gives its id, if that was answered.
fn begin(api: &Api, token: &str) -> Option<String> {
    let request = json!({"VolumeSize": 1, "ClientToken": token}).to_string();
    let (status, answer) = api.ask("POST /snapshots HTTP/1.1", &request)?;
    assert_eq!(status, 201, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    Some(answer["SnapshotId"].as_str().unwrap().to_owned())
}

fn complete(api: &Api, id: &str, count: usize) -> Option<(u16, String)> {
    let head = format!("POST /snapshots/completion/{id} HTTP/1.1\r\nx-amz-ChangedBlocksCount: {count}");
    api.ask(&head, "")
}

/// Writes until the daemon is killed; gives what is in the blocks now, none where that is not known.
fn disturb(daemon: &mut Daemon, id: &str, round: u32) -> BTreeMap<u32, Option<char>> {
    let clients = (0..CLIENTS).map(|client| {
        let (api, id) = (daemon.api(), id.to_owned());
        std::thread::spawn(move || {
            let mut blocks = BTreeMap::new();
            for number in 0..ROUND {
                // No two clients have one block; some blocks are written in several rounds.
                let (index, letter) = (client * 100 + (round * 5 + number) % 40, letter(round + number));
                let answered = put(&api, &id, index, letter);
                assert!(matches!(answered, None | Some(201)), "{answered:?}");
                blocks.insert(index, answered.map(|_| letter));
                if answered.is_none() {
                    break;
                }
            }
            blocks
        })
    });
    let clients: Vec<_> = clients.collect();
    let (api, token) = (daemon.api(), format!("other-{round}"));
    let other = std::thread::spawn({
        let token = token.clone();
        move || begin(&api, &token)
    });
    std::thread::sleep(Duration::from_millis(u64::from(7 * (round * round % 23))));
    daemon.kill();
    let written = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let other = other.join().unwrap();
    daemon.start();
    // A start that was answered is the same one still; one that was not can be asked for again.
    let again = begin(&daemon.api(), &token).unwrap();
    assert!(other.is_none_or(|other| other == again));
    daemon.api().call("DeleteSnapshot", &json!({"SnapshotId": again}));
    written
}

#[test]
fn what_was_answered_of_a_snapshot_that_is_written_is_there_whatever_is_killed_when() {
    let mut daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd")).start();
    let id = begin(&daemon.api(), "the-one").unwrap();
    let mut blocks = BTreeMap::new();
    for round in 0..KILLS {
        blocks.extend(disturb(&mut daemon, &id, round));
    }
    assert_eq!(begin(&daemon.api(), "the-one").as_ref(), Some(&id));
    let unknown: Vec<u32> = blocks
        .iter()
        .filter(|(_, letter)| letter.is_none())
        .map(|(index, _)| *index)
        .collect();
    println!("{} blocks, of which {} were not answered", blocks.len(), unknown.len());
    for index in unknown {
        assert_eq!(put(&daemon.api(), &id, index, 'z'), Some(201));
        blocks.insert(index, Some('z'));
    }
    let completing = std::thread::spawn({
        let (api, id, count) = (daemon.api(), id.clone(), blocks.len());
        move || complete(&api, &id, count)
    });
    daemon.kill();
    completing.join().unwrap();
    daemon.start();
    let completed = complete(&daemon.api(), &id, blocks.len()).unwrap();
    assert_eq!(completed.0, 202, "{}", completed.1);

    let file = File::open(daemon.state().join("snapshots").join(format!("{id}.raw"))).unwrap();
    let mut read = vec![0; BLOCK];
    for index in 0..2048 {
        file.read_exact_at(&mut read, u64::from(index) * BLOCK as u64).unwrap();
        let letter = blocks
            .get(&index)
            .map_or(0, |letter| u8::try_from(letter.unwrap()).unwrap());
        assert!(read.iter().all(|byte| *byte == letter), "the block {index}");
    }
    daemon.api().call("DeleteSnapshot", &json!({"SnapshotId": id}));
    let files = std::fs::read_dir(daemon.state().join("snapshots")).unwrap();
    assert_eq!(files.count(), 0);
    daemon.finish();
}
