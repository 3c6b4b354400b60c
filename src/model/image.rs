//! Images, and the kernels and RAM disks that some of them carry.

use super::{Grantee, ImageId, InstanceId, InstanceStoreMapping, KernelId, RamdiskId, SnapshotId};
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// The processor that an image is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// `x86_64`.
    X86_64,
    /// `arm64`.
    Arm64,
}

impl Architecture {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The architecture of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::X86_64, Self::Arm64]
            .into_iter()
            .find(|architecture| architecture.name() == name)
    }
}

/// The state of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageState {
    /// It is being made.
    Pending,
    /// It can be launched.
    Available,
    /// It could not be made.
    Failed,
    /// Its owner wants it launched no more, until it is enabled again.
    Disabled,
}

impl ImageState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Available, Self::Failed, Self::Disabled];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// An account: twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

/// A text that is no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An account has twelve digits")]
pub struct ParseAccountIdError;

impl FromStr for AccountId {
    type Err = ParseAccountIdError;

    fn from_str(text: &str) -> Result<Self, ParseAccountIdError> {
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseAccountIdError);
        }
        text.parse().map(Self).map_err(|_| ParseAccountIdError)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

/// Whose an image is. EC2's categories of images are those of their owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageOwner {
    /// The account's own: My AMIs.
    Account,
    /// A Quick Start image, which EC2 lists under the alias `amazon`.
    QuickStart,
    /// An image of the Marketplace, which EC2 lists under the alias `aws-marketplace`.
    Marketplace,
    /// Another account's, which is here because it is public: a Community image.
    Other(AccountId),
}

impl ImageOwner {
    /// EC2's alias of it. `self` is one of those who ask, not of owners.
    #[must_use]
    pub const fn alias(self) -> Option<&'static str> {
        match self {
            Self::Account | Self::Other(_) => None,
            Self::QuickStart => Some("amazon"),
            Self::Marketplace => Some("aws-marketplace"),
        }
    }

    /// The owner of that alias.
    #[must_use]
    pub fn from_alias(alias: &str) -> Option<Self> {
        [Self::QuickStart, Self::Marketplace]
            .into_iter()
            .find(|owner| owner.alias() == Some(alias))
    }
}

/// How the store writes it: `self`, an alias, or an account.
impl fmt::Display for ImageOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("self"),
            Self::Other(account) => account.fmt(f),
            Self::QuickStart | Self::Marketplace => f.write_str(self.alias().unwrap_or_default()),
        }
    }
}

/// A text that names no owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An owner is self, amazon, aws-marketplace or an account of twelve digits")]
pub struct ParseImageOwnerError;

impl FromStr for ImageOwner {
    type Err = ParseImageOwnerError;

    fn from_str(text: &str) -> Result<Self, ParseImageOwnerError> {
        if text == "self" {
            return Ok(Self::Account);
        }
        let account = || text.parse().map(Self::Other).map_err(|_| ParseImageOwnerError);
        Self::from_alias(text).map_or_else(account, Ok)
    }
}

/// What a product code is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProductCodeKind {
    /// DevPay, which EC2 has no more.
    Devpay,
    /// The Marketplace.
    Marketplace,
}

impl ProductCodeKind {
    /// EC2's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devpay => "devpay",
            Self::Marketplace => "marketplace",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Devpay, Self::Marketplace]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What an image is sold as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProductCode {
    /// The code: letters, digits, `-` and `_`.
    pub id: String,
    /// What it is of.
    pub kind: ProductCodeKind,
}

impl ProductCode {
    /// The longest code.
    pub const MAX_LENGTH: usize = 64;
    /// How many an image may have.
    pub const MAX_COUNT: usize = 16;

    /// A code of the Marketplace, if the text can be one.
    #[must_use]
    pub fn marketplace(id: &str) -> Option<Self> {
        let is_code = (1..=Self::MAX_LENGTH).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_code.then(|| Self {
            id: id.into(),
            kind: ProductCodeKind::Marketplace,
        })
    }
}

/// A volume that an instance of an image gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Where the guest finds it, `/dev/sda1` say.
    pub device_name: String,
    /// What it is a clone of.
    pub snapshot: SnapshotId,
    /// Its size in bytes; at least the snapshot's.
    pub size: u64,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
}

/// What an image's owner may say of it at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageAttributes {
    /// Who may launch it.
    pub launch_permissions: Vec<Grantee>,
    /// From when on nobody should launch it any more, though everybody may who could.
    pub deprecated: Option<OffsetDateTime>,
    /// Whether it must not be deregistered.
    pub protected: bool,
    /// What it is sold as; images of the Marketplace have these.
    pub product_codes: Vec<ProductCode>,
}

/// What an image was made of; neither, if it was imported or registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSource {
    /// The image that it is a copy of, or that its instance was launched of.
    pub image: Option<ImageId>,
    /// The instance that it was made of.
    pub instance: Option<InstanceId>,
}

/// An image (AMI).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its identifier.
    pub id: ImageId,
    /// Its name, unique among its owner's.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: ImageOwner,
    /// Its state.
    pub state: ImageState,
    /// Why it failed.
    pub state_reason: Option<String>,
    /// What it runs on.
    pub architecture: Architecture,
    /// Which of the devices is the root, `/dev/sda1` say.
    pub root_device_name: String,
    /// The volumes, the root's among them.
    pub block_devices: Vec<BlockDevice>,
    /// The names of its instances' own disks.
    pub instance_store: Vec<InstanceStoreMapping>,
    /// A kernel of its own.
    pub kernel: Option<KernelId>,
    /// The RAM disk that goes with the kernel.
    pub ramdisk: Option<RamdiskId>,
    /// What it was made of.
    pub source: ImageSource,
    /// What its owner says of it.
    pub attributes: ImageAttributes,
    /// When it was registered.
    pub created: OffsetDateTime,
}

impl Image {
    /// Whether a text can be an image's name: 3 to 128 characters of those that EC2 allows.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || " ()[]./-'@_".contains(c);
        (3..=128).contains(&text.len()) && text.chars().all(allowed)
    }

    /// The root volume's mapping.
    pub fn root(&self) -> Option<&BlockDevice> {
        self.block_devices
            .iter()
            .find(|device| device.device_name == self.root_device_name)
    }
}

/// A kernel image (AKI): a file `kernels/aki-…` and the command line it is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelImage {
    /// Its identifier.
    pub id: KernelId,
    /// For people.
    pub description: Option<String>,
    /// The kernel's command line, whole.
    pub command_line: String,
    /// The file's SHA-256, in hexadecimal digits.
    pub digest: String,
    /// The file's size in bytes.
    pub size: u64,
    /// When it was imported.
    pub created: OffsetDateTime,
}

/// A RAM disk image (ARI): a file `ramdisks/ari-…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamdiskImage {
    /// Its identifier.
    pub id: RamdiskId,
    /// For people.
    pub description: Option<String>,
    /// The file's SHA-256, in hexadecimal digits.
    pub digest: String,
    /// The file's size in bytes.
    pub size: u64,
    /// When it was imported.
    pub created: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_back_as_it_was_written() {
        for text in ["self", "amazon", "aws-marketplace", "000000000001", "999999999999"] {
            let owner: ImageOwner = text.parse().unwrap();
            assert_eq!(owner.to_string(), text);
        }
        for text in [
            "",
            "Self",
            "marketplace",
            "1",
            "00000000000a",
            "+00000000001",
            "0000000000001",
        ] {
            assert!(text.parse::<ImageOwner>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_product_code_is_a_word() {
        assert!(ProductCode::marketplace("4wrd9x-1_a").is_some());
        for text in ["", "a b", "ä", &"x".repeat(65)] {
            assert!(ProductCode::marketplace(text).is_none(), "{text:?}");
        }
    }
}
