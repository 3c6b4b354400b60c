//! What a version says: members of EC2's `RequestLaunchTemplateData`, as JSON.

use super::{ApiError, Code};
use crate::model::TemplateVersion;
use serde_json::{Map, Value};

/// The members by name.
pub(super) type Data = Map<String, Value>;

/// A version's members.
///
/// # Errors
/// An internal one: they were checked when they came.
pub(super) fn parse(version: &TemplateVersion) -> Result<Data, ApiError> {
    serde_json::from_str(&version.data).map_err(|error| ApiError::internal(&error))
}

/// The members of a version that is made of another: its own ones go first. As EC2 has it, the other's snapshots are
/// not taken over.
pub(super) fn based_on(mut source: Data, own: Data) -> Data {
    let mappings = source.get_mut("BlockDeviceMappings").and_then(Value::as_array_mut);
    for mapping in mappings.into_iter().flatten() {
        if let Some(ebs) = mapping.get_mut("Ebs").and_then(Value::as_object_mut) {
            ebs.remove("SnapshotId");
        }
    }
    source.extend(own);
    source
}

/// Refuses to show what an image's alias stands for: there is no parameter store.
///
/// # Errors
/// `UnsupportedOperation`.
pub(super) fn must_resolve(resolve: bool, data: &Data) -> Result<(), ApiError> {
    let image = data.get("ImageId").and_then(Value::as_str);
    if resolve && image.is_some_and(|image| image.starts_with("resolve:")) {
        let message = "There is no parameter store that says which image an alias stands for: leave ResolveAlias out";
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    Ok(())
}

/// The texts at a path of members, those of all items where a list is on the way.
pub(super) fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    match (value, path) {
        (Value::Array(items), _) => items.iter().flat_map(|item| texts(item, path)).collect(),
        (Value::Object(members), [name, rest @ ..]) => {
            let member = members.get(*name);
            member.map(|member| texts(member, rest)).unwrap_or_default()
        }
        (Value::String(text), []) => vec![text.clone()],
        (Value::Bool(_) | Value::Number(_), []) => vec![value.to_string()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(value: Value) -> Data {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_versions_own_members_replace_those_of_its_source_whose_snapshots_stay_behind() {
        let source = data(json!({
            "InstanceType": "t3.nano", "KeyName": "k",
            "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-1", "VolumeSize": 8}}],
        }));
        let merged = based_on(source.clone(), data(json!({"InstanceType": "t3.micro"})));
        assert_eq!(
            Value::Object(merged),
            json!({
                "InstanceType": "t3.micro", "KeyName": "k",
                "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 8}}],
            })
        );
        let own = data(json!({"BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-2"}}]}));
        let merged = based_on(source, own.clone());
        assert_eq!(merged["BlockDeviceMappings"], own["BlockDeviceMappings"]);
    }

    #[test]
    fn texts_are_found_through_structures_and_lists() {
        let value = json!({"A": [{"B": 1}, {"B": true}, {"C": "x"}], "D": {"E": "y"}});
        assert_eq!(texts(&value, &["A", "B"]), ["1", "true"]);
        assert_eq!(texts(&value, &["D", "E"]), ["y"]);
        assert!(texts(&value, &["D"]).is_empty() && texts(&value, &["X", "B"]).is_empty());
    }
}
