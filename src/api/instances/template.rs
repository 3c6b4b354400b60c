//! RunInstances by a launch template: what the request does not say itself is taken from the version that it names.

use super::super::operation::parse;
use super::super::templates::{Launch, for_launch};
use super::super::{ApiError, Call};
use super::repeat;
use super::run::{self, RunInstances};
use super::wire::WireReservation;
use crate::model::Tag;
use serde_json::{Map, Value};

/// Members that a template has by another name than RunInstances.
const RENAMED: [(&str, &str); 2] = [
    ("ElasticGpuSpecifications", "ElasticGpuSpecification"),
    ("RamDiskId", "RamdiskId"),
];
/// Members that say one thing in two ways: who uses one has no use for a template's other.
const GROUPS: [&str; 2] = ["SecurityGroupIds", "SecurityGroups"];

pub(super) async fn run(call: Call, mut request: Map<String, Value>) -> Result<WireReservation, ApiError> {
    const NAME: &str = "RunInstances";
    let token = request.get("ClientToken").and_then(Value::as_str).map(str::to_owned);
    // A dry run launches nothing that could have been launched before.
    if !call.dry_run
        && let Some(answer) = repeat::answered(&call, token).await?
    {
        return Ok(answer);
    }
    let mut template_tags = Vec::new();
    if let Some(named) = request.remove("LaunchTemplate") {
        let launch = for_launch(&call, parse(NAME, named)?).await?;
        template_tags = tags(&launch);
        fill(&mut request, launch.data);
    }
    let mut request: RunInstances = parse(NAME, request.into())?;
    request.template_tags = template_tags;
    run::run(call, request).await
}

/// The tags by which EC2 says what an instance was launched by.
fn tags(launch: &Launch) -> Vec<Tag> {
    let tag = |key: &str, value: String| Tag {
        key: format!("aws:ec2launchtemplate:{key}"),
        value,
    };
    vec![
        tag("id", launch.template.to_string()),
        tag("version", launch.version.to_string()),
    ]
}

/// Adds a template's members to a request. Those that the request has itself win, each as a whole.
fn fill(request: &mut Map<String, Value>, template: Map<String, Value>) {
    let said = GROUPS.iter().any(|member| request.contains_key(*member));
    for (name, value) in template {
        if said && GROUPS.contains(&name.as_str()) {
            continue;
        }
        let renamed = RENAMED.iter().find(|(of_template, _)| *of_template == name);
        let name = renamed.map_or(name, |(_, of_request)| (*of_request).to_owned());
        request.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::TestWorld;
    use super::super::tests::{request, with, world};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_requests_own_members_win_and_a_templates_get_the_requests_names() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let mut request = object(json!({"InstanceType": "t3.nano", "SecurityGroups": ["a"]}));
        let template = json!({
            "InstanceType": "t3.micro", "ImageId": "ami-1", "SecurityGroupIds": ["sg-1"], "RamDiskId": "ari-1",
        });
        fill(&mut request, object(template));
        assert_eq!(
            Value::Object(request),
            json!({"InstanceType": "t3.nano", "SecurityGroups": ["a"], "ImageId": "ami-1", "RamdiskId": "ari-1"})
        );
    }

    /// A template of two versions, of which the second asks for what kiln does not serve.
    async fn template(test: &TestWorld) -> String {
        let data = with(
            json!({"ImageId": request(1)["ImageId"], "InstanceType": "t3.nano"}),
            json!({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]}),
        );
        let create = json!({"LaunchTemplateName": "web", "LaunchTemplateData": data});
        let created = test.call("CreateLaunchTemplate", create).await.unwrap();
        let id = created["LaunchTemplate"]["LaunchTemplateId"]
            .as_str()
            .unwrap()
            .to_owned();
        let second = json!({
            "LaunchTemplateId": id, "SourceVersion": "1",
            "LaunchTemplateData": {"LicenseSpecifications": [{"LicenseConfigurationArn": "arn"}]},
        });
        test.call("CreateLaunchTemplateVersion", second).await.unwrap();
        id
    }

    fn launch(named: Value) -> Value {
        json!({"MinCount": 1, "MaxCount": 1, "LaunchTemplate": named})
    }

    #[tokio::test]
    async fn an_instance_is_launched_by_a_template_and_says_so() {
        let test = world().await;
        let id = template(&test).await;
        let by_name = launch(json!({"LaunchTemplateName": "web"}));
        let launched = test.call("RunInstances", by_name).await.unwrap();
        let instance = &launched["Instances"][0];
        assert_eq!(instance["InstanceType"], "t3.nano");
        let tags = json!([
            {"Key": "Name", "Value": "web"},
            {"Key": "aws:ec2launchtemplate:id", "Value": id},
            {"Key": "aws:ec2launchtemplate:version", "Value": "1"},
        ]);
        assert_eq!(instance["Tags"], tags);
        // Nobody but EC2 itself takes those tags off or gives them.
        let resources = json!([instance["InstanceId"]]);
        let untag = json!({"Resources": resources, "Tags": [{"Key": "aws:ec2launchtemplate:id"}]});
        assert_eq!(test.refused("DeleteTags", untag).await, "InvalidParameterValue");
        let tag = json!({"Resources": resources, "Tags": [{"Key": "aws:ec2launchtemplate:id", "Value": "x"}]});
        assert_eq!(test.refused("CreateTags", tag).await, "InvalidParameterValue");
        // They leave room for as many tags as any resource may have.
        let fill = |from: u32, to: u32| {
            let tags = (from..to).map(|n| json!({"Key": n.to_string(), "Value": ""}));
            json!({"Resources": resources, "Tags": tags.collect::<Vec<_>>()})
        };
        test.call("CreateTags", fill(1, 50)).await.unwrap();
        assert_eq!(test.refused("CreateTags", fill(50, 51)).await, "TagLimitExceeded");
        test.call("DeleteTags", json!({"Resources": resources})).await.unwrap();
        let left = json!({"Filters": [{"Name": "resource-type", "Values": ["instance"]}]});
        let left = test.call("DescribeTags", left).await.unwrap();
        assert_eq!(left["Tags"].as_array().unwrap().len(), 2, "{left}");
    }

    #[tokio::test]
    async fn what_a_template_asks_for_is_answered_when_it_is_launched() {
        let test = world().await;
        let id = template(&test).await;
        let latest = json!({"LaunchTemplateId": id, "Version": "$Latest"});
        assert_eq!(
            test.refused("RunInstances", launch(latest)).await,
            "UnsupportedOperation"
        );
        let dry = with(
            launch(json!({"LaunchTemplateId": id})),
            json!({"DryRun": true, "InstanceType": "t3.micro"}),
        );
        assert_eq!(test.refused("RunInstances", dry.clone()).await, "DryRunOperation");
        let unknown = with(dry, json!({"InstanceType": "t3.unknown"}));
        assert_eq!(test.refused("RunInstances", unknown).await, "InvalidParameterValue");
    }

    #[tokio::test]
    async fn a_template_that_is_not_there_launches_nothing() {
        let test = world().await;
        let id = template(&test).await;
        for (named, code) in [
            (json!({}), "MissingParameter"),
            (
                json!({"LaunchTemplateId": id, "LaunchTemplateName": "web"}),
                "InvalidParameterCombination",
            ),
            (json!({"LaunchTemplateId": "lt-1"}), "InvalidLaunchTemplateId.Malformed"),
            (
                json!({"LaunchTemplateId": "lt-0123456789abcdef0"}),
                "InvalidLaunchTemplateId.NotFound",
            ),
            (
                json!({"LaunchTemplateName": "another"}),
                "InvalidLaunchTemplateName.NotFoundException",
            ),
            (
                json!({"LaunchTemplateName": "web", "Version": "3"}),
                "InvalidLaunchTemplateId.VersionNotFound",
            ),
            (
                json!({"LaunchTemplateName": "web", "Version": "newest"}),
                "InvalidParameterValue",
            ),
        ] {
            assert_eq!(
                test.refused("RunInstances", launch(named.clone())).await,
                code,
                "{named}"
            );
        }
    }

    #[tokio::test]
    async fn what_an_instance_was_launched_with_makes_a_template_for_others() {
        let test = world().await;
        let more = json!({"UserData": "aGk=", "MetadataOptions": {"HttpTokens": "optional"}});
        let launched = test.call("RunInstances", with(request(1), more)).await.unwrap();
        let of = json!({"InstanceId": launched["Instances"][0]["InstanceId"]});
        let data = test.call("GetLaunchTemplateData", of).await.unwrap()["LaunchTemplateData"].clone();
        assert_eq!(data["UserData"], "aGk=");
        assert_eq!(data["MetadataOptions"]["HttpTokens"], "optional");
        assert_eq!(data["NetworkInterfaces"][0]["DeviceIndex"], 0);
        assert_eq!(data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"], 1);
        let create = json!({"LaunchTemplateName": "again", "LaunchTemplateData": data});
        test.call("CreateLaunchTemplate", create).await.unwrap();
        let again = with(launch(json!({"LaunchTemplateName": "again"})), json!({"DryRun": true}));
        assert_eq!(test.refused("RunInstances", again).await, "DryRunOperation");
        let missing = json!({"InstanceId": "i-0123456789abcdef0"});
        assert_eq!(
            test.refused("GetLaunchTemplateData", missing).await,
            "InvalidInstanceID.NotFound"
        );
    }
}
