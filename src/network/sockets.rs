//! The sockets on which a monitor answers its own guest: bound to that guest's tap, so who asks is known by construction.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

/// Where EC2's guests find the instance metadata service.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Where EC2's guests find a name server beside the one in their VPC's block.
pub const NAME_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

const DHCP_SERVER_PORT: u16 = 67;
const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 80;
/// Connections that a guest may have waiting.
const BACKLOG: i32 = 64;

/// The socket of the DHCP server on `link`, in the namespace of the calling thread.
///
/// # Errors
/// The system's.
pub fn dhcp_socket(link: &str) -> io::Result<UdpSocket> {
    let socket = on_link(link, Type::DGRAM, Protocol::UDP)?;
    socket.set_broadcast(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, DHCP_SERVER_PORT).into())?;
    Ok(socket.into())
}

/// The sockets of the name server on `link`, one for each of its addresses, in the namespace of the calling thread.
///
/// # Errors
/// The system's; the addresses must be ones of the namespace's.
pub fn dns_sockets(link: &str, addresses: [Ipv4Addr; 2]) -> io::Result<[UdpSocket; 2]> {
    let bind = |address| {
        let socket = on_link(link, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&SocketAddrV4::new(address, DNS_PORT).into())?;
        Ok::<_, io::Error>(UdpSocket::from(socket))
    };
    let [first, second] = addresses;
    Ok([bind(first)?, bind(second)?])
}

/// The listening socket of the metadata service on `link`, in the namespace of the calling thread.
///
/// # Errors
/// The system's; the address must be one of the namespace's.
pub fn metadata_socket(link: &str) -> io::Result<TcpListener> {
    let socket = on_link(link, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(METADATA_ADDRESS, HTTP_PORT).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn on_link(link: &str, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, kind.nonblocking().cloexec(), Some(protocol))?;
    socket.bind_device(Some(link.as_bytes()))?;
    Ok(socket)
}
