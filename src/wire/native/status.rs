//! `GET /status`: the daemon, and what the host has left.

use crate::api::{ApiError, World};
use crate::model::InstanceState;
use crate::store::{self, StoreError};
use serde_json::{Value, json};

pub(super) async fn status(world: &World) -> Result<Value, ApiError> {
    let read = world.store.read(|store| {
        let instances = store::instances::list(store)?;
        let images = store::images::list(store)?.len();
        Ok::<_, StoreError>((instances, images, store::instances::held_capacity(store)?))
    });
    let (instances, images, (vcpus, memory)) = read.await?;
    let count = |wanted: InstanceState| instances.iter().filter(|instance| instance.state == wanted).count();
    let capacity = world.instances.parts().capacity;
    let place = &world.config.place;
    Ok(json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Region": place.region(),
        "AvailabilityZone": place.zone(),
        "OwnerId": place.account(),
        "Ec2Endpoint": world.ec2_endpoint().map(|address| format!("http://{address}")),
        "StateDir": world.layout.state_dir().to_string_lossy(),
        "ClonesShareBlocks": world.volumes.reflinks(),
        "Images": images,
        "InstancesRunning": count(InstanceState::Running),
        "InstancesStopped": count(InstanceState::Stopped),
        "VCpus": capacity.vcpus,
        "VCpusFree": capacity.vcpus.saturating_sub(vcpus),
        "MemoryMiB": capacity.memory >> 20,
        "MemoryFreeMiB": capacity.memory.saturating_sub(memory) >> 20,
    }))
}
