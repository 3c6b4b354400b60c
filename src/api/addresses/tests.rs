//! Elastic addresses through the API, in a real store; there is nothing on the host.

use super::super::testing::TestWorld;
use super::super::vpcs::tests::{add_interface, make_subnet, make_vpc};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// A world whose host has these public addresses: two of them can be given.
async fn world() -> TestWorld {
    TestWorld::with(|config| config.network.public_pool = vec!["192.0.2.8/30".parse().unwrap()]).await
}

async fn allocate(world: &TestWorld) -> Value {
    world.call("AllocateAddress", json!({})).await.unwrap()
}

async fn described(world: &TestWorld, address: &Value) -> Value {
    let request = json!({"AllocationIds": [address["AllocationId"]]});
    world.call("DescribeAddresses", request).await.unwrap()["Addresses"][0].clone()
}

/// The ids of two interfaces of one subnet.
async fn interfaces(world: &TestWorld) -> [String; 2] {
    let vpc = make_vpc(world, "10.0.0.0/16").await;
    let subnet = make_subnet(world, &vpc, "10.0.0.0/24").await;
    let one = add_interface(world, &subnet, Ipv4Addr::new(10, 0, 0, 5)).await;
    let other = add_interface(world, &subnet, Ipv4Addr::new(10, 0, 0, 6)).await;
    [one, other].map(|interface| interface.id.to_string())
}

#[tokio::test]
async fn the_pool_is_given_out_and_taken_back() {
    let world = world().await;
    let tags = json!([{"ResourceType": "elastic-ip", "Tags": [{"Key": "of", "Value": "web"}]}]);
    let request = json!({"Domain": "vpc", "Address": "192.0.2.10", "TagSpecifications": tags});
    let first = world.call("AllocateAddress", request).await.unwrap();
    assert_eq!(
        (&first["PublicIp"], &first["Domain"]),
        (&json!("192.0.2.10"), &json!("vpc"))
    );
    assert_eq!(
        described(&world, &first).await["Tags"],
        json!([{"Key": "of", "Value": "web"}])
    );
    let second = allocate(&world).await;
    assert_eq!(second["PublicIp"], "192.0.2.9");
    assert_eq!(
        world.refused("AllocateAddress", json!({})).await,
        "InsufficientAddressCapacity"
    );
    for (address, code) in [
        ("192.0.2.9", "InvalidIPAddress.InUse"),
        ("198.51.100.1", "InvalidParameterValue"),
        ("198.51.100", "InvalidAddress.Malformed"),
    ] {
        assert_eq!(
            world.refused("AllocateAddress", json!({"Address": address})).await,
            code
        );
    }
    world
        .call("ReleaseAddress", json!({"AllocationId": second["AllocationId"]}))
        .await
        .unwrap();
    let all = world.call("DescribeAddresses", json!({})).await.unwrap();
    assert_eq!(all["Addresses"].as_array().unwrap().len(), 1);
    let gone = json!({"PublicIps": ["192.0.2.9"]});
    assert_eq!(
        world.refused("DescribeAddresses", gone).await,
        "InvalidAddress.NotFound"
    );
    let gone = json!({"AllocationId": second["AllocationId"]});
    assert_eq!(
        world.refused("ReleaseAddress", gone).await,
        "InvalidAllocationID.NotFound"
    );
}

#[tokio::test]
async fn a_host_without_public_addresses_says_where_to_name_some() {
    let world = TestWorld::new().await;
    let error = world.call("AllocateAddress", json!({})).await.unwrap_err();
    assert!(error.message.contains("network.public_pool"), "{}", error.message);
}

#[tokio::test]
async fn an_address_is_at_one_interface_at_most_and_an_interface_has_one() {
    let world = world().await;
    let [one, other] = interfaces(&world).await;
    let (first, second) = (allocate(&world).await, allocate(&world).await);
    let associate = async |address: &Value, interface: &str, again: bool| {
        let request = json!({
            "AllocationId": address["AllocationId"], "NetworkInterfaceId": interface, "AllowReassociation": again,
        });
        world.call("AssociateAddress", request).await
    };
    let made = associate(&first, &one, false).await.unwrap();
    let shown = described(&world, &first).await;
    assert_eq!(
        (&shown["AssociationId"], &shown["NetworkInterfaceId"]),
        (&made["AssociationId"], &json!(one))
    );
    assert_eq!(
        associate(&first, &other, false).await.unwrap_err().code.as_str(),
        "Resource.AlreadyAssociated"
    );
    let in_use = json!({"AllocationId": first["AllocationId"]});
    assert_eq!(world.refused("ReleaseAddress", in_use).await, "InvalidIPAddress.InUse");

    // The interface's new address takes the place of its old one, which stays allocated.
    associate(&second, &one, true).await.unwrap();
    assert_eq!(described(&world, &first).await["AssociationId"], Value::Null);
    associate(&second, &other, true).await.unwrap();
    let request = json!({"NetworkInterfaceIds": [other]});
    let answer = world.call("DescribeNetworkInterfaces", request).await.unwrap();
    let association = &answer["NetworkInterfaces"][0]["Association"];
    assert_eq!(
        (&association["PublicIp"], &association["AllocationId"]),
        (&second["PublicIp"], &second["AllocationId"])
    );

    let request = json!({"AssociationId": described(&world, &second).await["AssociationId"]});
    world.call("DisassociateAddress", request.clone()).await.unwrap();
    assert_eq!(described(&world, &second).await["NetworkInterfaceId"], Value::Null);
    assert_eq!(
        world.refused("DisassociateAddress", request).await,
        "InvalidAssociationID.NotFound"
    );
}

#[tokio::test]
async fn addresses_have_no_names_in_the_world() {
    let world = world().await;
    let (first, second) = (allocate(&world).await, allocate(&world).await);
    let one = json!({"AllocationIds": [second["AllocationId"]], "Attribute": "domain-name"});
    let shown = json!({"AllocationId": second["AllocationId"], "PublicIp": second["PublicIp"]});
    let described = world.call("DescribeAddressesAttribute", one).await.unwrap();
    assert_eq!(described, json!({"Addresses": [shown]}));
    let page = world
        .call("DescribeAddressesAttribute", json!({"MaxResults": 1}))
        .await
        .unwrap();
    let rest = json!({"MaxResults": 1, "NextToken": page["NextToken"]});
    let rest = world.call("DescribeAddressesAttribute", rest).await.unwrap();
    let mut ids = [&page, &rest].map(|page| page["Addresses"][0]["AllocationId"].as_str().unwrap());
    let mut expected = [&first, &second].map(|address| address["AllocationId"].as_str().unwrap());
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let missing = json!({"AllocationIds": ["eipalloc-0123456789abcdef0"]});
    let code = world.refused("DescribeAddressesAttribute", missing).await;
    assert_eq!(code, "InvalidAllocationID.NotFound");
}
