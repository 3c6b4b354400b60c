//! Links, addresses, routes and neighbours, through netlink: only those that `network` makes, each known by its name.

use crate::namespace::Namespace;
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Why a link could not be made what it should be.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The namespace can't be entered.
    #[error("The network namespace can't be entered")]
    Enter(#[source] io::Error),
    /// The kernel refused.
    #[error("Can't {action} {link}")]
    Netlink {
        /// What was to be done.
        action: &'static str,
        /// With which link.
        link: String,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// A setting of the kernel could not be made.
    #[error("Can't write {path}")]
    Setting {
        /// The setting.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The links of a namespace.
pub struct Links {
    handle: Handle,
    namespace: Option<Namespace>,
}

impl Links {
    /// Those of a namespace.
    ///
    /// # Errors
    /// It can't be entered.
    pub async fn of(namespace: &Namespace) -> Result<Self, LinkError> {
        Ok(Self {
            handle: namespace.netlink().await.map_err(LinkError::Enter)?,
            namespace: Some(namespace.clone()),
        })
    }

    /// The host's own. Nothing is done there but to links of ours.
    ///
    /// # Errors
    /// There is no netlink socket to be had.
    pub fn of_host() -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Enter)?;
        tokio::spawn(connection);
        Ok(Self {
            handle,
            namespace: None,
        })
    }

    /// The index of a link.
    async fn index(&self, link: &str) -> Result<u32, LinkError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(link).execute());
        let message = found.try_next().await.map_err(refused("find", link))?;
        let message = message
            .ok_or(rtnetlink::Error::RequestFailed)
            .map_err(refused("find", link))?;
        Ok(message.header.index)
    }

    /// Makes a pair of links, the second one in `other`.
    ///
    /// # Errors
    /// The kernel's; a name that is taken is one.
    pub async fn add_pair(&self, link: &str, peer: &str, other: &Namespace) -> Result<(), LinkError> {
        let peer = LinkUnspec::new_with_name(peer).append_extra_attribute(LinkAttribute::NetNsFd(other.descriptor()));
        let pair = LinkVeth::new(link, "").set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
        let added = self.handle.link().add(pair.build()).execute().await;
        added.map_err(refused("add", link))
    }

    /// Removes a link; one that is not there is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn remove(&self, link: &str) -> Result<(), LinkError> {
        let index = match self.index(link).await {
            Ok(index) => index,
            Err(LinkError::Netlink { source, .. }) if is_absent(&source) => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.handle.link().del(index).execute().await {
            Err(error) if is_absent(&error) => Ok(()),
            other => other.map_err(refused("remove", link)),
        }
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn set_up(&self, link: &str) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_name(link).up().build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(refused("set up", link))
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn add_address(&self, link: &str, address: Ipv4Addr, length: u8) -> Result<(), LinkError> {
        let index = self.index(link).await?;
        let added = self
            .handle
            .address()
            .add(index, address.into(), length)
            .replace()
            .execute();
        added.await.map_err(refused("give an address to", link))
    }

    /// Routes a block to a link, through `gateway` if there is one.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn add_route(&self, block: Ipv4Net, link: &str, gateway: Option<Ipv4Addr>) -> Result<(), LinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(block.network(), block.prefix_len())
            .output_interface(self.index(link).await?);
        let route = match gateway {
            Some(gateway) => route.gateway(gateway),
            None => route.scope(RouteScope::Link),
        };
        let added = self.handle.route().add(route.build()).replace().execute().await;
        added.map_err(refused("route to", link))
    }

    /// Routes these addresses to a link through `gateway`, and no others that were routed so.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn route_only(&self, addresses: &[Ipv4Addr], link: &str, gateway: Ipv4Addr) -> Result<(), LinkError> {
        let index = self.index(link).await?;
        for route in self.routes().await? {
            let through = route.attributes.iter().any(|attribute| {
                matches!(attribute, RouteAttribute::Gateway(RouteAddress::Inet(address)) if *address == gateway)
            });
            let over = route.attributes.contains(&RouteAttribute::Oif(index));
            let stale = destination(&route).is_some_and(|block| !addresses.contains(&block.addr()));
            if through && over && stale {
                let removed = self.handle.route().del(route).execute().await;
                removed.map_err(refused("remove a route to", link))?;
            }
        }
        for &address in addresses {
            self.add_route(address.into(), link, Some(gateway)).await?;
        }
        Ok(())
    }

    /// Has the kernel refuse what goes to a block, unless a longer route takes it.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn refuse_block(&self, block: Ipv4Net) -> Result<(), LinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(block.network(), block.prefix_len())
            .kind(RouteType::Unreachable);
        let added = self.handle.route().add(route.build()).replace().execute().await;
        added.map_err(|source| LinkError::Netlink {
            action: "refuse",
            link: block.to_string(),
            source: Box::new(source),
        })
    }

    /// Tells the kernel the Ethernet address of a neighbour for good, so that it never asks for it.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn add_neighbour(&self, link: &str, address: Ipv4Addr, mac: [u8; 6]) -> Result<(), LinkError> {
        let index = self.index(link).await?;
        let neighbour = self.handle.neighbours().add(index, address.into());
        let added = neighbour.link_layer_address(&mac).replace().execute().await;
        added.map_err(refused("add a neighbour to", link))
    }

    /// The blocks of IPv4 that are routed anywhere, the default route aside.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn routed_blocks(&self) -> Result<Vec<Ipv4Net>, LinkError> {
        Ok(self.routes().await?.iter().filter_map(destination).collect())
    }

    async fn routes(&self) -> Result<Vec<RouteMessage>, LinkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.handle.route().get(all).execute().try_collect().await;
        routes.map_err(refused("list routes of", "the host"))
    }

    /// Writes a setting below `/proc/sys/net`, as the namespace has it.
    ///
    /// # Errors
    /// The system's.
    pub async fn set(&self, setting: &str, value: &'static str) -> Result<(), LinkError> {
        let path = PathBuf::from("/proc/sys/net").join(setting);
        let failed = |source| LinkError::Setting {
            path: path.clone(),
            source,
        };
        let write = {
            let path = path.clone();
            move || std::fs::write(path, value)
        };
        match &self.namespace {
            Some(namespace) => namespace.run(write).await.map_err(failed),
            None => write().map_err(failed),
        }
    }
}

/// Where a route leads to; none for the default route.
fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    Ipv4Net::new(destination?, route.header.destination_prefix_length).ok()
}

impl LinkError {
    /// Whether the kernel said that there is no such link.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Netlink { source, .. } => is_absent(source) || matches!(**source, rtnetlink::Error::RequestFailed),
            _ => false,
        }
    }
}

fn refused(action: &'static str, link: &str) -> impl FnOnce(rtnetlink::Error) -> LinkError {
    let link = link.to_owned();
    move |source| LinkError::Netlink {
        action,
        link,
        source: Box::new(source),
    }
}

/// Whether the kernel said that there is no such link.
fn is_absent(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.raw_code().abs() == rustix::io::Errno::NODEV.raw_os_error())
}
