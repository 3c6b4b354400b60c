//! VPCs and what is in them, through the API, in a real store.

mod acls;
mod dhcp;
mod gateways;
mod routes;
mod subnets;
mod vpcs;

use super::super::testing::TestWorld;
use crate::model::{MacAddress, NetworkInterface, NetworkInterfaceId, SubnetId};
use crate::store::{self, random_bits};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// The text under a key, an identifier mostly.
pub(in crate::api) fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("No {key} in {value}")).to_owned()
}

pub(in crate::api) fn list<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    let list = value[key].as_array();
    list.unwrap_or_else(|| panic!("No list {key} in {value}"))
}

/// A filter that one object passes, or several.
pub(in crate::api) fn filter(name: &str, value: &str) -> Value {
    json!({"Filters": [{"Name": name, "Values": [value]}]})
}

/// The tags of a request that makes such a resource.
fn tagged(resource_type: &str) -> Value {
    json!([{"ResourceType": resource_type, "Tags": [{"Key": "of", "Value": resource_type}]}])
}

pub(in crate::api) async fn make_vpc(world: &TestWorld, block: &str) -> String {
    let made = world.call("CreateVpc", json!({"CidrBlock": block})).await.unwrap();
    text(&made["Vpc"], "VpcId")
}

pub(in crate::api) async fn make_subnet(world: &TestWorld, vpc: &str, block: &str) -> String {
    let request = json!({"VpcId": vpc, "CidrBlock": block});
    let made = world.call("CreateSubnet", request).await.unwrap();
    text(&made["Subnet"], "SubnetId")
}

async fn make_gateway(world: &TestWorld, vpc: Option<&str>) -> String {
    let made = world.call("CreateInternetGateway", json!({})).await.unwrap();
    let gateway = text(&made["InternetGateway"], "InternetGatewayId");
    if let Some(vpc) = vpc {
        let request = json!({"InternetGatewayId": gateway, "VpcId": vpc});
        world.call("AttachInternetGateway", request).await.unwrap();
    }
    gateway
}

async fn make_table(world: &TestWorld, vpc: &str) -> String {
    let made = world.call("CreateRouteTable", json!({"VpcId": vpc})).await.unwrap();
    text(&made["RouteTable"], "RouteTableId")
}

/// The one object that a Describe operation gives of a VPC under a further filter.
async fn only(world: &TestWorld, operation: &str, vpc: &str, further: (&str, &str)) -> Value {
    let (name, value) = further;
    let filters = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}, {"Name": name, "Values": [value]}]});
    let answer = world.call(operation, filters).await.unwrap();
    let objects = answer.as_object().unwrap().values().next().unwrap().as_array().unwrap();
    assert_eq!(objects.len(), 1, "{operation} {name}={value}: {answer}");
    objects[0].clone()
}

/// Puts an interface with that address into a subnet, in the default group of its VPC.
pub(in crate::api) async fn add_interface(world: &TestWorld, subnet: &str, address: Ipv4Addr) -> NetworkInterface {
    let subnet: SubnetId = subnet.parse().unwrap();
    let add = world.world.store.write(move |store| {
        let vpc = store::subnets::get(store, subnet)?.unwrap().vpc;
        let groups = store::security_groups::list(store)?;
        let groups = groups.into_iter().filter(|group| group.vpc == vpc);
        let [a, b, c, d, e, ..] = random_bits().to_ne_bytes();
        let interface = NetworkInterface {
            id: NetworkInterfaceId::from_random(random_bits()),
            number: store::network_interfaces::free_number(store)?,
            subnet,
            mac: MacAddress::from_random([a, b, c, d, e]),
            address,
            secondary: Vec::new(),
            description: "Primary network interface".into(),
            source_dest_check: true,
            groups: groups.map(|group| group.id).collect(),
            public_at_start: false,
            public: None,
            attachment: None,
            created: OffsetDateTime::now_utc(),
        };
        store::network_interfaces::add(store, &interface)?;
        Ok::<_, store::StoreError>(interface)
    });
    add.await.unwrap()
}
