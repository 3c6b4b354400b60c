//! Building what a VPC is on this host: its namespace with the settings, addresses and routes that all its interfaces
//! share, and what each interface adds. Nothing is named but links of ours; `mod.rs` says when each is called.

use super::NetworkError;
use super::firewall::LINK_LOCAL;
use super::links::{LinkError, Links};
use super::nft;
use super::record::Place;
use super::sockets::{METADATA_ADDRESS, NAME_SERVER_ADDRESS, dhcp_socket, dns_sockets, metadata_socket};
use super::tap::open_tap;
use super::uplink::{INNER_LINK, PAIR_LENGTH, Uplink, no_table};
use crate::model::NetworkInterface;
use crate::namespace::Namespace;
use crate::store::ledger::{HostObject, ObjectKind};
use ipnet::Ipv4Net;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// What the kernel is told of a VPC's namespace: to route, and to keep IPv6 out, which guests are not given yet.
const SETTINGS: [(&str, &str); 5] = [
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// A guest's end of an interface: what its monitor is handed.
#[derive(Debug)]
pub struct Plug {
    /// One descriptor a queue of the tap.
    pub tap: Vec<File>,
    /// For the DHCP server.
    pub dhcp: UdpSocket,
    /// For the metadata service.
    pub metadata: TcpListener,
    /// For the name server, at both of its addresses.
    pub dns: [UdpSocket; 2],
}

/// The name of an interface's tap in its VPC's namespace.
#[must_use]
pub fn tap_name(interface: &NetworkInterface) -> String {
    format!("eni{}", interface.number)
}

/// The address of a subnet's router: the first after the network's own, as EC2 has it.
#[must_use]
pub fn router(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// The address of a VPC's name server: the third of its block, as EC2 has it.
#[must_use]
pub fn name_server(vpc: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(vpc.network()).saturating_add(2))
}

/// Makes the namespace of a VPC with the block `block`, and its way out.
pub async fn build(block: Ipv4Net, uplink: &Uplink) -> Result<Namespace, NetworkError> {
    let namespace = Namespace::create().await.map_err(LinkError::Enter)?;
    let (inside, host) = (Links::of(&namespace).await?, Links::of_host()?);
    for (setting, value) in SETTINGS {
        inside.set(setting, value).await?;
    }
    inside.set_up("lo").await?;
    inside.add_address("lo", METADATA_ADDRESS, 32).await?;
    // What no interface has and no link of ours leads to is nowhere, and never on the host's side.
    inside.refuse_block(block).await?;
    inside.refuse_block(LINK_LOCAL).await?;
    connect(&inside, &host, &namespace, uplink).await?;
    Ok(namespace)
}

/// Everywhere.
const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

async fn connect(inside: &Links, host: &Links, namespace: &Namespace, uplink: &Uplink) -> Result<(), NetworkError> {
    nft::load(None, &uplink.rules()).await?;
    // One that a killed daemon left is nobody's.
    host.remove(&uplink.link).await?;
    host.add_pair(&uplink.link, INNER_LINK, namespace).await?;
    host.set(&format!("ipv4/conf/{}/forwarding", uplink.link), "1").await?;
    host.add_address(&uplink.link, uplink.outer, PAIR_LENGTH).await?;
    inside.add_address(INNER_LINK, uplink.inner, PAIR_LENGTH).await?;
    host.set_up(&uplink.link).await?;
    inside.set_up(INNER_LINK).await?;
    inside.add_route(DEFAULT, INNER_LINK, Some(uplink.outer)).await?;
    Ok(())
}

/// Removes an object of the host's side that is on the ledger; one that is gone is fine.
pub async fn remove(object: &HostObject) -> Result<(), NetworkError> {
    match object.kind {
        ObjectKind::Link => Links::of_host()?.remove(&object.name).await?,
        ObjectKind::Table => nft::load(None, &no_table(&object.name)).await?,
        ObjectKind::File | ObjectKind::Directory | ObjectKind::Scope | ObjectKind::Cgroup => {}
    }
    Ok(())
}

/// Routes an interface's secondary addresses to its tap, and none that it has no more.
pub async fn route_secondary(links: &Links, interface: &NetworkInterface) -> Result<(), LinkError> {
    // Through the primary one: so its neighbour entry holds for all.
    let link = tap_name(interface);
    links.route_only(&interface.secondary, &link, interface.address).await
}

/// Makes an interface's tap, with the routes to it, and the sockets on it.
pub async fn plug(namespace: &Namespace, place: &Place, queues: u8) -> Result<Plug, NetworkError> {
    let Place {
        interface,
        subnet,
        block,
        ..
    } = place;
    let (subnet, name_servers) = (*subnet, [name_server(*block), NAME_SERVER_ADDRESS]);
    let name = tap_name(interface);
    let made = {
        let name = name.clone();
        namespace.run(move || open_tap(&name, queues)).await
    };
    let tap = made.map_err(|source| NetworkError::Tap {
        interface: interface.id,
        source,
    })?;
    let links = Links::of(namespace).await?;
    // There is no layer 2 between instances: the router answers for all others, at once.
    links.set(&format!("ipv4/conf/{name}/proxy_arp"), "1").await?;
    links.set(&format!("ipv4/neigh/{name}/proxy_delay"), "0").await?;
    links.add_address(&name, router(subnet), 32).await?;
    links
        .add_neighbour(&name, interface.address, interface.mac.bytes())
        .await?;
    links.set_up(&name).await?;
    links.add_route(interface.address.into(), &name, None).await?;
    route_secondary(&links, interface).await?;
    for address in name_servers {
        links.add_address("lo", address, 32).await?;
    }
    let sockets = namespace.run(move || {
        let dns = dns_sockets(&name, name_servers)?;
        Ok::<_, io::Error>((dhcp_socket(&name)?, metadata_socket(&name)?, dns))
    });
    let (dhcp, metadata, dns) = sockets.await.map_err(|source| NetworkError::Sockets {
        interface: interface.id,
        source,
    })?;
    Ok(Plug {
        tap,
        dhcp,
        metadata,
        dns,
    })
}
