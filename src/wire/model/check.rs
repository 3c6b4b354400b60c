//! Checks a value against a shape of the model, and says what is wrong in EC2's codes, with the path of the member.
//!
//! Values come from anybody who may open the socket. The checks visit each part of a value once, so they end and take
//! no memory to speak of; the depth is bounded by the shapes and by [`MAX_DEPTH`].

use super::{Bounds, EC2, Member, Model, Shape};
use crate::api::shown::shown_up_to;
use crate::api::{ApiError, Code};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The deepest nesting of structures and lists; EC2's own shapes stay well below.
const MAX_DEPTH: usize = 24;
/// The most members of a list, where the model has no narrower bound.
const MAX_LIST: usize = 1000;
/// How much of a wrong value is shown, in characters.
const SHOWN: usize = 64;

/// Checks a request. An absent request is `{}`.
///
/// # Errors
/// `UnknownParameter`, `MissingParameter` or `InvalidParameterValue`, naming the member; `UnsupportedOperation` for an
/// operation of which the model has only the name; `InvalidAction` for one that EC2 does not have.
pub fn request(operation: &str, value: &Value) -> Result<(), ApiError> {
    Checker {
        model: &EC2,
        whole: true,
    }
    .value(input(operation)?, value, &Path::Root(operation))
}

/// The shape of an operation's request.
///
/// # Errors
/// `UnsupportedOperation` for an operation of which the model has only the name; `InvalidAction` for one that EC2 does not
/// have.
pub fn input(operation: &str) -> Result<&'static Shape, ApiError> {
    if EC2.operation(operation).is_none() {
        let shown = shown_up_to(operation, SHOWN);
        let message = format!("The action {shown} is not valid for this web service");
        return Err(ApiError::new(Code::InvalidAction, message));
    }
    EC2.input(operation).ok_or_else(|| unsupported(operation))
}

/// The error for an operation that EC2 has and kiln does not.
#[must_use]
pub fn unsupported(operation: &str) -> ApiError {
    ApiError::new(
        Code::UnsupportedOperation,
        format!("The operation {operation} is not served by kiln"),
    )
}

/// Whether an answer has only members that EC2's model has, of the right types.
///
/// # Errors
/// What is wrong with it.
pub fn answer(operation: &str, value: &Value) -> Result<(), ApiError> {
    match EC2.output(operation) {
        Some(shape) => Checker {
            model: &EC2,
            whole: false,
        }
        .value(shape, value, &Path::Root(operation)),
        None if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) => Ok(()),
        None => Err(ApiError::new(
            Code::UnknownParameter,
            format!("{operation} answers with nothing"),
        )),
    }
}

/// The way to a value, built on the stack and only written out when something is wrong.
enum Path<'a> {
    Root(&'a str),
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn depth(&self) -> usize {
        match self {
            Self::Root(_) => 0,
            Self::Member(parent, _) | Self::Item(parent, _) => 1 + parent.depth(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(operation) => write!(f, "{operation}"),
            Self::Member(Self::Root(_), name) => write!(f, "{name}"),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Checker<'m> {
    model: &'m Model,
    /// A request must have what is required and keep to enumerations and bounds; an answer of ours has what we serve.
    whole: bool,
}

impl Checker<'_> {
    fn value(&self, shape: &Shape, value: &Value, path: &Path) -> Result<(), ApiError> {
        match shape {
            Shape::Structure { members, required } => self.structure(members, required, value, path),
            Shape::List { member, min, max } => self.list(member, (*min, *max), value, path),
            Shape::String { values, min, max } => self.string(values, (*min, *max), value, path),
            Shape::Integer(bounds) => self.integer(bounds, i64::from(i32::MIN)..=i64::from(i32::MAX), value, path),
            Shape::Long(bounds) => self.integer(bounds, i64::MIN..=i64::MAX, value, path),
            Shape::Double | Shape::Float => expect(value.is_number(), value, path, "a number"),
            Shape::Boolean => expect(value.is_boolean(), value, path, "true or false"),
            Shape::Blob => expect(value.as_str().is_some_and(is_base64), value, path, "base64"),
            Shape::Timestamp => {
                let parsed = value
                    .as_str()
                    .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
                expect(
                    parsed.is_some(),
                    value,
                    path,
                    "a date and time such as 2026-01-02T03:04:05Z",
                )
            }
        }
    }

    fn structure(
        &self,
        members: &BTreeMap<&'static str, Member>,
        required: &[&'static str],
        value: &Value,
        path: &Path,
    ) -> Result<(), ApiError> {
        let object = value.as_object().ok_or_else(|| wrong(value, path, "a structure"))?;
        if path.depth() > MAX_DEPTH {
            return Err(invalid(format!("{path}: Nested deeper than {MAX_DEPTH} levels")));
        }
        for (name, value) in object {
            let path = Path::Member(path, name);
            let member = members
                .get(name.as_str())
                .ok_or_else(|| unknown(name, members, &path))?;
            self.member(member, value, &path)?;
        }
        match required.iter().find(|name| self.whole && !object.contains_key(**name)) {
            Some(name) => {
                let path = Path::Member(path, name);
                let message = format!("The request must contain the parameter {path}");
                Err(ApiError::new(Code::MissingParameter, message))
            }
            None => Ok(()),
        }
    }

    fn list(&self, member: &Member, (min, max): Range, value: &Value, path: &Path) -> Result<(), ApiError> {
        let items = value.as_array().ok_or_else(|| wrong(value, path, "a list"))?;
        let (min, max) = (min.unwrap_or(0), max.unwrap_or(MAX_LIST));
        if self.whole && !(min..=max).contains(&items.len()) {
            let message = format!("{path}: Expecting a list of {min} to {max}, not of {}", items.len());
            return Err(invalid(message));
        }
        items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| self.member(member, item, &Path::Item(path, index)))
    }

    fn member(&self, member: &Member, value: &Value, path: &Path) -> Result<(), ApiError> {
        match self.model.shape(member.shape) {
            Some(shape) => self.value(shape, value, path),
            None => unreachable!("a test of the model holds that every shape is there"),
        }
    }

    fn string(&self, values: &[&str], (min, max): Range, value: &Value, path: &Path) -> Result<(), ApiError> {
        let text = value.as_str().ok_or_else(|| wrong(value, path, "a text"))?;
        if !self.whole {
            return Ok(());
        }
        if !values.is_empty() && !values.contains(&text) {
            let most = 12;
            let more = if values.len() > most { ", …" } else { "" };
            let expected = format!("one of {}{more}", values[..values.len().min(most)].join(", "));
            return Err(wrong(value, path, &expected));
        }
        let (min, max) = (min.unwrap_or(0), max.unwrap_or(usize::MAX));
        let fits = (min..=max).contains(&text.chars().count());
        expect(fits, value, path, &format!("a text of {min} to {max} characters"))
    }

    fn integer(
        &self,
        bounds: &Bounds,
        range: std::ops::RangeInclusive<i64>,
        value: &Value,
        path: &Path,
    ) -> Result<(), ApiError> {
        let number = value.as_i64().filter(|number| range.contains(number));
        let number = number.ok_or_else(|| wrong(value, path, "an integer"))?;
        let (least, most) = range.into_inner();
        let (min, max) = (bounds.min.unwrap_or(least), bounds.max.unwrap_or(most));
        let fits = !self.whole || (min..=max).contains(&number);
        expect(fits, value, path, &format!("an integer from {min} to {max}"))
    }
}

type Range = (Option<usize>, Option<usize>);

fn expect(fits: bool, value: &Value, path: &Path, expected: &str) -> Result<(), ApiError> {
    if fits {
        Ok(())
    } else {
        Err(wrong(value, path, expected))
    }
}

fn wrong(value: &Value, path: &Path, expected: &str) -> ApiError {
    invalid(format!(
        "Value ({}) for parameter {path} is invalid. Expecting {expected}",
        show(value)
    ))
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

/// The beginning of a value, for a message: bounded, on one line.
fn show(value: &Value) -> String {
    let cut = |text: &str| {
        let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
        format!("{}{more}", shown_up_to(text, SHOWN))
    };
    match value {
        Value::String(text) => cut(text),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a structure".into(),
        other => cut(&other.to_string()),
    }
}

fn unknown(name: &str, members: &BTreeMap<&'static str, Member>, path: &Path) -> ApiError {
    let meant = members.keys().find(|member| member.eq_ignore_ascii_case(name));
    let hint = meant
        .map(|member| format!("; did you mean {member}?"))
        .unwrap_or_default();
    let path = shown_up_to(&path.to_string(), 4 * SHOWN);
    ApiError::new(
        Code::UnknownParameter,
        format!("The parameter {path} is not recognized{hint}"),
    )
}

/// Whether `text` is base64 (RFC 4648, section 4), with its padding.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn refused(operation: &str, value: Value) -> (Code, String) {
        let error = request(operation, &value).unwrap_err();
        (error.code, error.message)
    }

    fn run(extra: Value) -> Value {
        let mut request = json!({"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1});
        request
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        request
    }

    #[test]
    fn a_whole_request_passes() {
        let value = run(json!({
            "InstanceType": "kiln.tiny", "UserData": "aGk=",
            "BlockDeviceMappings": [{"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": true}}],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        }));
        assert_eq!(request("RunInstances", &value), Ok(()));
    }

    #[test]
    fn an_unknown_member_is_named_with_its_path_and_a_guess() {
        let (code, message) = refused(
            "RunInstances",
            run(json!({"BlockDeviceMappings": [{"Ebs": {"Size": 8}}]})),
        );
        assert_eq!(code, Code::UnknownParameter);
        assert_eq!(
            message,
            "The parameter BlockDeviceMappings[0].Ebs.Size is not recognized"
        );
        let (_, message) = refused("RunInstances", run(json!({"instanceType": "t3.micro"})));
        assert_eq!(
            message,
            "The parameter instanceType is not recognized; did you mean InstanceType?"
        );
    }

    #[test]
    fn a_missing_member_is_named() {
        let (code, message) = refused("RunInstances", json!({"MinCount": 1}));
        assert_eq!(
            (code, message.as_str()),
            (
                Code::MissingParameter,
                "The request must contain the parameter MaxCount"
            )
        );
    }

    #[test]
    fn wrong_types_enumerations_and_numbers_say_what_was_expected() {
        for (extra, message) in [
            (
                json!({"MinCount": "1"}),
                "Value (1) for parameter MinCount is invalid. Expecting an integer",
            ),
            (
                json!({"MinCount": 1.5}),
                "Value (1.5) for parameter MinCount is invalid. Expecting an integer",
            ),
            (
                json!({"MinCount": 1_u64 << 40}),
                "Value (1099511627776) for parameter MinCount is invalid. Expecting an integer",
            ),
            (
                json!({"EbsOptimized": "yes"}),
                "Value (yes) for parameter EbsOptimized is invalid. Expecting true or false",
            ),
            (
                json!({"ImageId": null}),
                "Value (null) for parameter ImageId is invalid. Expecting a text",
            ),
            (
                json!({"SecurityGroupIds": "sg-1"}),
                "Value (sg-1) for parameter SecurityGroupIds is invalid. Expecting a list",
            ),
            (
                json!({"InstanceInitiatedShutdownBehavior": "explode"}),
                "Value (explode) for parameter InstanceInitiatedShutdownBehavior is invalid. Expecting one of stop, terminate",
            ),
        ] {
            assert_eq!(
                refused("RunInstances", run(extra)),
                (Code::InvalidParameterValue, message.to_owned())
            );
        }
    }

    #[test]
    fn an_operation_is_unknown_to_ec2_or_only_to_us() {
        assert_eq!(refused("FlyToTheMoon", json!({})).0, Code::InvalidAction);
        assert_eq!(refused("CreateTransitGateway", json!({})).0, Code::UnsupportedOperation);
    }

    #[test]
    fn a_list_has_a_bound() {
        let ids = vec!["i-1"; MAX_LIST + 1];
        assert_eq!(
            refused("DescribeInstances", json!({"InstanceIds": ids})).0,
            Code::InvalidParameterValue
        );
    }

    #[test]
    fn an_answer_may_lack_what_is_required_and_have_nothing_that_ec2_lacks() {
        assert_eq!(
            answer("RunInstances", &json!({"Instances": [{"InstanceId": "i-1"}]})),
            Ok(())
        );
        assert!(answer("RunInstances", &json!({"Instances": [{"Colour": "red"}]})).is_err());
        assert_eq!(answer("CreateTags", &json!({})), Ok(()));
    }

    /// Any JSON at all, of bounded size, with names and texts that the model knows among them.
    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            "[A-Za-z]{0,8}",
            Just("Filters".into()),
            Just("Name".into()),
            Just("Values".into()),
            any::<String>()
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(word.clone(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_json_is_more_than_refused_with_a_clients_error(
            operation in prop::sample::select(EC2.names().collect::<Vec<_>>()), value in any_json(),
        ) {
            if let Err(error) = request(operation, &value) {
                prop_assert_eq!(error.code.status(), 400);
                prop_assert!(error.message.len() < 4096, "{}", error.message);
            }
        }
    }
}
