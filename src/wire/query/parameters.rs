//! The parameters of a request: pairs of a form or of a URL, and the tree that their dotted names make.
//!
//! They come from anybody who may connect. The number of pairs is bounded, and with it the tree; it is no deeper than
//! [`MAX_DEPTH`].

use crate::api::shown::shown;
use crate::api::{ApiError, Code};
use percent_encoding::percent_decode;
use std::collections::BTreeMap;

/// The most parameters of a request.
const MAX_PARAMETERS: usize = 10_000;
/// The most dots in a name; EC2's own shapes stay well below.
const MAX_DEPTH: usize = 24;

/// Pairs of names and values, in the order in which they came.
#[derive(Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The parameters of a URL and of a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// `MalformedQueryString` for what is not encoded as it must be, or is too much.
    pub fn parse(query: &[u8], form: &[u8]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        let parts = [query, form]
            .into_iter()
            .flat_map(|text| text.split(|byte| *byte == b'&'));
        for pair in parts.filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err(malformed(format!("There are more than {MAX_PARAMETERS} parameters")));
            }
            let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (&pair[..split], pair.get(split + 1..).unwrap_or_default());
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; the first, should it come twice.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The tree of all parameters but those of the protocol itself.
    ///
    /// # Errors
    /// `MalformedQueryString` for a name that comes twice, or is a value and a structure at once, or has too many dots.
    pub fn tree(self) -> Result<Node, ApiError> {
        let mut root = Node::default();
        for (name, value) in self.0 {
            if is_of_the_protocol(&name) {
                continue;
            }
            root.put(&name, value)?;
        }
        Ok(root)
    }
}

/// What says which operation is wanted, and who wants it.
fn is_of_the_protocol(name: &str) -> bool {
    matches!(name, "Action" | "Version") || name.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("X-Amz-"))
}

/// A value, or a structure or list of more.
#[derive(Debug, Default)]
pub struct Node {
    /// Its own value.
    pub value: Option<String>,
    /// What follows behind a dot.
    pub children: BTreeMap<String, Node>,
}

impl Node {
    fn put(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth == MAX_DEPTH {
                let message = format!("The parameter {} has more than {MAX_DEPTH} parts", shown(name));
                return Err(malformed(message));
            }
            node = node.children.entry(part.to_owned()).or_default();
        }
        if node.value.replace(value).is_some() {
            let message = format!("The parameter {} comes twice", shown(name));
            return Err(malformed(message));
        }
        Ok(())
    }
}

/// A part of a form: percent encoding, and `+` for a space.
fn decoded(part: &[u8]) -> Result<String, ApiError> {
    let spaced: Vec<u8> = part
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let text = percent_decode(&spaced).decode_utf8();
    let text = text.map_err(|_| malformed("A parameter is not UTF-8".into()))?;
    Ok(text.into_owned())
}

fn malformed(message: String) -> ApiError {
    ApiError::new(Code::MalformedQueryString, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_with_dots_make_a_tree_and_what_is_of_the_protocol_is_left_out() {
        let pairs = Pairs::parse(
            b"Action=RunInstances&X-Amz-Date=now",
            b"Filter.1.Name=tag%3AName&Filter.1.Value.2=a+b%2B&Filter.1.Value.1=&Flag",
        )
        .unwrap();
        assert_eq!(pairs.get("Action"), Some("RunInstances"));
        let tree = pairs.tree().unwrap();
        assert_eq!(tree.children.keys().collect::<Vec<_>>(), ["Filter", "Flag"]);
        let filter = &tree.children["Filter"].children["1"];
        assert_eq!(filter.children["Name"].value.as_deref(), Some("tag:Name"));
        assert_eq!(filter.children["Value"].children["2"].value.as_deref(), Some("a b+"));
        assert_eq!(filter.children["Value"].children["1"].value.as_deref(), Some(""));
        assert_eq!(tree.children["Flag"].value.as_deref(), Some(""));
    }

    #[test]
    fn what_is_too_much_or_comes_twice_or_is_no_text_is_malformed() {
        let many = "a=1&".repeat(MAX_PARAMETERS + 1);
        let deep = format!("a{}=1", ".a".repeat(MAX_DEPTH));
        for bad in [many.as_str(), deep.as_str(), "a=1&a=2", "a=%ff"] {
            let error = Pairs::parse(b"", bad.as_bytes()).and_then(Pairs::tree).unwrap_err();
            assert_eq!(error.code, Code::MalformedQueryString, "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_form_panics(query in any::<Vec<u8>>(), form in any::<Vec<u8>>()) {
            let _ = Pairs::parse(&query, &form).and_then(Pairs::tree);
        }
    }
}
