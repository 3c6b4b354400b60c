//! The JSON face as a whole: nothing that a client can say is a fault of ours, and what is served is written down.

use super::model::EC2;
use super::model::random::Random;
use crate::api::operations;
use crate::api::testing::TestWorld;
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write;

fn served() -> Vec<&'static str> {
    operations().names().collect()
}

#[test]
fn every_operation_that_is_served_is_one_of_ec2s_with_its_shapes() {
    for name in served() {
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
    let names = served();
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

/// The text of `docs/operations.md`.
fn coverage() -> String {
    let served = served();
    let known: Vec<&str> = EC2.names().filter(|name| EC2.input(name).is_some()).collect();
    let others = EC2.names().count() - known.len();
    let mut text = format!(
        "# Operations\n\n\
         EC2 has {} operations; kiln serves {} of them. This page is written by a test (`cargo test -p kiln wire::`).\n\n\
         `POST /<Operation>` on the socket takes what `aws ec2 <operation> --cli-input-json` takes, and answers what\n\
         `--output json` prints. A request is checked against EC2's model first. A member that EC2 has and kiln does not\n\
         serve is answered with `UnsupportedOperation`, as is an operation; what EC2 does not have, with\n\
         `UnknownParameter` or `InvalidAction`.\n\n\
         | operation | served |\n|---|---|\n",
        EC2.names().count(),
        served.len(),
    );
    for name in known {
        let mark = if served.contains(&name) { "yes" } else { "" };
        writeln!(text, "| {name} | {mark} |").unwrap();
    }
    writeln!(
        text,
        "\nThe other {others} operations are not served; they are known by name."
    )
    .unwrap();
    text
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
