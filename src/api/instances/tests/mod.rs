//! The operations on instances, without guests: there is no monitor beside the test program, so every start fails, and
//! what a failed start leaves is seen as well.

mod attributes;
mod filters;
mod options;
mod search;

use super::super::testing::TestWorld;
use crate::config::Config;
use crate::model::{ImageId, SnapshotId};
use crate::store::{self, StoreError};
use serde_json::{Value, json};
use std::time::Duration;

const SNAPSHOT: SnapshotId = TestWorld::TINY_SNAPSHOT;
const IMAGE: ImageId = TestWorld::TINY_IMAGE;

pub(super) async fn world() -> TestWorld {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut Config)) -> TestWorld {
    let test = TestWorld::with(change).await;
    test.tiny_image().await;
    test
}

pub(super) fn request(count: u32) -> Value {
    json!({"ImageId": IMAGE.to_string(), "InstanceType": "t3.nano", "MinCount": count, "MaxCount": count})
}

pub(super) fn with(mut request: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

fn ids(answer: &Value) -> Vec<String> {
    let instances = answer["Instances"].as_array().unwrap();
    instances
        .iter()
        .map(|one| one["InstanceId"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the instance is in that state.
async fn reaches(test: &TestWorld, id: &str, state: &str) -> Value {
    let mut watch = test.world.instances.watch(id.parse().unwrap()).unwrap();
    let reached = watch.wait_for(|view| view.state.name() == state);
    tokio::time::timeout(Duration::from_secs(60), reached)
        .await
        .expect(state)
        .unwrap();
    let answer = test
        .call("DescribeInstances", json!({"InstanceIds": [id]}))
        .await
        .unwrap();
    answer["Reservations"][0]["Instances"][0].clone()
}

async fn rows(test: &TestWorld) -> (usize, usize) {
    let read = test
        .world
        .store
        .read(|tx| Ok::<_, StoreError>((store::instances::list(tx)?.len(), store::volumes::list(tx)?.len())));
    read.await.unwrap()
}

#[tokio::test]
async fn an_instance_whose_first_start_fails_is_terminated_with_the_reason_and_leaves_nothing() {
    let test = world().await;
    let answer = test.call("RunInstances", request(2)).await.unwrap();
    assert_eq!(answer["Instances"][1]["State"], json!({"Code": 0, "Name": "pending"}));
    assert_eq!(answer["Instances"][1]["AmiLaunchIndex"], 1);
    for id in ids(&answer) {
        let instance = reaches(&test, &id, "terminated").await;
        assert_eq!(instance["StateReason"]["Code"], "Server.InternalError");
        let message = instance["StateReason"]["Message"].as_str().unwrap();
        assert!(
            message.contains("Can't start") && message.contains("kiln-vmm"),
            "{message}"
        );
        assert_eq!(instance["BlockDeviceMappings"], json!([]));
    }
    assert_eq!(rows(&test).await, (2, 0));
    let directories: Vec<String> = ids(&answer).iter().map(|id| format!("instances/{id}")).collect();
    let snapshot = test.world.layout.snapshot(SNAPSHOT);
    std::fs::remove_file(snapshot).unwrap();
    test.assert_files(&directories).await;
}

#[tokio::test]
async fn a_launch_is_all_or_nothing() {
    let test = world().await;
    let huge = with(
        request(1),
        json!({"InstanceType": "r5.8xlarge", "MinCount": 1000, "MaxCount": 1000}),
    );
    assert_eq!(test.refused("RunInstances", huge).await, "InsufficientInstanceCapacity");
    assert_eq!(rows(&test).await, (0, 0));
}

#[tokio::test]
async fn as_many_as_fit_are_launched_between_the_least_and_the_most() {
    let test = world().await;
    let some = with(request(1), json!({"MinCount": 1, "MaxCount": 1000}));
    let answer = test.call("RunInstances", some).await.unwrap();
    let launched = answer["Instances"].as_array().unwrap().len();
    let vcpus = usize::try_from(test.world.instances.parts().capacity.vcpus).unwrap();
    assert!(launched >= 1 && launched <= vcpus / 2, "{launched} on {vcpus} vCPUs");
}

#[tokio::test]
async fn the_same_token_gives_the_same_instances_and_no_other_request_may_have_it() {
    let test = world().await;
    let once = with(request(1), json!({"ClientToken": "once"}));
    let first = test.call("RunInstances", once.clone()).await.unwrap();
    let again = test.call("RunInstances", once).await.unwrap();
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(first["ReservationId"], again["ReservationId"]);
    assert_eq!(first["Instances"][0]["ClientToken"], "once");
    let other = with(request(2), json!({"ClientToken": "once"}));
    assert_eq!(test.refused("RunInstances", other).await, "IdempotentParameterMismatch");
    assert_eq!(rows(&test).await.0, 1);
    // The token stands with the instances, so it outlives the daemon.
    reaches(&test, &ids(&first)[0], "terminated").await;
    let test = test.restart().await;
    // So it does the image.
    let deregister = json!({"ImageId": IMAGE.to_string()});
    test.call("DeregisterImage", deregister).await.unwrap();
    let later = test
        .call("RunInstances", with(request(1), json!({"ClientToken": "once"})))
        .await
        .unwrap();
    assert_eq!(ids(&first), ids(&later));
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_makes_nothing() {
    let test = world().await;
    let dry = json!({"DryRun": true});
    assert_eq!(
        test.refused("RunInstances", with(request(1), dry.clone())).await,
        "DryRunOperation"
    );
    let wrong = with(request(1), json!({"DryRun": true, "InstanceType": "t3.gigantic"}));
    assert_ne!(test.refused("RunInstances", wrong).await, "DryRunOperation");
    assert_eq!(rows(&test).await, (0, 0));
    let unknown = json!({"DryRun": true, "InstanceIds": ["i-00000000000000001"]});
    assert_eq!(
        test.refused("TerminateInstances", unknown).await,
        "InvalidInstanceID.NotFound"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_with_ec2s_codes() {
    let test = world().await;
    let root = |ebs: Value| json!({"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": ebs}]});
    for (more, code) in [
        (json!({"ImageId": "ami-1"}), "InvalidAMIID.Malformed"),
        (json!({"ImageId": "ami-00000000000000001"}), "InvalidAMIID.NotFound"),
        (json!({"MinCount": 0}), "InvalidParameterValue"),
        (json!({"MinCount": 2}), "InvalidParameterValue"),
        (json!({"MaxCount": 1001}), "InvalidParameterValue"),
        (json!({"InstanceType": "c5.huge"}), "InvalidParameterValue"),
        (json!({"UserData": "not base64!"}), "InvalidParameterValue"),
        (
            json!({"UserData": crate::base64::encode(&[7; 16385])}),
            "InvalidParameterValue",
        ),
        (
            json!({"InstanceInitiatedShutdownBehavior": "hibernate"}),
            "InvalidParameterValue",
        ),
        (
            json!({"Placement": {"AvailabilityZone": "eu-west-1a"}}),
            "InvalidParameterValue",
        ),
        (json!({"SubnetId": "subnet-1"}), "InvalidSubnetID.Malformed"),
        (
            json!({"SubnetId": "subnet-00000000000000001"}),
            "InvalidSubnetID.NotFound",
        ),
        (json!({"SecurityGroups": ["nobody's"]}), "InvalidGroup.NotFound"),
        (json!({"PrivateIpAddress": "172.31.0.3"}), "InvalidParameterValue"),
        (json!({"PrivateIpAddress": "10.0.0.9"}), "InvalidParameterValue"),
        (json!({"KeyName": "nobody's"}), "InvalidKeyPair.NotFound"),
        (
            json!({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}),
            "InvalidParameterValue",
        ),
        (json!({"NetworkInterfaces": [{}, {}]}), "MissingParameter"),
        (
            json!({"NetworkInterfaces": [{"DeviceIndex": 0}, {"DeviceIndex": 0}]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [{"DeviceIndex": 1}]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [{"DeviceIndex": 0}, {"DeviceIndex": 8}]}),
            "InvalidParameterValue",
        ),
        (
            json!({"NetworkInterfaces": [{"NetworkInterfaceId": "eni-00000000000000001"}]}),
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (
            json!({"NetworkInterfaces": [{"NetworkInterfaceId": "eni-00000000000000001", "Groups": ["sg-00000000000000001"]}]}),
            "InvalidParameterCombination",
        ),
        (
            json!({"NetworkInterfaces": [{"AssociatePublicIpAddress": true}]}),
            "InsufficientAddressCapacity",
        ),
        (
            json!({"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": true}, {"DeviceIndex": 1}]}),
            "InvalidParameterCombination",
        ),
        (
            json!({"SubnetId": "subnet-00000000000000001", "NetworkInterfaces": [{}]}),
            "InvalidParameterCombination",
        ),
        (
            json!({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf"}]}),
            "InvalidBlockDeviceMapping",
        ),
        (root(json!({"Encrypted": true})), "UnsupportedOperation"),
        (root(json!({"VolumeType": "io2"})), "UnsupportedOperation"),
        (root(json!({"VolumeSize": 0})), "InvalidBlockDeviceMapping"),
        (root(json!({"VolumeSize": -1})), "InvalidBlockDeviceMapping"),
        (root(json!({"VolumeSize": 65537})), "InvalidBlockDeviceMapping"),
    ] {
        assert_eq!(
            test.refused("RunInstances", with(request(1), more.clone())).await,
            code,
            "{more}"
        );
    }
    assert_eq!(rows(&test).await, (0, 0));
}

#[tokio::test]
async fn one_unknown_id_spares_all_the_others() {
    let test = world().await;
    let launched = test.call("RunInstances", request(1)).await.unwrap();
    let id = ids(&launched).remove(0);
    let both = json!({"InstanceIds": [id, "i-00000000000000001"]});
    assert_eq!(
        test.refused("DescribeInstances", both.clone()).await,
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(
        test.refused("TerminateInstances", both).await,
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(
        test.refused("StopInstances", json!({"InstanceIds": ["i-1"]})).await,
        "InvalidInstanceID.Malformed"
    );
    let instance = reaches(&test, &id, "terminated").await;
    assert_eq!(
        instance["StateReason"]["Code"], "Server.InternalError",
        "it was terminated by the refused request"
    );
    for operation in ["StartInstances", "StopInstances", "RebootInstances"] {
        assert_eq!(
            test.refused(operation, json!({"InstanceIds": [id]})).await,
            "IncorrectInstanceState"
        );
    }
    let again = test
        .call("TerminateInstances", json!({"InstanceIds": [id]}))
        .await
        .unwrap();
    assert_eq!(again["TerminatingInstances"][0]["CurrentState"]["Name"], "terminated");
}

#[tokio::test]
async fn instances_are_filtered_by_state_tag_and_volume_and_come_in_pages() {
    let test = world().await;
    let tags = json!({"TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]},
        {"ResourceType": "volume", "Tags": [{"Key": "Of", "Value": "web"}]},
    ]});
    let launched = test.call("RunInstances", with(request(2), tags)).await.unwrap();
    assert_eq!(
        launched["Instances"][0]["Tags"],
        json!([{"Key": "Name", "Value": "web"}])
    );
    test.call("RunInstances", request(1)).await.unwrap();
    let count = async |name: &str, value: &str| {
        let filter = json!({"Filters": [{"Name": name, "Values": [value]}]});
        let answer = test.call("DescribeInstances", filter).await.unwrap();
        let reservations = answer["Reservations"].as_array().unwrap();
        reservations
            .iter()
            .map(|one| one["Instances"].as_array().unwrap().len())
            .sum::<usize>()
    };
    assert_eq!(count("tag:Name", "w?b").await, 2);
    assert_eq!(count("image-id", &IMAGE.to_string()).await, 3);
    assert_eq!(
        count("reservation-id", launched["ReservationId"].as_str().unwrap()).await,
        2
    );
    assert_eq!(count("instance-state-name", "stopped").await, 0);
    let bad = json!({"Filters": [{"Name": "colour", "Values": ["red"]}]});
    assert_eq!(test.refused("DescribeInstances", bad).await, "InvalidParameterValue");
    for id in ids(&launched) {
        reaches(&test, &id, "terminated").await;
    }
    let listed = test.call("DescribeInstanceStatus", json!({})).await.unwrap();
    assert_eq!(listed["InstanceStatuses"], json!([]));
    let all =
        json!({"IncludeAllInstances": true, "Filters": [{"Name": "instance-state-name", "Values": ["terminated"]}]});
    let listed = test.call("DescribeInstanceStatus", all).await.unwrap();
    assert!(listed["InstanceStatuses"].as_array().unwrap().len() >= 2);
}

#[tokio::test]
async fn volumes_are_described_with_what_they_are_attached_to() {
    let test = world().await;
    assert_eq!(
        test.call("DescribeVolumes", json!({})).await.unwrap(),
        json!({"Volumes": []})
    );
    let unknown = json!({"VolumeIds": ["vol-00000000000000001"]});
    assert_eq!(test.refused("DescribeVolumes", unknown).await, "InvalidVolume.NotFound");
    let kept = json!({"BlockDeviceMappings": [
        {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": false, "VolumeSize": 2, "VolumeType": "gp3"}},
    ]});
    let launched = test.call("RunInstances", with(request(1), kept)).await.unwrap();
    let id = ids(&launched).remove(0);
    reaches(&test, &id, "terminated").await;
    // The volume was made, and was to stay; a start that failed for want of a monitor changes nothing about that.
    let listed = test.call("DescribeVolumes", json!({})).await.unwrap();
    let volume = &listed["Volumes"][0];
    assert_eq!((&volume["State"], &volume["Size"]), (&json!("available"), &json!(2)));
    assert_eq!(volume["SnapshotId"], SNAPSHOT.to_string());
    assert_eq!(volume["Attachments"], json!([]));
    let path = test
        .world
        .layout
        .volume(volume["VolumeId"].as_str().unwrap().parse().unwrap());
    assert_eq!(std::fs::metadata(path).unwrap().len(), 2 << 30);
}

#[tokio::test]
async fn the_console_of_an_instance_that_never_ran_is_empty() {
    let test = world().await;
    let launched = test.call("RunInstances", request(1)).await.unwrap();
    let id = ids(&launched).remove(0);
    let output = test
        .call("GetConsoleOutput", json!({"InstanceId": id, "Latest": true}))
        .await
        .unwrap();
    assert_eq!(output.get("Output"), None);
    let unknown = json!({"InstanceId": "i-00000000000000001"});
    assert_eq!(
        test.refused("GetConsoleOutput", unknown).await,
        "InvalidInstanceID.NotFound"
    );
}

#[tokio::test]
async fn an_instance_has_the_interfaces_of_its_launch_and_leaves_those_that_were_there_before() {
    let test = world().await;
    let subnets = test.call("DescribeSubnets", json!({})).await.unwrap();
    let subnet = &subnets["Subnets"][0]["SubnetId"];
    let made = test
        .call("CreateNetworkInterface", json!({"SubnetId": subnet}))
        .await
        .unwrap();
    let existing = &made["NetworkInterface"]["NetworkInterfaceId"];
    let interfaces = json!({"NetworkInterfaces": [
        {"DeviceIndex": 2, "NetworkInterfaceId": existing},
        {"DeviceIndex": 0, "SecondaryPrivateIpAddressCount": 2, "Description": "front"},
        {"DeviceIndex": 1, "SubnetId": subnet, "DeleteOnTermination": true},
    ]});
    let launched = test
        .call("RunInstances", with(request(1), interfaces.clone()))
        .await
        .unwrap();
    let shown = launched["Instances"][0]["NetworkInterfaces"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0]["Description"], "front");
    assert_eq!(shown[0]["PrivateIpAddresses"].as_array().unwrap().len(), 3);
    assert_eq!(shown[2]["NetworkInterfaceId"], *existing);
    let deleted: Vec<_> = shown
        .iter()
        .map(|one| &one["Attachment"]["DeleteOnTermination"])
        .collect();
    assert_eq!(deleted, [true, true, false]);
    for (more, code) in [
        (interfaces, "InvalidNetworkInterface.InUse"),
        (
            json!({"MaxCount": 2, "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": existing}]}),
            "InvalidParameterCombination",
        ),
    ] {
        let again = with(request(1), more);
        assert_eq!(test.refused("RunInstances", again.clone()).await, code, "{again}");
    }

    reaches(&test, &ids(&launched)[0], "terminated").await;
    let left = test.call("DescribeNetworkInterfaces", json!({})).await.unwrap();
    let left = left["NetworkInterfaces"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (&left[0]["NetworkInterfaceId"], &left[0]["Status"]),
        (existing, &json!("available"))
    );
}

/// What an instance and its interfaces show of public addresses: that of the instance, and its owner.
fn public(instance: &Value) -> (Option<&str>, Option<&str>) {
    let association = &instance["NetworkInterfaces"][0]["Association"];
    (instance["PublicIpAddress"].as_str(), association["IpOwnerId"].as_str())
}

#[tokio::test]
async fn a_launch_gives_public_addresses_as_it_says_or_the_subnet_does_and_its_end_takes_them_back() {
    let test = world_with(|config| config.network.public_pool = vec!["192.0.2.8/30".parse().unwrap()]).await;
    let association = |said| json!({"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": said}]});
    // The pool has two: who must have one is refused, who need not goes without.
    let refused = test.refused("RunInstances", with(request(3), association(true))).await;
    assert_eq!(refused, "InsufficientAddressCapacity");
    let none = test
        .call("RunInstances", with(request(1), association(false)))
        .await
        .unwrap();
    assert_eq!(public(&none["Instances"][0]), (None, None));
    let launched = test.call("RunInstances", request(3)).await.unwrap();
    let shown: Vec<_> = launched["Instances"].as_array().unwrap().iter().map(public).collect();
    let ec2s = Some("amazon");
    assert_eq!(
        shown,
        [(Some("192.0.2.9"), ec2s), (Some("192.0.2.10"), ec2s), (None, None)]
    );
    let owned = test.call("DescribeAddresses", json!({})).await.unwrap();
    assert_eq!(owned, json!({"Addresses": []}));

    for id in ids(&launched) {
        reaches(&test, &id, "terminated").await;
    }
    for _ in 0..2 {
        test.call("AllocateAddress", json!({})).await.unwrap();
    }
}
