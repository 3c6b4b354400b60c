//! From a handler's answer to EC2's XML: members by their names on the wire, lists as items, absent members left out.

use super::xml::Xml;
use crate::api::{ApiError, RequestId};
use crate::wire::model::{EC2, Member, Shape};
use serde_json::Value;

/// The namespace of EC2's answers.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The answer to an operation.
#[must_use]
pub fn answer(operation: &str, answer: &Value, id: RequestId) -> String {
    let mut xml = Xml::new();
    xml.root(&format!("{operation}Response"), NAMESPACE, |xml| {
        xml.leaf("requestId", &id.to_string());
        match EC2.output(operation) {
            Some(shape) => inside(xml, shape, answer),
            // EC2 says of these only that they were done.
            None => xml.leaf("return", "true"),
        }
    });
    xml.finish()
}

/// A refusal, as EC2 writes it: one error, no namespace.
#[must_use]
pub fn refusal(error: &ApiError, id: RequestId) -> String {
    refused(error.code.as_str(), &error.message, id)
}

/// The same for any code.
#[must_use]
pub fn refused(code: &str, message: &str, id: RequestId) -> String {
    let mut xml = Xml::new();
    xml.element("Response", |xml| {
        xml.element("Errors", |xml| {
            xml.element("Error", |xml| {
                xml.leaf("Code", code);
                xml.leaf("Message", message);
            });
        });
        xml.leaf("RequestID", &id.to_string());
    });
    xml.finish()
}

/// What stands within the element of a value.
fn inside(xml: &mut Xml, shape: &Shape, value: &Value) {
    match (shape, value) {
        (Shape::Structure { members, .. }, Value::Object(object)) => {
            for (name, value) in object {
                // A debug build has checked that there is no other member.
                if let Some((own, member)) = members.get_key_value(name.as_str()) {
                    of(xml, member.in_xml(own), member, value);
                }
            }
        }
        (Shape::List { member, .. }, Value::Array(items)) => {
            for item in items {
                of(xml, member.in_xml("item"), member, item);
            }
        }
        _ => {}
    }
}

/// A member, with its element.
fn of(xml: &mut Xml, name: &str, member: &Member, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => xml.leaf(name, text),
        Value::Bool(_) | Value::Number(_) => xml.leaf(name, &value.to_string()),
        Value::Array(_) | Value::Object(_) => xml.element(name, |xml| {
            if let Some(shape) = EC2.of(member) {
                inside(xml, shape, value);
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Code;
    use serde_json::json;

    fn body(xml: &str) -> &str {
        xml.split_once("</requestId>").unwrap().1
    }

    #[test]
    fn an_answer_has_ec2s_names_and_items() {
        let value =
            json!({"ReservationId": "r-1", "Instances": [{"InstanceId": "i-1", "State": {"Code": 0}, "Tags": []}]});
        let xml = answer("RunInstances", &value, RequestId(1));
        assert!(xml.contains("<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>"));
        assert_eq!(
            body(&xml),
            "<instancesSet><item><instanceId>i-1</instanceId><instanceState><code>0</code></instanceState><tagSet/></item>\
             </instancesSet><reservationId>r-1</reservationId></RunInstancesResponse>"
        );
    }

    #[test]
    fn what_is_answered_with_nothing_is_said_to_be_done() {
        let xml = answer("CreateTags", &json!(null), RequestId(1));
        assert_eq!(body(&xml), "<return>true</return></CreateTagsResponse>");
    }

    #[test]
    fn a_refusal_has_one_error() {
        let xml = refusal(&ApiError::new(Code::InvalidAction, "No <such>"), RequestId(0));
        assert!(xml.ends_with(
            "<Response><Errors><Error><Code>InvalidAction</Code><Message>No &lt;such&gt;</Message></Error></Errors>\
             <RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
        ));
    }
}
