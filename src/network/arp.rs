//! Asking a guest by ARP (RFC 826) whether it is there: whoever has brought up an interface with its address answers,
//! whatever its firewall says.

use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long a guest may take; usually it takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// A packet for Ethernet and IPv4, in bytes.
const LENGTH: usize = 28;
/// Ethernet, IPv4, and how long the addresses of each are.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

/// Who is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its IP address.
    pub address: Ipv4Addr,
}

/// Asks on `link`, in the namespace of the calling thread, in the name of `asker`. Blocks, for a second at the longest.
///
/// # Errors
/// The system's: the link is not there, or the daemon has not CAP_NET_RAW.
pub fn answers(link: &str, asker: Ipv4Addr, target: Target) -> io::Result<bool> {
    let protocol = u16::try_from(libc::ETH_P_ARP).unwrap_or(0).to_be();
    // Of no protocol until it is bound, or what other guests send meanwhile would be heard, too.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.cloexec(), Some(Protocol::from(0)))?;
    let index = i32::try_from(name_to_index(&socket, link)?).map_err(io::Error::other)?;
    socket.bind(&on_link(index, protocol, [0; 6])?)?;
    let own = hardware_address(&socket.local_addr()?);
    socket.send_to(&request(own, asker, target), &on_link(index, protocol, target.mac)?)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        let mut packet = [MaybeUninit::new(0); LENGTH];
        match socket.recv(&mut packet) {
            // SAFETY: all of it was written when it was made.
            Ok(LENGTH) if is_reply(&packet.map(|byte| unsafe { byte.assume_init() }), target) => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

fn request(own: [u8; 6], asker: Ipv4Addr, target: Target) -> Vec<u8> {
    [
        &KIND[..],
        &REQUEST,
        &own,
        &asker.octets(),
        &[0; 6],
        &target.address.octets(),
    ]
    .concat()
}

fn is_reply(packet: &[u8; LENGTH], target: Target) -> bool {
    let expected = [&KIND[..], &REPLY, &target.mac, &target.address.octets()].concat();
    packet.starts_with(&expected)
}

/// The address of packets on a link (`packet(7)`).
fn on_link(index: i32, protocol: u16, mac: [u8; 6]) -> io::Result<SockAddr> {
    let [a, b, c, d, e, f] = mac;
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: protocol,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    };
    // SAFETY: the storage is larger than this address and aligned for every kind; its length is that of what is written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
            Ok(())
        })
    }?;
    Ok(address)
}

/// The Ethernet address of the link that a socket is bound to.
fn hardware_address(bound: &SockAddr) -> [u8; 6] {
    // SAFETY: a socket of packets has such an address, and the storage behind the pointer has room for every kind.
    let address = unsafe { bound.as_ptr().cast::<libc::sockaddr_ll>().read() };
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_targets_own_reply_counts() {
        let target = Target {
            mac: [2, 0, 0, 0, 0, 9],
            address: Ipv4Addr::new(10, 0, 0, 5),
        };
        let asked = request([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1), target);
        assert_eq!(asked.len(), LENGTH);
        let mut packet: [u8; LENGTH] = asked.try_into().unwrap();
        assert!(!is_reply(&packet, target));
        packet[7] = 2;
        packet[8..14].copy_from_slice(&target.mac);
        packet[14..18].copy_from_slice(&target.address.octets());
        assert!(is_reply(&packet, target));
        packet[17] = 6;
        assert!(!is_reply(&packet, target));
    }
}
