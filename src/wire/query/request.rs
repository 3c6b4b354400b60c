//! From the tree of a request's parameters to the `Value` that its shape says: flat lists, dotted structures, text that is
//! a number.
//!
//! What is right in form and wrong in content (bounds, enumerations, what is required) is left to the check that all
//! faces share.

use super::parameters::Node;
use crate::api::shown::shown;
use crate::api::{ApiError, Code};
use crate::wire::model::{EC2, Member, Shape};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A request of an operation that the model has with its shapes.
///
/// # Errors
/// `UnknownParameter` for a name that the operation does not have, `InvalidParameterValue` for what is no number or no
/// boolean, `MalformedQueryString` for a list whose items are not numbered.
pub fn request(shape: &Shape, tree: &Node) -> Result<Value, ApiError> {
    value(shape, tree, "")
}

/// Leaves out identifiers, names and zones that are empty, for some clients write those that they don't have: Packer sends `VpcId=`
/// where the default VPC is meant, and `IamInstanceProfile.Name=` where there is no profile. Other empty text may be meant as it is,
/// a description or a tag's value say; and of a list no item is left out.
pub fn without_empty_names(request: &mut Value) {
    match request {
        Value::Object(members) => members.retain(|name, value| {
            let was_empty = is_empty(value);
            without_empty_names(value);
            let is_name = ["Id", "Name", "Zone"].iter().any(|end| name.ends_with(end));
            let nothing = is_name && value.as_str() == Some("") || !was_empty && is_empty(value);
            !nothing
        }),
        Value::Array(items) => items.iter_mut().for_each(without_empty_names),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn value(shape: &Shape, node: &Node, path: &str) -> Result<Value, ApiError> {
    match shape {
        Shape::Structure { members, .. } => structure(members, node, path),
        Shape::List { member, .. } => list(member, node, path),
        Shape::String { .. } | Shape::Blob | Shape::Timestamp => text(node, path).map(Value::from),
        Shape::Integer(_) | Shape::Long(_) => {
            let number = text(node, path)?;
            let parsed: Option<i64> = number.trim().parse().ok();
            parsed.map(Value::from).ok_or_else(|| wrong(number, path, "an integer"))
        }
        Shape::Double | Shape::Float => {
            let number = text(node, path)?;
            let parsed = number.trim().parse().ok().and_then(serde_json::Number::from_f64);
            parsed.map(Value::Number).ok_or_else(|| wrong(number, path, "a number"))
        }
        Shape::Boolean => match text(node, path)? {
            word if word.eq_ignore_ascii_case("true") => Ok(true.into()),
            word if word.eq_ignore_ascii_case("false") => Ok(false.into()),
            word => Err(wrong(word, path, "true or false")),
        },
    }
}

fn structure(members: &BTreeMap<&'static str, Member>, node: &Node, path: &str) -> Result<Value, ApiError> {
    must_have_no_value(node, path)?;
    let mut object = Map::new();
    for (name, child) in &node.children {
        let path = join(path, name);
        let member = members
            .iter()
            .find(|(own, member)| member.in_query(own) == name.as_str());
        let (own, member) = member.ok_or_else(|| unknown(&path))?;
        object.insert((*own).into(), of(member, child, &path)?);
    }
    Ok(Value::Object(object))
}

/// Items are numbered from 1; numbers may be left out, and the order is theirs.
fn list(member: &Member, node: &Node, path: &str) -> Result<Value, ApiError> {
    must_have_no_value(node, path)?;
    let mut items: Vec<(u32, &Node, String)> = Vec::with_capacity(node.children.len());
    for (number, child) in &node.children {
        let path = join(path, number);
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = number.parse().ok().filter(|number| digits && *number > 0);
        let number = parsed.ok_or_else(|| {
            let message = format!(
                "The parameter {} is not recognized: items of a list are numbered from 1",
                shown(&path)
            );
            ApiError::new(Code::MalformedQueryString, message)
        })?;
        items.push((number, child, path));
    }
    items.sort_unstable_by_key(|(number, ..)| *number);
    if items.windows(2).any(|two| two[0].0 == two[1].0) {
        let message = format!("An item of the list {} comes twice", shown(path));
        return Err(ApiError::new(Code::MalformedQueryString, message));
    }
    items.iter().map(|(_, child, path)| of(member, child, path)).collect()
}

fn of(member: &Member, node: &Node, path: &str) -> Result<Value, ApiError> {
    match EC2.of(member) {
        Some(shape) => value(shape, node, path),
        None => Err(unknown(path)),
    }
}

fn text<'a>(node: &'a Node, path: &str) -> Result<&'a str, ApiError> {
    if let Some(child) = node.children.keys().next() {
        return Err(unknown(&join(path, child)));
    }
    Ok(node.value.as_deref().unwrap_or_default())
}

/// A structure and a list have parts; a value of their own is nothing that they could mean.
fn must_have_no_value(node: &Node, path: &str) -> Result<(), ApiError> {
    match node.value.as_deref() {
        Some(value) => Err(wrong(value, path, "parts of it and not a value")),
        None => Ok(()),
    }
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() {
        part.to_owned()
    } else {
        format!("{path}.{part}")
    }
}

fn unknown(path: &str) -> ApiError {
    let message = format!("The parameter {} is not recognized", shown(path));
    ApiError::new(Code::UnknownParameter, message)
}

fn wrong(value: &str, path: &str, expected: &str) -> ApiError {
    let message = format!(
        "Value ({}) for parameter {} is invalid. Expecting {expected}",
        shown(value),
        shown(path)
    );
    ApiError::new(Code::InvalidParameterValue, message)
}

#[cfg(test)]
mod tests {
    use super::super::parameters::Pairs;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(operation: &str, form: &str) -> Result<Value, ApiError> {
        let tree = Pairs::parse(b"", form.as_bytes())?.tree()?;
        request(EC2.input(operation).unwrap(), &tree)
    }

    #[test]
    fn a_form_is_the_request_that_json_would_be() {
        let form = "ImageId=ami-1&MinCount=1&MaxCount=02&NetworkInterface.1.SecurityGroupId.1=sg-1\
                    &NetworkInterface.1.DeviceIndex=0&BlockDeviceMapping.10.DeviceName=b&BlockDeviceMapping.9.DeviceName=a\
                    &BlockDeviceMapping.9.Ebs.DeleteOnTermination=false&TagSpecification.1.Tag.1.Key=Name";
        let request = json!({
            "ImageId": "ami-1", "MinCount": 1, "MaxCount": 2,
            "NetworkInterfaces": [{"Groups": ["sg-1"], "DeviceIndex": 0}],
            "BlockDeviceMappings": [{"DeviceName": "a", "Ebs": {"DeleteOnTermination": false}}, {"DeviceName": "b"}],
            "TagSpecifications": [{"Tags": [{"Key": "Name"}]}],
        });
        assert_eq!(parsed("RunInstances", form), Ok(request));
    }

    #[test]
    fn an_identifier_or_name_that_is_empty_is_left_out_and_other_empty_text_is_not() {
        for (operation, form, kept) in [
            (
                "CreateSecurityGroup",
                "GroupDescription=&VpcId=",
                json!({"Description": ""}),
            ),
            (
                "CreateSecurityGroup",
                "VpcId=vpc-1&TagSpecification.1.Tag.1.Value=",
                json!({"VpcId": "vpc-1", "TagSpecifications": [{"Tags": [{"Value": ""}]}]}),
            ),
            (
                "RunInstances",
                "IamInstanceProfile.Name=&KeyName=&Placement.Tenancy=&Placement.AvailabilityZone=&NetworkInterface.1.SubnetId=",
                json!({"Placement": {"Tenancy": ""}, "NetworkInterfaces": [{}]}),
            ),
        ] {
            let mut request = parsed(operation, form).unwrap();
            without_empty_names(&mut request);
            assert_eq!(request, kept);
        }
    }

    #[test]
    fn what_is_wrong_is_named_as_the_client_named_it() {
        for (form, code, named) in [
            ("Colour=red", Code::UnknownParameter, "Colour"),
            ("ImageIds.1=a", Code::UnknownParameter, "ImageIds"),
            ("Filter.1.Values.1=a", Code::UnknownParameter, "Filter.1.Values"),
            ("MaxResults=many", Code::InvalidParameterValue, "MaxResults"),
            ("DryRun=perhaps", Code::InvalidParameterValue, "DryRun"),
            ("Filter=a", Code::InvalidParameterValue, "Filter"),
            ("Filter.x.Name=a", Code::MalformedQueryString, "Filter.x"),
            ("Filter.0.Name=a", Code::MalformedQueryString, "Filter.0"),
            ("ImageId.1=a&ImageId.01=b", Code::MalformedQueryString, "ImageId"),
            ("NextToken.1=a", Code::UnknownParameter, "NextToken.1"),
        ] {
            let error = parsed("DescribeImages", form).unwrap_err();
            assert_eq!(error.code, code, "{form}: {error}");
            assert!(error.message.contains(named), "{form}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_form_panics(form in "([A-Z][a-z]{0,8}|Filter|Value|Name|[0-9]{1,3}|[.=&]){0,24}") {
            let _ = parsed("DescribeImages", &form);
            let _ = parsed("RunInstances", &form);
        }
    }
}
