//! The JSON face as a whole: nothing that a client can say is a fault of ours, and what is served is written down.

use super::model::EC2;
use super::model::random::Random;
use crate::api::operations;
use crate::api::testing::TestWorld;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// A script of `tests/clients`, to be run where botocore is.
pub(super) fn python(script: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let programs = Command::new(scripts.join("programs")).output().unwrap();
    let errors = String::from_utf8_lossy(&programs.stderr);
    assert!(programs.status.success(), "{errors}");
    let python = Path::new(std::str::from_utf8(&programs.stdout).unwrap().trim()).join("python");
    let mut command = Command::new(python);
    command.arg(scripts.join(script));
    command
}

/// The operations that kiln has, and whether it can't but refuse them.
fn known() -> BTreeMap<&'static str, bool> {
    let operations = operations();
    operations.all().map(|one| (one.name, one.refuses)).collect()
}

#[test]
fn every_operation_that_is_known_is_one_of_ec2s_with_its_shapes() {
    for name in known().into_keys() {
        assert!(EC2.input(name).is_some(), "{name}");
    }
}

#[test]
fn no_request_of_the_right_form_gets_a_5xx() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(TestWorld::new());
    let names: Vec<&str> = known().into_keys().collect();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(3000));
    let requests = (prop::sample::select(names), any::<[u8; 32]>());
    let done = runner.run(&requests, |(name, seed)| {
        let request: Value = Random::new(seed).value(&EC2, EC2.input(name).unwrap());
        // The call itself asserts that the answer is no 5xx; a handler's panic is one.
        let _ = runtime.block_on(world.call(name, request));
        Ok(())
    });
    done.unwrap();
}

/// Which clients ask for an operation in tests: each has a page in `tests/clients/operations`, which its test holds to be true.
fn clients() -> BTreeMap<String, Vec<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/operations");
    let mut clients: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut pages: Vec<_> = std::fs::read_dir(folder).unwrap().map(|page| page.unwrap()).collect();
    pages.sort_by_key(std::fs::DirEntry::file_name);
    for page in pages {
        for operation in std::fs::read_to_string(page.path()).unwrap().lines() {
            let client = page.file_name().to_string_lossy().into_owned();
            clients.entry(operation.to_owned()).or_default().push(client);
        }
    }
    clients
}

/// The text of `docs/operations.md`.
fn coverage() -> String {
    let (own, clients) = (known(), clients());
    let shaped: Vec<&str> = EC2.names().filter(|name| EC2.input(name).is_some()).collect();
    let others = EC2.names().count() - shaped.len();
    let mut text = format!(
        "# Operations\n\n\
         EC2 has {} operations; kiln serves {} of them. This page is written by a test (`cargo test -p kiln wire::`).\n\n\
         `POST /<Operation>` on the socket takes what `aws ec2 <operation> --cli-input-json` takes, and answers what\n\
         `--output json` prints; the query endpoint takes and answers the same in EC2's own query protocol. A request is\n\
         checked against EC2's model first. A member that EC2 has and kiln does not serve is answered with\n\
         `UnsupportedOperation`, as is an operation; what EC2 does not have, with `UnknownParameter` or `InvalidAction`.\n\
         Those that are marked `refused` are of what guests here have nothing of: their requests are checked, and the answer\n\
         says why nothing is done.\n\n\
         The last column says which of EC2's own clients ask for an operation in tests against a running daemon:\n\
         `tests/clients` has what they are told to do. All that is served has tests of its own beside its code.\n\n\
         | operation | served | asked by |\n|---|---|---|\n",
        EC2.names().count(),
        own.values().filter(|refuses| !**refuses).count(),
    );
    for name in shaped {
        let mark = match own.get(name) {
            Some(false) => "yes",
            Some(true) => "refused",
            None => "",
        };
        let by = clients.get(name).map(|clients| clients.join(", ")).unwrap_or_default();
        writeln!(text, "| {name} | {mark} | {by} |").unwrap();
    }
    writeln!(
        text,
        "\nThe other {others} operations are not served; they are known by name."
    )
    .unwrap();
    text
}

/// What no client elsewhere is answered: files come over the socket alone.
const OVER_THE_SOCKET: [&str; 5] = [
    "CancelExportTask",
    "CancelImportTask",
    "ExportImage",
    "ImportImage",
    "ImportSnapshot",
];

#[test]
fn every_operation_that_is_served_is_asked_for_by_a_client() {
    let (known, clients) = (known(), clients());
    let unasked = known
        .iter()
        .filter(|(name, refuses)| !**refuses && !clients.contains_key(**name));
    let unasked = unasked.map(|(name, _)| *name);
    let unasked: Vec<&str> = unasked.filter(|name| !OVER_THE_SOCKET.contains(name)).collect();
    assert_eq!(unasked, [""; 0], "tests/clients/tour is where to ask for them");
}

#[test]
fn the_page_of_operations_says_what_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let text = coverage();
    if written != text {
        std::fs::write(path, text).unwrap();
        panic!("docs/operations.md was stale; it is written anew and wants to be committed");
    }
}
