//! The server on real sockets: its clients are friendly, hostile and many.

use super::testing::{MAC, lease, told};
use super::{Board, Change, Door, Interface, Server, Sockets};
use crate::protocol::{ActiveKey, Lease, Told};
use crate::sandbox;
use crate::sandbox::seccomp::Filter;
use crate::virtio::net::Mac;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// A guest thread that runs, confined as in a monitor, until the test's process ends.
struct Served {
    board: Arc<Board>,
    door: Door,
    metadata: SocketAddr,
    dns: SocketAddr,
    /// What it takes for the host's name server.
    upstream: UdpSocket,
    leases: Receiver<Mac>,
}

fn serve(told: Told, dhcp: UdpSocket, metadata: TcpListener) -> Served {
    let board = Arc::new(Board::new(told).unwrap());
    let address = metadata.local_addr().unwrap();
    let any = (Ipv4Addr::LOCALHOST, 0);
    let (dns, upstream, to_upstream) = (
        UdpSocket::bind(any).unwrap(),
        UdpSocket::bind(any).unwrap(),
        UdpSocket::bind(any).unwrap(),
    );
    to_upstream.connect(upstream.local_addr().unwrap()).unwrap();
    let name_server = dns.local_addr().unwrap();
    let interface = Interface {
        mac: MAC.parse().unwrap(),
        dhcp: dhcp.into(),
        metadata: metadata.into(),
        dns: vec![dns.into()],
    };
    let sockets = Sockets {
        interfaces: vec![interface],
        name_servers: vec![to_upstream.into()],
    };
    let (server, door) = Server::new(sockets, Arc::clone(&board)).unwrap();
    let (sender, leases) = channel();
    thread::spawn(move || {
        sandbox::confine(&Filter::guest().unwrap());
        let error = server.serve(&|mac| sender.send(mac).unwrap_or_default());
        panic!("the server has ended: {error}");
    });
    Served {
        board,
        door,
        metadata: address,
        dns: name_server,
        upstream,
        leases,
    }
}

fn served() -> Served {
    let any = (Ipv4Addr::LOCALHOST, 0);
    serve(told(), UdpSocket::bind(any).unwrap(), TcpListener::bind(any).unwrap())
}

impl Served {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.metadata).unwrap()
    }

    /// All that comes until the server hangs up.
    fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ask_for_ami(&self) -> String {
        self.ask("GET /latest/meta-data/ami-id HTTP/1.0\r\n\r\n")
    }
}

/// One answer: its head and its body.
fn answer(client: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.split("Content-Length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// A query for the address of a name.
fn query(labels: &[&str]) -> Vec<u8> {
    let name: Vec<u8> = labels
        .iter()
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", &name[..], b"\0\0\x01\0\x01"].concat()
}

#[test]
fn private_names_are_answered_and_others_passed_on_and_back() {
    let served = served();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.connect(served.dns).unwrap();
    let mut buffer = [0; 512];
    client.send(&query(&["ip-10-0-1-5", "ec2", "internal"])).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert!(buffer[..length].ends_with(&[10, 0, 1, 5]), "{:?}", &buffer[..length]);

    let foreign = query(&["debian", "org"]);
    client.send(&foreign).unwrap();
    let (length, forwarder) = served.upstream.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[2..length], foreign[2..]);
    buffer[2] |= 0x80;
    buffer[length..length + 4].copy_from_slice(b"more");
    served.upstream.send_to(&buffer[..length + 4], forwarder).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert!(buffer[..length].starts_with(&foreign[..2]) && buffer[..length].ends_with(b"more"));

    // Without a resolver it refuses.
    served
        .board
        .tell(Told {
            resolver: None,
            ..told()
        })
        .unwrap();
    client.send(&foreign).unwrap();
    client.recv(&mut buffer).unwrap();
    assert_eq!(buffer[3] & 0xf, 5);
}

#[test]
fn a_client_fetches_a_token_and_asks_with_it_on_one_connection() {
    let served = served();
    let mut client = served.connect();
    let put = "PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n";
    client.write_all(put.as_bytes()).unwrap();
    let (head, token) = answer(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nServer: EC2ws\r\n"), "{head}");
    assert!(
        head.contains("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"),
        "{head}"
    );
    let get = |path: &str| format!("GET /latest/{path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n");
    // Two at once, and the answers come in order.
    let both = get("meta-data/instance-id") + &get("user-data");
    client.write_all(both.as_bytes()).unwrap();
    assert_eq!(answer(&mut client).1, "i-1");
    let (head, user_data) = answer(&mut client);
    assert!(head.contains("Content-Type: application/octet-stream\r\n"), "{head}");
    assert_eq!(user_data, "#!/bin/sh\n");
}

#[test]
fn what_the_guest_is_told_anew_it_hears_with_its_next_question() {
    let served = served();
    let mut client = served.connect();
    let get = b"GET /latest/meta-data/ami-id HTTP/1.1\r\n\r\n";
    client.write_all(get).unwrap();
    assert_eq!(answer(&mut client).1, "ami-1");
    let mut other = told();
    other.metadata.leaves.insert("meta-data/ami-id".into(), "ami-2".into());
    served.board.tell(other).unwrap();
    client.write_all(get).unwrap();
    assert_eq!(answer(&mut client).1, "ami-2");
}

#[test]
fn a_key_that_is_sent_is_read_with_and_without_slash_and_over_soon() {
    let served = served();
    let mut client = served.connect();
    let mut get = |path: &str| {
        let request = format!("GET /latest/meta-data/{path} HTTP/1.1\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let (head, body) = answer(&mut client);
        head.starts_with("HTTP/1.1 200 ").then_some(body)
    };
    let (user, keys) = (
        "managed-ssh-keys/active-keys/a.user@example",
        "ssh-ed25519 A\nssh-rsa B",
    );
    assert_eq!(get("managed-ssh-keys/"), None);
    let send = |user: &str, key: &str, at| {
        let (user, key) = (user.to_owned(), key.to_owned());
        served.board.send_key(ActiveKey { user, key }, at).unwrap();
    };
    for key in keys.lines() {
        send("a.user@example", key, Instant::now());
    }
    assert_eq!(get(user).as_deref(), Some(keys));
    assert_eq!(get(&format!("{user}/")).as_deref(), Some(keys));
    assert!(get("").unwrap().contains("managed-ssh-keys/\n"));
    assert_eq!(get("managed-ssh-keys/active-keys/").as_deref(), Some("a.user@example"));
    // One whose life was over by now.
    send("root", "key", Instant::now().checked_sub(ActiveKey::LIFE).unwrap());
    assert_eq!(get("managed-ssh-keys/active-keys/root/"), None);
}

#[test]
fn an_interface_that_comes_is_served_and_one_that_is_gone_is_not() {
    let served = served();
    let any = (Ipv4Addr::LOCALHOST, 0);
    let listen = || TcpListener::bind(any).unwrap();
    let bind = || UdpSocket::bind(any).unwrap();
    let (metadata, dns) = (listen(), bind());
    let (address, name_server) = (metadata.local_addr().unwrap(), dns.local_addr().unwrap());
    let mac: Mac = "02:00:5e:10:00:02".parse().unwrap();
    let interface = Interface {
        mac,
        dhcp: bind().into(),
        metadata: metadata.into(),
        dns: vec![dns.into()],
    };
    interface.set_nonblocking().unwrap();
    served.door.send(Change::Come(interface));
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET /latest/meta-data/ami-id HTTP/1.1\r\n\r\n")
        .unwrap();
    assert_eq!(answer(&mut client).1, "ami-1");
    let resolver = bind();
    resolver.connect(name_server).unwrap();
    resolver.send(&query(&["ip-10-0-1-5", "ec2", "internal"])).unwrap();
    assert!(resolver.recv(&mut [0; 512]).is_ok());

    served.door.send(Change::Gone(mac));
    // The door is gone through before a connection that comes later is accepted.
    assert!(served.ask_for_ami().ends_with("\r\n\r\nami-1"));
    assert!(TcpStream::connect(address).is_err());
    resolver.send(&query(&["ip-10-0-1-5", "ec2", "internal"])).unwrap();
    assert!(resolver.recv(&mut [0; 512]).is_err());
}

#[test]
fn garbage_is_answered_once_and_hung_up_on() {
    let served = served();
    for garbage in ["\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        let answer = served.ask(garbage);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let endless = format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000));
    assert!(served.ask(&endless).starts_with("HTTP/1.1 431 "));
    assert!(served.ask_for_ami().ends_with("\r\n\r\nami-1"));
}

#[test]
fn a_thousand_connections_with_half_a_head_shut_nobody_out() {
    let served = served();
    let mut clients = VecDeque::new();
    for number in 0..1000 {
        let mut client = served.connect();
        // It may have been hung up on already.
        let _ = client.write_all(b"GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: ");
        clients.push_back(client);
        if number >= 200 {
            clients.pop_front();
        }
    }
    assert!(served.ask_for_ami().ends_with("\r\n\r\nami-1"));
    // All but the last few were hung up on, with or without their half read.
    let mut first = clients.pop_front().unwrap();
    assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn clients_that_never_read_shut_nobody_out() {
    let served = served();
    let mut clients: Vec<_> = (0..63).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.set_nonblocking(true).unwrap();
        let many = "GET / HTTP/1.1\r\n\r\n".repeat(4000);
        let _ = client.write(many.as_bytes());
    }
    assert!(served.ask_for_ami().ends_with("\r\n\r\nami-1"));
}

/// The sockets of a DHCP server, a client and a metadata service on the loopback of a namespace of the test's own:
/// only there the ports are free. The test must be run by root.
fn namespace() -> (UdpSocket, UdpSocket, TcpListener) {
    let inside = || {
        // SAFETY: it changes only this thread, which ends when the sockets are made.
        let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(left, 0, "the test must be run by root");
        let bind = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        let (server, client) = (bind(67), bind(68));
        loopback_up(&client);
        server.set_broadcast(true).unwrap();
        bind_to_loopback(&server);
        (server, client, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    };
    thread::spawn(inside).join().unwrap()
}

fn loopback_up(socket: &UdpSocket) {
    // SAFETY: all zero is a valid value of a plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request reads one `ifreq`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn bind_to_loopback(socket: &UdpSocket) {
    let name = b"lo";
    // SAFETY: the kernel reads the two bytes of the name.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            2,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// A client's message with this type, `ciaddr` and requested address.
fn dhcp(kind: u8, address: [u8; 4], requested: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0; 300];
    message[..8].copy_from_slice(b"\x01\x01\x06\0xid!");
    message[12..16].copy_from_slice(&address);
    let mac: Mac = MAC.parse().unwrap();
    message[28..34].copy_from_slice(&mac.bytes());
    message[236..243].copy_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    if requested != [0; 4] {
        message[243..245].copy_from_slice(&[50, 4]);
        message[245..249].copy_from_slice(&requested);
    }
    message
}

#[test]
fn a_lease_is_given_over_a_socket_and_told_once_a_life() {
    const ADDRESS: [u8; 4] = [127, 0, 0, 1];
    let (server, client, metadata) = namespace();
    let lease = Lease {
        address: ADDRESS.into(),
        ..lease()
    };
    let served = serve(
        Told {
            leases: [(MAC.into(), lease)].into(),
            ..told()
        },
        server,
        metadata,
    );
    let exchange = |message: &[u8]| {
        // Noise first: it is passed over.
        for noise in [b"".as_slice(), b"noise", &[0; 2000]] {
            client.send_to(noise, (Ipv4Addr::LOCALHOST, 67)).unwrap();
        }
        client.send_to(message, (Ipv4Addr::LOCALHOST, 67)).unwrap();
        let mut answer = [0; 1500];
        let (length, _) = client.recv_from(&mut answer).unwrap();
        assert!(length >= 300 && answer[4..8] == *b"xid!");
        (answer[242], answer[16..20].to_vec())
    };
    let mac: Mac = MAC.parse().unwrap();
    // The offer and the first acknowledgement are broadcasts, the renewal goes to the client alone.
    assert_eq!(exchange(&dhcp(1, [0; 4], [0; 4])), (2, ADDRESS.to_vec()));
    assert_eq!(exchange(&dhcp(3, [0; 4], [10, 9, 9, 9])), (6, vec![0; 4]));
    assert!(served.leases.try_recv().is_err());
    assert_eq!(exchange(&dhcp(3, [0; 4], ADDRESS)), (5, ADDRESS.to_vec()));
    assert_eq!(served.leases.recv().unwrap(), mac);
    assert_eq!(exchange(&dhcp(3, ADDRESS, [0; 4])), (5, ADDRESS.to_vec()));
    // After the renewal's answer nothing was told; after a reset it is told again.
    served.board.reset();
    assert!(served.leases.try_recv().is_err());
    assert_eq!(exchange(&dhcp(3, ADDRESS, [0; 4])), (5, ADDRESS.to_vec()));
    assert_eq!(served.leases.recv().unwrap(), mac);
}
