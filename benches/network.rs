//! How fast guests' networks are: both back ends, with and without offloads, and what a guest that floods does to another.
//!
//! `make bench` starts it where stock guests can run, with the test image in `KILN_TEST_DEBIAN_12`. A table of ratios comes
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
#[derive(Debug, Clone, Copy)]
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

/// Two guests of a daemon of their own, whose frames one back end moves.
struct Pair {
    debian: Debian,
    vpc: Namespace,
    one: Guest,
    other: Guest,
}

impl Pair {
    fn start(vhost: bool) -> Self {
        let config = format!("[network]\nvhost_net = {vhost}\n");
        let debian = Debian::start(env!("CARGO_BIN_EXE_kilnd"), 12, &config);
        let (one, mut other) = (Guest::run(&debian, "t3.micro"), Guest::run(&debian, "t3.micro"));
        let vpc = Namespace::of_process(debian.daemon.monitors()[0]);
        other.shell("iperf3 -s -D");
        Self {
            debian,
            vpc,
            one,
            other,
        }
    }

    fn set_offloads(&mut self, switch: &str) {
        self.one.set_offloads(switch);
        self.other.set_offloads(switch);
    }

    /// One of the three rates, by its number.
    fn rate(&mut self, row: usize) -> f64 {
        let (span, address) = (SPAN.to_string(), self.other.address.clone());
        let client = ["iperf3", "-J", "-t", &span, "-c", &address];
        let rate = received(&match row {
            0 => self.vpc.ask(&client),
            1 => self.vpc.ask(&[&client[..], &["-R"]].concat()),
            _ => self.one.shell(&format!("{} | tr -d '\\n\\t'", client.join(" "))),
        });
        assert!(rate > 0.0, "Nothing came through");
        rate
    }

    fn finish(self) {
        self.debian.finish(&[self.one.id, self.other.id]);
    }
}

fn main() {
    if std::env::var_os("KILN_TEST_DEBIAN_12").is_none() {
        println!("network: NOT RUN: KILN_TEST_DEBIAN_12 names no image to boot; `make bench` sees to it");
        return;
    }
    let mut pairs = [false, true].map(Pair::start);
    let rates = ["on", "off"].map(|switch| {
        eprintln!("network: measuring with offloads {switch}");
        measure(&mut pairs, switch)
    });
    let [mut monitor, kernel] = pairs;
    monitor.set_offloads("on");
    let pings = monitor.pings();
    print(&rates, &pings);
    monitor.finish();
    kernel.finish();
    println!("an instance type of 20 Mbit/s: {:.1} Mbit/s", measure_limited() / 1e6);
}

/// What the pairs reach: each rate of one right after the same of the other, as the host may be busier at another time.
fn measure(pairs: &mut [Pair; 2], switch: &str) -> [Rates; 2] {
    for pair in pairs.iter_mut() {
        pair.set_offloads(switch);
    }
    let rows = [0, 1, 2].map(|row| pairs.each_mut().map(|pair| pair.rate(row)));
    let [to_guest, from_guest, between_guests] = rows;
    [0, 1].map(|pair| Rates {
        to_guest: to_guest[pair],
        from_guest: from_guest[pair],
        between_guests: between_guests[pair],
    })
}

/// What a guest receives whose type has a rate, though the host has vhost-net.
fn measure_limited() -> f64 {
    let debian = Debian::start(env!("CARGO_BIN_EXE_kilnd"), 12, "");
    let mut guest = Guest::run(&debian, "t3.nano");
    guest.shell("iperf3 -s -D");
    let vpc = Namespace::of_process(debian.daemon.monitors()[0]);
    let rate = received(&vpc.ask(&["iperf3", "-J", "-t", &SPAN.to_string(), "-c", &guest.address]));
    debian.finish(&[guest.id]);
    rate
}

/// What iperf3 says that the receiver got.
fn received(report: &str) -> f64 {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.unwrap_or_else(|| panic!("iperf3 failed: {report}"))
}

impl Pair {
    /// Pings one guest while the other is at rest, and while it sends as many packets as it can to nobody.
    fn pings(&mut self) -> Pings {
        let at_rest = self.ping();
        // The VPC drops it unanswered, so it never ends by itself.
        let flood =
            "setsid timeout 20 socat -u -b 1400 /dev/zero UDP:169.254.169.254:9 < /dev/null > /dev/null 2>&1 & true";
        self.one.shell(flood);
        let under_flood = self.ping();
        Pings { at_rest, under_flood }
    }

    fn ping(&self) -> f64 {
        let said = self
            .vpc
            .ask(&["ping", "-n", "-i", "0.1", "-c", "60", &self.other.address]);
        let mut times: Vec<f64> = said
            .lines()
            .filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok())
            .collect();
        times.sort_by(f64::total_cmp);
        *times
            .get(times.len() / 2)
            .unwrap_or_else(|| panic!("No ping came back: {said}"))
    }
}

fn print([with, without]: &[[Rates; 2]; 2], pings: &Pings) {
    type Pick = fn(&Rates) -> f64;
    let rows: [(&str, Pick); 3] = [
        ("host to guest", |rates| rates.to_guest),
        ("guest to host", |rates| rates.from_guest),
        ("guest to guest", |rates| rates.between_guests),
    ];
    println!("\niperf3, one stream of TCP; 1.00 is the monitor with offloads\n");
    println!(
        "{:<16}{:>10}{:>12}{:>12}{:>18}{:>18}",
        "", "Mbit/s", "user_space", "vhost_net", "user_space, none", "vhost_net, none"
    );
    let ([monitor, kernel], [monitor_without, kernel_without]) = (with, without);
    for (name, pick) in rows {
        let one = pick(monitor);
        let ratio = |rates: &Rates| pick(rates) / one;
        println!(
            "{name:<16}{:>10.0}{:>12.2}{:>12.2}{:>18.2}{:>18.2}",
            one / 1e6,
            1.0,
            ratio(kernel),
            ratio(monitor_without),
            ratio(kernel_without)
        );
    }
    println!(
        "\nping of a guest, median: {:.2} ms; while its neighbour floods: {:.2} times that",
        pings.at_rest,
        pings.under_flood / pings.at_rest
    );
}
