//! The network device: as a guest's driver sees it over PCI (`device`), on real taps (`taps`), its queues alone, turn by
//! turn (`queues`), and what it asks of a back end in the kernel (`vhost`).

mod device;
mod queues;
#[path = "../../../../tests/harness/tap.rs"]
mod tap;
mod taps;
mod vhost;

use serde_json::json;

/// An interface without limits.
fn settings(pairs: u16, offloads: bool) -> serde_json::Value {
    json!({"mac": "02:00:5e:10:00:01", "mtu": 1500, "queue_pairs": pairs, "offloads": offloads, "backend": "user_space"})
}

/// A frame whose bytes tell its number and their place.
fn frame(number: u8, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8 ^ number).collect()
}

/// The same behind an empty header, as it is on the wire.
fn on_the_wire(number: u8, length: usize) -> Vec<u8> {
    [vec![0; super::frame::HEADER], frame(number, length)].concat()
}
