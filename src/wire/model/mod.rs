//! EC2's public API model as data: which operations there are, and what their requests and answers may hold.
//!
//! `ec2.json.gz` is made by `trim.py` from the botocore package (see `NOTICE`). The front ends check every request
//! against it ([`check`]) before a handler sees it, and, in debug builds, every answer.

pub mod check;
pub mod digest;
#[cfg(test)]
pub(crate) mod random;

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

static PACKED: &[u8] = include_bytes!("ec2.json.gz");

/// The model. It is unpacked at the first use, in some milliseconds, and stays.
pub static EC2: LazyLock<Model> = LazyLock::new(|| {
    // The data is part of the program: if it can't be read, the build is broken, and the first test says so.
    let mut text = String::new();
    GzDecoder::new(PACKED)
        .read_to_string(&mut text)
        .expect("the embedded model is gzipped UTF-8");
    serde_json::from_str(Box::leak(text.into_boxed_str())).expect("the embedded model is what trim.py writes")
});

/// Operations and shapes by name.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Model {
    operations: BTreeMap<&'static str, OperationModel>,
    shapes: BTreeMap<&'static str, Shape>,
}

/// The shapes of an operation; none for an operation of which only the name is kept.
#[derive(Debug, Deserialize)]
pub struct OperationModel {
    input: Option<&'static str>,
    output: Option<&'static str>,
}

impl Model {
    /// The operation of that name, if EC2 has one.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&OperationModel> {
        self.operations.get(name)
    }

    /// The names of all EC2's operations.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.operations.keys().copied()
    }

    /// The shape of a request.
    #[must_use]
    pub fn input(&self, operation: &str) -> Option<&Shape> {
        self.shape(self.operation(operation)?.input?)
    }

    /// The shape of an answer; EC2 answers some operations with nothing but success.
    #[must_use]
    pub fn output(&self, operation: &str) -> Option<&Shape> {
        self.shape(self.operation(operation)?.output?)
    }

    /// The shape of a member. A test of the model holds that it is there.
    #[must_use]
    pub fn of(&self, member: &Member) -> Option<&Shape> {
        self.shape(member.shape)
    }

    fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }
}

/// What a value may be.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", bound(deserialize = "'de: 'static"))]
pub enum Shape {
    /// Named members.
    Structure {
        /// By name, in PascalCase.
        members: BTreeMap<&'static str, Member>,
        /// The members that must be there.
        #[serde(default)]
        required: Vec<&'static str>,
    },
    /// Any number of one kind.
    List {
        /// What each is.
        member: Member,
        /// The least number.
        min: Option<usize>,
        /// The greatest number.
        max: Option<usize>,
    },
    /// Text.
    String {
        /// All values there are, if it is an enumeration; else empty.
        #[serde(default, rename = "enum")]
        values: Vec<&'static str>,
        /// The least number of characters.
        min: Option<usize>,
        /// The greatest number of characters.
        max: Option<usize>,
    },
    /// A whole number of 32 bits.
    Integer(Bounds),
    /// A whole number of 64 bits.
    Long(Bounds),
    /// A number.
    Double,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// Base64 of any bytes.
    Blob,
    /// A date and time (RFC 3339).
    Timestamp,
}

/// The bounds of a whole number.
#[derive(Debug, Deserialize)]
pub struct Bounds {
    min: Option<i64>,
    max: Option<i64>,
}

/// A member of a structure or of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    shape: &'static str,
    location_name: Option<&'static str>,
    query_name: Option<&'static str>,
}

impl Member {
    /// What the member that the model calls `name` is called in a request of the query protocol.
    #[must_use]
    pub fn in_query(&self, name: &'static str) -> Cow<'static, str> {
        match (self.query_name, self.location_name) {
            (Some(name), _) => name.into(),
            (None, Some(location)) => capitalized(location),
            (None, None) => name.into(),
        }
    }

    /// What it is called in an answer's XML.
    #[must_use]
    pub fn in_xml(&self, name: &'static str) -> &'static str {
        self.location_name.unwrap_or(name)
    }
}

/// A name with its first letter raised.
fn capitalized(name: &'static str) -> Cow<'static, str> {
    match name.as_bytes().first() {
        Some(first) if first.is_ascii_lowercase() => {
            format!("{}{}", char::from(first.to_ascii_uppercase()), &name[1..]).into()
        }
        _ => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_that_is_named_is_there() {
        let named = EC2.operations.values().flat_map(|o| [o.input, o.output]).flatten();
        let members = EC2.shapes.values().flat_map(|shape| match shape {
            Shape::Structure { members, .. } => members.values().map(|m| m.shape).collect(),
            Shape::List { member, .. } => vec![member.shape],
            _ => vec![],
        });
        for name in named.chain(members) {
            assert!(EC2.shape(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_required_member_is_a_member() {
        for (name, shape) in &EC2.shapes {
            if let Shape::Structure { members, required } = shape {
                assert!(required.iter().all(|r| members.contains_key(r)), "{name}");
            }
        }
    }

    #[test]
    fn a_member_has_the_name_that_its_wire_gives_it() {
        let Some(Shape::Structure { members, .. }) = EC2.input("CreateNetworkInterface") else {
            panic!("it takes a structure");
        };
        assert_eq!(members["Groups"].in_query("Groups"), "SecurityGroupId");
        assert_eq!(members["SubnetId"].in_query("SubnetId"), "SubnetId");
        let Some(Shape::Structure { members, .. }) = EC2.output("RunInstances") else {
            panic!("it gives a structure");
        };
        assert_eq!(members["Instances"].in_xml("Instances"), "instancesSet");
    }

    #[test]
    fn all_of_ec2s_operations_are_known_by_name() {
        assert_eq!(EC2.names().count(), 830);
        assert!(EC2.input("RunInstances").is_some());
        assert!(EC2.input("CreateTransitGateway").is_none() && EC2.operation("CreateTransitGateway").is_some());
    }
}
