//! DHCP options.

use super::super::super::testing::TestWorld;
use super::{filter, list, make_vpc, tagged, text};
use serde_json::{Value, json};

fn request(configurations: Value) -> Value {
    json!({"DhcpConfigurations": configurations})
}

#[tokio::test]
async fn a_set_of_options_is_given_to_a_vpc_and_taken_from_it() {
    let world = TestWorld::new().await;
    let mut wanted = request(json!([
        {"Key": "domain-name-servers", "Values": ["192.0.2.1", "192.0.2.2"]},
        {"Key": "domain-name", "Values": ["example.org"]},
        {"Key": "ntp-servers", "Values": ["192.0.2.3"]},
        {"Key": "netbios-name-servers", "Values": ["192.0.2.4"]},
        {"Key": "netbios-node-type", "Values": ["2"]},
    ]));
    wanted["TagSpecifications"] = tagged("dhcp-options");
    let made = world.call("CreateDhcpOptions", wanted).await.unwrap();
    let options = text(&made["DhcpOptions"], "DhcpOptionsId");
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let associate = |options: &str| json!({"DhcpOptionsId": options, "VpcId": vpc});
    world.call("AssociateDhcpOptions", associate(&options)).await.unwrap();
    let of_vpc = async || {
        let described = world.call("DescribeVpcs", json!({"VpcIds": [vpc]})).await.unwrap();
        text(&described["Vpcs"][0], "DhcpOptionsId")
    };
    assert_eq!(of_vpc().await, options);
    let delete = json!({"DhcpOptionsId": options});
    assert_eq!(
        world.refused("DeleteDhcpOptions", delete.clone()).await,
        "DependencyViolation"
    );
    world.call("AssociateDhcpOptions", associate("default")).await.unwrap();
    assert_eq!(of_vpc().await, "default");

    let found = world
        .call("DescribeDhcpOptions", filter("value", "192.0.2.2"))
        .await
        .unwrap();
    let [found] = list(&found, "DhcpOptions").as_slice() else {
        panic!("{found}")
    };
    assert_eq!(text(found, "DhcpOptionsId"), options);
    let keys = list(found, "DhcpConfigurations").iter().map(|one| text(one, "Key"));
    let keys: Vec<String> = keys.collect();
    assert_eq!(
        keys,
        [
            "domain-name",
            "domain-name-servers",
            "netbios-name-servers",
            "netbios-node-type",
            "ntp-servers"
        ]
    );
    let servers = json!([{"Value": "192.0.2.1"}, {"Value": "192.0.2.2"}]);
    assert_eq!(found["DhcpConfigurations"][1]["Values"], servers);
    world.call("DeleteDhcpOptions", delete.clone()).await.unwrap();
    assert_eq!(
        world.refused("DeleteDhcpOptions", delete).await,
        "InvalidDhcpOptionID.NotFound"
    );
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
}

#[tokio::test]
async fn new_vpcs_share_one_set_of_options_and_get_a_new_one_when_it_was_deleted() {
    let world = TestWorld::new().await;
    let vpcs = [
        make_vpc(&world, "10.0.0.0/16").await,
        make_vpc(&world, "10.1.0.0/16").await,
    ];
    let sets = world.call("DescribeDhcpOptions", json!({})).await.unwrap();
    let [set] = list(&sets, "DhcpOptions").as_slice() else {
        panic!("{sets}")
    };
    let set = text(set, "DhcpOptionsId");
    let all = world.call("DescribeVpcs", json!({})).await.unwrap();
    for vpc in list(&all, "Vpcs") {
        assert_eq!(text(vpc, "DhcpOptionsId"), set);
        let none = json!({"DhcpOptionsId": "default", "VpcId": vpc["VpcId"]});
        world.call("AssociateDhcpOptions", none).await.unwrap();
    }
    assert_eq!(list(&all, "Vpcs").len(), vpcs.len() + 1);
    world
        .call("DeleteDhcpOptions", json!({"DhcpOptionsId": set}))
        .await
        .unwrap();
    make_vpc(&world, "10.2.0.0/16").await;
    let sets = world
        .call("DescribeDhcpOptions", filter("key", "domain-name"))
        .await
        .unwrap();
    let [new] = list(&sets, "DhcpOptions").as_slice() else {
        panic!("{sets}")
    };
    assert_ne!(text(new, "DhcpOptionsId"), set);
}

#[tokio::test]
async fn options_that_no_guest_could_be_told_are_refused() {
    let world = TestWorld::new().await;
    let before = world.call("DescribeDhcpOptions", json!({})).await.unwrap();
    let name = json!({"Key": "domain-name", "Values": ["example.org"]});
    let dry = json!({"DhcpConfigurations": [name], "DryRun": true});
    for (operation, request, code) in [
        ("CreateDhcpOptions", request(json!([])), "InvalidParameterValue"),
        (
            "CreateDhcpOptions",
            request(json!([{"Key": "router", "Values": ["10.0.0.1"]}])),
            "InvalidParameterValue",
        ),
        (
            "CreateDhcpOptions",
            request(json!([{"Key": "ntp-servers", "Values": []}])),
            "InvalidParameterValue",
        ),
        (
            "CreateDhcpOptions",
            request(json!([name, name])),
            "InvalidParameterValue",
        ),
        (
            "CreateDhcpOptions",
            request(json!([{"Key": "ipv6-address-preferred-lease-time", "Values": ["140"]}])),
            "UnsupportedOperation",
        ),
        ("CreateDhcpOptions", dry, "DryRunOperation"),
        (
            "AssociateDhcpOptions",
            json!({"DhcpOptionsId": "dopt-00000000000000001", "VpcId": "vpc-1"}),
            "InvalidVpcId.Malformed",
        ),
        (
            "DescribeDhcpOptions",
            json!({"DhcpOptionsIds": ["default"]}),
            "InvalidDhcpOptionsId.Malformed",
        ),
    ] {
        assert_eq!(
            world.refused(operation, request.clone()).await,
            code,
            "{operation} {request}"
        );
    }
    let vpc = make_vpc(&world, "10.0.0.0/16").await;
    let unknown = json!({"DhcpOptionsId": "dopt-00000000000000001", "VpcId": vpc});
    assert_eq!(
        world.refused("AssociateDhcpOptions", unknown).await,
        "InvalidDhcpOptionID.NotFound"
    );
    assert_eq!(world.call("DescribeDhcpOptions", json!({})).await.unwrap(), before);
}
