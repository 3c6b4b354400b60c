//! CreateTags, DeleteTags, DescribeTags.

use super::filter::{Filter, Filters};
use super::ids;
use super::paging::{MAX_RESULTS, Page};
use super::tagging::{WireTag, parse_tags, reserved, too_many};
use super::{ApiError, Call, Code, Operation};
use crate::model::{MAX_TAGS, RESERVED_KEY, ResourceId};
use crate::store;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The operations of this file.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateTags", create),
        Operation::new("DeleteTags", delete),
        Operation::new("DescribeTags", describe),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateTags {
    resources: Vec<String>,
    tags: Vec<WireTag>,
}

async fn create(call: Call, request: CreateTags) -> Result<(), ApiError> {
    let resources = resources(&request.resources)?;
    let tags = parse_tags(request.tags)?;
    let dry_run = call.dry_run;
    let tagged = resources.clone();
    let done = call.world.store.write(move |store| {
        for resource in resources {
            must_exist(store, resource)?;
            for tag in &tags {
                store::tags::put(store, resource, tag)?;
            }
            let given = store::tags::of(store, resource)?.into_iter();
            if given.filter(|tag| !tag.key.starts_with(RESERVED_KEY)).count() > MAX_TAGS {
                return Err(too_many());
            }
        }
        // An error undoes the whole transaction, so a dry run checks all that the real one does.
        if dry_run { Err(super::call::dry_run()) } else { Ok(()) }
    });
    done.await?;
    tell_guests(&call, &tagged).await;
    Ok(())
}

/// Guests may read their own tags. One that can't be told has the old ones until it is.
async fn tell_guests(call: &Call, resources: &[ResourceId]) {
    for resource in resources {
        if let ResourceId::Instance(id) = resource
            && let Err(error) = call.world.instances.tell(*id).await
        {
            tracing::warn!(instance = %id, error = %crate::chain::chain(&error), "A guest is told old tags");
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteTags {
    resources: Vec<String>,
    #[serde(default)]
    tags: Vec<DeletedTag>,
}

/// A tag to take off: whatever its value, if none is given.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeletedTag {
    key: Option<String>,
    value: Option<String>,
}

async fn delete(call: Call, request: DeleteTags) -> Result<(), ApiError> {
    let resources = resources(&request.resources)?;
    if request
        .tags
        .iter()
        .any(|tag| tag.key.as_deref().is_none_or(str::is_empty))
    {
        return Err(ApiError::new(Code::MissingParameter, "Each tag to delete needs a Key"));
    }
    let is_reserved = |tag: &DeletedTag| tag.key.as_ref().is_some_and(|key| key.starts_with(RESERVED_KEY));
    if request.tags.iter().any(is_reserved) {
        return Err(reserved());
    }
    call.checked()?;
    let untagged = resources.clone();
    let done = call.world.store.write(move |store| {
        for resource in resources {
            if request.tags.is_empty() {
                store::tags::remove_given(store, resource)?;
            }
            for tag in &request.tags {
                let key = tag.key.as_deref().unwrap_or_default();
                store::tags::remove(store, resource, key, tag.value.as_deref())?;
            }
        }
        Ok::<_, ApiError>(())
    });
    done.await?;
    tell_guests(&call, &untagged).await;
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeTags {
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedTags {
    tags: Vec<TagDescription>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagDescription {
    resource_id: String,
    resource_type: &'static str,
    key: String,
    value: String,
}

async fn describe(call: Call, request: DescribeTags) -> Result<DescribedTags, ApiError> {
    let filters = Filters::new(request.filters, &["key", "resource-id", "resource-type", "value"], true)?;
    let page = Page::new(
        call.digest,
        request.next_token.as_deref(),
        request.max_results,
        &MAX_RESULTS,
        false,
    )?;
    let all = call.world.store.read(store::tags::list).await?;
    let described = all.into_iter().map(|tagged| TagDescription {
        resource_id: tagged.resource.to_string(),
        resource_type: tagged.resource.resource_type(),
        key: tagged.tag.key,
        value: tagged.tag.value,
    });
    let passing = described.filter(|tag| {
        let values = |name: &str| match name {
            "key" => vec![tag.key.clone()],
            "resource-id" => vec![tag.resource_id.clone()],
            "resource-type" => vec![tag.resource_type.to_owned()],
            _ => vec![tag.value.clone()],
        };
        filters.pass(values, [(tag.key.as_str(), tag.value.as_str())])
    });
    // An id has no space in it, so the order of these keys is that of the store.
    let (tags, next_token) = page.cut(passing, |tag| format!("{} {}", tag.resource_id, tag.key));
    Ok(DescribedTags { tags, next_token })
}

fn resources(ids: &[String]) -> Result<Vec<ResourceId>, ApiError> {
    ids::parse_all(ids, Code::InvalidId)
}

/// Refuses a resource that is not there, with the code of its kind.
fn must_exist(store: &Connection, resource: ResourceId) -> Result<(), ApiError> {
    match store::tags::has_resource(store, resource)? {
        true => Ok(()),
        false => Err(ids::not_found(
            not_found(resource),
            resource.resource_type(),
            &[resource],
        )),
    }
}

/// EC2's code for a resource of that kind that is not there.
const fn not_found(resource: ResourceId) -> Code {
    match resource {
        ResourceId::Instance(_) => Code::InvalidInstanceIdNotFound,
        ResourceId::Image(_) => Code::InvalidAmiIdNotFound,
        ResourceId::Volume(_) => Code::InvalidVolumeNotFound,
        ResourceId::Snapshot(_) => Code::InvalidSnapshotNotFound,
        ResourceId::ImportTask(_) => Code::InvalidConversionTaskId,
        ResourceId::ExportTask(_) => Code::InvalidExportTaskIdNotFound,
        ResourceId::ReplaceRootVolumeTask(_) => Code::InvalidReplaceRootVolumeTaskIdNotFound,
        ResourceId::Kernel(_) => Code::InvalidAkiIdNotFound,
        ResourceId::Ramdisk(_) => Code::InvalidAriIdNotFound,
        ResourceId::KeyPair(_) => Code::InvalidKeyPairNotFound,
        ResourceId::Vpc(_) => Code::InvalidVpcIdNotFound,
        ResourceId::Subnet(_) => Code::InvalidSubnetIdNotFound,
        ResourceId::DhcpOptions(_) => Code::InvalidDhcpOptionIdNotFound,
        ResourceId::InternetGateway(_) => Code::InvalidInternetGatewayIdNotFound,
        ResourceId::RouteTable(_) => Code::InvalidRouteTableIdNotFound,
        ResourceId::NetworkAcl(_) => Code::InvalidNetworkAclIdNotFound,
        ResourceId::SecurityGroup(_) => Code::InvalidGroupNotFound,
        ResourceId::SecurityGroupRule(_) => Code::InvalidSecurityGroupRuleIdNotFound,
        ResourceId::PrefixList(_) => Code::InvalidPrefixListIdNotFound,
        ResourceId::LaunchTemplate(_) => Code::InvalidLaunchTemplateIdNotFound,
        ResourceId::NetworkInterface(_) => Code::InvalidNetworkInterfaceIdNotFound,
        ResourceId::ElasticIp(_) => Code::InvalidAllocationIdNotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestWorld;
    use crate::model::{Snapshot, SnapshotId, SnapshotState};
    use crate::store;
    use serde_json::json;
    use time::OffsetDateTime;

    /// A world with two snapshots in it.
    async fn world() -> (TestWorld, String, String) {
        let world = TestWorld::new().await;
        for bits in [1, 2] {
            let snapshot = Snapshot {
                id: SnapshotId::from_random(bits),
                size: 1,
                volume: None,
                state: SnapshotState::Completed,
                state_message: None,
                description: None,
                digest: None,
                created: OffsetDateTime::UNIX_EPOCH,
            };
            let put = world
                .world
                .store
                .write(move |store| store::snapshots::put(store, &snapshot));
            put.await.unwrap();
        }
        let id = |bits| SnapshotId::from_random(bits).to_string();
        (world, id(1), id(2))
    }

    #[tokio::test]
    async fn tags_are_put_on_all_resources_or_on_none() {
        let (world, one, two) = world().await;
        let tags = json!([{"Key": "Name", "Value": "root"}, {"Key": "empty"}]);
        let missing = SnapshotId::from_random(3).to_string();
        let refused = world
            .refused("CreateTags", json!({"Resources": [one, missing], "Tags": tags}))
            .await;
        assert_eq!(refused, "InvalidSnapshot.NotFound");
        let none = world.call("DescribeTags", json!({})).await.unwrap();
        assert_eq!(none, json!({"Tags": []}));
        world
            .call("CreateTags", json!({"Resources": [one, two], "Tags": tags}))
            .await
            .unwrap();
        let found = world
            .call("DescribeTags", json!({"Filters": [{"Name": "key", "Values": ["N*"]}]}))
            .await
            .unwrap();
        let of = |id: &str| json!({"Key": "Name", "Value": "root", "ResourceId": id, "ResourceType": "snapshot"});
        assert_eq!(found, json!({"Tags": [of(&one), of(&two)]}));
    }

    #[tokio::test]
    async fn a_dry_run_checks_everything_and_changes_nothing() {
        let (world, one, _) = world().await;
        let request = |key: &str| json!({"DryRun": true, "Resources": [one], "Tags": [{"Key": key, "Value": ""}]});
        assert_eq!(world.refused("CreateTags", request("k")).await, "DryRunOperation");
        assert_eq!(
            world.refused("CreateTags", request("aws:k")).await,
            "InvalidParameterValue"
        );
        assert_eq!(
            world.refused("DescribeTags", json!({"DryRun": true})).await,
            "DryRunOperation"
        );
        assert_eq!(
            world.call("DescribeTags", json!({})).await.unwrap(),
            json!({"Tags": []})
        );
    }

    #[tokio::test]
    async fn a_tag_goes_by_key_by_key_and_value_or_with_all_others() {
        let (world, one, _) = world().await;
        let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]);
        world
            .call("CreateTags", json!({"Resources": [one], "Tags": tags}))
            .await
            .unwrap();
        let left = async |tags: serde_json::Value| {
            let mut request = json!({"Resources": [one]});
            if !tags.is_null() {
                request["Tags"] = tags;
            }
            world.call("DeleteTags", request).await.unwrap();
            let left = world.call("DescribeTags", json!({})).await.unwrap();
            left["Tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| tag["Key"].as_str().unwrap().to_owned())
                .collect::<String>()
        };
        assert_eq!(left(json!([{"Key": "a", "Value": "other"}])).await, "abc");
        assert_eq!(left(json!([{"Key": "a", "Value": "1"}, {"Key": "b"}])).await, "c");
        assert_eq!(left(serde_json::Value::Null).await, "");
    }

    #[tokio::test]
    async fn a_resource_has_fifty_tags_at_most() {
        let (world, one, _) = world().await;
        let some = |from: usize| {
            (from..from + 30)
                .map(|n| json!({"Key": n.to_string(), "Value": ""}))
                .collect::<Vec<_>>()
        };
        world
            .call("CreateTags", json!({"Resources": [one], "Tags": some(0)}))
            .await
            .unwrap();
        let refused = world
            .refused("CreateTags", json!({"Resources": [one], "Tags": some(30)}))
            .await;
        assert_eq!(refused, "TagLimitExceeded");
        let page = world.call("DescribeTags", json!({"MaxResults": 20})).await.unwrap();
        let rest = json!({"MaxResults": 20, "NextToken": page["NextToken"]});
        let rest = world.call("DescribeTags", rest).await.unwrap();
        assert_eq!(rest["Tags"].as_array().unwrap().len(), 10);
        assert!(rest.get("NextToken").is_none());
    }

    #[tokio::test]
    async fn an_id_that_is_none_is_malformed() {
        let (world, ..) = world().await;
        let request = json!({"Resources": ["snap-1"], "Tags": []});
        assert_eq!(world.refused("CreateTags", request).await, "InvalidID");
    }
}
