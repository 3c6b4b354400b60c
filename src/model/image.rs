//! Images, and the kernels and RAM disks that some of them carry.

use super::{ImageId, KernelId, RamdiskId, SnapshotId};
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
}

impl ImageState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Available, Self::Failed];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Whose an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageOwner {
    /// The account's own.
    Account,
    /// A Quick Start image, which EC2 lists under the alias `amazon`.
    QuickStart,
}

impl ImageOwner {
    /// How the store writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "self",
            Self::QuickStart => "amazon",
        }
    }

    /// The owner of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Account, Self::QuickStart]
            .into_iter()
            .find(|owner| owner.name() == name)
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
    /// A kernel of its own.
    pub kernel: Option<KernelId>,
    /// The RAM disk that goes with the kernel.
    pub ramdisk: Option<RamdiskId>,
    /// When it was registered.
    pub created: OffsetDateTime,
}

impl Image {
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
