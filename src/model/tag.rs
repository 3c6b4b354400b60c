//! Tags.

use super::ResourceId;

/// The longest key, in characters.
pub const MAX_KEY: usize = 128;
/// The longest value, in characters.
pub const MAX_VALUE: usize = 256;
/// What the keys begin with that only EC2 itself gives; such tags stay, and do not count.
pub const RESERVED_KEY: &str = "aws:";
/// The most tags a resource may have.
pub const MAX_TAGS: usize = 50;

/// A key and a value on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The key, unique on its resource.
    pub key: String,
    /// The value, possibly empty.
    pub value: String,
}

/// A tag and what it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedResource {
    /// What it is on.
    pub resource: ResourceId,
    /// The tag.
    pub tag: Tag,
}
