//! What a monitor is told for its guest: by DHCP its addresses, by the metadata service what [`super::metadata`] says.

use super::Parts;
use super::identity::IdentityKeyError;
use super::metadata::{DOCUMENT, Facts, InterfaceFacts, SIGNATURE};
use crate::base64;
use crate::config::Place;
use crate::machine::{ControlError, Machine};
use crate::model::{DhcpOption, DhcpOptions, DomainNameServers, InstanceId};
use crate::network::{name_server, router};
use crate::store::{self, StoreError};
use kiln_vmm::protocol::{Lease, Metadata, MetadataOptions, Request, Resolver, Told};

/// The largest IP packet on an interface, in bytes.
pub(super) const MTU: u16 = 1500;
/// How long a lease is, in seconds; it is renewed without end.
const LEASE_SECONDS: u32 = 3600;

/// Why it can't be said what a guest is to be told.
#[derive(Debug, thiserror::Error)]
pub enum ToldError {
    /// The store refused.
    #[error("The records of the instance can't be read")]
    Store(#[from] StoreError),
    /// Its identity document can't be signed.
    #[error("The identity document can't be signed")]
    Sign(#[from] IdentityKeyError),
}

/// Reads it for an instance; none if it has no network interface.
pub(super) async fn told(parts: &Parts, id: InstanceId) -> Result<Option<Told>, ToldError> {
    let read = parts.store.read(move |tx| {
        let Some(facts) = Facts::read(tx, id)? else {
            return Ok(None);
        };
        let mut options = Vec::with_capacity(facts.interfaces.len());
        for one in &facts.interfaces {
            options.push(match one.vpc.dhcp_options {
                Some(set) => store::dhcp_options::get(tx, set)?,
                None => None,
            });
        }
        Ok::<_, StoreError>(Some((facts, options)))
    });
    let Some((facts, options)) = read.await?.filter(|(facts, _)| !facts.interfaces.is_empty()) else {
        return Ok(None);
    };
    let place = &parts.place;
    let mut metadata = metadata(&facts, place);
    if let Some(document) = metadata.leaves.get(DOCUMENT) {
        let signature = parts.identity.sign(document).await?;
        metadata.leaves.insert(SIGNATURE.into(), signature);
    }
    let leases = facts.interfaces.iter().zip(&options);
    Ok(Some(Told {
        leases: leases
            .map(|(one, set)| {
                (
                    one.interface.mac.to_string(),
                    lease(one, set.as_ref(), facts.name(one, place)),
                )
            })
            .collect(),
        metadata,
        resolver: facts.interfaces.first().and_then(|one| resolver(one, place)),
    }))
}

/// Why a running guest could not be told what has changed.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// What it is to be told can't be read.
    #[error("What the guest of {instance} is to be told is not known")]
    Told {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ToldError,
    },
    /// The monitor did not take it.
    #[error("The monitor of {instance} can't be told what has changed")]
    Control {
        /// The instance.
        instance: InstanceId,
        /// Why.
        source: ControlError,
    },
}

/// Brings what a monitor tells its guest up to what is on record.
pub(super) async fn tell(parts: &Parts, id: InstanceId, machine: &Machine) -> Result<(), TellError> {
    let read = told(parts, id).await;
    let Some(told) = read.map_err(|source| TellError::Told { instance: id, source })? else {
        return Ok(());
    };
    let answered = machine.request(&Request::Tell(Box::new(told))).await;
    answered
        .map(drop)
        .map_err(|source| TellError::Control { instance: id, source })
}

fn metadata(facts: &Facts, place: &Place) -> Metadata {
    let options = facts.instance.metadata_options;
    Metadata {
        leaves: facts.leaves(place),
        user_data: facts.instance.user_data.as_deref().map(base64::encode),
        options: MetadataOptions {
            endpoint: options.endpoint,
            tokens_required: options.tokens_required,
            hop_limit: options.hop_limit,
        },
    }
}

/// What the VPC's name server knows, if it has one.
fn resolver(one: &InterfaceFacts, place: &Place) -> Option<Resolver> {
    let block = one.vpc.block.net();
    one.vpc.dns_support.then(|| Resolver {
        domain: place.private_domain(),
        block: block.network(),
        prefix: block.prefix_len(),
    })
}

/// `name` is that which belongs to the interface's address.
fn lease(one: &InterfaceFacts, set: Option<&DhcpOptions>, name: String) -> Lease {
    let (address, subnet) = (one.interface.address, one.subnet.block.net());
    let mut lease = Lease {
        address,
        prefix: subnet.prefix_len(),
        router: router(subnet),
        name_servers: Vec::new(),
        ntp_servers: Vec::new(),
        host_name: name.split('.').next().map(str::to_owned),
        domain_name: None,
        mtu: MTU,
        seconds: LEASE_SECONDS,
    };
    for option in set.map_or(&[][..], |set| &set.options) {
        match option {
            DhcpOption::DomainName(name) => lease.domain_name = Some(name.clone()),
            DhcpOption::DomainNameServers(DomainNameServers::Servers(servers)) => {
                lease.name_servers.clone_from(servers)
            }
            DhcpOption::DomainNameServers(DomainNameServers::Provided) if one.vpc.dns_support => {
                lease.name_servers = vec![name_server(one.vpc.block.net())];
            }
            DhcpOption::NtpServers(servers) => lease.ntp_servers.clone_from(servers),
            // Guests of today have no use for NetBIOS.
            DhcpOption::DomainNameServers(DomainNameServers::Provided)
            | DhcpOption::NetbiosNameServers(_)
            | DhcpOption::NetbiosNodeType(_) => {}
        }
    }
    lease
}
