//! What the tests, benchmarks and fuzzers look into: interfaces on datagram sockets in place of a tap, and the parsers.

pub use super::control::Command;
pub use super::frame::{HEADER, Header, LONGEST, Offloads};

use super::tap::Taps;
use super::{Config, Device, Net};
use crate::registry::DeviceKind;
use crate::testing::Machine;
use crate::virtio::transport::pci::attach;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

/// One queue of an interface, and the other end of its wire.
///
/// # Panics
/// If no sockets are to be had.
pub fn wire() -> (File, UnixDatagram) {
    let (own, other) = UnixDatagram::pair().expect("sockets for a test");
    own.set_nonblocking(true).expect("a socket that doesn't block");
    (File::from(OwnedFd::from(own)), other)
}

/// Puts an interface into the next slot; gives the slot and the other ends of its wires, one for each pair of queues.
/// What comes out of them, and goes into them, are frames behind their headers.
///
/// # Panics
/// If `config` is no configuration, or the device can't be made.
pub fn add(machine: &Machine, config: &serde_json::Value) -> (u8, Vec<UnixDatagram>) {
    let config: Config = serde_json::from_value(config.clone()).expect("a configuration");
    let (files, others) = (0..config.queue_pairs.get()).map(|_| wire()).unzip();
    let device = Device::new("eni-1", &config, Taps::new(files), Vec::new(), &machine.context);
    let device = Box::new(device.expect("an interface"));
    let function = attach("eni-1", device, Net::SYSCALLS, &machine.context);
    (machine.insert(function.expect("an interface behind PCI")), others)
}
