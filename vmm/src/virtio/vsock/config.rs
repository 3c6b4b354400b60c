//! What a socket device is configured with, and its configuration structure (virtio 1.2, 5.10.4).

use crate::virtio::device::{DeviceConfig, ResizeError};
use serde::{Deserialize, Serialize};

/// `VIRTIO_VSOCK_F_STREAM` (virtio 1.2, 5.10.3).
const F_STREAM: u64 = 1 << 0;

/// Settings of a socket device.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The guest's address. No other machine knows it, so all may have the same.
    pub guest_cid: GuestCid,
    /// The port of the host at which the guest's service manager says that it is ready (systemd's `vmm.notify_socket`);
    /// none if nobody listens.
    pub notify_port: Option<u32>,
}

/// An address that a guest may have: 3 to 2^32 - 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct GuestCid(u32);

/// An address that is reserved (virtio 1.2, 5.10.4), or no address.
#[derive(Debug, thiserror::Error)]
#[error("A guest can't have the address {0}: 3 to 4294967294 are possible")]
pub struct CidError(u64);

impl TryFrom<u64> for GuestCid {
    type Error = CidError;

    fn try_from(cid: u64) -> Result<Self, CidError> {
        let possible = u32::try_from(cid).ok().filter(|cid| (3..u32::MAX).contains(cid));
        possible.map(Self).ok_or(CidError(cid))
    }
}

impl GuestCid {
    /// As packets have it.
    pub fn get(self) -> u64 {
        self.0.into()
    }
}

/// What the driver sees.
#[derive(Debug)]
pub struct VsockConfig(pub GuestCid);

impl DeviceConfig for VsockConfig {
    fn features(&self) -> u64 {
        F_STREAM
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let bytes = self.0.get().to_le_bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        data.fill(0);
        for (place, byte) in data.iter_mut().zip(bytes.get(from..).unwrap_or_default()) {
            *place = *byte;
        }
    }

    fn write(&self, _offset: u64, _data: &[u8], _features: u64) {}

    fn resize(&self, _bytes: u64) -> Result<(), ResizeError> {
        Err(ResizeError::Sizeless)
    }

    fn reset(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reserved_addresses_are_no_guests() {
        let config = |cid: u64| serde_json::from_value::<Config>(json!({"guest_cid": cid, "notify_port": null}));
        for cid in [0, 1, 2, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            assert!(config(cid).is_err(), "{cid}");
        }
        for cid in [3, u64::from(u32::MAX) - 1] {
            assert_eq!(config(cid).unwrap().guest_cid.get(), cid);
        }
    }
}
