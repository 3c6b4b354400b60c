//! Network interfaces through the API, in a real store. Machines that run are given theirs in `tests/`.

mod attach;
mod attributes;
mod create;
mod describe;
mod ipv6;

use super::super::testing::{TestWorld, stopped_instance};
use super::super::vpcs::tests::{make_subnet, make_vpc, text};
use crate::model::{AttachmentState, InterfaceAttachment, NetworkInterfaceAttachmentId, NetworkInterfaceId};
use crate::store::{self, StoreError, random_bits};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A world with a VPC of 10.0.0.0/16 and a subnet of 10.0.0.0/24 in it; gives their ids, too.
async fn world() -> (TestWorld, String, String) {
    let world = TestWorld::new().await;
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let subnet = make_subnet(&world, &vpc, "10.0.0.0/24").await;
    (world, vpc, subnet)
}

/// Makes an interface of which the request says this; gives its description.
async fn create(world: &TestWorld, request: Value) -> Value {
    let made = world.call("CreateNetworkInterface", request).await.unwrap();
    made["NetworkInterface"].clone()
}

async fn described(world: &TestWorld, interface: &str) -> Value {
    let request = json!({"NetworkInterfaceIds": [interface]});
    let answer = world.call("DescribeNetworkInterfaces", request).await.unwrap();
    answer["NetworkInterfaces"][0].clone()
}

/// Attaches an interface to a new instance as its primary one; both are only on record, where the instance is stopped. Gives
/// the instance's id.
async fn attach_on_record(world: &TestWorld, interface: NetworkInterfaceId) -> String {
    let now = OffsetDateTime::now_utc();
    let id = stopped_instance(world).await;
    let add = world.world.store.write(move |store| {
        let attachment = InterfaceAttachment {
            id: NetworkInterfaceAttachmentId::from_random(random_bits()),
            instance: id,
            device_index: 0,
            delete_on_termination: true,
            attached: now,
            state: AttachmentState::Attached,
        };
        store::network_interfaces::attach(store, interface, &attachment)?;
        Ok::<_, StoreError>(())
    });
    add.await.unwrap();
    id.to_string()
}

/// A world with a stopped instance that the daemon has taken up: its id, its subnet's and its primary interface's.
pub(in super::super::super) async fn world_with_instance() -> (TestWorld, String, String, String) {
    let (world, _, subnet) = world().await;
    let primary = create(&world, json!({"SubnetId": subnet})).await;
    let primary = text(&primary, "NetworkInterfaceId");
    let instance = attach_on_record(&world, primary.parse().unwrap()).await;
    (world.restart().await, instance, subnet, primary)
}
