//! What an import is asked to do: checked values and open files.

use crate::model::{Architecture, ImageOwner, ImportTask, ImportTaskId, ProductCode, SnapshotId, Tag, TaskState};
use crate::model::{ImageId, ImportImageTaskId, ImportSnapshotTaskId};
use crate::store::random_bits;
use kiln_images::formats::FileFormat;
use std::fs::File;
use time::OffsetDateTime;

/// An import to be done.
#[derive(Debug)]
pub struct Order {
    /// The client's token and the digest of its request.
    pub client_token: Option<String>,
    /// The digest of the request.
    pub request_digest: String,
    /// For people.
    pub description: Option<String>,
    /// The disk.
    pub disk: DiskSource,
    /// What it is to become.
    pub makes: Makes,
    /// Tags for the task.
    pub task_tags: Vec<Tag>,
    /// Tags for the snapshot.
    pub snapshot_tags: Vec<Tag>,
}

/// A foreign disk.
#[derive(Debug)]
pub struct DiskSource {
    /// Open for reading.
    pub file: File,
    /// Its format; told by its first bytes if it is not said.
    pub format: Option<FileFormat>,
}

/// What an import makes.
#[derive(Debug)]
pub enum Makes {
    /// A snapshot.
    Snapshot,
    /// A snapshot and an image of it.
    Image(Box<ImageOrder>),
}

/// The image that an import makes.
#[derive(Debug)]
pub struct ImageOrder {
    /// Its name; the task's id if there is none, as with EC2.
    pub name: Option<String>,
    /// Whose it is.
    pub owner: ImageOwner,
    /// What it is sold as.
    pub product_codes: Vec<ProductCode>,
    /// What it runs on.
    pub architecture: Architecture,
    /// The kernel that it carries.
    pub kernel: Option<KernelSource>,
    /// The RAM disk that goes with the kernel.
    pub ramdisk: Option<File>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A kernel to be taken in.
#[derive(Debug)]
pub struct KernelSource {
    /// Open for reading: a bzImage or an ELF file.
    pub file: File,
    /// The command line that it is started with.
    pub command_line: String,
}

impl Order {
    /// The task's first record.
    pub(super) fn task(&self) -> ImportTask {
        let bits = random_bits();
        let (id, image) = match self.makes {
            Makes::Snapshot => (ImportTaskId::Snapshot(ImportSnapshotTaskId::from_random(bits)), None),
            Makes::Image(_) => {
                let image = ImageId::from_random(random_bits());
                (ImportTaskId::Image(ImportImageTaskId::from_random(bits)), Some(image))
            }
        };
        ImportTask {
            id,
            client_token: self.client_token.clone(),
            request_digest: self.request_digest.clone(),
            state: TaskState::Active,
            progress: 0,
            message: Some("pending".into()),
            description: self.description.clone(),
            format: self
                .disk
                .format
                .map_or_else(|| "unknown".into(), |format| format.to_string()),
            snapshot: SnapshotId::from_random(random_bits()),
            image,
            created: OffsetDateTime::now_utc(),
        }
    }
}
