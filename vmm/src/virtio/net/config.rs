//! The configuration structure of a network device (virtio 1.2, 5.1.4) and the features that go with it.

use super::super::device::{DeviceConfig, DriverLink, ResizeError};
use super::settings::{Config, Mac, Mtu, QueuePairs};
use std::sync::atomic::{AtomicBool, Ordering};
use virtio_bindings::virtio_net as bits;

/// What the driver sees of the interface. It can't set any of it.
#[derive(Debug)]
pub struct NetConfig {
    mac: Mac,
    mtu: Mtu,
    pairs: QueuePairs,
    offloads: bool,
    link_up: AtomicBool,
}

impl NetConfig {
    /// The interface that `config` describes, with its link up or down.
    pub fn new(config: &Config, link_up: bool) -> Self {
        Self {
            mac: config.mac,
            mtu: config.mtu,
            pairs: config.queue_pairs,
            offloads: config.offloads,
            link_up: AtomicBool::new(link_up),
        }
    }

    /// Its hardware address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The largest IP packet that it carries.
    pub fn mtu(&self) -> Mtu {
        self.mtu
    }

    /// How many pairs of queues it has.
    pub fn pairs(&self) -> u16 {
        self.pairs.get()
    }

    /// Whether frames pass.
    pub fn link_up(&self) -> bool {
        self.link_up.load(Ordering::Acquire)
    }

    /// Takes the link down, for good, and tells the driver by `link`.
    pub fn take_link_down(&self, link: &dyn DriverLink) {
        if self.link_up() {
            link.change_config(&mut || self.link_up.store(false, Ordering::Release));
        }
    }

    fn bytes(&self) -> [u8; 12] {
        let [a, b, c, d, e, f] = self.mac.bytes();
        let status = if self.link_up() { bits::VIRTIO_NET_S_LINK_UP } else { 0 };
        let [s0, s1, ..] = status.to_le_bytes();
        let [p0, p1] = self.pairs().to_le_bytes();
        let [m0, m1] = self.mtu.get().to_le_bytes();
        [a, b, c, d, e, f, s0, s1, p0, p1, m0, m1]
    }
}

impl DeviceConfig for NetConfig {
    fn features(&self) -> u64 {
        let always = 1 << bits::VIRTIO_NET_F_MAC
            | 1 << bits::VIRTIO_NET_F_MTU
            | 1 << bits::VIRTIO_NET_F_STATUS
            | 1 << bits::VIRTIO_NET_F_MRG_RXBUF;
        let offloads = 1 << bits::VIRTIO_NET_F_CSUM
            | 1 << bits::VIRTIO_NET_F_HOST_TSO4
            | 1 << bits::VIRTIO_NET_F_HOST_TSO6
            | 1 << bits::VIRTIO_NET_F_HOST_ECN
            | 1 << bits::VIRTIO_NET_F_GUEST_CSUM
            | 1 << bits::VIRTIO_NET_F_GUEST_TSO4
            | 1 << bits::VIRTIO_NET_F_GUEST_TSO6
            | 1 << bits::VIRTIO_NET_F_GUEST_ECN;
        let several = 1 << bits::VIRTIO_NET_F_CTRL_VQ | 1 << bits::VIRTIO_NET_F_MQ;
        let offloads = if self.offloads { offloads } else { 0 };
        let several = if self.pairs() > 1 { several } else { 0 };
        always | offloads | several
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let bytes = self.bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let known = bytes.get(from..).unwrap_or_default();
        data.fill(0);
        for (place, byte) in data.iter_mut().zip(known) {
            *place = *byte;
        }
    }

    fn write(&self, _offset: u64, _data: &[u8], _features: u64) {}

    fn resize(&self, _bytes: u64) -> Result<(), ResizeError> {
        Err(ResizeError::Sizeless)
    }

    fn reset(&self) {}
}
