//! How fast guests' networks are: both back ends, with and without offloads, and what a guest that floods does to another.
//!
//! `make bench` starts it where stock guests can run, with the test image in `KILN_TEST_DEBIAN`. A table of ratios comes
//! out: machines differ, and this one may be an emulated one, so only what was measured beside each other means something.

use kiln_harness::{Console, Debian, Namespace};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(120);
/// How long each measurement takes, in seconds.
const SPAN: u32 = 8;
/// What a guest leaves to its device, and has done by it.
const OFFLOADS: &str = "for link in /sys/class/net/e*; do \
                        ethtool -K ${link##*/} tx $SWITCH rx $SWITCH tso $SWITCH gso $SWITCH gro $SWITCH; done";

/// Bits a second.
struct Rates {
    to_guest: f64,
    from_guest: f64,
    between_guests: f64,
}

/// Milliseconds that a ping of one guest takes, as the median.
struct Pings {
    at_rest: f64,
    under_flood: f64,
}

struct Guest {
    id: String,
    address: String,
    console: Console,
}

impl Guest {
    fn run(debian: &Debian, kind: &str) -> Self {
        let id = debian.run(kind);
        let console = debian.booted(&id, 1);
        let address = debian.api().instance(&id)["PrivateIpAddress"]
            .as_str()
            .expect("It has one")
            .to_owned();
        Self { id, address, console }
    }

    fn shell(&mut self, command: &str) -> String {
        self.console.shell(command, SOON)
    }

    fn set_offloads(&mut self, switch: &str) {
        self.shell(&OFFLOADS.replace("$SWITCH", switch));
    }
}

fn main() {
    if std::env::var_os("KILN_TEST_DEBIAN").is_none() {
        println!("network: NOT RUN: KILN_TEST_DEBIAN names no image to boot; `make bench` sees to it");
        return;
    }
    let (with_monitor, pings) = measure("user_space", false);
    let (with_kernel, _) = measure("vhost_net", true);
    print(&with_monitor, &with_kernel, &pings);
    println!("an instance type of 20 Mbit/s: {:.1} Mbit/s", measure_limited() / 1e6);
}

/// What a guest receives whose type has a rate, though the host has vhost-net.
fn measure_limited() -> f64 {
    let debian = Debian::start(env!("CARGO_BIN_EXE_kilnd"), "");
    let mut guest = Guest::run(&debian, "t3.nano");
    guest.shell("iperf3 -s -D");
    let vpc = Namespace::of_process(debian.daemon.monitors()[0]);
    let rate = received(&vpc.ask(&["iperf3", "-J", "-t", &SPAN.to_string(), "-c", &guest.address]));
    debian.finish(&[guest.id]);
    rate
}

/// What two guests reach, with offloads and without.
fn measure(backend: &str, vhost: bool) -> ([Rates; 2], Pings) {
    let debian = Debian::start(
        env!("CARGO_BIN_EXE_kilnd"),
        &format!("[network]\nvhost_net = {vhost}\n"),
    );
    let (mut one, mut other) = (Guest::run(&debian, "t3.small"), Guest::run(&debian, "t3.small"));
    let vpc = Namespace::of_process(debian.daemon.monitors()[0]);
    other.shell("iperf3 -s -D");
    let mut rates = ["on", "off"].map(|switch| {
        for guest in [&mut one, &mut other] {
            guest.set_offloads(switch);
        }
        eprintln!("network: measuring {backend} with offloads {switch}");
        rates(&vpc, &mut one, &other.address)
    });
    rates.iter_mut().for_each(|rates| rates.check());
    for guest in [&mut one, &mut other] {
        guest.set_offloads("on");
    }
    let pings = pings(&vpc, &mut one, &other.address);
    debian.finish(&[one.id, other.id]);
    (rates, pings)
}

impl Rates {
    fn check(&self) {
        let all = [self.to_guest, self.from_guest, self.between_guests];
        assert!(all.iter().all(|rate| *rate > 0.0), "Nothing came through");
    }
}

fn rates(vpc: &Namespace, one: &mut Guest, other: &str) -> Rates {
    let span = SPAN.to_string();
    let client = ["iperf3", "-J", "-t", &span, "-c", other];
    let reverse = [&client[..], &["-R"]].concat();
    let between = one.shell(&format!("iperf3 -J -t {SPAN} -c {other} | tr -d '\\n\\t'"));
    Rates {
        to_guest: received(&vpc.ask(&client)),
        from_guest: received(&vpc.ask(&reverse)),
        between_guests: received(&between),
    }
}

/// What iperf3 says that the receiver got.
fn received(report: &str) -> f64 {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.unwrap_or_else(|| panic!("iperf3 failed: {report}"))
}

/// Pings one guest while the other is at rest, and while it sends as many packets as it can to nobody.
fn pings(vpc: &Namespace, flooding: &mut Guest, other: &str) -> Pings {
    let median = || {
        let said = vpc.ask(&["ping", "-n", "-i", "0.1", "-c", "60", other]);
        let mut times: Vec<f64> = said
            .lines()
            .filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok())
            .collect();
        times.sort_by(f64::total_cmp);
        *times
            .get(times.len() / 2)
            .unwrap_or_else(|| panic!("No ping came back: {said}"))
    };
    let at_rest = median();
    // The VPC drops it unanswered, so it never ends by itself.
    let flood =
        "setsid timeout 20 socat -u -b 1400 /dev/zero UDP:169.254.169.254:9 < /dev/null > /dev/null 2>&1 & true";
    flooding.shell(flood);
    let under_flood = median();
    Pings { at_rest, under_flood }
}

fn print(monitor: &[Rates; 2], kernel: &[Rates; 2], pings: &Pings) {
    type Pick = fn(&Rates) -> f64;
    let rows: [(&str, Pick); 3] = [
        ("host to guest", |rates| rates.to_guest),
        ("guest to host", |rates| rates.from_guest),
        ("guest to guest", |rates| rates.between_guests),
    ];
    println!("\niperf3, one stream of TCP; 1.00 is the monitor with offloads\n");
    println!(
        "{:<16}{:>12}{:>12}{:>22}{:>12}{:>22}",
        "", "Mbit/s", "user_space", "without offloads", "vhost_net", "without offloads"
    );
    let [with, without] = monitor;
    let [kernel_with, kernel_without] = kernel;
    for (name, pick) in rows {
        let one = pick(with);
        let ratio = |rates: &Rates| pick(rates) / one;
        println!(
            "{name:<16}{:>12.0}{:>12.2}{:>22.2}{:>12.2}{:>22.2}",
            one / 1e6,
            1.0,
            ratio(without),
            ratio(kernel_with),
            ratio(kernel_without)
        );
    }
    println!(
        "\nping of a guest, median: {:.2} ms; while its neighbour floods: {:.2} times that",
        pings.at_rest,
        pings.under_flood / pings.at_rest
    );
}
