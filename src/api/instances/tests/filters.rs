//! The filters of DescribeInstances: each finds an instance by what is shown of it, and by nothing else.

use super::super::search::{attached_values, own_values};
use super::super::wire::Described;
use super::*;
use crate::model::InstanceId;

/// Filters, and where in an instance their values are shown.
const SHOWN: [(&str, &str); 46] = [
    ("availability-zone-id", "/Placement/AvailabilityZoneId"),
    ("ebs-optimized", "/EbsOptimized"),
    ("ena-support", "/EnaSupport"),
    ("enclave-options.enabled", "/EnclaveOptions/Enabled"),
    ("hibernation-options.configured", "/HibernationOptions/Configured"),
    (
        "metadata-options.http-protocol-ipv6",
        "/MetadataOptions/HttpProtocolIpv6",
    ),
    ("metadata-options.state", "/MetadataOptions/State"),
    (
        "network-interface.addresses.private-dns-name",
        "/NetworkInterfaces/0/PrivateIpAddresses/1/PrivateDnsName",
    ),
    (
        "network-interface.association.ip-owner-id",
        "/NetworkInterfaces/0/Association/IpOwnerId",
    ),
    (
        "network-interface.attachment.network-card-index",
        "/NetworkInterfaces/0/Attachment/NetworkCardIndex",
    ),
    ("boot-mode", "/BootMode"),
    ("instance.group-id", "/SecurityGroups/0/GroupId"),
    ("instance.group-name", "/SecurityGroups/0/GroupName"),
    ("ip-address", "/PublicIpAddress"),
    ("key-name", "/KeyName"),
    ("metadata-options.http-endpoint", "/MetadataOptions/HttpEndpoint"),
    (
        "metadata-options.http-put-response-hop-limit",
        "/MetadataOptions/HttpPutResponseHopLimit",
    ),
    ("metadata-options.http-tokens", "/MetadataOptions/HttpTokens"),
    (
        "metadata-options.instance-metadata-tags",
        "/MetadataOptions/InstanceMetadataTags",
    ),
    ("platform-details", "/PlatformDetails"),
    ("private-dns-name", "/PrivateDnsName"),
    ("private-ip-address", "/PrivateIpAddress"),
    ("source-dest-check", "/SourceDestCheck"),
    ("subnet-id", "/SubnetId"),
    ("usage-operation", "/UsageOperation"),
    ("vpc-id", "/VpcId"),
    (
        "network-interface.addresses.association.public-ip",
        "/NetworkInterfaces/0/Association/PublicIp",
    ),
    (
        "network-interface.addresses.primary",
        "/NetworkInterfaces/0/PrivateIpAddresses/1/Primary",
    ),
    (
        "network-interface.addresses.private-ip-address",
        "/NetworkInterfaces/0/PrivateIpAddresses/1/PrivateIpAddress",
    ),
    (
        "network-interface.association.public-ip",
        "/NetworkInterfaces/0/Association/PublicIp",
    ),
    (
        "network-interface.attachment.attach-time",
        "/NetworkInterfaces/0/Attachment/AttachTime",
    ),
    (
        "network-interface.attachment.attachment-id",
        "/NetworkInterfaces/0/Attachment/AttachmentId",
    ),
    (
        "network-interface.attachment.delete-on-termination",
        "/NetworkInterfaces/0/Attachment/DeleteOnTermination",
    ),
    (
        "network-interface.attachment.device-index",
        "/NetworkInterfaces/0/Attachment/DeviceIndex",
    ),
    ("network-interface.attachment.instance-id", "/InstanceId"),
    (
        "network-interface.attachment.status",
        "/NetworkInterfaces/0/Attachment/Status",
    ),
    ("network-interface.availability-zone", "/Placement/AvailabilityZone"),
    ("network-interface.description", "/NetworkInterfaces/0/Description"),
    ("network-interface.group-id", "/NetworkInterfaces/0/Groups/0/GroupId"),
    (
        "network-interface.group-name",
        "/NetworkInterfaces/0/Groups/0/GroupName",
    ),
    ("network-interface.mac-address", "/NetworkInterfaces/0/MacAddress"),
    (
        "network-interface.network-interface-id",
        "/NetworkInterfaces/0/NetworkInterfaceId",
    ),
    ("network-interface.owner-id", "/NetworkInterfaces/0/OwnerId"),
    (
        "network-interface.private-dns-name",
        "/NetworkInterfaces/0/PrivateDnsName",
    ),
    ("network-interface.status", "/NetworkInterfaces/0/Status"),
    ("network-interface.vpc-id", "/NetworkInterfaces/0/VpcId"),
];

/// What an instance is just after its launch, as it is shown and as filters see it. Its start fails soon, for nothing boots
/// here, and takes its interfaces away.
async fn launched(test: &TestWorld) -> (Value, Described) {
    let interface = json!({
        "KeyName": "key",
        "NetworkInterfaces": [{"DeviceIndex": 0, "Description": "of a test", "SecondaryPrivateIpAddressCount": 1}],
    });
    loop {
        let launched = test
            .call("RunInstances", with(request(1), interface.clone()))
            .await
            .unwrap();
        let id: InstanceId = ids(&launched)[0].parse().unwrap();
        let read = test.world.store.read(move |tx| {
            let instance = store::instances::get(tx, id)?.unwrap();
            Described::read(tx, instance)
        });
        let described = read.await.unwrap();
        reaches(test, &id.to_string(), "terminated").await;
        if !described.interfaces.is_empty() {
            return (launched["Instances"][0].clone(), described);
        }
    }
}

#[tokio::test]
async fn an_instance_is_found_by_what_is_shown_of_it_and_by_nothing_else() {
    let test = world_with(|config| config.network.public_pool = vec!["192.0.2.8/30".parse().unwrap()]).await;
    let key = json!({"KeyName": "key", "KeyType": "ed25519"});
    test.call("CreateKeyPair", key).await.unwrap();
    let (shown, described) = launched(&test).await;
    let place = &test.world.config.place;
    let values = |name: &str| {
        let own = own_values(&described.instance, name, place);
        [own, attached_values(&described, name, place)].concat()
    };
    for (name, path) in SHOWN {
        let value = shown.pointer(path).unwrap_or_else(|| panic!("{path} of {shown}"));
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(values(name).contains(&value), "{name} {value}: {:?}", values(name));
        let filters = json!([{"Name": name, "Values": [format!("{value}x")]}]);
        let answer = test
            .call("DescribeInstances", json!({"Filters": filters}))
            .await
            .unwrap();
        assert_eq!(answer["Reservations"], json!([]), "{name}");
    }
    // What no instance here has.
    for name in [
        "affinity",
        "dns-name",
        "instance-lifecycle",
        "ipv6-address",
        "network-interface.association.carrier-ip",
        "platform",
        "product-code",
    ] {
        let filters = json!([{"Name": name, "Values": ["*"]}]);
        let answer = test
            .call("DescribeInstances", json!({"Filters": filters}))
            .await
            .unwrap();
        assert_eq!(answer["Reservations"], json!([]), "{name}");
    }
}
