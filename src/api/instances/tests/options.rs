//! Options of instances: those that are on record as stopped, and those that a launch is given by the account.

use super::super::super::interfaces::tests::world_with_instance;
use super::super::super::testing::{TestWorld, stopped_instance};
use super::attributes::{described, of, on_record, stopped};
use super::{ids, reaches, request, with, world};
use crate::instance::Facts;
use crate::model::{InstanceId, InstanceState};
use serde_json::{Value, json};

/// A leaf of what the instance's guest is told.
async fn told(test: &TestWorld, id: &str, leaf: &str) -> String {
    let (id, place): (InstanceId, _) = (id.parse().unwrap(), test.world.config.place.clone());
    let read = test.world.store.read(move |tx| Facts::read(tx, id)).await;
    read.unwrap().unwrap().leaves(&place)[leaf].clone()
}

#[tokio::test]
async fn instances_are_monitored_all_or_none_and_their_guests_read_it() {
    let (test, id) = stopped().await;
    let unknown = json!({"InstanceIds": [id, "i-00000000000000001"]});
    assert_eq!(
        test.refused("MonitorInstances", unknown).await,
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(
        test.refused("MonitorInstances", json!({"InstanceIds": []})).await,
        "MissingParameter"
    );
    let leaf = "dynamic/fws/instance-monitoring";
    assert_eq!(told(&test, &id, leaf).await, "disabled");
    for (operation, state) in [("MonitorInstances", "enabled"), ("UnmonitorInstances", "disabled")] {
        let request = json!({"InstanceIds": [id]});
        let answer = test.call(operation, request).await.unwrap();
        let expected = json!([{"InstanceId": id, "Monitoring": {"State": state}}]);
        assert_eq!(answer["InstanceMonitorings"], expected);
        let filter = json!({"Filters": [{"Name": "monitoring-state", "Values": [state]}]});
        let listed = test.call("DescribeInstances", filter).await.unwrap();
        assert_eq!(
            listed["Reservations"][0]["Instances"][0]["Monitoring"],
            json!({"State": state})
        );
        assert_eq!(told(&test, &id, leaf).await, state);
    }
}

#[tokio::test]
async fn maintenance_options_are_changed_one_by_one() {
    let (test, id) = stopped().await;
    let recovery = of(&id, json!({"AutoRecovery": "disabled"}));
    let answer = test.call("ModifyInstanceMaintenanceOptions", recovery).await.unwrap();
    assert_eq!(
        answer,
        json!({"InstanceId": id, "AutoRecovery": "disabled", "RebootMigration": "default"})
    );
    let migration = of(&id, json!({"RebootMigration": "disabled"}));
    test.call("ModifyInstanceMaintenanceOptions", migration).await.unwrap();
    assert_eq!(
        described(&test, &id).await["MaintenanceOptions"],
        json!({"AutoRecovery": "disabled", "RebootMigration": "disabled"})
    );
    let nothing = of(&id, json!({}));
    let refused = test.refused("ModifyInstanceMaintenanceOptions", nothing).await;
    assert_eq!(refused, "MissingParameter");
}

#[tokio::test]
async fn a_stopped_instance_is_named_by_its_id_or_its_address_and_its_guest_is_told_so() {
    let (test, id, _, _) = world_with_instance().await;
    let name = async || {
        described(&test, &id).await["PrivateDnsName"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let by_address = name().await;
    assert!(by_address.starts_with("ip-10-0-0-"), "{by_address}");
    let by_id = format!("{id}.local-1.compute.internal");
    for (kind, expected) in [("resource-name", &by_id), ("ip-name", &by_address)] {
        let change = of(&id, json!({"PrivateDnsHostnameType": kind}));
        let answer = test.call("ModifyPrivateDnsNameOptions", change).await.unwrap();
        assert_eq!(answer, json!({"Return": true}));
        assert_eq!(name().await, *expected);
        assert_eq!(told(&test, &id, "meta-data/hostname").await, *expected);
    }
    let change = async |change: Value| test.call("ModifyPrivateDnsNameOptions", of(&id, change)).await;
    on_record(&test, &id, InstanceState::Running).await;
    let kind = json!({"PrivateDnsHostnameType": "resource-name"});
    let refused = change(kind).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "IncorrectInstanceState");
    change(json!({"EnableResourceNameDnsARecord": true})).await.unwrap();
    assert_eq!(
        described(&test, &id).await["PrivateDnsNameOptions"]["EnableResourceNameDnsARecord"],
        json!(true)
    );
    assert_eq!(change(json!({})).await.unwrap_err().code.as_str(), "MissingParameter");
    for (filter, value, other) in [
        ("private-dns-name-options.hostname-type", "ip-name", "resource-name"),
        (
            "private-dns-name-options.enable-resource-name-dns-a-record",
            "true",
            "false",
        ),
        (
            "private-dns-name-options.enable-resource-name-dns-aaaa-record",
            "false",
            "true",
        ),
        ("maintenance-options.auto-recovery", "default", "disabled"),
        ("source-dest-check", "true", "false"),
    ] {
        for (value, found) in [(value, 1), (other, 0)] {
            let filter = json!({"Filters": [{"Name": filter, "Values": [value]}]});
            let listed = test.call("DescribeInstances", filter.clone()).await.unwrap();
            let listed = listed["Reservations"].as_array().unwrap().len();
            assert_eq!(listed, found, "{filter}");
        }
    }
}

#[tokio::test]
async fn a_stopped_instance_has_as_many_cpus_as_are_asked_for_and_its_type_allows() {
    let (test, id) = stopped().await;
    let of_type = of(&id, json!({"InstanceType": {"Value": "c5.xlarge"}}));
    test.call("ModifyInstanceAttribute", of_type).await.unwrap();
    let cpus = |cores: i64, threads: i64| of(&id, json!({"CoreCount": cores, "ThreadsPerCore": threads}));
    let answer = test.call("ModifyInstanceCpuOptions", cpus(1, 1)).await.unwrap();
    assert_eq!(answer, json!({"InstanceId": id, "CoreCount": 1, "ThreadsPerCore": 1}));
    let test = test.restart().await;
    let shown = json!({"CoreCount": 1, "ThreadsPerCore": 1});
    assert_eq!(described(&test, &id).await["CpuOptions"], shown);
    // The type's own number is the bound, not that of the last change.
    test.call("ModifyInstanceCpuOptions", cpus(2, 2)).await.unwrap();
    for (change, code) in [
        (cpus(3, 1), "InvalidParameterValue"),
        (cpus(1, 0), "InvalidParameterValue"),
        (of(&id, json!({"CoreCount": 1})), "MissingParameter"),
        (of(&id, json!({})), "MissingParameter"),
        (
            of(&id, json!({"NestedVirtualization": "enabled"})),
            "UnsupportedOperation",
        ),
        (with(cpus(1, 1), json!({"DryRun": true})), "DryRunOperation"),
    ] {
        let refused = test.refused("ModifyInstanceCpuOptions", change.clone()).await;
        assert_eq!(refused, code, "{change}");
    }
    on_record(&test, &id, InstanceState::Running).await;
    assert_eq!(
        test.refused("ModifyInstanceCpuOptions", cpus(1, 1)).await,
        "IncorrectInstanceState"
    );
    on_record(&test, &id, InstanceState::Stopped).await;
    // A new type comes with all of its own.
    let of_type = of(&id, json!({"InstanceType": {"Value": "c5.large"}}));
    test.call("ModifyInstanceAttribute", of_type).await.unwrap();
    assert_eq!(
        described(&test, &id).await["CpuOptions"],
        json!({"CoreCount": 1, "ThreadsPerCore": 2})
    );
}

#[tokio::test]
async fn cpu_credits_are_of_burstable_types_alone() {
    let (test, id) = stopped().await;
    let other = stopped_instance(&test).await.to_string();
    let test = test.restart().await;
    let of_type = of(&other, json!({"InstanceType": {"Value": "m5.large"}}));
    test.call("ModifyInstanceAttribute", of_type).await.unwrap();
    let listed = async |request: Value| {
        let answer = test.call("DescribeInstanceCreditSpecifications", request).await;
        answer.map(|answer| answer["InstanceCreditSpecifications"].clone())
    };
    let of_one = |option: &str| json!([{"InstanceId": id, "CpuCredits": option}]);
    assert_eq!(listed(json!({})).await.unwrap(), of_one("unlimited"));
    let refused = listed(json!({"InstanceIds": [other]})).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "InstanceCreditSpecification.NotSupported");

    let item = |id: &str| json!({"InstanceId": id, "CpuCredits": "standard"});
    let change =
        json!({"InstanceCreditSpecifications": [item(&id), item(&other), item("i-1"), item("i-00000000000000001")]});
    let dry = with(change.clone(), json!({"DryRun": true}));
    let refused = test.refused("ModifyInstanceCreditSpecification", dry).await;
    assert_eq!(refused, "DryRunOperation");
    let answer = test.call("ModifyInstanceCreditSpecification", change).await.unwrap();
    assert_eq!(
        answer["SuccessfulInstanceCreditSpecifications"],
        json!([{"InstanceId": id}])
    );
    let failed = answer["UnsuccessfulInstanceCreditSpecifications"].as_array().unwrap();
    let codes: Vec<_> = failed
        .iter()
        .map(|one| one["Error"]["Code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "InstanceCreditSpecification.NotSupported",
            "InvalidInstanceID.Malformed",
            "InvalidInstanceID.NotFound"
        ]
    );
    assert_eq!(listed(json!({})).await.unwrap(), json!([]));
    assert_eq!(listed(json!({"InstanceIds": [id]})).await.unwrap(), of_one("standard"));
    let endless = json!({"InstanceCreditSpecifications": [{"InstanceId": id, "CpuCredits": "endless"}]});
    let refused = test.refused("ModifyInstanceCreditSpecification", endless).await;
    assert_eq!(refused, "InvalidParameterValue");
}

#[tokio::test]
async fn an_instance_stays_where_it_is_and_is_asked_to_go_nowhere_else() {
    let (test, id) = stopped().await;
    for same in [
        json!({"Tenancy": "default"}),
        json!({"Affinity": "default"}),
        json!({"GroupName": ""}),
    ] {
        let answer = test.call("ModifyInstancePlacement", of(&id, same)).await.unwrap();
        assert_eq!(answer, json!({"Return": true}));
    }
    for other in [
        json!({"Tenancy": "dedicated"}),
        json!({"Affinity": "host"}),
        json!({"HostId": "h-00000000000000001"}),
        json!({"GroupName": "g"}),
        json!({"Tenancy": "default", "PartitionNumber": 1}),
    ] {
        let refused = test.refused("ModifyInstancePlacement", of(&id, other.clone())).await;
        assert_eq!(refused, "UnsupportedOperation", "{other}");
    }
    let nothing = test.refused("ModifyInstancePlacement", of(&id, json!({}))).await;
    assert_eq!(nothing, "MissingParameter");
    on_record(&test, &id, InstanceState::Running).await;
    let runs = of(&id, json!({"Tenancy": "default"}));
    assert_eq!(
        test.refused("ModifyInstancePlacement", runs).await,
        "IncorrectInstanceState"
    );
}

#[tokio::test]
async fn launches_take_of_the_account_what_they_do_not_say_of_metadata() {
    let test = world().await;
    let level = async |test: &TestWorld| {
        let answer = test.call("GetInstanceMetadataDefaults", json!({})).await.unwrap();
        answer["AccountLevel"].clone()
    };
    assert_eq!(level(&test).await, json!({"ManagedBy": "account"}));
    let defaults = json!({"HttpTokens": "optional", "HttpPutResponseHopLimit": 5, "InstanceMetadataTags": "enabled"});
    let dry = with(defaults.clone(), json!({"DryRun": true}));
    assert_eq!(
        test.refused("ModifyInstanceMetadataDefaults", dry).await,
        "DryRunOperation"
    );
    test.call("ModifyInstanceMetadataDefaults", defaults.clone())
        .await
        .unwrap();
    let test = test.restart().await;
    assert_eq!(level(&test).await, with(defaults, json!({"ManagedBy": "account"})));

    let own = json!({"MetadataOptions": {"HttpPutResponseHopLimit": 1}});
    let launched = test.call("RunInstances", with(request(1), own)).await.unwrap();
    let options = &launched["Instances"][0]["MetadataOptions"];
    assert_eq!(
        (
            &options["HttpTokens"],
            &options["HttpPutResponseHopLimit"],
            &options["InstanceMetadataTags"]
        ),
        (&json!("optional"), &json!(1), &json!("enabled"))
    );
    let other = json!({"HttpTokensEnforced": "enabled", "HttpPutResponseHopLimit": -1, "InstanceMetadataTags": "no-preference"});
    test.call("ModifyInstanceMetadataDefaults", other).await.unwrap();
    assert_eq!(
        level(&test).await,
        json!({"ManagedBy": "account", "HttpTokens": "optional", "HttpTokensEnforced": "enabled"})
    );
    // The account's own default is refused as well, where no launch says better.
    assert_eq!(test.refused("RunInstances", request(1)).await, "UnsupportedOperation");
    let required = json!({"MetadataOptions": {"HttpTokens": "required"}});
    let launched = test.call("RunInstances", with(request(1), required)).await.unwrap();
    let optional = of(
        &stopped_instance(&test).await.to_string(),
        json!({"HttpTokens": "optional"}),
    );
    assert_eq!(
        test.refused("ModifyInstanceMetadataOptions", optional).await,
        "UnsupportedOperation"
    );
    let limit = json!({"HttpPutResponseHopLimit": 65});
    assert_eq!(
        test.refused("ModifyInstanceMetadataDefaults", limit).await,
        "InvalidParameterValue"
    );
    reaches(&test, &ids(&launched)[0], "terminated").await;
}

#[tokio::test]
async fn guests_have_no_password_no_display_and_no_uefi() {
    let (test, id) = stopped().await;
    let password = test.call("GetPasswordData", of(&id, json!({}))).await.unwrap();
    assert_eq!(
        (&password["InstanceId"], &password["PasswordData"]),
        (&json!(id), &json!(""))
    );
    for operation in ["GetConsoleScreenshot", "GetInstanceUefiData"] {
        assert_eq!(
            test.refused(operation, of(&id, json!({}))).await,
            "UnsupportedOperation"
        );
    }
    for operation in ["GetPasswordData", "GetConsoleScreenshot", "GetInstanceUefiData"] {
        let unknown = of("i-00000000000000001", json!({}));
        assert_eq!(test.refused(operation, unknown).await, "InvalidInstanceID.NotFound");
    }
}
