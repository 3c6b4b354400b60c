//! Changes of networks: each is one transaction that says which VPCs it changed, so that there is one place where the
//! host's side is told.

use super::{ApiError, Call, Code};
use crate::chain::chain;
use crate::model::{InstanceId, ResourceId, Tag, VpcId};
use crate::store::{self, StoreError};
use rusqlite::Connection;

/// What a transaction did.
pub(super) struct Changed<T> {
    /// What the client is answered.
    answer: T,
    /// The VPCs whose host side is no longer what it should be; also one that is gone now.
    vpcs: Vec<VpcId>,
}

impl<T> Changed<T> {
    /// Something of that VPC changed.
    pub(super) fn vpc(vpc: VpcId, answer: T) -> Self {
        Self::vpcs(vec![vpc], answer)
    }

    /// Something of these VPCs changed.
    pub(super) const fn vpcs(vpcs: Vec<VpcId>, answer: T) -> Self {
        Self { answer, vpcs }
    }

    /// What changed is in no VPC, or makes no difference on the host.
    pub(super) const fn nothing(answer: T) -> Self {
        Self::vpcs(Vec::new(), answer)
    }
}

/// Does `work` in one transaction; of a dry run nothing stays. What it changed is in force when this returns.
pub(super) async fn change<T, F>(call: &Call, work: F) -> Result<T, ApiError>
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
    for vpc in changed.vpcs {
        call.world.apply_network(vpc).await?;
    }
    Ok(changed.answer)
}

/// Tags what was just made.
pub(super) fn tag(store: &Connection, resource: ResourceId, tags: &[Tag]) -> Result<(), StoreError> {
    tags.iter().try_for_each(|tag| store::tags::put(store, resource, tag))
}

/// Has guests know what changed.
pub(super) async fn tell(call: &Call, instances: impl IntoIterator<Item = InstanceId>) -> Result<(), ApiError> {
    for id in instances {
        let told = call.world.instances.tell(id).await;
        told.map_err(|error| ApiError::new(Code::Unavailable, chain(&error)))?;
    }
    Ok(())
}
