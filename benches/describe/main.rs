//! How fast DescribeInstances is, by how many instances there are: 100, 1,000 and 10,000 stopped ones, on both wires.
//!
//! The daemon is a real one and no guest is needed: its database is filled while it does not run. Each wire is asked over
//! one connection that is kept, a question after the other. A request of "all" is as many as the pages there are.

mod client;
mod rows;

use client::{Client, Question, Wire};
use kiln_harness::{Daemon, Setup};
use rows::Rows;
use std::fs;
use std::time::{Duration, Instant};

/// How many instances there are.
const COUNTS: [u32; 3] = [100, 1_000, 10_000];
/// As many times a question is asked, if there is time.
const ASKED: usize = 300;
/// No question is asked any more after that time.
const SPAN: Duration = Duration::from_millis(2_500);
/// The largest page there is.
const PAGE: u32 = 1_000;

fn main() {
    let home = tempfile::tempdir().expect("There is room for temporary files");
    let mut daemon = Setup::new(env!("CARGO_BIN_EXE_kilnd"))
        .config("[ec2]\nlisten = \"127.0.0.1:0\"\n")
        .start();
    if let Some(network) = daemon.network() {
        network.ip("link set lo up");
    }
    let mut rows = Rows::new(&daemon.api());
    println!(
        "{:>6}  {:<7}{:<10}{:>6}{:>12}{:>10}{:>10}{:>12}",
        "rows", "wire", "question", "asked", "requests/s", "p50 ms", "p99 ms", "bytes"
    );
    for count in COUNTS {
        daemon.stop();
        rows.grow(&daemon.state(), count);
        daemon.start();
        wait_for_rest(&daemon);
        for wire in Wire::ALL {
            let mut client = Client::connect(&daemon, wire, home.path());
            for question in questions(&rows, count) {
                Measured::of(&mut client, &question).print(count, wire, &question);
            }
        }
    }
    daemon.stop();
}

fn questions(rows: &Rows, count: u32) -> [Question; 4] {
    [
        Question::one(rows.instance()),
        Question::tagged(rows::RARE_TAG),
        Question::page(PAGE, count.min(PAGE)),
        Question::all(count),
    ]
}

/// A daemon looks at all its instances when it starts.
fn wait_for_rest(daemon: &Daemon) {
    let worked = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("The daemon runs");
        // Behind its name: time in user mode and in the kernel are the 12th and the 13th.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        fields.skip(11).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut before = worked();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = worked();
        if now == before {
            return;
        }
        before = now;
    }
}

/// How long each answer took, sorted, and the bytes of one.
struct Measured {
    times: Vec<Duration>,
    bytes: usize,
}

impl Measured {
    fn of(client: &mut Client, question: &Question) -> Self {
        // The first answer is checked and not counted.
        let bytes = client.check(question);
        let mut times = Vec::with_capacity(ASKED);
        let begun = Instant::now();
        while times.is_empty() || times.len() < ASKED && begun.elapsed() < SPAN {
            let asked = Instant::now();
            client.ask(question);
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        Self { times, bytes }
    }

    /// The time that so many of a hundred answers took at most, in milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let place = (self.times.len() * percent).div_ceil(100);
        1e3 * self.times[place.max(1) - 1].as_secs_f64()
    }

    fn print(&self, count: u32, wire: Wire, question: &Question) {
        let asked = self.times.len();
        let all: Duration = self.times.iter().sum();
        let rate = 1.0 / (all.as_secs_f64() / f64::from(u32::try_from(asked).unwrap_or(u32::MAX)));
        println!(
            "{count:>6}  {:<7}{:<10}{asked:>6}{rate:>12.1}{:>10.2}{:>10.2}{:>12}",
            wire.name(),
            question.name,
            self.percentile(50),
            self.percentile(99),
            self.bytes
        );
    }
}
