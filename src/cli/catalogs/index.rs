//! What an index says, read once into types that can't be wrong. docs/catalog.md describes the format; a test reads its
//! example.

use super::address::{Address, AddressError, RelativeName};
use crate::model::{AccountId, Architecture, Image, ImageOwner, ProductCode};
use kiln_images::formats::{Format, MAX_SIZE};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;

/// The largest index, in bytes.
pub const MAX_INDEX: usize = 16 << 20;
/// The most images that one may have.
const MAX_IMAGES: usize = 10_000;
/// The only version of the format.
const VERSION: u64 = 1;
/// The longest description, as EC2 has it.
const MAX_DESCRIPTION: usize = 255;

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// What it offers; names are unique.
    pub offers: Vec<Offer>,
}

/// An image that can be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What it runs on.
    pub architecture: Architecture,
    /// Whose it is; never this account's own.
    pub owner: ImageOwner,
    /// What it is sold as.
    pub product_codes: Vec<ProductCode>,
    /// The disk's format.
    pub format: Format,
    /// Where the disk is.
    pub location: Location,
    /// The file's size in bytes.
    pub size: u64,
    /// The file's digest.
    pub digest: Digest,
}

/// Where a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Anywhere.
    Absolute(Address),
    /// In the index's folder or below it.
    Beside(RelativeName),
}

/// The SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn new(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    fn parse(text: &str) -> Option<Digest> {
        let digits = text.strip_prefix("sha256:")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        // Of a digest's two ways in letters the small one alone is taken.
        Some(Digest(bytes)).filter(|digest| digest.digits() == digits)
    }

    /// Its hexadecimal digits, which make a file's name.
    pub fn digits(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.digits())
    }
}

/// EC2's category of an owner's images.
pub fn category(owner: ImageOwner) -> &'static str {
    match owner {
        ImageOwner::Account => "My AMIs",
        ImageOwner::QuickStart => "Quick Start",
        ImageOwner::Marketplace => "Marketplace",
        ImageOwner::Other(_) => "Community",
    }
}

/// Why an index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is not what an index is.
    #[error("it is not an index: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of a later time.
    #[error("its format has version {0}, and this kiln knows {VERSION}; a newer one may know it")]
    Version(u64),
    /// It has too much in it.
    #[error("it has {0} images, and at most {MAX_IMAGES} are taken")]
    TooMany(usize),
    /// An image makes no sense.
    #[error("image {place} ({name:?}): {problem}")]
    Image {
        /// Which one, counted from 1.
        place: usize,
        /// Its name, as far as it can be one.
        name: String,
        /// What is wrong.
        problem: OfferError,
    },
}

/// What is wrong with an image of an index.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// No name.
    #[error("a name has 3 to 128 characters: letters, digits, spaces and ()[]./-'@_")]
    Name,
    /// A name that another has.
    #[error("there is another of the same name")]
    Twice,
    /// The description.
    #[error("a description has at most {MAX_DESCRIPTION} bytes and no control characters")]
    Description,
    /// The architecture.
    #[error("the architecture is x86_64 or arm64, not {0:?}")]
    Architecture(String),
    /// Owner and category.
    #[error(
        "the owner is an account of twelve digits (category community) or aws-marketplace (category marketplace), not {0:?} of category {1:?}"
    )]
    Owner(String, String),
    /// An unsigned index that claims to be kiln's own.
    #[error("images of the category quick-start are taken from signed catalogs only")]
    UnsignedQuickStart,
    /// The format.
    #[error("the format is raw, qcow2, vmdk or vhd, not {0:?}")]
    Format(String),
    /// The address.
    #[error("the url is an https address, or a name relative to the index without . and ..: {0}")]
    Url(AddressError),
    /// The size.
    #[error("the size is that of the file in bytes, from 1 to 64 TiB")]
    Size,
    /// The digest.
    #[error("the digest is sha256: and 64 hexadecimal digits, not {0:?}")]
    Digest(String),
    /// The product codes.
    #[error("product codes are words, at most {max}, and for the category marketplace only", max = ProductCode::MAX_COUNT)]
    ProductCodes,
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Deserialize)]
struct WireIndex {
    images: Vec<WireImage>,
}

/// Members that this version does not know are passed over, so that some can be added.
#[derive(Deserialize)]
struct WireImage {
    name: String,
    description: Option<String>,
    architecture: String,
    category: String,
    owner: String,
    format: String,
    url: String,
    size: u64,
    digest: String,
    #[serde(default)]
    product_codes: Vec<String>,
}

impl Index {
    /// Reads an index. Only a signed one may offer Quick Start images, which people take for kiln's own.
    pub fn parse(text: &[u8], is_signed: bool) -> Result<Index, IndexError> {
        let Head { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(IndexError::Version(version));
        }
        let WireIndex { images } = serde_json::from_slice(text)?;
        if images.len() > MAX_IMAGES {
            return Err(IndexError::TooMany(images.len()));
        }
        let mut names = BTreeSet::new();
        let mut offers = Vec::with_capacity(images.len());
        for (place, image) in (1..).zip(images) {
            let name: String = image.name.chars().take(128).collect();
            let wrong = |problem| IndexError::Image {
                place,
                name: name.clone(),
                problem,
            };
            if !names.insert(image.name.clone()) {
                return Err(wrong(OfferError::Twice));
            }
            offers.push(image.parse(is_signed).map_err(wrong)?);
        }
        Ok(Index { offers })
    }
}

impl WireImage {
    fn parse(self, is_signed: bool) -> Result<Offer, OfferError> {
        if !Image::is_name(&self.name) {
            return Err(OfferError::Name);
        }
        let fits = |text: &String| text.len() <= MAX_DESCRIPTION && !text.chars().any(char::is_control);
        if !self.description.as_ref().is_none_or(fits) {
            return Err(OfferError::Description);
        }
        let architecture = Architecture::from_name(&self.architecture)
            .ok_or_else(|| OfferError::Architecture(short(&self.architecture)))?;
        let owner = owner(&self.owner, &self.category, is_signed)?;
        let format = self
            .format
            .parse()
            .map_err(|_| OfferError::Format(short(&self.format)))?;
        if !(1..=MAX_SIZE).contains(&self.size) {
            return Err(OfferError::Size);
        }
        let codes = self.product_codes.iter().map(|code| ProductCode::marketplace(code));
        let product_codes = codes.collect::<Option<Vec<_>>>().ok_or(OfferError::ProductCodes)?;
        let has_too_many = product_codes.len() > ProductCode::MAX_COUNT;
        if has_too_many || !product_codes.is_empty() && owner != ImageOwner::Marketplace {
            return Err(OfferError::ProductCodes);
        }
        let location = match RelativeName::parse(&self.url) {
            Some(name) => Location::Beside(name),
            None => Location::Absolute(Address::parse(&self.url).map_err(OfferError::Url)?),
        };
        Ok(Offer {
            description: self.description.filter(|text| !text.is_empty()),
            digest: Digest::parse(&self.digest).ok_or_else(|| OfferError::Digest(short(&self.digest)))?,
            name: self.name,
            architecture,
            owner,
            product_codes,
            format,
            location,
            size: self.size,
        })
    }
}

/// The owner, if the category is the one of such owners.
fn owner(owner: &str, category: &str, is_signed: bool) -> Result<ImageOwner, OfferError> {
    let wrong = || OfferError::Owner(short(owner), short(category));
    match category {
        "quick-start" if !is_signed => Err(OfferError::UnsignedQuickStart),
        "quick-start" if owner == "amazon" => Ok(ImageOwner::QuickStart),
        "marketplace" if owner == "aws-marketplace" => Ok(ImageOwner::Marketplace),
        "community" => owner.parse::<AccountId>().map(ImageOwner::Other).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// What is said of somebody else's text.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn image(name: &str) -> Value {
        json!({
            "name": name, "description": "A disk", "architecture": "x86_64", "category": "community",
            "owner": "123456789012", "format": "qcow2", "url": "disks/a.qcow2", "size": 4096,
            "digest": format!("sha256:{}", "0a".repeat(32)),
        })
    }

    fn parse(images: &[Value], is_signed: bool) -> Result<Index, IndexError> {
        let text = json!({"version": 1, "images": images}).to_string();
        Index::parse(text.as_bytes(), is_signed)
    }

    #[test]
    fn the_documents_example_is_an_index() {
        let text = include_str!("../../../docs/catalog.md");
        let example = text.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        let index = Index::parse(example.as_bytes(), false).unwrap();
        let owners: Vec<_> = index.offers.iter().map(|offer| category(offer.owner)).collect();
        assert_eq!(owners, ["Community", "Marketplace"]);
        assert!(matches!(index.offers[0].location, Location::Beside(_)));
        assert!(matches!(index.offers[1].location, Location::Absolute(_)));
        assert_eq!(index.offers[1].product_codes.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_says_where() {
        for (member, value, word) in [
            ("name", json!("x"), "3 to 128"),
            ("description", json!("a\u{1b}[2J"), "control"),
            ("architecture", json!("amd64"), "amd64"),
            ("category", json!("marketplace"), "twelve digits"),
            ("category", json!("quick-start"), "signed"),
            ("owner", json!("self"), "twelve digits"),
            ("owner", json!("amazon"), "twelve digits"),
            ("format", json!("iso"), "iso"),
            ("url", json!("../a"), "relative"),
            ("url", json!("/etc/shadow"), "relative"),
            ("url", json!("a/./b"), "relative"),
            ("url", json!("file:///etc/shadow"), "relative"),
            ("url", json!("http://images.example/a"), "plain http"),
            ("size", json!(0), "bytes"),
            ("digest", json!("sha256:00"), "64"),
            ("digest", json!(format!("md5:{}", "0".repeat(64))), "64"),
            ("product_codes", json!(["a"]), "marketplace"),
        ] {
            let mut wrong = image("second");
            wrong[member] = value.clone();
            let error = parse(&[image("first"), wrong], false).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("image 2 ("), "{text}");
            assert!(text.contains(word), "{member} {value}: {text}");
        }
        let twice = parse(&[image("one"), image("one")], false).unwrap_err();
        assert!(twice.to_string().contains("same name"), "{twice}");
    }

    #[test]
    fn quick_start_images_come_from_signed_indices() {
        let mut quick = image("debian-12");
        quick["category"] = json!("quick-start");
        quick["owner"] = json!("amazon");
        assert!(parse(std::slice::from_ref(&quick), false).is_err());
        assert_eq!(parse(&[quick], true).unwrap().offers[0].owner, ImageOwner::QuickStart);
    }

    #[test]
    fn other_versions_are_refused_whatever_is_in_them() {
        let error = Index::parse(br#"{"version": 2, "pictures": 1}"#, false).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        let many: Vec<Value> = (0..=MAX_IMAGES).map(|number| image(&format!("n-{number}"))).collect();
        assert!(matches!(parse(&many, false), Err(IndexError::TooMany(_))));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "version",
            "images",
            "name",
            "url",
            "size",
            "digest",
            "owner",
            "category",
            "x86_64",
            "..",
            "https://a/b",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            words.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(words.clone().prop_map(str::to_owned), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_index_panics(images in any_json(), member in 0_usize..10, value in any_json(), is_signed: bool) {
            let _ = Index::parse(json!({"version": 1, "images": images}).to_string().as_bytes(), is_signed);
            let mut one = image("name");
            let members: Vec<String> = one.as_object().unwrap().keys().cloned().collect();
            one[members[member % members.len()].as_str()] = value;
            if let Ok(index) = parse(&[one], is_signed) {
                prop_assert_ne!(index.offers[0].owner, ImageOwner::Account);
                prop_assert!(index.offers[0].size > 0);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Index::parse(&bytes, false);
        }
    }
}
