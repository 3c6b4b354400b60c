//! DHCP (RFC 2131, with the options of RFC 2132): which message of a client is answered what.
//!
//! Each interface has one address that never changes while it exists, so there is nothing to remember: a message is
//! answered from the interface's [`Lease`] alone. The guest thread brings the messages and sends the answers.

use crate::protocol::Lease;
use crate::virtio::net::Mac;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The longest message that is read, in bytes: no client has a longer one, and the rest of it would be lost.
pub const MESSAGE_MAX: usize = 1500;
/// The port of clients.
const CLIENT: u16 = 68;

/// Bytes of the fixed fields.
const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The shortest message: BOOTP's (RFC 1542, 2.1).
const LENGTH_MIN: usize = 300;
/// The longest answer: every client takes a datagram of 576 bytes (RFC 2131, 2), headers of IP and UDP included.
const LENGTH_MAX: usize = 576 - 28;

/// Where the fixed fields lie, as (from, to).
const XID: (usize, usize) = (4, 8);
const FLAGS: (usize, usize) = (10, 12);
const CIADDR: (usize, usize) = (12, 16);
const YIADDR: (usize, usize) = (16, 20);
const GIADDR: (usize, usize) = (24, 28);
const CHADDR: (usize, usize) = (28, 34);

/// `op`, and the hardware type and address length of Ethernet.
const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;
const ETHERNET: [u8; 2] = [1, 6];

/// Option codes.
mod code {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const NAME_SERVERS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const NTP_SERVERS: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const END: u8 = 255;
}

/// Types of messages (RFC 2132, 9.6).
mod kind {
    pub const DISCOVER: u8 = 1;
    pub const OFFER: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const ACK: u8 = 5;
    pub const NAK: u8 = 6;
    pub const INFORM: u8 = 8;
}

/// An answer and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The client.
    pub to: SocketAddrV4,
    /// The message.
    pub message: Vec<u8>,
    /// Whether it gives the client its lease.
    pub gives_lease: bool,
}

/// What the message `bytes` is answered that came from the interface `mac`; nothing for what is no client's message,
/// another interface's, meant for another server, or needs no answer.
pub fn answer(bytes: &[u8], mac: Mac, lease: &Lease) -> Option<Reply> {
    let message = Message::parse(bytes).filter(|message| message.mac == mac.bytes())?;
    let elsewhere = message.server.is_some_and(|server| server != lease.router);
    match message.kind {
        kind::DISCOVER => Some(reply(&message, kind::OFFER, lease)),
        kind::REQUEST if elsewhere => None,
        kind::REQUEST => {
            let wanted = message.requested.or(message.address)?;
            let kind = if wanted == lease.address { kind::ACK } else { kind::NAK };
            Some(reply(&message, kind, lease))
        }
        kind::INFORM if message.address == Some(lease.address) => Some(inform(&message, lease)),
        _ => None,
    }
}

/// What matters of a client's message.
#[derive(Debug)]
struct Message<'a> {
    fixed: &'a [u8],
    kind: u8,
    mac: [u8; 6],
    /// `ciaddr`: the address that it uses already.
    address: Option<Ipv4Addr>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    /// The client identifier, which is given back (RFC 6842).
    client: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// A client's message that came without a relay.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_at_checked(FIXED)?;
        let options = rest.strip_prefix(&COOKIE)?;
        if !fixed.starts_with(&[BOOTREQUEST, ETHERNET[0], ETHERNET[1]]) || address(fixed, GIADDR)?.is_some() {
            return None;
        }
        let mut message = Self {
            fixed,
            kind: 0,
            mac: fixed.get(CHADDR.0..CHADDR.1)?.try_into().ok()?,
            address: address(fixed, CIADDR)?,
            requested: None,
            server: None,
            client: None,
        };
        for (code, value) in Options(options) {
            match code {
                code::MESSAGE_TYPE => message.kind = value.first().copied()?,
                code::REQUESTED_ADDRESS => message.requested = Some(four(value)?),
                code::SERVER => message.server = Some(four(value)?),
                code::CLIENT => message.client = Some(value),
                _ => {}
            }
        }
        Some(message)
    }
}

/// The address in these fixed fields; none where it is 0.0.0.0.
fn address(fixed: &[u8], (from, to): (usize, usize)) -> Option<Option<Ipv4Addr>> {
    let address = four(fixed.get(from..to)?)?;
    Some((!address.is_unspecified()).then_some(address))
}

fn four(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// Options in the order in which they come; they end where one is cut off.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&code, rest) = self.0.split_first()?;
            self.0 = rest;
            match code {
                code::PAD => {}
                code::END => return None,
                code => {
                    let (&length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(length.into())?;
                    self.0 = rest;
                    return Some((code, value));
                }
            }
        }
    }
}

/// OFFER, ACK or NAK.
fn reply(to: &Message<'_>, kind: u8, lease: &Lease) -> Reply {
    let mut draft = Draft::new(to, kind, lease);
    if kind != kind::NAK {
        draft.put(YIADDR, &lease.address.octets());
        let part = |parts: u32| lease.seconds / 8 * parts + lease.seconds % 8 * parts / 8;
        draft.option(code::LEASE_TIME, &lease.seconds.to_be_bytes());
        // Both as RFC 2131, 4.4.5, has them: a half, and seven eighths.
        draft.option(code::RENEWAL_TIME, &part(4).to_be_bytes());
        draft.option(code::REBINDING_TIME, &part(7).to_be_bytes());
        draft.settings(lease);
    }
    // To a client that has the address already it goes there; a refusal goes to all (RFC 2131, 4.1).
    let has_address = to.address == Some(lease.address) && kind == kind::ACK;
    if has_address {
        draft.put(CIADDR, &lease.address.octets());
    }
    Reply {
        to: SocketAddrV4::new(
            if has_address {
                lease.address
            } else {
                Ipv4Addr::BROADCAST
            },
            CLIENT,
        ),
        message: draft.finish(),
        gives_lease: kind == kind::ACK,
    }
}

/// The ACK for a client that set its address by itself: neither an address nor times (RFC 2131, 4.3.5).
fn inform(to: &Message<'_>, lease: &Lease) -> Reply {
    let mut draft = Draft::new(to, kind::ACK, lease);
    draft.put(CIADDR, &lease.address.octets());
    draft.settings(lease);
    Reply {
        to: SocketAddrV4::new(lease.address, CLIENT),
        message: draft.finish(),
        gives_lease: false,
    }
}

/// An answer that is being written.
struct Draft(Vec<u8>);

impl Draft {
    fn new(to: &Message<'_>, kind: u8, lease: &Lease) -> Self {
        let mut draft = Self(Vec::with_capacity(LENGTH_MAX));
        draft.0.resize(FIXED, 0);
        draft.0.extend_from_slice(&COOKIE);
        draft.put((0, 3), &[BOOTREPLY, ETHERNET[0], ETHERNET[1]]);
        for field in [XID, FLAGS, CHADDR] {
            draft.put(field, to.fixed.get(field.0..field.1).unwrap_or_default());
        }
        draft.option(code::MESSAGE_TYPE, &[kind]);
        draft.option(code::SERVER, &lease.router.octets());
        to.client.iter().for_each(|client| draft.option(code::CLIENT, client));
        draft
    }

    fn put(&mut self, (from, to): (usize, usize), value: &[u8]) {
        let field = self.0.get_mut(from..to).into_iter().flatten();
        field.zip(value).for_each(|(place, byte)| *place = *byte);
    }

    /// Adds an option, where it has a value and there is room for it.
    fn option(&mut self, code: u8, value: &[u8]) {
        let room = LENGTH_MAX.saturating_sub(self.0.len() + 3);
        if let Some(length) = u8::try_from(value.len())
            .ok()
            .filter(|&length| (1..=room).contains(&length.into()))
        {
            self.0.extend_from_slice(&[code, length]);
            self.0.extend_from_slice(value);
        }
    }

    /// How the interface is to be set up: what matters most comes first.
    fn settings(&mut self, lease: &Lease) {
        let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(lease.address) | !mask);
        let addresses = |list: &[Ipv4Addr]| list.iter().flat_map(|address| address.octets()).collect::<Vec<_>>();
        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        self.option(code::SUBNET_MASK, &mask.to_be_bytes());
        self.option(code::ROUTER, &lease.router.octets());
        self.option(code::NAME_SERVERS, &addresses(&lease.name_servers));
        self.option(code::MTU, &lease.mtu.to_be_bytes());
        self.option(code::BROADCAST, &broadcast.octets());
        self.option(code::HOST_NAME, &text(&lease.host_name));
        self.option(code::DOMAIN_NAME, &text(&lease.domain_name));
        self.option(code::NTP_SERVERS, &addresses(&lease.ntp_servers));
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(code::END);
        self.0.resize(self.0.len().max(LENGTH_MIN), code::PAD);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lease;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const MAC: &str = "02:00:5e:10:00:01";
    const OPTIONS: usize = FIXED + COOKIE.len();

    fn mac() -> Mac {
        MAC.parse().unwrap()
    }

    fn message(kind: u8, address: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(b"xid!");
        bytes[10] = 0x80;
        bytes[12..16].copy_from_slice(&address);
        bytes[28..34].copy_from_slice(&mac().bytes());
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(&[0, 53, 1, kind]);
        for (code, value) in options {
            bytes.extend_from_slice(&[*code, u8::try_from(value.len()).unwrap()]);
            bytes.extend_from_slice(value);
        }
        bytes.push(255);
        bytes
    }

    fn ask(kind: u8, address: [u8; 4], options: &[(u8, &[u8])]) -> Option<Reply> {
        answer(&message(kind, address, options), mac(), &lease())
    }

    /// The options of an answer, by their codes.
    fn options(reply: &Reply) -> BTreeMap<u8, Vec<u8>> {
        assert_eq!(reply.message[..8], *b"\x02\x01\x06\0xid!");
        assert_eq!(reply.message[10..12], [0x80, 0]);
        assert_eq!(reply.message[28..34], mac().bytes());
        assert!((LENGTH_MIN..=LENGTH_MAX).contains(&reply.message.len()));
        let options = Options(&reply.message[OPTIONS..]);
        options.map(|(code, value)| (code, value.to_vec())).collect()
    }

    const ADDRESS: [u8; 4] = [10, 0, 1, 5];
    const OTHER: [u8; 4] = [10, 0, 1, 6];
    const ROUTER: [u8; 4] = [10, 0, 1, 1];

    #[test]
    fn a_client_that_looks_for_a_server_is_offered_its_lease() {
        let reply = ask(1, [0; 4], &[(61, b"me")]).unwrap();
        assert_eq!(reply.to, "255.255.255.255:68".parse().unwrap());
        assert!(!reply.gives_lease);
        assert_eq!(reply.message[16..20], ADDRESS);
        let expected: [(u8, &[u8]); 14] = [
            (1, &[255, 255, 255, 0]),
            (3, &ROUTER),
            (6, &[10, 0, 0, 2]),
            (12, b"ip-10-0-1-5"),
            (15, b"ec2.internal"),
            (26, &9001u16.to_be_bytes()),
            (28, &[10, 0, 1, 255]),
            (42, &[169, 254, 169, 123]),
            (51, &3600u32.to_be_bytes()),
            (53, &[2]),
            (54, &ROUTER),
            (58, &1800u32.to_be_bytes()),
            (59, &3150u32.to_be_bytes()),
            (61, b"me"),
        ];
        let expected = expected.map(|(code, value)| (code, value.to_vec()));
        assert_eq!(options(&reply), expected.into());
    }

    #[test]
    fn a_request_for_the_lease_is_acknowledged_in_every_state_of_a_client() {
        let selecting = ask(3, [0; 4], &[(50, &ADDRESS), (54, &ROUTER)]);
        let rebooting = ask(3, [0; 4], &[(50, &ADDRESS)]);
        let renewing = ask(3, ADDRESS, &[]);
        for (reply, to) in [
            (selecting, Ipv4Addr::BROADCAST),
            (rebooting, Ipv4Addr::BROADCAST),
            (renewing, ADDRESS.into()),
        ] {
            let reply = reply.unwrap();
            assert_eq!((*reply.to.ip(), reply.to.port(), reply.gives_lease), (to, 68, true));
            assert_eq!(reply.message[16..20], ADDRESS);
            assert_eq!(options(&reply)[&53], [5]);
        }
    }

    #[test]
    fn a_request_for_another_address_is_refused_to_all() {
        for reply in [
            ask(3, [0; 4], &[(50, &OTHER), (54, &ROUTER)]),
            ask(3, [0; 4], &[(50, &OTHER)]),
            ask(3, OTHER, &[]),
        ] {
            let reply = reply.unwrap();
            assert_eq!(*reply.to.ip(), Ipv4Addr::BROADCAST);
            assert!(!reply.gives_lease);
            assert_eq!(reply.message[12..20], [0; 8]);
            let expected = [(53, vec![6]), (54, ROUTER.to_vec())];
            assert_eq!(options(&reply), expected.into());
        }
    }

    #[test]
    fn a_client_that_only_informs_itself_gets_settings_and_no_lease() {
        let reply = ask(8, ADDRESS, &[]).unwrap();
        assert_eq!(*reply.to.ip(), Ipv4Addr::from(ADDRESS));
        assert!(!reply.gives_lease);
        assert_eq!(reply.message[16..20], [0; 4]);
        let options = options(&reply);
        assert_eq!(options[&53], [5]);
        assert!(options.contains_key(&6) && ![51, 58, 59].iter().any(|code| options.contains_key(code)));
    }

    #[test]
    fn what_is_not_ours_to_answer_is_let_pass() {
        assert_eq!(ask(3, [0; 4], &[(50, &ADDRESS), (54, &OTHER)]), None);
        assert_eq!(ask(3, [0; 4], &[]), None);
        assert_eq!(ask(8, OTHER, &[]), None);
        for kind in [0, 2, 4, 5, 6, 7, 9, 255] {
            assert_eq!(ask(kind, ADDRESS, &[]), None, "message type {kind}");
        }
        let discover = message(1, [0; 4], &[]);
        let changed = |at: usize, byte| {
            let mut bytes = discover.clone();
            bytes[at] = byte;
            answer(&bytes, mac(), &lease())
        };
        assert!(changed(0, 1).is_some());
        for (what, at, byte) in [
            ("op", 0, 2),
            ("htype", 1, 6),
            ("hlen", 2, 7),
            ("giaddr", 24, 10),
            ("chaddr", 33, 9),
            ("cookie", 236, 0),
        ] {
            assert_eq!(changed(at, byte), None, "{what}");
        }
    }

    #[test]
    fn names_that_are_too_long_for_every_client_are_left_out_before_what_matters() {
        let lease = Lease {
            host_name: Some("h".repeat(255)),
            domain_name: Some("d".repeat(255)),
            name_servers: vec![[10, 0, 0, 2].into(); 8],
            ntp_servers: vec![[10, 0, 0, 3].into(); 8],
            ..lease()
        };
        let reply = answer(&message(1, [0; 4], &[(61, &[7; 255])]), mac(), &lease).unwrap();
        let options = options(&reply);
        assert!([1, 3, 51, 53, 54, 61].iter().all(|code| options.contains_key(code)));
        assert!(!options.contains_key(&15));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_server_and_every_answer_is_for_its_client(
            kind in 0u8..10, tail in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..700
        ) {
            let mut bytes = message(kind, [0; 4], &[]);
            bytes.pop();
            bytes.extend_from_slice(&tail);
            bytes.truncate(cut);
            if let Some(reply) = answer(&bytes, mac(), &lease()) {
                prop_assert!(options(&reply).contains_key(&53));
                prop_assert!([Ipv4Addr::BROADCAST, ADDRESS.into()].contains(reply.to.ip()));
            }
        }

        #[test]
        fn random_bytes_are_no_message(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(answer(&bytes, mac(), &lease()), None);
        }

        #[test]
        fn times_are_a_half_and_seven_eighths_of_every_lease(seconds in 1u32..) {
            let lease = Lease { seconds, ..lease() };
            let options = options(&answer(&message(1, [0; 4], &[]), mac(), &lease).unwrap());
            let time = |code| u32::from_be_bytes(options[&code].clone().try_into().unwrap());
            prop_assert_eq!(time(58), seconds / 2);
            prop_assert_eq!(u64::from(time(59)), u64::from(seconds) * 7 / 8);
        }
    }
}
