//! Tags in requests and answers, for all families.

use super::error::{ApiError, Code};
use crate::model::{MAX_KEY, MAX_TAGS, MAX_VALUE, RESERVED_KEY, Tag};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A tag as the wire has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct WireTag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl From<Tag> for WireTag {
    fn from(tag: Tag) -> Self {
        Self {
            key: tag.key,
            value: tag.value,
        }
    }
}

impl TryFrom<WireTag> for Tag {
    type Error = ApiError;

    fn try_from(tag: WireTag) -> Result<Self, ApiError> {
        let invalid = |message: String| Err(ApiError::new(Code::InvalidParameterValue, message));
        let length = |text: &str| text.chars().count();
        if tag.key.is_empty() {
            return invalid("Tag keys can't be empty".into());
        }
        if length(&tag.key) > MAX_KEY || length(&tag.value) > MAX_VALUE {
            return invalid(format!(
                "A tag's key may have {MAX_KEY} characters and its value {MAX_VALUE}"
            ));
        }
        if tag.key.starts_with(RESERVED_KEY) {
            return Err(reserved());
        }
        Ok(Self {
            key: tag.key,
            value: tag.value,
        })
    }
}

/// Checks the tags of a request: each by itself, their number, and that no key comes twice.
///
/// # Errors
/// `InvalidParameterValue`, `TagLimitExceeded`.
pub fn parse_tags(tags: Vec<WireTag>) -> Result<Vec<Tag>, ApiError> {
    if tags.len() > MAX_TAGS {
        return Err(too_many());
    }
    let tags: Vec<Tag> = tags
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<_, ApiError>>()?;
    let mut keys = BTreeSet::new();
    match tags.iter().find(|tag| !keys.insert(&tag.key)) {
        Some(twice) => Err(ApiError::new(
            Code::InvalidParameterValue,
            format!("Tag key '{}' specified multiple times", twice.key),
        )),
        None => Ok(tags),
    }
}

/// The error for a tag that is not the client's to give or to take.
pub(super) fn reserved() -> ApiError {
    let message = format!("Tag keys starting with '{RESERVED_KEY}' are reserved for internal use");
    ApiError::new(Code::InvalidParameterValue, message)
}

/// The error for a resource that would have too many tags.
pub(super) fn too_many() -> ApiError {
    ApiError::new(
        Code::TagLimitExceeded,
        format!("The maximum number of tags of a resource is {MAX_TAGS}"),
    )
}

/// Tags for what a request makes (`TagSpecifications`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct TagSpecification {
    /// What to tag: `instance`, `volume`, `image` and so on.
    pub resource_type: String,
    /// The tags.
    pub tags: Vec<WireTag>,
}

/// Tags by resource type.
#[derive(Debug, Clone, Default)]
pub struct TagSpecifications(Vec<(String, Vec<Tag>)>);

impl TagSpecifications {
    /// Checks the specifications of a request that makes resources of the types in `makes`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a type that the request does not make or that comes twice, and as [`parse_tags`].
    pub fn new(specifications: Vec<TagSpecification>, makes: &[&str]) -> Result<Self, ApiError> {
        let mut parsed: Vec<(String, Vec<Tag>)> = Vec::new();
        for TagSpecification { resource_type, tags } in specifications {
            let wrong = if !makes.contains(&resource_type.as_str()) {
                Some(format!("expecting one of {}", makes.join(", ")))
            } else if parsed.iter().any(|(other, _)| *other == resource_type) {
                Some("it comes twice".into())
            } else {
                None
            };
            if let Some(wrong) = wrong {
                let message =
                    format!("'{resource_type}' is not a valid taggable resource type for this operation: {wrong}");
                return Err(ApiError::new(Code::InvalidParameterValue, message));
            }
            parsed.push((resource_type, parse_tags(tags)?));
        }
        Ok(Self(parsed))
    }

    /// The tags for resources of that type.
    #[must_use]
    pub fn of(&self, resource_type: &str) -> &[Tag] {
        let found = self.0.iter().find(|(of, _)| of == resource_type);
        found.map_or(&[], |(_, tags)| tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> WireTag {
        WireTag {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_tag_has_a_key_of_its_own_and_bounded_lengths() {
        assert!(parse_tags(vec![tag("Name", ""), tag("é".repeat(128).as_str(), &"é".repeat(256))]).is_ok());
        for tags in [
            vec![tag("", "x")],
            vec![tag(&"k".repeat(129), "")],
            vec![tag("k", &"v".repeat(257))],
            vec![tag("aws:mine", "")],
            vec![tag("k", "1"), tag("k", "2")],
        ] {
            assert_eq!(parse_tags(tags).unwrap_err().code, Code::InvalidParameterValue);
        }
        let many = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        assert_eq!(parse_tags(many).unwrap_err().code, Code::TagLimitExceeded);
    }

    #[test]
    fn tags_are_specified_once_a_type_and_only_for_what_is_made() {
        let of = |resource_type: &str| TagSpecification {
            resource_type: resource_type.into(),
            tags: vec![tag("a", "b")],
        };
        let both = TagSpecifications::new(vec![of("instance"), of("volume")], &["instance", "volume"]).unwrap();
        assert_eq!(both.of("volume").len(), 1);
        assert!(both.of("snapshot").is_empty());
        assert!(TagSpecifications::new(vec![of("vpc")], &["instance"]).is_err());
        assert!(TagSpecifications::new(vec![of("instance"), of("instance")], &["instance"]).is_err());
    }
}
