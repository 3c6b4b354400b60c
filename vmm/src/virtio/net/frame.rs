//! Frames as they cross between guest and tap: behind a header that says what the other side must still do to them
//! (virtio 1.2, 5.1.6).

use virtio_bindings::virtio_net as bits;

/// Bytes of the header (`struct virtio_net_hdr` of a device that isn't legacy), on the tap as in a queue.
pub const HEADER: usize = 12;
/// Bytes of an Ethernet header: no frame is shorter.
pub const ETHERNET: usize = 14;
/// Bytes of a VLAN tag.
const VLAN: usize = 4;
/// The longest frame, in bytes: 64 KiB that are to be segmented, and an Ethernet header (virtio 1.2, 5.1.6.3.1).
pub const LONGEST: usize = ETHERNET + 65536;

/// What a side has agreed to do for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads {
    /// Fill in checksums, or do without them.
    pub checksum: bool,
    /// Segment TCP over IPv4, or take it unsegmented.
    pub tcp4: bool,
    /// The same over IPv6.
    pub tcp6: bool,
    /// Do so with explicit congestion notification.
    pub ecn: bool,
}

impl Offloads {
    /// What the guest does with frames that it receives, under the negotiated `features`.
    pub fn of_guest(features: u64) -> Self {
        Self::negotiated(
            features,
            [
                bits::VIRTIO_NET_F_GUEST_CSUM,
                bits::VIRTIO_NET_F_GUEST_TSO4,
                bits::VIRTIO_NET_F_GUEST_TSO6,
                bits::VIRTIO_NET_F_GUEST_ECN,
            ],
        )
    }

    /// What the host does with frames that the guest sends, under the negotiated `features`.
    pub fn of_host(features: u64) -> Self {
        Self::negotiated(
            features,
            [
                bits::VIRTIO_NET_F_CSUM,
                bits::VIRTIO_NET_F_HOST_TSO4,
                bits::VIRTIO_NET_F_HOST_TSO6,
                bits::VIRTIO_NET_F_HOST_ECN,
            ],
        )
    }

    /// A feature without those that it requires (virtio 1.2, 5.1.3.1) counts for nothing.
    fn negotiated(features: u64, places: [u32; 4]) -> Self {
        let [checksum, tcp4, tcp6, ecn] = places.map(|bit| features & 1 << bit != 0);
        let (tcp4, tcp6) = (checksum && tcp4, checksum && tcp6);
        Self {
            checksum,
            tcp4,
            tcp6,
            ecn: ecn && (tcp4 || tcp6),
        }
    }

    /// The longest frame that a guest which does this is given, in bytes, on an interface with this MTU.
    pub fn longest(self, mtu: u16) -> usize {
        longest(self.tcp4 || self.tcp6, mtu)
    }
}

/// The longest frame on an interface with this MTU, in bytes: whole, or to be segmented (virtio 1.2, 5.1.4.1).
fn longest(segmented: bool, mtu: u16) -> usize {
    match segmented {
        true => LONGEST,
        false => ETHERNET + VLAN + usize::from(mtu),
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header([u8; HEADER]);

impl Header {
    /// As it came.
    pub fn new(bytes: [u8; HEADER]) -> Self {
        Self(bytes)
    }

    /// As it goes.
    pub fn bytes(&self) -> &[u8; HEADER] {
        &self.0
    }

    /// For the kernel to read or to write.
    pub fn bytes_mut(&mut self) -> &mut [u8; HEADER] {
        &mut self.0
    }

    /// Whether it asks for nothing but what was agreed upon.
    pub fn keeps_to(&self, agreed: Offloads) -> bool {
        let [flags, kind, ..] = self.0.map(u32::from);
        let ecn = kind & bits::VIRTIO_NET_HDR_GSO_ECN != 0;
        let segments = match kind & !bits::VIRTIO_NET_HDR_GSO_ECN {
            bits::VIRTIO_NET_HDR_GSO_NONE => !ecn,
            bits::VIRTIO_NET_HDR_GSO_TCPV4 => agreed.tcp4,
            bits::VIRTIO_NET_HDR_GSO_TCPV6 => agreed.tcp6,
            _ => false,
        };
        let checksum = flags & bits::VIRTIO_NET_HDR_F_NEEDS_CSUM == 0 || agreed.checksum;
        segments && checksum && (agreed.ecn || !ecn)
    }

    /// Makes it one for the guest: a frame that lies in `buffers` buffers, and whose checksum is vouched for only if the
    /// guest agreed to that.
    pub fn to_guest(mut self, agreed: Offloads, buffers: u16) -> Self {
        let [flags, .., b0, b1] = &mut self.0;
        let known = match agreed.checksum {
            true => bits::VIRTIO_NET_HDR_F_NEEDS_CSUM | bits::VIRTIO_NET_HDR_F_DATA_VALID,
            false => 0,
        };
        *flags &= known.to_le_bytes()[0];
        [*b0, *b1] = buffers.to_le_bytes();
        self
    }

    /// Whether a frame for the guest may have `length` bytes, on an interface with this MTU.
    pub fn allows(&self, length: usize, mtu: u16) -> bool {
        let [_, kind, ..] = self.0.map(u32::from);
        (ETHERNET..=longest(kind != bits::VIRTIO_NET_HDR_GSO_NONE, mtu)).contains(&length)
    }

    /// How many packets a frame of `length` bytes becomes.
    pub fn packets(&self, length: usize) -> u64 {
        let [_, kind, _, _, s0, s1, ..] = self.0;
        let segment = usize::from(u16::from_le_bytes([s0, s1]));
        match (kind, segment) {
            (0, _) | (_, 0) => 1,
            (_, segment) => u64::try_from(length.div_ceil(segment)).unwrap_or(u64::MAX).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(flags: u8, kind: u8, segment: u16) -> Header {
        let [s0, s1] = segment.to_le_bytes();
        Header([flags, kind, 0, 0, s0, s1, 0, 0, 0, 0, 0, 0])
    }

    fn all_features() -> u64 {
        [0, 1, 7, 8, 9, 11, 12, 13].iter().map(|bit| 1u64 << bit).sum()
    }

    #[test]
    fn what_was_not_agreed_upon_is_not_asked_for() {
        let all = Offloads::of_host(all_features());
        let (none, checksum) = (Offloads::default(), Offloads::of_host(1));
        for (flags, kind, wanted) in [
            (0, 0, [true, true, true]),
            (1, 0, [false, true, true]),
            (1, 1, [false, false, true]),
            (1, 4, [false, false, true]),
            (1, 0x81, [false, false, true]),
            (0, 0x80, [false, false, false]),
            (1, 3, [false, false, false]),
            (1, 5, [false, false, false]),
        ] {
            let found = [none, checksum, all].map(|agreed| header(flags, kind, 1448).keeps_to(agreed));
            assert_eq!(found, wanted, "{flags} {kind}");
        }
    }

    #[test]
    fn a_guest_that_takes_no_checksum_on_trust_is_promised_none() {
        let all = Offloads::of_guest(all_features());
        assert_eq!(
            header(7, 1, 9).to_guest(all, 3).bytes(),
            &[3, 1, 0, 0, 9, 0, 0, 0, 0, 0, 3, 0]
        );
        let none = Offloads::default();
        assert_eq!(
            header(2, 0, 0).to_guest(none, 1).bytes(),
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
        );
    }

    #[test]
    fn what_is_segmented_later_counts_as_its_segments() {
        assert_eq!(header(0, 0, 1448).packets(65000), 1);
        assert_eq!(header(1, 1, 1448).packets(65000), 45);
        assert_eq!(header(1, 1, 0).packets(65000), 1);
        assert_eq!(header(1, 1, 1448).packets(0), 1);
    }

    #[test]
    fn a_frame_is_as_long_as_the_mtu_allows_or_is_to_be_segmented() {
        for (kind, length, allowed) in [
            (0, 13, false),
            (0, 14, true),
            (0, 1518, true),
            (0, 1519, false),
            (1, 1519, true),
            (1, LONGEST, true),
            (1, LONGEST + 1, false),
        ] {
            assert_eq!(header(1, kind, 1448).allows(length, 1500), allowed, "{kind} {length}");
        }
    }

    #[test]
    fn a_feature_without_its_base_counts_for_nothing() {
        assert_eq!(Offloads::of_guest(all_features() & !(1 << 1)), Offloads::default());
        let ecn_alone = Offloads::of_host(1 << 0 | 1 << 13);
        assert!(ecn_alone.checksum && !ecn_alone.ecn);
    }

    proptest! {
        #[test]
        fn no_header_promises_a_guest_more_than_it_agreed_to(bytes in any::<[u8; HEADER]>(), features in any::<u64>()) {
            let agreed = Offloads::of_guest(features);
            let header = Header::new(bytes);
            if header.keeps_to(agreed) {
                let [flags, kind, ..] = *header.to_guest(agreed, 1).bytes();
                prop_assert!(agreed.checksum || flags == 0);
                prop_assert!(agreed.tcp4 || kind & 0x7f != 1);
                prop_assert!(agreed.tcp6 || kind & 0x7f != 4);
                prop_assert!(agreed.ecn || kind & 0x80 == 0);
                prop_assert!(matches!(kind & 0x7f, 0 | 1 | 4));
            }
            prop_assert!(header.packets(LONGEST) >= 1);
        }
    }
}
