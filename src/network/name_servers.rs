//! The host's own name servers. What guests ask for and their VPC does not know is asked of them, from the host's own network:
//! so one on its loopback link will do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// What names them, `resolv.conf(5)`.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

/// Sockets that are connected to the first `most` of them. Those that can't be reached now are left out.
pub fn sockets(most: usize) -> Vec<UdpSocket> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let sockets = parse(&text).into_iter().filter_map(|server| connect(server).ok());
    sockets.take(most).collect()
}

fn connect(server: IpAddr) -> io::Result<UdpSocket> {
    let any = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, DNS_PORT))?;
    Ok(socket)
}

/// The servers that a `resolv.conf(5)` names, but for those that only a link of theirs leads to.
fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_those_that_resolv_conf_names() {
        let text = "# by hand\nsearch lan\nnameserver 127.0.0.53\n nameserver\t192.0.2.7\nnameserver fe80::1%eth0\n\
                    nameserver ::1\noptions edns0\n";
        let servers: [IpAddr; 3] = ["127.0.0.53", "192.0.2.7", "::1"].map(|text| text.parse().unwrap());
        assert_eq!(parse(text), servers);
        assert!(parse("").is_empty());
    }
}
