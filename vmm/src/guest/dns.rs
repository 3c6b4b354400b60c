//! The name server of a VPC, as EC2's guests have one: which query (RFC 1035) is answered what.
//!
//! The names of the VPC are its addresses, so all of their answers are computed. Other queries are the host's name servers'
//! business: [`super::forward`] takes them there. No input and no output here.

use crate::protocol::Resolver;
use simple_dns::rdata::{A, OPT, PTR, RData, SOA};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::net::Ipv4Addr;

/// The longest query that is looked at, in bytes.
pub const QUERY_MAX: usize = 4096;
/// The length of a message's header, in bytes (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;
/// For how long an answer may be kept, in seconds, as EC2 has it.
const TTL: u32 = 60;
/// Where guests find their metadata, by name and by address.
const METADATA: (&str, Ipv4Addr) = ("instance-data", Ipv4Addr::new(169, 254, 169, 254));
/// How much fits into a datagram that nobody splits (RFC 6891, 6.2.5).
const DATAGRAM: u16 = 1232;

/// What becomes of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is answered so.
    Own(Vec<u8>),
    /// The host's name servers answer it.
    Forward,
    /// It is no query: who answers answers never rests.
    Nothing,
}

/// What a query is answered by the resolver of its VPC; none refuses.
pub fn answer(query: &[u8], resolver: Option<&Resolver>) -> Reply {
    let Some(&[id0, id1, flags, _, q0, q1, a0, a1, n0, n1, r0, r1]) = query.first_chunk::<HEADER>() else {
        return Reply::Nothing;
    };
    const RESPONSE: u8 = 0x80;
    if flags & RESPONSE != 0 {
        return Reply::Nothing;
    }
    let id = u16::from_be_bytes([id0, id1]);
    let counts = [[q0, q1], [a0, a1], [n0, n1]].map(u16::from_be_bytes);
    // Beside one question there may be the client's EDNS options and a signature. The parser makes room for what is said to
    // be there, so that is checked first.
    if counts != [1, 0, 0] || u16::from_be_bytes([r0, r1]) > 2 {
        return own(&status(id, None, RCODE::FormatError));
    }
    let Ok(packet) = Packet::parse(query) else {
        return own(&status(id, None, RCODE::FormatError));
    };
    let (Some(question), OPCODE::StandardQuery) = (packet.questions.first(), packet.opcode()) else {
        return own(&status(id, Some(&packet), RCODE::NotImplemented));
    };
    let is_internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    let Some(resolver) = resolver.filter(|_| is_internet) else {
        return own(&status(id, Some(&packet), RCODE::Refused));
    };
    let name = question.qname.to_string().to_ascii_lowercase();
    match find(&name, resolver) {
        Found::Address(address) => own(&of_address(&packet, question, address)),
        Found::Name(name) => own(&of_name(&packet, question, &name)),
        Found::Domain => own(&status(id, Some(&packet), RCODE::NoError)),
        Found::NotThere => own(&missing(&packet, resolver)),
        Found::Foreign => Reply::Forward,
    }
}

/// An answer that says that nobody could be asked.
pub fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(query).ok()?;
    status(packet.id(), Some(&packet), RCODE::ServerFailure)
        .build_bytes_vec()
        .ok()
}

/// What a name is here.
enum Found {
    /// The name of an address.
    Address(Ipv4Addr),
    /// An address of ours, asked for its name.
    Name(String),
    /// The domain of our names, which has no address.
    Domain,
    /// A name of our domain that nothing has.
    NotThere,
    /// Not one of ours.
    Foreign,
}

fn find(name: &str, resolver: &Resolver) -> Found {
    let (metadata, address) = METADATA;
    let within = match name.strip_suffix(resolver.domain.as_str()) {
        Some("") => return Found::Domain,
        Some(within) => within.strip_suffix('.'),
        None => None,
    };
    if name == metadata || within == Some(metadata) {
        return Found::Address(address);
    }
    if let Some(host) = within {
        let address = host.strip_prefix("ip-").and_then(|host| octets(host, '-'));
        let ours = address.filter(|address| resolver.has(*address));
        return ours.map_or(Found::NotThere, Found::Address);
    }
    let reversed = name.strip_suffix(".in-addr.arpa").and_then(|text| octets(text, '.'));
    let address = reversed.map(|address| Ipv4Addr::from(u32::from(address).swap_bytes()));
    match address.filter(|address| resolver.has(*address)) {
        Some(address) => {
            let [a, b, c, d] = address.octets();
            Found::Name(format!("ip-{a}-{b}-{c}-{d}.{}", resolver.domain))
        }
        None => Found::Foreign,
    }
}

impl Resolver {
    fn has(&self, address: Ipv4Addr) -> bool {
        let outside = u32::from(address) ^ u32::from(self.block);
        outside.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

/// Four numbers as an address, written in the one way that there is for each.
fn octets(text: &str, between: char) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(between);
    for octet in &mut octets {
        let part = parts.next()?;
        *octet = part.parse().ok().filter(|number: &u8| number.to_string() == part)?;
    }
    parts.next().is_none().then(|| octets.into())
}

fn own(packet: &Packet<'_>) -> Reply {
    packet.build_bytes_vec().map_or(Reply::Nothing, Reply::Own)
}

/// An answer to `query` with nothing in it but its outcome.
fn status<'a>(id: u16, query: Option<&Packet<'a>>, code: RCODE) -> Packet<'a> {
    let mut reply = Packet::new_reply(id);
    *reply.rcode_mut() = code;
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    let Some(query) = query else { return reply };
    *reply.opcode_mut() = query.opcode();
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.clone_from(&query.questions);
    // Who speaks EDNS is answered in it (RFC 6891, 6.1.1).
    *reply.opt_mut() = query.opt().map(|_| OPT {
        opt_codes: Vec::new(),
        udp_packet_size: DATAGRAM,
        version: 0,
    });
    reply
}

fn of_address<'a>(query: &Packet<'a>, question: &Question<'a>, address: Ipv4Addr) -> Packet<'a> {
    let record = RData::A(A {
        address: address.into(),
    });
    with(query, question, TYPE::A, record)
}

fn of_name<'a>(query: &Packet<'a>, question: &Question<'a>, name: &str) -> Packet<'a> {
    let record = RData::PTR(PTR(Name::new_unchecked(name).into_owned()));
    with(query, question, TYPE::PTR, record)
}

/// The answer with a record, if the question is for that kind; of the others the name has none.
fn with<'a>(query: &Packet<'a>, question: &Question<'a>, kind: TYPE, record: RData<'a>) -> Packet<'a> {
    let mut reply = status(query.id(), Some(query), RCODE::NoError);
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    if question.qtype == QTYPE::TYPE(kind) || question.qtype == QTYPE::ANY {
        let record = ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, record);
        reply.answers.push(record);
    }
    reply
}

/// No such name, with how long that may be believed (RFC 2308, 3).
fn missing<'a>(query: &Packet<'a>, resolver: &Resolver) -> Packet<'a> {
    let mut reply = status(query.id(), Some(query), RCODE::NameError);
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let name = |text: &str| Name::new_unchecked(text).into_owned();
    let authority = RData::SOA(SOA {
        mname: name(&resolver.domain),
        rname: name(&format!("hostmaster.{}", resolver.domain)),
        serial: 1,
        refresh: 3600,
        retry: 600,
        expire: 86400,
        minimum: TTL,
    });
    reply
        .name_servers
        .push(ResourceRecord::new(name(&resolver.domain), CLASS::IN, TTL, authority));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolver() -> Resolver {
        Resolver {
            domain: "local-1.compute.internal".into(),
            block: Ipv4Addr::new(10, 0, 0, 0),
            prefix: 16,
        }
    }

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let question = Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false);
        packet.questions.push(question);
        packet.build_bytes_vec().unwrap()
    }

    /// The outcome and the records of the answer.
    fn asked(name: &str, kind: TYPE) -> Option<(RCODE, Vec<String>)> {
        let Reply::Own(bytes) = answer(&query(name, kind), Some(&resolver())) else {
            return None;
        };
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.id(), 7);
        assert_eq!(packet.questions.len(), 1);
        let record = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(A { address }) => Ipv4Addr::from(*address).to_string(),
            RData::PTR(PTR(name)) => name.to_string(),
            other => panic!("{other:?}"),
        };
        Some((packet.rcode(), packet.answers.iter().map(record).collect()))
    }

    fn found(record: &str) -> Option<(RCODE, Vec<String>)> {
        Some((RCODE::NoError, vec![record.into()]))
    }

    #[test]
    fn a_private_name_is_its_address_and_back() {
        let name = "ip-10-0-4-5.local-1.compute.internal";
        assert_eq!(asked(name, TYPE::A), found("10.0.4.5"));
        assert_eq!(
            asked("IP-10-0-4-5.Local-1.compute.internal", TYPE::A),
            found("10.0.4.5")
        );
        assert_eq!(asked("5.4.0.10.in-addr.arpa", TYPE::PTR), found(name));
        assert_eq!(asked("instance-data", TYPE::A), found("169.254.169.254"));
        assert_eq!(
            asked("instance-data.local-1.compute.internal", TYPE::A),
            found("169.254.169.254")
        );
        assert_eq!(asked(name, TYPE::AAAA), Some((RCODE::NoError, vec![])));
        assert_eq!(
            asked("local-1.compute.internal", TYPE::A),
            Some((RCODE::NoError, vec![]))
        );
    }

    #[test]
    fn what_our_domain_has_not_is_not_there_and_the_rest_is_forwarded() {
        for name in ["ip-10-1-0-5", "ip-10-0-0-05", "ip-10-0-0", "web", "x.ip-10-0-0-5"] {
            let name = format!("{name}.local-1.compute.internal");
            assert_eq!(asked(&name, TYPE::A), Some((RCODE::NameError, vec![])), "{name}");
        }
        for name in [
            "debian.org",
            "notlocal-1.compute.internal",
            "5.4.1.10.in-addr.arpa",
            "compute.internal",
        ] {
            assert_eq!(asked(name, TYPE::A), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_query_for_us_is_refused_or_passed_over() {
        let code = |bytes: &[u8], resolver: Option<&Resolver>| match answer(bytes, resolver) {
            Reply::Own(bytes) => Some(Packet::parse(&bytes).unwrap().rcode()),
            Reply::Forward | Reply::Nothing => None,
        };
        let good = query("ip-10-0-0-5.local-1.compute.internal", TYPE::A);
        assert_eq!(code(&good, None), Some(RCODE::Refused));
        let changed = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        assert_eq!(answer(&changed(2, 0x80), Some(&resolver())), Reply::Nothing);
        assert_eq!(answer(&good[..11], Some(&resolver())), Reply::Nothing);
        for (bytes, expected) in [
            (changed(5, 2), RCODE::FormatError),
            (changed(7, 1), RCODE::FormatError),
            (changed(10, 255), RCODE::FormatError),
            (good[..good.len() - 1].to_vec(), RCODE::FormatError),
            (changed(2, 0x20), RCODE::NotImplemented),
            (changed(good.len() - 1, 3), RCODE::Refused),
        ] {
            assert_eq!(code(&bytes, Some(&resolver())), Some(expected), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = answer(&bytes, Some(&resolver()));
            let _ = failure(&bytes);
        }

        #[test]
        fn a_query_with_anything_in_one_place_is_answered(place in 0..60_usize, byte: u8) {
            let mut bytes = query("ip-10-0-0-5.local-1.compute.internal", TYPE::A);
            if let Some(old) = bytes.get_mut(place) {
                *old = byte;
            }
            let _ = answer(&bytes, Some(&resolver()));
        }
    }
}
