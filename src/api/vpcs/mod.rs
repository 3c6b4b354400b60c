//! VPCs and what is in them: subnets, internet gateways, route tables, DHCP options, network ACLs, and the network
//! interfaces to look at.
//!
//! Every operation that changes something is one transaction, and says which VPCs it changed ([`Changed`]): there is
//! one place where the host's side is told ([`change`]).

mod acls;
mod attributes;
mod block;
mod delete;
mod dhcp;
mod found;
mod gateways;
mod interfaces;
mod listing;
mod make;
mod routes;
mod subnets;
#[cfg(test)]
mod tests;
mod vpc;

pub(super) use make::ensure_default as ensure_default_vpc;

use super::{ApiError, Call, Operation};
use crate::model::{ResourceId, Tag, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use tracing::debug;

/// The operations of this directory.
pub fn rows() -> Vec<Operation> {
    let vpcs = vec![
        Operation::new("CreateDefaultVpc", vpc::create_default),
        Operation::new("CreateVpc", vpc::create),
        Operation::new("DeleteVpc", delete::delete),
        Operation::new("DescribeVpcAttribute", attributes::describe),
        Operation::new("DescribeVpcs", vpc::describe),
        Operation::new("ModifyVpcAttribute", attributes::modify),
    ];
    [
        vpcs,
        acls::rows(),
        dhcp::rows(),
        gateways::rows(),
        interfaces::rows(),
        routes::rows(),
        subnets::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a transaction did.
struct Changed<T> {
    /// What the client is answered.
    answer: T,
    /// The VPC whose host side is no longer what it should be; also one that is gone now.
    vpc: Option<VpcId>,
}

impl<T> Changed<T> {
    /// Something of that VPC changed.
    const fn vpc(vpc: VpcId, answer: T) -> Self {
        Self { answer, vpc: Some(vpc) }
    }

    /// What changed is in no VPC.
    const fn nothing(answer: T) -> Self {
        Self { answer, vpc: None }
    }
}

/// Does `work` in one transaction; of a dry run nothing stays.
async fn change<T, F>(call: &Call, work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<Changed<T>, ApiError> + Send + 'static,
{
    let dry_run = call.dry_run;
    let done = call.world.store.write(move |store| {
        let changed = work(store)?;
        // An error undoes the transaction, so a dry run checks all that the real one does.
        if dry_run {
            Err(super::call::dry_run())
        } else {
            Ok(changed)
        }
    });
    let changed = done.await?;
    if let Some(vpc) = changed.vpc {
        debug!(%vpc, "A network changed");
    }
    Ok(changed.answer)
}

/// Tags what was just made.
fn tag(store: &Connection, resource: ResourceId, tags: &[Tag]) -> Result<(), StoreError> {
    tags.iter().try_for_each(|tag| store::tags::put(store, resource, tag))
}
