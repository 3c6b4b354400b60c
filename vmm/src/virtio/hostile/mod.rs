//! Drivers that break every rule: property tests over the ring, the registers, requests and the whole device.
//!
//! Whatever a driver does, nothing panics and nothing hangs: a queue goes on or its device asks to be reset, and after
//! its reset it works as new. Each test says how many cases it ran; [`CASES`] of them must be at least 100,000.

mod device;
mod registers;
mod request;
mod ring;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many cases each test runs.
const RING: u32 = 50_000;
const REGISTERS: u32 = 25_000;
const REQUESTS: u32 = 20_000;
const BLOCK: u32 = 10_000;
const NETWORK: u32 = 10_000;
const SOCKETS: u32 = 10_000;
const CASES: u32 = RING + REGISTERS + REQUESTS + BLOCK + NETWORK + SOCKETS;
const _: () = assert!(CASES >= 100_000);

/// Runs `cases` cases, and says how many it ran.
fn run<S: Strategy<Value: Debug>>(
    name: &str,
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let ran = AtomicU32::new(0);
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(strategy, |value| {
        ran.fetch_add(1, Ordering::Relaxed);
        test(value)
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
    let ran = ran.into_inner();
    assert!(ran >= cases, "{name}: only {ran} of {cases} cases ran");
    // Not by `println!`, which the test harness would swallow.
    let _ = writeln!(
        std::io::stdout(),
        "hostile drivers, {name}: {ran} cases of {CASES} in all"
    );
}
