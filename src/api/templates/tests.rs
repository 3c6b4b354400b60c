//! Launch templates and their versions, from the outside.

use super::super::testing::TestWorld;
use serde_json::{Value, json};

async fn create(world: &TestWorld, name: &str) -> String {
    let request = json!({
        "LaunchTemplateName": name, "VersionDescription": "first",
        "LaunchTemplateData": {"InstanceType": "t3.nano", "KeyName": "k"},
    });
    let created = world.call("CreateLaunchTemplate", request).await.unwrap();
    created["LaunchTemplate"]["LaunchTemplateId"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn add_version(world: &TestWorld, id: &str, instance_type: &str) -> Value {
    let request = json!({
        "LaunchTemplateId": id, "SourceVersion": "$Latest", "LaunchTemplateData": {"InstanceType": instance_type},
    });
    world.call("CreateLaunchTemplateVersion", request).await.unwrap()["LaunchTemplateVersion"].clone()
}

/// The numbers of the versions that a request is shown.
async fn numbers(world: &TestWorld, request: Value) -> Vec<u64> {
    let answer = world.call("DescribeLaunchTemplateVersions", request).await.unwrap();
    let versions = answer["LaunchTemplateVersions"].as_array().unwrap().iter();
    versions
        .map(|version| version["VersionNumber"].as_u64().unwrap())
        .collect()
}

async fn names(world: &TestWorld, request: Value) -> Vec<String> {
    let answer = world.call("DescribeLaunchTemplates", request).await.unwrap();
    let templates = answer["LaunchTemplates"].as_array().unwrap().iter();
    let mut names: Vec<String> = templates
        .map(|template| template["LaunchTemplateName"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_template_is_made_with_its_first_version_and_outlives_the_daemon() {
    let world = TestWorld::new().await;
    let request = json!({
        "LaunchTemplateName": "web", "LaunchTemplateData": {"ImageId": "ami-1", "Monitoring": {"Enabled": true}},
        "TagSpecifications": [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}],
    });
    let created = world.call("CreateLaunchTemplate", request).await.unwrap()["LaunchTemplate"].clone();
    assert_eq!(created["DefaultVersionNumber"], 1);
    assert_eq!(created["LatestVersionNumber"], 1);
    assert_eq!(created["Tags"], json!([{"Key": "a", "Value": "b"}]));
    let world = world.restart().await;
    let found = world.call("DescribeLaunchTemplates", json!({})).await.unwrap();
    assert_eq!(found, json!({"LaunchTemplates": [created]}));
    let version = json!({"LaunchTemplateName": "web"});
    let version = world.call("DescribeLaunchTemplateVersions", version).await.unwrap();
    assert_eq!(
        version["LaunchTemplateVersions"][0]["LaunchTemplateData"],
        json!({"ImageId": "ami-1", "Monitoring": {"Enabled": true}})
    );
}

#[tokio::test]
async fn a_name_is_well_formed_and_one_templates_only() {
    let world = TestWorld::new().await;
    create(&world, "web").await;
    let request = |name: &str| json!({"LaunchTemplateName": name, "LaunchTemplateData": {"ImageId": "ami-1"}});
    for (name, code) in [
        ("web", "InvalidLaunchTemplateName.AlreadyExistsException"),
        ("we", "InvalidLaunchTemplateName.MalformedException"),
        ("w e b", "InvalidLaunchTemplateName.MalformedException"),
    ] {
        assert_eq!(world.refused("CreateLaunchTemplate", request(name)).await, code);
    }
    let empty = json!({"LaunchTemplateName": "other", "LaunchTemplateData": {}});
    assert_eq!(world.refused("CreateLaunchTemplate", empty).await, "MissingParameter");
    let dry = json!({"DryRun": true, "LaunchTemplateName": "web", "LaunchTemplateData": {"ImageId": "ami-1"}});
    let code = world.refused("CreateLaunchTemplate", dry).await;
    assert_eq!(code, "InvalidLaunchTemplateName.AlreadyExistsException");
    let dry = json!({"DryRun": true, "LaunchTemplateName": "other", "LaunchTemplateData": {"ImageId": "ami-1"}});
    assert_eq!(world.refused("CreateLaunchTemplate", dry).await, "DryRunOperation");
    assert_eq!(names(&world, json!({})).await, ["web"]);
}

#[tokio::test]
async fn a_token_makes_one_template_and_one_version() {
    let world = TestWorld::new().await;
    let request = |kind: &str| json!({"ClientToken": "t", "LaunchTemplateName": "web", "LaunchTemplateData": {"InstanceType": kind}});
    let first = world.call("CreateLaunchTemplate", request("t3.nano")).await.unwrap();
    assert_eq!(
        world.call("CreateLaunchTemplate", request("t3.nano")).await.unwrap(),
        first
    );
    let code = world.refused("CreateLaunchTemplate", request("t3.micro")).await;
    assert_eq!(code, "IdempotentParameterMismatch");
    let second = world
        .call("CreateLaunchTemplateVersion", request("t3.nano"))
        .await
        .unwrap();
    assert_eq!(second["LaunchTemplateVersion"]["VersionNumber"], 2);
    let again = world
        .call("CreateLaunchTemplateVersion", request("t3.nano"))
        .await
        .unwrap();
    assert_eq!(again, second);
    let code = world.refused("CreateLaunchTemplateVersion", request("t3.micro")).await;
    assert_eq!(code, "IdempotentParameterMismatch");
    assert_eq!(numbers(&world, json!({"LaunchTemplateName": "web"})).await, [2, 1]);
}

#[tokio::test]
async fn a_version_takes_from_its_source_what_it_does_not_say() {
    let world = TestWorld::new().await;
    let id = create(&world, "web").await;
    let second = add_version(&world, &id, "t3.micro").await;
    assert_eq!(second["VersionNumber"], 2);
    assert_eq!(second["DefaultVersion"], false);
    assert_eq!(
        second["LaunchTemplateData"],
        json!({"InstanceType": "t3.micro", "KeyName": "k"})
    );
    assert_eq!(second.get("VersionDescription"), None);
    let alone = json!({"LaunchTemplateId": id, "LaunchTemplateData": {"ImageId": "resolve:ssm:x"}});
    let third = world.call("CreateLaunchTemplateVersion", alone.clone()).await.unwrap();
    assert_eq!(
        third["LaunchTemplateVersion"]["LaunchTemplateData"],
        json!({"ImageId": "resolve:ssm:x"})
    );
    let missing = json!({"LaunchTemplateId": id, "SourceVersion": "9", "LaunchTemplateData": {}});
    let code = world.refused("CreateLaunchTemplateVersion", missing).await;
    assert_eq!(code, "InvalidLaunchTemplateId.VersionNotFound");
    let empty = json!({"LaunchTemplateId": id, "LaunchTemplateData": {}});
    assert_eq!(
        world.refused("CreateLaunchTemplateVersion", empty).await,
        "MissingParameter"
    );
    let resolved = json!({"LaunchTemplateId": id, "ResolveAlias": true});
    let code = world.refused("DescribeLaunchTemplateVersions", resolved).await;
    assert_eq!(code, "UnsupportedOperation");
}

#[tokio::test]
async fn templates_are_found_by_ids_names_filters_and_pages() {
    let world = TestWorld::new().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(create(&world, name).await);
    }
    let tag = json!({"Resources": [ids[1]], "Tags": [{"Key": "k", "Value": "v"}]});
    world.call("CreateTags", tag).await.unwrap();
    assert_eq!(names(&world, json!({"LaunchTemplateIds": [ids[0]]})).await, ["one"]);
    assert_eq!(
        names(
            &world,
            json!({"LaunchTemplateIds": [ids[0]], "LaunchTemplateNames": ["two"]})
        )
        .await,
        ["one", "two"]
    );
    let filter = |name: &str, value: &str| json!({"Filters": [{"Name": name, "Values": [value]}]});
    assert_eq!(
        names(&world, filter("launch-template-name", "t*")).await,
        ["three", "two"]
    );
    assert_eq!(names(&world, filter("tag:k", "v")).await, ["two"]);
    let page = world
        .call("DescribeLaunchTemplates", json!({"MaxResults": 2}))
        .await
        .unwrap();
    let rest = json!({"MaxResults": 2, "NextToken": page["NextToken"]});
    assert_eq!(names(&world, rest).await.len(), 1);
    for (request, code) in [
        (
            json!({"LaunchTemplateIds": ["lt-1"]}),
            "InvalidLaunchTemplateId.Malformed",
        ),
        (
            json!({"LaunchTemplateIds": ["lt-0123456789abcdef0"]}),
            "InvalidLaunchTemplateId.NotFound",
        ),
        (
            json!({"LaunchTemplateNames": ["four"]}),
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        (
            json!({"LaunchTemplateNames": ["one"], "MaxResults": 5}),
            "InvalidParameterCombination",
        ),
        (json!({"MaxResults": 201}), "InvalidParameterValue"),
    ] {
        assert_eq!(world.refused("DescribeLaunchTemplates", request).await, code);
    }
}

#[tokio::test]
async fn versions_are_found_by_numbers_words_ranges_filters_and_pages() {
    let world = TestWorld::new().await;
    let id = create(&world, "web").await;
    for kind in ["t3.micro", "t3.small", "t3.micro"] {
        add_version(&world, &id, kind).await;
    }
    let of = |more: Value| {
        let mut request = json!({"LaunchTemplateId": id});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    assert_eq!(numbers(&world, of(json!({}))).await, [4, 3, 2, 1]);
    assert_eq!(
        numbers(&world, of(json!({"Versions": ["$Default", "3"]}))).await,
        [3, 1]
    );
    assert_eq!(numbers(&world, of(json!({"Versions": ["$Latest", "4"]}))).await, [4]);
    assert_eq!(
        numbers(&world, of(json!({"MinVersion": "2", "MaxVersion": "3"}))).await,
        [3, 2]
    );
    let filter = |name: &str, value: &str| of(json!({"Filters": [{"Name": name, "Values": [value]}]}));
    assert_eq!(numbers(&world, filter("instance-type", "t3.micro")).await, [4, 2]);
    assert_eq!(numbers(&world, filter("is-default-version", "true")).await, [1]);
    let page = world
        .call("DescribeLaunchTemplateVersions", of(json!({"MaxResults": 3})))
        .await
        .unwrap();
    let rest = of(json!({"MaxResults": 3, "NextToken": page["NextToken"]}));
    assert_eq!(numbers(&world, rest).await, [1]);
    for (request, code) in [
        (json!({}), "MissingParameter"),
        (json!({"Versions": ["1"]}), "MissingParameter"),
        (
            of(json!({"Versions": ["5"]})),
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        (of(json!({"Versions": ["five"]})), "InvalidParameterValue"),
        (
            of(json!({"Versions": ["1"], "MinVersion": "1"})),
            "InvalidParameterCombination",
        ),
        (of(json!({"MinVersion": "$Latest"})), "InvalidParameterValue"),
        (of(json!({"LaunchTemplateName": "web"})), "InvalidParameterCombination"),
    ] {
        let refused = world.refused("DescribeLaunchTemplateVersions", request.clone()).await;
        assert_eq!(refused, code, "{request}");
    }
}

#[tokio::test]
async fn of_all_templates_the_latest_and_the_default_versions_are_shown() {
    let world = TestWorld::new().await;
    let one = create(&world, "one").await;
    create(&world, "two").await;
    add_version(&world, &one, "t3.micro").await;
    let mut latest = numbers(&world, json!({"Versions": ["$Latest"]})).await;
    latest.sort_unstable();
    assert_eq!(latest, [1, 2]);
    assert_eq!(
        numbers(&world, json!({"Versions": ["$Default", "$Latest"]}))
            .await
            .len(),
        3
    );
}

#[tokio::test]
async fn another_version_becomes_the_default_one() {
    let world = TestWorld::new().await;
    let id = create(&world, "web").await;
    add_version(&world, &id, "t3.micro").await;
    let modify = |version: &str| json!({"LaunchTemplateId": id, "DefaultVersion": version});
    let code = world.refused("ModifyLaunchTemplate", modify("3")).await;
    assert_eq!(code, "InvalidLaunchTemplateId.VersionNotFound");
    let code = world
        .refused("ModifyLaunchTemplate", json!({"LaunchTemplateId": id}))
        .await;
    assert_eq!(code, "MissingParameter");
    let modified = world.call("ModifyLaunchTemplate", modify("2")).await.unwrap();
    assert_eq!(modified["LaunchTemplate"]["DefaultVersionNumber"], 2);
    let default = json!({"LaunchTemplateId": id, "Versions": ["$Default"]});
    assert_eq!(numbers(&world, default).await, [2]);
}

#[tokio::test]
async fn versions_go_one_by_one_but_for_the_default_one_and_their_numbers_do_not_come_back() {
    let world = TestWorld::new().await;
    let id = create(&world, "web").await;
    add_version(&world, &id, "t3.micro").await;
    add_version(&world, &id, "t3.small").await;
    let delete = json!({"LaunchTemplateName": "web", "Versions": ["1", "3", "7"]});
    let deleted = world.call("DeleteLaunchTemplateVersions", delete).await.unwrap();
    let gone = json!([{"LaunchTemplateId": id, "LaunchTemplateName": "web", "VersionNumber": 3}]);
    assert_eq!(deleted["SuccessfullyDeletedLaunchTemplateVersions"], gone);
    let kept = &deleted["UnsuccessfullyDeletedLaunchTemplateVersions"];
    assert_eq!(kept[0]["VersionNumber"], 1);
    assert_eq!(kept[1]["ResponseError"]["Code"], "launchTemplateVersionDoesNotExist");
    assert_eq!(numbers(&world, json!({"LaunchTemplateId": id})).await, [2, 1]);
    let found = world.call("DescribeLaunchTemplates", json!({})).await.unwrap();
    assert_eq!(found["LaunchTemplates"][0]["LatestVersionNumber"], 2);
    assert_eq!(add_version(&world, &id, "t3.nano").await["VersionNumber"], 4);
    let words = json!({"LaunchTemplateId": id, "Versions": ["$Latest"]});
    let code = world.refused("DeleteLaunchTemplateVersions", words).await;
    assert_eq!(code, "InvalidParameterValue");
}

#[tokio::test]
async fn a_template_goes_with_its_versions_and_tags() {
    let world = TestWorld::new().await;
    let id = create(&world, "web").await;
    let tag = json!({"Resources": [id], "Tags": [{"Key": "k", "Value": "v"}]});
    world.call("CreateTags", tag.clone()).await.unwrap();
    let tags = world.call("DescribeTags", json!({})).await.unwrap();
    assert_eq!(
        tags["Tags"],
        json!([{"ResourceId": id, "ResourceType": "launch-template", "Key": "k", "Value": "v"}])
    );
    let dry = json!({"DryRun": true, "LaunchTemplateId": id});
    assert_eq!(world.refused("DeleteLaunchTemplate", dry).await, "DryRunOperation");
    let deleted = world
        .call("DeleteLaunchTemplate", json!({"LaunchTemplateId": id}))
        .await
        .unwrap();
    assert_eq!(deleted["LaunchTemplate"]["LaunchTemplateName"], "web");
    assert_eq!(
        world.call("DescribeTags", json!({})).await.unwrap(),
        json!({"Tags": []})
    );
    for (operation, request) in [
        ("DeleteLaunchTemplate", json!({"LaunchTemplateId": id})),
        ("DescribeLaunchTemplateVersions", json!({"LaunchTemplateId": id})),
        ("CreateTags", tag),
    ] {
        let code = world.refused(operation, request).await;
        assert_eq!(code, "InvalidLaunchTemplateId.NotFound", "{operation}");
    }
    create(&world, "web").await;
}
