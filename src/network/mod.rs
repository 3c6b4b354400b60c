//! VPCs on this host. A VPC is a network namespace, an interface a tap in it with a route of its own: like EC2, there is
//! no layer 2 between instances.
//!
//! ```text
//!   monitor ── tap eni1 ─┐                    ┌─ uplink ══ kiln… ─ the host's routes
//!   monitor ── tap eni2 ─┤ namespace of a VPC │            (its own table masquerades)
//!                        └─ routes, nftables ─┘
//! ```
//! A VPC is on the host while instances of it run: their monitors live in its namespace and keep it, also while the
//! daemon is down. `instance` calls in the order [`Networks::enter`], [`Networks::plug`], [`Networks::plug_one`] for what is
//! attached later, [`Networks::leave`], and [`Networks::adopt`] at the daemon's start; `api` calls [`Networks::apply`] after each change of what is on record.
//! The namespace's rules are always made anew from the record, all of them in one transaction.

mod arp;
pub mod firewall;
mod links;
mod name_servers;
mod nft;
mod record;
mod site;
mod sockets;
mod tap;
mod uplink;

pub use links::LinkError;
pub use name_servers::sockets as name_server_sockets;
pub use nft::LoadRulesError;
pub use record::Place;
pub use site::{Plug, name_server, router};
pub use uplink::Uplink;

use crate::chain::chain;
use crate::model::{Block, InstanceId, NetworkInterfaceId, VpcId};
use crate::namespace::Namespace;
use crate::store::ledger::{self, HostObject, ObjectKind};
use crate::store::{self, Store, StoreError};
use ipnet::Ipv4Net;
use links::Links;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// A block for the default VPC that is no part of a network which the host has a route to, so that guests reach all that the
/// host does; EC2's own if every one is.
///
/// # Errors
/// The host's routes can't be listed.
pub async fn default_block() -> Result<Block, LinkError> {
    let routed = Links::of_host()?.routed_blocks().await?;
    let clashes = |block: Ipv4Net, other: &Ipv4Net| block.contains(other) || other.contains(&block);
    let free = |block: &Block| {
        !routed
            .iter()
            .any(|other| other.prefix_len() > 0 && clashes(block.net(), other))
    };
    let [ec2s, ..] = Block::DEFAULT_VPC;
    Ok(Block::DEFAULT_VPC.into_iter().find(free).unwrap_or(ec2s))
}

/// Why a VPC is not on the host as it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The store refused.
    #[error("The records of networks can't be read or written")]
    Store(#[from] StoreError),
    /// A link, address or route.
    #[error("A network link can't be set up")]
    Link(#[from] LinkError),
    /// The rules.
    #[error("Firewall rules can't be loaded")]
    Rules(#[from] LoadRulesError),
    /// No addresses are left for the way out.
    #[error("No addresses are left for the uplink of {0}: widen network.transit in kiln.toml")]
    Transit(VpcId),
    /// Taps are made in the namespace that the monitor was started in.
    #[error("{0} has not entered its VPC")]
    NotEntered(InstanceId),
    /// A tap could not be made.
    #[error("The tap of {interface} can't be made")]
    Tap {
        /// The interface.
        interface: NetworkInterfaceId,
        /// What the system said.
        source: io::Error,
    },
    /// A guest could not be asked by ARP.
    #[error("The guest can't be asked on {interface}")]
    Arp {
        /// The interface.
        interface: NetworkInterfaceId,
        /// What the system said.
        source: io::Error,
    },
    /// The sockets on a tap could not be opened.
    #[error("The sockets on the tap of {interface} can't be opened")]
    Sockets {
        /// The interface.
        interface: NetworkInterfaceId,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there is no connection to a guest.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The store refused.
    #[error("The records of networks can't be read")]
    Store(#[from] StoreError),
    /// Its VPC is not on the host.
    #[error("The instance {0} is on no network: it does not run, or has no network interface")]
    NotThere(InstanceId),
    /// The guest did not take it.
    #[error("Can't connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The VPCs that are on this host.
#[derive(Debug)]
pub struct Networks {
    store: Store,
    transit: Ipv4Net,
    /// Held while anything changes, so that what is on the host never goes back to an older record.
    sites: Mutex<HashMap<VpcId, Site>>,
}

/// A VPC that is on this host.
#[derive(Debug)]
struct Site {
    namespace: Namespace,
    /// The instances that have entered it and not left.
    users: HashSet<InstanceId>,
}

impl Networks {
    /// The VPCs of the daemon with this store. None is taken to be there until [`Self::adopt`] says so.
    pub fn new(store: Store, transit: Ipv4Net) -> Self {
        Self {
            store,
            transit,
            sites: Mutex::default(),
        }
    }

    /// The namespace in which the monitor of an instance is to run, made if it is not there; none for an instance
    /// without network interfaces.
    ///
    /// # Errors
    /// See [`NetworkError`]. What was made is on the ledger; [`Self::leave`] removes it.
    pub async fn enter(&self, instance: InstanceId) -> Result<Option<Namespace>, NetworkError> {
        let places = self.places(instance).await?;
        let Some(place) = places.first() else {
            return Ok(None);
        };
        let mut sites = self.sites.lock().await;
        if let Some(site) = sites.get_mut(&place.vpc) {
            site.users.insert(instance);
            return Ok(Some(site.namespace.clone()));
        }
        let uplink = self.uplink(place)?;
        let objects = objects(place.vpc, &uplink);
        let recorded = self
            .store
            .write(move |tx| objects.iter().try_for_each(|object| ledger::record(tx, object)));
        recorded.await?;
        let namespace = site::build(place.block, &uplink).await?;
        let site = Site {
            namespace: namespace.clone(),
            users: HashSet::from([instance]),
        };
        sites.insert(place.vpc, site);
        Ok(Some(namespace))
    }

    /// Makes the taps of an instance's interfaces, in their order, with the rules that hold for them.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub async fn plug(&self, instance: InstanceId, queues: u8) -> Result<Vec<(Place, Plug)>, NetworkError> {
        let places = self.places(instance).await?;
        self.plug_all(instance, places, queues).await
    }

    /// As [`Self::plug`], for one interface of an instance that runs.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub async fn plug_one(
        &self,
        instance: InstanceId,
        interface: NetworkInterfaceId,
        queues: u8,
    ) -> Result<Option<(Place, Plug)>, NetworkError> {
        let mut places = self.places(instance).await?;
        places.retain(|place| place.interface.id == interface);
        Ok(self.plug_all(instance, places, queues).await?.pop())
    }

    async fn plug_all(
        &self,
        instance: InstanceId,
        places: Vec<Place>,
        queues: u8,
    ) -> Result<Vec<(Place, Plug)>, NetworkError> {
        let Some(vpc) = places.first().map(|place| place.vpc) else {
            return Ok(Vec::new());
        };
        let sites = self.sites.lock().await;
        let site = sites.get(&vpc).ok_or(NetworkError::NotEntered(instance))?;
        // A tap that nothing guards yet would let anything through.
        self.load(vpc, &site.namespace).await?;
        let mut plugs = Vec::with_capacity(places.len());
        for place in places {
            let plug = site::plug(&site.namespace, &place, queues).await?;
            plugs.push((place, plug));
        }
        Ok(plugs)
    }

    /// Brings the routes to a running instance's secondary addresses up to what is on record.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub async fn route_addresses(&self, instance: InstanceId) -> Result<(), NetworkError> {
        let places = self.places(instance).await?;
        let sites = self.sites.lock().await;
        for place in places {
            let site = sites.get(&place.vpc).filter(|site| site.users.contains(&instance));
            if let Some(site) = site {
                let links = Links::of(&site.namespace).await?;
                match site::route_secondary(&links, &place.interface).await {
                    // It is being attached, or its guest has just ended: who makes its tap routes to it.
                    Err(error) if error.is_absent() => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Brings the rules of a VPC up to what is on record, if the VPC is on the host.
    ///
    /// # Errors
    /// See [`NetworkError`]; then the rules are still the old ones.
    pub async fn apply(&self, vpc: VpcId) -> Result<(), NetworkError> {
        let sites = self.sites.lock().await;
        match sites.get(&vpc) {
            Some(site) => self.load(vpc, &site.namespace).await,
            None => Ok(()),
        }
    }

    /// As [`Self::apply`], for the VPC that an instance is in.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub async fn apply_around(&self, instance: InstanceId) -> Result<(), NetworkError> {
        match self.places(instance).await?.first() {
            Some(place) => self.apply(place.vpc).await,
            None => Ok(()),
        }
    }

    /// An instance has no monitor any more: what only it needed of the host goes.
    ///
    /// # Errors
    /// See [`NetworkError`]; what is left stays on the ledger.
    pub async fn leave(&self, instance: InstanceId) -> Result<(), NetworkError> {
        let places = self.places(instance).await?;
        let Some(place) = places.first() else {
            return Ok(());
        };
        let mut sites = self.sites.lock().await;
        if let Some(site) = sites.get_mut(&place.vpc) {
            site.users.remove(&instance);
            if !site.users.is_empty() {
                return Ok(());
            }
        }
        sites.remove(&place.vpc);
        let vpc = place.vpc.to_string();
        let objects = self.store.read(move |tx| ledger::of(tx, &vpc)).await?;
        self.remove(objects).await
    }

    /// Takes up the VPC of an instance whose monitor was found running, by the namespace that the monitor is in.
    ///
    /// # Errors
    /// The monitor has ended meanwhile, or the store can't be read.
    pub async fn adopt(&self, instance: InstanceId, pid: i32) -> Result<(), NetworkError> {
        let places = self.places(instance).await?;
        let Some(place) = places.first() else {
            return Ok(());
        };
        if let Some(namespace) = Namespace::of_process(pid).map_err(LinkError::Enter)? {
            let mut sites = self.sites.lock().await;
            let site = sites.entry(place.vpc).or_insert_with(|| Site {
                namespace,
                users: HashSet::new(),
            });
            site.users.insert(instance);
        }
        Ok(())
    }

    /// After all instances were taken up: what an earlier daemon left of VPCs that no instance needs goes, and the rules
    /// of the others are brought up to the record.
    ///
    /// # Errors
    /// The store can't be read. What can't be removed stays on the ledger, and is logged.
    pub async fn recover(&self) -> Result<(), NetworkError> {
        let sites = self.sites.lock().await;
        let mut left = self.store.read(ledger::list).await?;
        left.retain(|object| {
            let used = || sites.keys().any(|vpc| object.owner == vpc.to_string());
            matches!(object.kind, ObjectKind::Link | ObjectKind::Table) && !used()
        });
        if let Err(error) = self.remove(left).await {
            tracing::warn!(error = %chain(&error), "What is left of networks can't be removed yet");
        }
        for (&vpc, site) in sites.iter() {
            if let Err(error) = self.load(vpc, &site.namespace).await {
                tracing::warn!(%vpc, error = %chain(&error), "The rules of a VPC can't be brought up to the record");
            }
        }
        Ok(())
    }

    /// Connects to a port of a guest, from within its VPC. The groups of its interface have no say: whoever may use the
    /// daemon's socket may use the guest's console, too.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, instance: InstanceId, port: u16) -> Result<TcpStream, ConnectError> {
        let places = self.store.read(move |tx| record::places(tx, instance)).await?;
        let place = places.first().ok_or(ConnectError::NotThere(instance))?;
        let namespace = self.namespace(place.vpc).await;
        let namespace = namespace.ok_or(ConnectError::NotThere(instance))?;
        let address = SocketAddr::from((place.interface.address, port));
        let failed = |source| ConnectError::Connect { address, source };
        let socket = namespace.run(|| {
            let kind = socket2::Type::STREAM.nonblocking().cloexec();
            socket2::Socket::new(socket2::Domain::IPV4, kind, Some(socket2::Protocol::TCP))
        });
        let socket = tokio::net::TcpSocket::from_std_stream(socket.await.map_err(failed)?.into());
        socket.connect(address).await.map_err(failed)
    }

    /// Whether a guest answers ARP on its primary interface; none for an instance without one.
    ///
    /// # Errors
    /// See [`NetworkError`]: it can't be asked.
    pub async fn answers(&self, instance: InstanceId) -> Result<Option<bool>, NetworkError> {
        let places = self.places(instance).await?;
        let Some(place) = places.first() else {
            return Ok(None);
        };
        let namespace = self.namespace(place.vpc).await;
        let namespace = namespace.ok_or(NetworkError::NotEntered(instance))?;
        let (link, asker) = (site::tap_name(&place.interface), router(place.subnet));
        let target = arp::Target {
            mac: place.interface.mac.bytes(),
            address: place.interface.address,
        };
        let asked = namespace.run(move || arp::answers(&link, asker, target)).await;
        let interface = place.interface.id;
        asked
            .map(Some)
            .map_err(|source| NetworkError::Arp { interface, source })
    }

    async fn namespace(&self, vpc: VpcId) -> Option<Namespace> {
        let sites = self.sites.lock().await;
        sites.get(&vpc).map(|site| site.namespace.clone())
    }

    async fn places(&self, instance: InstanceId) -> Result<Vec<Place>, StoreError> {
        self.store.read(move |tx| record::places(tx, instance)).await
    }

    fn uplink(&self, place: &Place) -> Result<Uplink, NetworkError> {
        Uplink::of(place.vpc, place.vpc_number, self.transit).ok_or(NetworkError::Transit(place.vpc))
    }

    async fn load(&self, vpc: VpcId, namespace: &Namespace) -> Result<(), NetworkError> {
        let read = self
            .store
            .read(move |tx| Ok::<_, StoreError>((record::rules(tx, vpc)?, store::vpcs::get(tx, vpc)?)));
        let (rules, vpc) = read.await?;
        nft::load(Some(namespace), &firewall::compile(&rules)).await?;
        if let Some(vpc) = vpc
            && let Some(uplink) = Uplink::of(vpc.id, vpc.number, self.transit)
        {
            // They are the link's, and go with it.
            let public: Vec<Ipv4Addr> = rules.public_addresses().collect();
            let links = Links::of_host()?;
            links.route_only(&public, &uplink.link, uplink.inner).await?;
        }
        Ok(())
    }

    /// Removes objects of the host's side, and strikes each off the ledger.
    async fn remove(&self, objects: Vec<HostObject>) -> Result<(), NetworkError> {
        for object in objects {
            site::remove(&object).await?;
            let forgotten = self
                .store
                .write(move |tx| ledger::forget(tx, object.kind, &object.name));
            forgotten.await?;
        }
        Ok(())
    }
}

/// What a VPC has on the host's side. The rest is in its namespace, which has no name and needs no record.
fn objects(vpc: VpcId, uplink: &Uplink) -> [HostObject; 2] {
    let object = |kind, name: &str| HostObject {
        kind,
        name: name.into(),
        owner: vpc.to_string(),
    };
    [
        object(ObjectKind::Link, &uplink.link),
        object(ObjectKind::Table, &uplink.table),
    ]
}
