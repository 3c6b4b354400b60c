//! What a guest sends to the DHCP server.
#![no_main]

use kiln_vmm::guest::testing::{answer_dhcp, lease};
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;

fuzz_target!(|input: &[u8]| {
    let lease = lease();
    // Most inputs get past the first checks.
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[28..34].copy_from_slice(&[2, 0, 0x5e, 0x10, 0, 1]);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    let Some((fixed, options)) = input.split_first_chunk::<16>() else {
        return;
    };
    message[4..20].copy_from_slice(fixed);
    message.extend_from_slice(options);
    let mac = "02:00:5e:10:00:01".parse().expect("an address");
    for bytes in [input, &message] {
        if let Some(reply) = answer_dhcp(bytes, mac, &lease) {
            assert!((300..=548).contains(&reply.message.len()));
            assert!([Ipv4Addr::BROADCAST, lease.address].contains(reply.to.ip()));
        }
    }
});
