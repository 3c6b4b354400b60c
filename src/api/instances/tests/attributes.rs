//! Attributes of instances that are on record as stopped, and of some that a launch has just put on record.

use super::super::super::interfaces::tests::world_with_instance;
use super::super::super::testing::{TestWorld, stopped_instance};
use super::super::super::vpcs::tests::text;
use super::{IMAGE, ids, reaches, request, search, with, world};
use crate::model::{
    Attachment, AttachmentState, InstanceId, InstanceState, KernelId, KernelImage, RamdiskId, RamdiskImage, Volume,
    VolumeId, VolumeLimits, VolumeState,
};
use crate::store::{self, StoreError};
use serde_json::{Value, json};
use time::OffsetDateTime;

const KERNEL: KernelId = KernelId::from_random(7);
const RAMDISK: RamdiskId = RamdiskId::from_random(8);

/// A world with a stopped instance, which has no interface.
pub(super) async fn stopped() -> (TestWorld, String) {
    let test = world().await;
    let id = stopped_instance(&test).await;
    (test.restart().await, id.to_string())
}

pub(super) fn of(id: &str, more: Value) -> Value {
    with(json!({"InstanceId": id}), more)
}

async fn modify(test: &TestWorld, id: &str, change: Value) {
    test.call("ModifyInstanceAttribute", of(id, change.clone()))
        .await
        .unwrap_or_else(|error| panic!("{change}: {error}"));
}

/// What DescribeInstanceAttribute answers beside the instance's id.
async fn attribute(test: &TestWorld, id: &str, name: &str) -> Value {
    let request = of(id, json!({"Attribute": name}));
    let mut answer = test.call("DescribeInstanceAttribute", request).await.unwrap();
    let members = answer.as_object_mut().unwrap();
    assert_eq!(members.remove("InstanceId"), Some(json!(id)));
    answer
}

pub(super) async fn described(test: &TestWorld, id: &str) -> Value {
    let answer = test.call("DescribeInstances", json!({"InstanceIds": [id]})).await;
    answer.unwrap()["Reservations"][0]["Instances"][0].clone()
}

/// Says on record that the instance is in a state in which its actor does not know it.
pub(super) async fn on_record(test: &TestWorld, id: &str, state: InstanceState) {
    let id: InstanceId = id.parse().unwrap();
    let put = test.world.store.write(move |tx| {
        let mut instance = store::instances::get(tx, id)?.unwrap();
        instance.state = state;
        store::instances::update(tx, &instance)
    });
    put.await.unwrap();
}

#[tokio::test]
async fn each_attribute_is_shown_as_it_was_set_also_by_the_next_daemon() {
    let (test, id) = stopped().await;
    let data = crate::base64::encode(b"#!/bin/sh");
    let changes = [
        (
            json!({"InstanceType": {"Value": "m5.large"}}),
            "instanceType",
            json!({"InstanceType": {"Value": "m5.large"}}),
        ),
        (
            json!({"UserData": {"Value": data}}),
            "userData",
            json!({"UserData": {"Value": data}}),
        ),
        (
            json!({"DisableApiTermination": {"Value": true}}),
            "disableApiTermination",
            json!({"DisableApiTermination": {"Value": true}}),
        ),
        (
            json!({"Attribute": "disableApiStop", "Value": "True"}),
            "disableApiStop",
            json!({"DisableApiStop": {"Value": true}}),
        ),
        (
            json!({"Attribute": "instanceInitiatedShutdownBehavior", "Value": "terminate"}),
            "instanceInitiatedShutdownBehavior",
            json!({"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}),
        ),
        (
            json!({"EbsOptimized": {"Value": true}}),
            "ebsOptimized",
            json!({"EbsOptimized": {"Value": true}}),
        ),
        (
            json!({"EnaSupport": {"Value": true}}),
            "enaSupport",
            json!({"EnaSupport": {"Value": true}}),
        ),
        (
            json!({"SriovNetSupport": {"Value": "simple"}}),
            "sriovNetSupport",
            json!({"SriovNetSupport": {"Value": "simple"}}),
        ),
    ];
    for (change, name, _) in &changes {
        let before = attribute(&test, &id, name).await;
        let dry = with(change.clone(), json!({"DryRun": true}));
        let refused = test.refused("ModifyInstanceAttribute", of(&id, dry)).await;
        assert_eq!(refused, "DryRunOperation", "{change}");
        assert_eq!(attribute(&test, &id, name).await, before, "{change}");
        modify(&test, &id, change.clone()).await;
    }
    let test = test.restart().await;
    for (_, name, shown) in changes {
        assert_eq!(attribute(&test, &id, name).await, shown);
    }
    let shown = described(&test, &id).await;
    assert_eq!(shown["InstanceType"], "m5.large");
    assert_eq!(
        (&shown["EbsOptimized"], &shown["EnaSupport"]),
        (&json!(true), &json!(true))
    );
    for (name, shown) in [
        ("rootDeviceName", json!({"RootDeviceName": {"Value": "/dev/sda1"}})),
        ("kernel", json!({"KernelId": {}})),
        ("productCodes", json!({"ProductCodes": []})),
        ("groupSet", json!({"Groups": []})),
        ("blockDeviceMapping", json!({"BlockDeviceMappings": []})),
        ("enclaveOptions", json!({"EnclaveOptions": {"Enabled": false}})),
    ] {
        assert_eq!(attribute(&test, &id, name).await, shown);
    }
    modify(&test, &id, json!({"UserData": {"Value": ""}})).await;
    assert_eq!(attribute(&test, &id, "userData").await, json!({"UserData": {}}));
}

#[tokio::test]
async fn what_is_not_one_possible_change_is_refused_with_ec2s_code() {
    let (test, id) = stopped().await;
    for (change, code) in [
        (json!({}), "InvalidParameterCombination"),
        (
            json!({"EbsOptimized": {"Value": true}, "EnaSupport": {"Value": true}}),
            "InvalidParameterCombination",
        ),
        (
            json!({"Attribute": "ebsOptimized", "Value": "true", "EnaSupport": {"Value": true}}),
            "InvalidParameterCombination",
        ),
        (
            json!({"Attribute": "ebsOptimized", "EnaSupport": {"Value": true}}),
            "InvalidParameterCombination",
        ),
        (json!({"Attribute": "ebsOptimized"}), "MissingParameter"),
        (json!({"Value": "true"}), "MissingParameter"),
        (json!({"EbsOptimized": {}}), "MissingParameter"),
        (
            json!({"Attribute": "ebsOptimized", "Value": "yes"}),
            "InvalidParameterValue",
        ),
        (
            json!({"Attribute": "rootDeviceName", "Value": "/dev/sdb"}),
            "InvalidParameterValue",
        ),
        (
            json!({"InstanceType": {"Value": "m5.huge"}}),
            "InvalidInstanceAttributeValue",
        ),
        (
            json!({"InstanceInitiatedShutdownBehavior": {"Value": "sleep"}}),
            "InvalidParameterValue",
        ),
        (
            json!({"Attribute": "userData", "Value": "not base64!"}),
            "InvalidParameterValue",
        ),
        (json!({"SriovNetSupport": {"Value": "none"}}), "InvalidParameterValue"),
        (json!({"Kernel": {"Value": "aki-1"}}), "InvalidAKIID.Malformed"),
        (
            json!({"Kernel": {"Value": "aki-00000000000000001"}}),
            "InvalidAKIID.NotFound",
        ),
        (
            json!({"Ramdisk": {"Value": "ari-00000000000000001"}}),
            "InvalidARIID.NotFound",
        ),
        (json!({"EnclaveOptions": {"Enabled": true}}), "UnsupportedOperation"),
        (json!({"SourceDestCheck": {"Value": true}}), "IncorrectInstanceState"),
        (
            json!({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": true}}]}),
            "InvalidInstanceAttributeValue",
        ),
        (
            json!({"InstanceId": "i-1", "EnaSupport": {"Value": true}}),
            "InvalidInstanceID.Malformed",
        ),
        (
            json!({"InstanceId": "i-00000000000000001", "EnaSupport": {"Value": true}}),
            "InvalidInstanceID.NotFound",
        ),
    ] {
        let refused = test.refused("ModifyInstanceAttribute", of(&id, change.clone())).await;
        assert_eq!(refused, code, "{change}");
    }
    let reset = of(&id, json!({"Attribute": "userData"}));
    assert_eq!(
        test.refused("ResetInstanceAttribute", reset).await,
        "InvalidParameterValue"
    );
}

#[tokio::test]
async fn what_a_machine_is_made_of_changes_only_while_there_is_none() {
    let (test, id) = stopped().await;
    on_record(&test, &id, InstanceState::Running).await;
    for change in [
        json!({"InstanceType": {"Value": "m5.large"}}),
        json!({"UserData": {"Value": ""}}),
        json!({"Kernel": {"Value": ""}}),
        json!({"EbsOptimized": {"Value": true}}),
    ] {
        let dry = with(change.clone(), json!({"DryRun": true}));
        let refused = test.refused("ModifyInstanceAttribute", of(&id, dry)).await;
        assert_eq!(refused, "IncorrectInstanceState", "{change}");
    }
    modify(&test, &id, json!({"DisableApiTermination": {"Value": true}})).await;

    // Its actor looks for itself, whatever was on record a moment ago.
    let launched = test.call("RunInstances", request(1)).await.unwrap();
    let gone = ids(&launched).remove(0);
    reaches(&test, &gone, "terminated").await;
    on_record(&test, &gone, InstanceState::Stopped).await;
    for change in [
        json!({"InstanceType": {"Value": "m5.large"}}),
        json!({"DisableApiTermination": {"Value": true}}),
    ] {
        let refused = test.refused("ModifyInstanceAttribute", of(&gone, change)).await;
        assert_eq!(refused, "IncorrectInstanceState");
    }
}

#[tokio::test]
async fn a_new_type_is_what_the_next_start_must_find_room_for() {
    let (test, id) = stopped().await;
    // No host that tests run on has 256 GiB to spare, and 2 GiB all have.
    modify(&test, &id, json!({"InstanceType": {"Value": "r5.8xlarge"}})).await;
    let start = json!({"InstanceIds": [id]});
    let refused = test.refused("StartInstances", start.clone()).await;
    assert_eq!(refused, "InvalidParameterValue", "There is nothing to boot");
    let instance = id.parse().unwrap();
    let root = move |tx: &rusqlite::Connection| search::attach(tx, instance, "/dev/sda1");
    test.world.store.write(root).await.unwrap();
    let refused = test.refused("StartInstances", start.clone()).await;
    assert_eq!(refused, "InsufficientInstanceCapacity");
    modify(&test, &id, json!({"InstanceType": {"Value": "t3.nano"}})).await;
    let started = test.call("StartInstances", start).await.unwrap();
    assert_eq!(started["StartingInstances"][0]["CurrentState"]["Name"], "pending");
    reaches(&test, &id, "stopped").await;
}

#[tokio::test]
async fn none_of_several_is_terminated_if_one_is_protected() {
    let (test, protected) = stopped().await;
    let other = stopped_instance(&test).await.to_string();
    let test = test.restart().await;
    let both = json!({"InstanceIds": [protected, other]});
    for protection in ["DisableApiTermination", "DisableApiStop"] {
        modify(&test, &protected, json!({protection: {"Value": true}})).await;
        let error = test.call("TerminateInstances", both.clone()).await.unwrap_err();
        assert_eq!(error.code.as_str(), "OperationNotPermitted");
        let attribute = protection.replacen('D', "d", 1);
        assert_eq!(
            error.message,
            format!(
                "The instance '{protected}' may not be terminated. Modify its '{attribute}' instance attribute and try \
                 again."
            )
        );
        assert_eq!(described(&test, &other).await["State"]["Name"], "stopped");
        modify(&test, &protected, json!({protection: {"Value": false}})).await;
    }
    modify(&test, &protected, json!({"DisableApiStop": {"Value": true}})).await;
    on_record(&test, &protected, InstanceState::Running).await;
    let stop = json!({"InstanceIds": [protected], "DryRun": true});
    assert_eq!(test.refused("StopInstances", stop).await, "OperationNotPermitted");

    modify(&test, &protected, json!({"DisableApiStop": {"Value": false}})).await;
    test.call("TerminateInstances", both).await.unwrap();
    for id in [&protected, &other] {
        reaches(&test, id, "terminated").await;
    }
}

#[tokio::test]
async fn the_actor_itself_holds_a_protected_instance() {
    let (test, id) = stopped().await;
    modify(&test, &id, json!({"DisableApiTermination": {"Value": true}})).await;
    let number: InstanceId = id.parse().unwrap();
    let ask = crate::instance::Ask::Terminate { force: true };
    let asked = test.world.instances.ask(&[number], ask).await;
    assert!(
        matches!(asked, Err(crate::instance::AskError::Protected { .. })),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_kernel_and_its_ram_disk_are_set_and_go_back_to_those_of_the_image() {
    let (test, id) = stopped().await;
    let put = test.world.store.write(|tx| {
        let (description, digest, created) = (None, String::new(), OffsetDateTime::now_utc());
        store::kernels::add(
            tx,
            &KernelImage {
                id: KERNEL,
                description: description.clone(),
                command_line: String::new(),
                digest: digest.clone(),
                size: 1,
                created,
            },
        )?;
        let ramdisk = RamdiskImage {
            id: RAMDISK,
            description,
            digest,
            size: 1,
            created,
        };
        store::kernels::add_ramdisk(tx, &ramdisk)
    });
    put.await.unwrap();
    let ramdisk = json!({"Ramdisk": {"Value": RAMDISK.to_string()}});
    let alone = test.refused("ModifyInstanceAttribute", of(&id, ramdisk.clone())).await;
    assert_eq!(alone, "InvalidParameterCombination");
    modify(&test, &id, json!({"Kernel": {"Value": KERNEL.to_string()}})).await;
    modify(&test, &id, ramdisk).await;
    assert_eq!(described(&test, &id).await["RamdiskId"], RAMDISK.to_string());

    // Its image is not there; what it would have had is its root volume's own kernel.
    let reset = of(&id, json!({"Attribute": "kernel"}));
    test.call("ResetInstanceAttribute", reset).await.unwrap();
    let shown = described(&test, &id).await;
    assert_eq!((shown.get("KernelId"), shown.get("RamdiskId")), (None, None));

    let launched = test.call("RunInstances", request(1)).await.unwrap();
    let of_image = ids(&launched).remove(0);
    let put = test.world.store.write(move |tx| {
        let mut image = store::images::get(tx, IMAGE)?.unwrap();
        (image.kernel, image.ramdisk) = (Some(KERNEL), Some(RAMDISK));
        store::images::put(tx, &image)
    });
    put.await.unwrap();
    reaches(&test, &of_image, "terminated").await;
    let number: InstanceId = id.parse().unwrap();
    let adopt = test.world.store.write(move |tx| {
        let sql = "UPDATE instances SET image = ?2 WHERE id = ?1";
        let bound = (number.to_string(), IMAGE.to_string());
        Ok::<_, StoreError>(tx.execute(sql, bound)?)
    });
    adopt.await.unwrap();
    for name in ["kernel", "ramdisk"] {
        let reset = of(&id, json!({"Attribute": name}));
        test.call("ResetInstanceAttribute", reset).await.unwrap();
    }
    let shown = described(&test, &id).await;
    assert_eq!(shown["KernelId"], KERNEL.to_string());
    assert_eq!(shown["RamdiskId"], RAMDISK.to_string());
}

#[tokio::test]
async fn groups_and_the_check_of_addresses_are_those_of_the_primary_interface() {
    let (test, id, _, primary) = world_with_instance().await;
    let interface = async || {
        let request = json!({"NetworkInterfaceIds": [primary]});
        let answer = test.call("DescribeNetworkInterfaces", request).await.unwrap();
        answer["NetworkInterfaces"][0].clone()
    };
    let vpc = text(&interface().await, "VpcId");
    let group = json!({"GroupName": "g", "Description": "g", "VpcId": vpc});
    let group = text(&test.call("CreateSecurityGroup", group).await.unwrap(), "GroupId");
    let only = json!([{"GroupId": group, "GroupName": "g"}]);
    modify(&test, &id, json!({"Groups": [group]})).await;
    assert_eq!(interface().await["Groups"], only);
    assert_eq!(attribute(&test, &id, "groupSet").await, json!({"Groups": only}));

    modify(&test, &id, json!({"SourceDestCheck": {"Value": false}})).await;
    assert_eq!(interface().await["SourceDestCheck"], json!(false));
    assert_eq!(described(&test, &id).await["SourceDestCheck"], json!(false));
    let reset = of(&id, json!({"Attribute": "sourceDestCheck"}));
    test.call("ResetInstanceAttribute", reset).await.unwrap();
    assert_eq!(
        attribute(&test, &id, "sourceDestCheck").await,
        json!({"SourceDestCheck": {"Value": true}})
    );
    for (change, code) in [
        (json!({"Groups": ["sg-1"]}), "InvalidGroupId.Malformed"),
        (json!({"Groups": ["sg-00000000000000001"]}), "InvalidGroup.NotFound"),
        (json!({"Groups": [group], "DryRun": true}), "DryRunOperation"),
    ] {
        assert_eq!(test.refused("ModifyInstanceAttribute", of(&id, change)).await, code);
    }
}

#[tokio::test]
async fn whether_a_volume_goes_with_its_instance_is_changed_by_its_device() {
    let (test, id) = stopped().await;
    let (instance, volume): (InstanceId, _) = (id.parse().unwrap(), VolumeId::from_random(9));
    let put = test.world.store.write(move |tx| {
        let created = OffsetDateTime::now_utc();
        store::volumes::add(
            tx,
            &Volume {
                id: volume,
                size: 1 << 30,
                snapshot: None,
                state: VolumeState::InUse,
                limits: VolumeLimits::default(),
                created,
            },
        )?;
        let attachment = Attachment {
            volume,
            instance,
            device_name: "/dev/sda1".into(),
            delete_on_termination: true,
            attached: created,
            state: AttachmentState::Attached,
        };
        store::volumes::attach(tx, &attachment)
    });
    put.await.unwrap();
    let device = |ebs: Value| json!({"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": ebs}]});
    modify(&test, &id, device(json!({"DeleteOnTermination": false}))).await;
    let shown = attribute(&test, &id, "blockDeviceMapping").await;
    let ebs = &shown["BlockDeviceMappings"][0]["Ebs"];
    assert_eq!(
        (&ebs["VolumeId"], &ebs["DeleteOnTermination"]),
        (&json!(volume.to_string()), &json!(false))
    );
    for (ebs, code) in [
        (json!({}), "MissingParameter"),
        (
            json!({"DeleteOnTermination": true, "VolumeId": "vol-00000000000000001"}),
            "InvalidInstanceAttributeValue",
        ),
    ] {
        let refused = test.refused("ModifyInstanceAttribute", of(&id, device(ebs))).await;
        assert_eq!(refused, code);
    }
}

#[tokio::test]
async fn a_launch_says_what_its_instances_are_to_be() {
    let test = world().await;
    let said = json!({
        "DisableApiTermination": true,
        "DisableApiStop": true,
        "EbsOptimized": true,
        "Monitoring": {"Enabled": true},
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1},
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "PrivateDnsNameOptions": {"HostnameType": "resource-name", "EnableResourceNameDnsAAAARecord": true},
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "HibernationOptions": {"Configured": false},
        "EnclaveOptions": {"Enabled": false},
        "Placement": {"Tenancy": "default"},
    });
    let launched = test.call("RunInstances", with(request(1), said)).await.unwrap();
    let instance = &launched["Instances"][0];
    let id = text(instance, "InstanceId");
    assert_eq!(instance["EbsOptimized"], json!(true));
    assert_eq!(instance["Monitoring"], json!({"State": "enabled"}));
    assert_eq!(instance["CpuOptions"], json!({"CoreCount": 1, "ThreadsPerCore": 1}));
    assert_eq!(
        instance["MaintenanceOptions"],
        json!({"AutoRecovery": "disabled", "RebootMigration": "default"})
    );
    assert_eq!(
        instance["PrivateDnsNameOptions"],
        json!({
            "HostnameType": "resource-name",
            "EnableResourceNameDnsARecord": false,
            "EnableResourceNameDnsAAAARecord": true,
        })
    );
    assert_eq!(instance["PrivateDnsName"], format!("{id}.local-1.compute.internal"));
    for name in ["disableApiTermination", "disableApiStop"] {
        let shown = attribute(&test, &id, name).await;
        assert_eq!(
            shown.as_object().unwrap().values().next(),
            Some(&json!({"Value": true}))
        );
    }
    reaches(&test, &id, "terminated").await;
}

#[tokio::test]
async fn a_launch_asks_for_nothing_that_one_host_can_not_have() {
    let test = world().await;
    let cpus = |cores: i64, threads: i64| json!({"CpuOptions": {"CoreCount": cores, "ThreadsPerCore": threads}});
    for (more, code) in [
        (json!({"Placement": {"Tenancy": "host"}}), "UnsupportedOperation"),
        (json!({"Placement": {"GroupName": "g"}}), "UnsupportedOperation"),
        (
            json!({"InstanceMarketOptions": {"MarketType": "spot"}}),
            "UnsupportedOperation",
        ),
        (
            json!({"HibernationOptions": {"Configured": true}}),
            "UnsupportedOperation",
        ),
        (json!({"EnclaveOptions": {"Enabled": true}}), "UnsupportedOperation"),
        (
            json!({"CapacityReservationSpecification": {"CapacityReservationPreference": "capacity-reservations-only"}}),
            "UnsupportedOperation",
        ),
        (
            json!({"InstanceType": "m5.large", "CreditSpecification": {"CpuCredits": "standard"}}),
            "InstanceCreditSpecification.NotSupported",
        ),
        (
            json!({"CreditSpecification": {"CpuCredits": "endless"}}),
            "InvalidParameterValue",
        ),
        (cpus(0, 1), "InvalidParameterValue"),
        (cpus(2, 1), "InvalidParameterValue"),
        (cpus(1, 3), "InvalidParameterValue"),
        (json!({"CpuOptions": {"CoreCount": 1}}), "MissingParameter"),
        (
            json!({"CpuOptions": {"NestedVirtualization": "enabled"}}),
            "UnsupportedOperation",
        ),
    ] {
        let refused = test.refused("RunInstances", with(request(1), more.clone())).await;
        assert_eq!(refused, code, "{more}");
    }
    assert_eq!(super::rows(&test).await, (0, 0));
}
