//! The compiled rules of a VPC in a kernel: guests that are namespaces, and sockets that do or don't reach each other.
//!
//! That something is dropped is seen by what is sent after it: a datagram that is let through takes the same way, so when it
//! is there and the other is not, the other does not come any more.

use ipnet::{IpNet, Ipv4Net};
use kiln::model::{
    Direction, IcmpMessages, MacAddress, NetworkAclEntry, Peer, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, SubnetId, Traffic,
};
use kiln::network::Uplink;
use kiln::network::firewall::{InterfaceRules, SubnetRules, VpcRules, compile};
use kiln_harness::Namespace;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);
/// Every group lets datagrams to this port in and out, so that they can follow what is dropped.
const FENCE: u16 = 7;
const PORT: u16 = 80;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ROUTER_MAC: &str = "06:00:00:00:00:01";
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The namespace's own end of the uplink.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Where the guests are: the first two in one subnet, the third in another.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 0, 1, 11),
    Ipv4Addr::new(10, 0, 1, 12),
    Ipv4Addr::new(10, 0, 2, 13),
];
const SUBNETS: [[usize; 2]; 2] = [[0, 1], [2, 2]];
/// The group that each guest is in.
const GROUPS: [SecurityGroupId; 3] = [
    SecurityGroupId::from_random(1),
    SecurityGroupId::from_random(2),
    SecurityGroupId::from_random(3),
];

/// A VPC with guests in it, and a host.
struct Network {
    vpc: Namespace,
    host: Namespace,
    guests: [Namespace; 3],
}

fn mac(guest: usize) -> MacAddress {
    MacAddress::from_random([0, 0, 0, 0, u8::try_from(guest).unwrap()])
}

impl Network {
    /// One whose rules are `rules`; none where no namespaces can be made.
    fn new(rules: &VpcRules) -> Option<Self> {
        let guests = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        let network = Self {
            vpc: Namespace::new()?,
            host: Namespace::new()?,
            guests,
        };
        network.vpc.ip(&format!(
            "link set lo up\n\
             link add name uplink type veth peer name vpc netns {}\n\
             addr add {OUTSIDE}/24 dev uplink\nlink set uplink up\n",
            network.host.path()
        ));
        network
            .host
            .ip(&format!("addr add {HOST}/24 dev vpc\nlink set vpc up\n"));
        network.vpc.ip(&format!("route add default via {HOST}\n"));
        for guest in 0..3 {
            network.plug(guest);
        }
        network.vpc.sysctl("ipv4/ip_forward", "1");
        network.load(rules);
        Some(network)
    }

    /// Gives a guest its interface. Who has which Ethernet address is told, not asked for.
    fn plug(&self, guest: usize) {
        let (address, mac) = (ADDRESSES[guest], mac(guest));
        self.vpc.ip(&format!(
            "link add name eni{guest} address {ROUTER_MAC} type veth peer name eth0 netns {}\n\
             addr add {ROUTER}/32 dev eni{guest}\nlink set eni{guest} up\n\
             route add {address}/32 dev eni{guest}\nneigh add {address} lladdr {mac} dev eni{guest}\n",
            self.guests[guest].path(),
        ));
        self.guests[guest].ip(&format!(
            "link set eth0 address {mac}\naddr add {address}/32 dev eth0\nlink set eth0 up\nlink set lo up\n\
             neigh add {ROUTER} lladdr {ROUTER_MAC} dev eth0\n\
             route add {ROUTER}/32 dev eth0\nroute add default via {ROUTER} dev eth0\n"
        ));
    }

    #[track_caller]
    fn load(&self, rules: &VpcRules) {
        let text = serde_json::to_vec(&compile(rules)).unwrap();
        self.vpc
            .feed(Command::new("nft").args(["--json", "--file", "-"]), &text);
    }

    fn guest(&self, guest: usize) -> End<'_> {
        End::new(&self.guests[guest], ADDRESSES[guest])
    }
}

/// A namespace, an address there, and the ports that are open at it.
struct End<'n> {
    namespace: &'n Namespace,
    address: IpAddr,
    // Not closed before the test ends: another test that is just starting a program has a copy for a moment longer.
    open: Mutex<BTreeMap<u16, Arc<UdpSocket>>>,
}

impl<'n> End<'n> {
    fn new(namespace: &'n Namespace, address: impl Into<IpAddr>) -> Self {
        Self {
            namespace,
            address: address.into(),
            open: Mutex::default(),
        }
    }

    /// The socket for datagrams to one of its ports.
    #[track_caller]
    fn udp(&self, port: u16) -> Arc<UdpSocket> {
        let bind = || {
            let socket = self.namespace.run(|| UdpSocket::bind((self.address, port))).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            Arc::new(socket)
        };
        Arc::clone(self.open.lock().unwrap().entry(port).or_insert_with(bind))
    }

    /// Sends a datagram from a port of its own.
    #[track_caller]
    fn send(&self, to: SocketAddr) {
        // The kernel may say that an earlier one did not arrive; that is not asked here.
        let socket = self.namespace.run(|| UdpSocket::bind((self.address, 0))).unwrap();
        let _ = socket.send_to(b"datagram", to);
    }

    #[track_caller]
    fn listen(&self, port: u16) -> TcpListener {
        self.namespace.run(|| TcpListener::bind((self.address, port))).unwrap()
    }

    /// Connects, and waits until that is done.
    #[track_caller]
    fn connect(&self, to: SocketAddr) -> TcpStream {
        let stream = self
            .namespace
            .run(|| TcpStream::connect_timeout(&to, DEADLINE))
            .unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends what begins a connection, and does not wait.
    #[track_caller]
    fn begin(&self, to: SocketAddr) -> OwnedFd {
        let begun = self.namespace.run(|| {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
            bind(&socket, &SocketAddr::new(self.address, 0))?;
            match connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                Err(error) => Err(error),
            }
        });
        begun.unwrap()
    }
}

/// Asserts that a datagram from the one reaches that port of the other.
#[track_caller]
fn assert_passes(from: &End<'_>, to: &End<'_>, port: u16) {
    let socket = to.udp(port);
    from.send(SocketAddr::new(to.address, port));
    receive(&socket);
}

/// Asserts that it does not; the fence goes from `friend`, in the same namespace.
#[track_caller]
fn assert_dropped_before(from: &End<'_>, friend: &End<'_>, to: &End<'_>, port: u16) {
    let (socket, fence) = (to.udp(port), to.udp(FENCE));
    from.send(SocketAddr::new(to.address, port));
    friend.send(SocketAddr::new(to.address, FENCE));
    receive(&fence);
    assert_silent(&socket);
}

/// Asserts that a datagram from the one does not reach that port of the other.
#[track_caller]
fn assert_dropped(from: &End<'_>, to: &End<'_>, port: u16) {
    assert_dropped_before(from, from, to, port);
}

/// Gives who sent the datagram that is waited for.
#[track_caller]
fn receive(socket: &UdpSocket) -> SocketAddr {
    let (length, from) = socket.recv_from(&mut [0; 64]).expect("The datagram arrives");
    assert_eq!(length, 8);
    from
}

#[track_caller]
fn assert_silent(socket: &UdpSocket) {
    let received = recv(socket, &mut [0; 64], RecvFlags::DONTWAIT);
    assert_eq!(received.map(|_| ()), Err(Errno::WOULDBLOCK));
}

fn rule(group: usize, direction: Direction, traffic: Traffic, peer: Peer) -> SecurityGroupRule {
    SecurityGroupRule {
        id: SecurityGroupRuleId::from_random(0),
        group: GROUPS[group],
        direction,
        traffic,
        peer,
        description: None,
    }
}

fn all() -> IpNet {
    Ipv4Net::default().into()
}

fn block(address: Ipv4Addr) -> Peer {
    Peer::Block(IpNet::from(IpAddr::from(address)))
}

/// Rules that let in to a port.
fn lets_in(group: usize, port: u16, peer: Peer) -> [SecurityGroupRule; 2] {
    [Traffic::Tcp(port..=port), Traffic::Udp(port..=port)].map(|traffic| rule(group, Direction::Ingress, traffic, peer))
}

fn open_acl() -> Vec<NetworkAclEntry> {
    [Direction::Egress, Direction::Ingress]
        .map(|direction| acl_entry(direction, 100, Traffic::All, all(), true))
        .into()
}

fn acl_entry(direction: Direction, number: u16, traffic: Traffic, block: IpNet, allow: bool) -> NetworkAclEntry {
    NetworkAclEntry {
        direction,
        number,
        traffic,
        block,
        allow,
    }
}

/// The VPC with the fence, everything let out, and these rules.
fn vpc(rules: impl IntoIterator<Item = SecurityGroupRule>) -> VpcRules {
    let interface = |guest: usize| InterfaceRules {
        link: format!("eni{guest}"),
        mac: mac(guest),
        addresses: vec![ADDRESSES[guest]],
        source_dest_check: true,
        groups: vec![GROUPS[guest]],
        outward: true,
        public: None,
    };
    let subnet = |(number, [first, last]): (u128, [usize; 2])| SubnetRules {
        id: SubnetId::from_random(number),
        acl: open_acl(),
        interfaces: (first..=last).map(interface).collect(),
    };
    let fences = (0..3).flat_map(|group| lets_in(group, FENCE, Peer::Block(all())));
    let out = (0..3).map(|group| rule(group, Direction::Egress, Traffic::All, Peer::Block(all())));
    VpcRules {
        subnets: (1..).zip(SUBNETS).map(subnet).collect(),
        rules: fences.chain(out).chain(rules).collect(),
        prefix_lists: Vec::new(),
    }
}

#[test]
fn what_no_rule_lets_in_is_dropped() {
    let Some(network) = Network::new(&vpc(lets_in(1, PORT, block(ADDRESSES[0])))) else {
        return;
    };
    let [one, two, three] = [0, 1, 2].map(|guest| network.guest(guest));
    assert_passes(&one, &two, PORT);
    assert_dropped(&one, &two, PORT + 1);
    assert_dropped(&three, &two, PORT);
    assert_dropped(&two, &one, PORT);
}

#[test]
fn a_group_that_is_named_is_its_members() {
    let peers = [Peer::Group(GROUPS[0]), Peer::Group(GROUPS[1])];
    let mut rules = vpc(lets_in(1, PORT, peers[0]));
    rules.rules.extend(lets_in(1, PORT + 1, peers[1]));
    let Some(network) = Network::new(&rules) else { return };
    let [one, two, three] = [0, 1, 2].map(|guest| network.guest(guest));
    assert_passes(&one, &two, PORT);
    assert_dropped(&three, &two, PORT);
    // The third joins the group, and passes as one that is in it; so does one of the group that names itself.
    rules.subnets[1].interfaces[0].groups = vec![GROUPS[0], GROUPS[1]];
    network.load(&rules);
    assert_passes(&three, &two, PORT);
    assert_passes(&three, &two, PORT + 1);
    assert_dropped(&one, &two, PORT + 1);
}

#[test]
fn what_no_rule_lets_out_is_dropped() {
    let mut rules = vpc(lets_in(1, PORT, Peer::Block(all())));
    let outward = |rule: &SecurityGroupRule| rule.group == GROUPS[0] && rule.direction == Direction::Egress;
    rules.rules.retain(|rule| !outward(rule));
    let fence = Traffic::Udp(FENCE..=FENCE);
    rules
        .rules
        .push(rule(0, Direction::Egress, fence, Peer::Group(GROUPS[1])));
    let Some(network) = Network::new(&rules) else { return };
    assert_dropped(&network.guest(0), &network.guest(1), PORT);
    assert_passes(&network.guest(2), &network.guest(1), PORT);
}

#[test]
fn pings_pass_by_their_type() {
    let echo = Traffic::Icmp(IcmpMessages::Type(8));
    let Some(network) = Network::new(&vpc([rule(1, Direction::Ingress, echo, block(ADDRESSES[0]))])) else {
        return;
    };
    let [one, two, three] = [0, 1, 2].map(|guest| network.guest(guest));
    assert!(answers_ping(&two, &one));
    assert!(!answers_ping(&two, &three));
}

/// Whether one answers the other's echo request.
#[track_caller]
fn answers_ping(one: &End<'_>, other: &End<'_>) -> bool {
    other.namespace.sysctl("ipv4/ping_group_range", "0 0");
    let socket = other.namespace.run(|| {
        let icmp = Some(rustix::net::ipproto::ICMP);
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::NONBLOCK, icmp)?;
        connect(&socket, &SocketAddr::new(one.address, 0)).map(|()| UdpSocket::from(socket))
    });
    let socket = socket.unwrap();
    // Type, code, checksum, identifier and number; the kernel fills in what is its own.
    socket.send(&[8, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    assert_passes(other, one, FENCE);
    assert_passes(one, other, FENCE);
    socket.recv(&mut [0; 64]).is_ok()
}

#[test]
fn a_revoked_rule_stops_new_connections_and_leaves_those_there_are() {
    let Some(network) = Network::new(&vpc(lets_in(1, PORT, Peer::Block(all())))) else {
        return;
    };
    let (one, two) = (network.guest(0), network.guest(1));
    let listener = two.listen(PORT);
    let to = listener.local_addr().unwrap();
    let mut client = one.connect(to);
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();

    network.load(&vpc([]));
    let _begun = one.begin(to);
    assert_passes(&one, &two, FENCE);
    listener.set_nonblocking(true).unwrap();
    let accepted = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(accepted, Err(ErrorKind::WouldBlock));

    let mut byte = [0];
    client.write_all(b"?").unwrap();
    server.read_exact(&mut byte).unwrap();
    server.write_all(b"!").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

#[test]
fn an_address_that_is_not_its_own_leaves_no_interface() {
    let mut rules = vpc(lets_in(2, PORT, Peer::Block(all())));
    let Some(network) = Network::new(&rules) else { return };
    let (one, three) = (network.guest(0), network.guest(2));
    one.namespace.ip(&format!("addr add {}/32 dev eth0\n", ADDRESSES[1]));
    let spoofer = End::new(one.namespace, ADDRESSES[1]);
    assert_passes(&one, &three, PORT);
    assert_dropped_before(&spoofer, &one, &three, PORT);
    // Who routes for others may, but not with another's Ethernet address.
    rules.subnets[0].interfaces[0].source_dest_check = false;
    network.load(&rules);
    assert_passes(&spoofer, &three, PORT);
    one.namespace.ip(&format!(
        "link set eth0 address 02:00:00:00:00:99\nneigh replace {ROUTER} lladdr {ROUTER_MAC} dev eth0\n"
    ));
    assert_dropped_before(&spoofer, &network.guest(1), &three, PORT);
}

#[test]
fn only_its_own_address_is_delivered_to_an_interface() {
    let mut rules = vpc(lets_in(1, PORT, Peer::Block(all())));
    let Some(network) = Network::new(&rules) else { return };
    let (one, two) = (network.guest(0), network.guest(1));
    let behind = Ipv4Addr::new(203, 0, 113, 5);
    two.namespace.ip(&format!("addr add {behind}/32 dev eth0\n"));
    network
        .vpc
        .ip(&format!("route add {behind}/32 via {} dev eni1 onlink\n", ADDRESSES[1]));
    let hidden = End::new(two.namespace, behind);
    let socket = hidden.udp(PORT);
    one.send((behind, PORT).into());
    assert_passes(&one, &two, FENCE);
    assert_silent(&socket);
    rules.subnets[0].interfaces[1].source_dest_check = false;
    network.load(&rules);
    assert_passes(&one, &hidden, PORT);
}

#[test]
fn an_acl_stands_at_the_border_of_its_subnet_and_knows_no_connections() {
    let mut rules = vpc((0..3).flat_map(|group| lets_in(group, PORT, Peer::Block(all()))));
    let Some(network) = Network::new(&rules) else { return };
    let [one, two, three] = [0, 1, 2].map(|guest| network.guest(guest));
    let (client, server) = (one.udp(0), three.udp(PORT));
    client.send_to(b"datagram", server.local_addr().unwrap()).unwrap();
    let from = receive(&server);
    server.send_to(b"datagram", from).unwrap();
    receive(&client);

    // The second number would let through what the first has stopped.
    let port = Traffic::Udp(PORT..=PORT);
    let (denied, allowed) = (
        acl_entry(Direction::Egress, 10, port.clone(), all(), false),
        acl_entry(Direction::Egress, 20, port, all(), true),
    );
    rules.subnets[0].acl.splice(0..0, [denied, allowed]);
    network.load(&rules);
    client.send_to(b"datagram", server.local_addr().unwrap()).unwrap();
    assert_passes(&one, &three, FENCE);
    assert_silent(&server);
    assert_passes(&one, &two, PORT);
    assert_passes(&three, &one, PORT);

    // What an ACL does not allow it denies.
    rules.subnets[0]
        .acl
        .retain(|entry| entry.direction == Direction::Egress && entry.number == 100);
    let fence = Traffic::Udp(FENCE..=FENCE);
    rules.subnets[0]
        .acl
        .push(acl_entry(Direction::Ingress, 10, fence, all(), true));
    network.load(&rules);
    assert_dropped(&three, &one, PORT);
    assert_passes(&two, &one, PORT);
}

#[test]
fn what_leaves_by_the_uplink_has_a_way_out_and_the_uplinks_address() {
    let mut rules = vpc(lets_in(0, PORT, Peer::Block(all())));
    rules.subnets[0].interfaces[1].outward = false;
    let Some(network) = Network::new(&rules) else { return };
    let [one, two] = [0, 1].map(|guest| network.guest(guest));
    let host = End::new(&network.host, HOST);
    let (outside, fence) = (host.udp(PORT), host.udp(FENCE));
    let client = one.udp(0);
    client.send_to(b"datagram", (HOST, PORT)).unwrap();
    let from = receive(&outside);
    assert_eq!(from.ip(), OUTSIDE);
    outside.send_to(b"datagram", from).unwrap();
    assert_eq!(receive(&client), (HOST, PORT).into());

    two.send((HOST, PORT).into());
    one.send((HOST, FENCE).into());
    receive(&fence);
    assert_silent(&outside);
    // Nor does anything come in for who has none, or go on to addresses that are of one link.
    host.namespace.ip(&format!(
        "route add 10.0.0.0/16 via {OUTSIDE}\naddr add 169.254.7.7/32 dev vpc\n"
    ));
    assert_passes(&host, &one, PORT);
    let two_hears = two.udp(FENCE);
    host.send((ADDRESSES[1], FENCE).into());
    assert_passes(&host, &one, FENCE);
    assert_silent(&two_hears);
    let link_local = End::new(host.namespace, Ipv4Addr::new(169, 254, 7, 7));
    let socket = link_local.udp(PORT);
    one.send(SocketAddr::new(link_local.address, PORT));
    one.send((HOST, FENCE).into());
    receive(&fence);
    assert_silent(&socket);
}

#[test]
fn a_public_address_is_the_interfaces_own_both_ways_and_its_groups_rule_it() {
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
    let mut rules = vpc(lets_in(0, PORT, block(HOST)));
    rules.subnets[0].interfaces[0].public = Some(PUBLIC);
    let Some(network) = Network::new(&rules) else { return };
    let [one, two] = [0, 1].map(|guest| network.guest(guest));
    let host = End::new(&network.host, HOST);
    host.namespace.ip(&format!("route add {PUBLIC} via {OUTSIDE}\n"));
    // What it sends bears it; the others share the uplink's.
    let outside = host.udp(PORT);
    one.send((HOST, PORT).into());
    assert_eq!(receive(&outside).ip(), PUBLIC);
    two.send((HOST, PORT).into());
    assert_eq!(receive(&outside).ip(), OUTSIDE);
    // What is sent to it arrives, if a group lets it in, from whom it is.
    let (server, fence) = (one.udp(PORT), one.udp(FENCE));
    host.send((PUBLIC, PORT).into());
    assert_eq!(receive(&server).ip(), HOST);
    let other = one.udp(PORT + 1);
    host.send((PUBLIC, PORT + 1).into());
    host.send((PUBLIC, FENCE).into());
    receive(&fence);
    assert_silent(&other);
}

#[test]
fn the_host_reaches_public_addresses_from_its_end_of_the_uplink_and_guests_begin_nothing_there() {
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
    const HOSTS_END: Ipv4Addr = Ipv4Addr::new(169, 254, 128, 0);
    let mut rules = vpc(lets_in(0, PORT, Peer::Block(all())));
    rules.subnets[0].interfaces[0].public = Some(PUBLIC);
    let Some(network) = Network::new(&rules) else { return };
    network.host.ip(&format!(
        "addr add {HOSTS_END}/32 dev vpc\nroute add {PUBLIC} via {OUTSIDE} src {HOSTS_END}\n"
    ));
    let uplink = Uplink {
        link: "vpc".into(),
        table: "kiln-test".into(),
        outer: HOSTS_END,
        inner: OUTSIDE,
    };
    let of_host = serde_json::to_vec(&uplink.rules()).unwrap();
    let mut nft = Command::new("nft");
    network.host.feed(nft.args(["--json", "--file", "-"]), &of_host);
    let (one, host) = (network.guest(0), End::new(&network.host, HOSTS_END));

    // A guest may take link-local addresses for ones of its own link: it hears its router, and answers that.
    let (client, server) = (host.udp(0), one.udp(PORT));
    client.send_to(b"datagram", (PUBLIC, PORT)).unwrap();
    let from = receive(&server);
    assert_eq!(from.ip(), ROUTER);
    let elsewhere = [HOST, HOSTS_END].map(|address| (address, End::new(&network.host, address).udp(PORT)));
    for (address, _) in &elsewhere {
        one.send((*address, PORT).into());
    }
    server.send_to(b"datagram", from).unwrap();
    assert_eq!(receive(&client), (PUBLIC, PORT).into());
    for (_, socket) in &elsewhere {
        assert_silent(socket);
    }
    // Groups rule the host as they do all others.
    let (other, fence) = (one.udp(PORT + 1), one.udp(FENCE));
    host.send((PUBLIC, PORT + 1).into());
    host.send((PUBLIC, FENCE).into());
    receive(&fence);
    assert_silent(&other);
}

#[test]
fn of_the_namespace_itself_guests_reach_its_services_and_the_host_nothing() {
    let mut rules = vpc([]);
    // Groups have no say in it, either way.
    rules.rules.clear();
    let Some(network) = Network::new(&rules) else { return };
    let metadata = Ipv4Addr::new(169, 254, 169, 254);
    network.vpc.ip(&format!("addr add {metadata}/32 dev lo\n"));
    let (one, host) = (network.guest(0), End::new(&network.host, HOST));
    let [router, uplink, metadata] = [ROUTER, OUTSIDE, metadata].map(|address| End::new(&network.vpc, address));

    assert_passes(&one, &router, 53);
    let listener = metadata.listen(80);
    let mut to_guest = one.connect(listener.local_addr().unwrap());
    listener.accept().unwrap().0.write_all(b"!").unwrap();
    to_guest.read_exact(&mut [0]).unwrap();

    let other = router.udp(PORT);
    let dns = router.udp(53);
    one.send((ROUTER, PORT).into());
    one.send((ROUTER, 53).into());
    receive(&dns);
    assert_silent(&other);

    // What the namespace begins is answered.
    let guests = one.udp(22);
    let daemon = router.udp(0);
    daemon.send_to(b"datagram", guests.local_addr().unwrap()).unwrap();
    let from = receive(&guests);
    guests.send_to(b"datagram", from).unwrap();
    receive(&daemon);
    let (asked, answers) = (uplink.udp(0), host.udp(53));
    asked.send_to(b"datagram", (HOST, 53)).unwrap();
    let from = receive(&answers);
    let inside = uplink.udp(53);
    host.send((OUTSIDE, 53).into());
    answers.send_to(b"datagram", from).unwrap();
    receive(&asked);
    assert_silent(&inside);
}

#[test]
fn arp_tells_no_address_but_its_own() {
    let rules = vpc([]);
    let Some(network) = Network::new(&rules) else { return };
    let one = network.guest(0);
    one.namespace.ip(&format!("addr add {}/32 dev eth0\n", ADDRESSES[1]));
    let spoofer = End::new(one.namespace, ADDRESSES[1]);
    // Asks for the router, and so tells it who asks.
    let ask = |end: &End<'_>| {
        one.namespace.ip(&format!("neigh del {ROUTER} dev eth0\n"));
        end.send((ROUTER, 53).into());
    };
    let told = |address: Ipv4Addr| {
        let output = network
            .vpc
            .run(|| Command::new("ip").args(["neigh", "show", "dev", "eni0"]).output());
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines()
            .any(|line| line.starts_with(&format!("{address} ")) && line.contains(&mac(0).to_string()))
    };
    network.vpc.ip(&format!("neigh del {} dev eni0\n", ADDRESSES[0]));
    ask(&spoofer);
    ask(&one);
    assert!(told(ADDRESSES[0]));
    assert!(!told(ADDRESSES[1]));
    // Without rules the spoofer is believed.
    network.vpc.feed(Command::new("nft").args(["flush", "ruleset"]), b"");
    ask(&spoofer);
    assert!(told(ADDRESSES[1]));
}

#[test]
fn ipv6_leaves_no_interface() {
    let Some(network) = Network::new(&vpc([])) else { return };
    let (inside, outside) = ("fd00::1", "fd00::2");
    network.vpc.ip(&format!("addr add {inside}/64 dev eni0 nodad\n"));
    network.guests[0].ip(&format!(
        "addr add {outside}/64 dev eth0 nodad\nneigh add {inside} lladdr {ROUTER_MAC} dev eth0\n"
    ));
    let end = |namespace, address: &str| End::new(namespace, address.parse::<Ipv6Addr>().unwrap());
    let (guest, router) = (end(&network.guests[0], outside), end(&network.vpc, inside));
    let (socket, dns) = (router.udp(53), End::new(&network.vpc, ROUTER).udp(53));
    guest.send(socket.local_addr().unwrap());
    network.guest(0).send(dns.local_addr().unwrap());
    receive(&dns);
    assert_silent(&socket);
}
