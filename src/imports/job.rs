//! The job of an import: the files, then one transaction that makes all of it available or takes all of it away.

use super::Imports;
use super::kernel::{self, Kind, Stored};
use super::order::{DiskSource, ImageOrder, Makes, Order};
use crate::chain::chain;
use crate::model::{
    BlockDevice, GIB, ImageState, ImportTask, ImportTaskId, KernelId, KernelImage, RamdiskId, RamdiskImage, ResourceId,
    SnapshotState, TaskState,
};
use crate::store::layout::Layout;
use crate::store::{self, StoreError, random_bits};
use crate::tasks::{Job, Watch};
use crate::volumes::HostFileError;
use kiln_images::formats::{ImportError, Imported, import};
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;
use tracing::{error, info, warn};

/// What EC2 calls the root device of an imported image.
pub(super) const ROOT_DEVICE: &str = "/dev/sda1";

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportJobError {
    /// It was told to end.
    #[error("{0}")]
    Ended(String),
    #[error("The disk can't be imported")]
    Disk(#[source] ImportError),
    #[error("The {what} can't be imported")]
    Boot {
        what: &'static str,
        source: kernel::StoreFileError,
    },
    #[error("A file can't be made")]
    File(#[from] HostFileError),
    #[error("The import can't be put on record")]
    Record(#[from] StoreError),
    #[error("The thread that imported died")]
    Thread(#[source] tokio::task::JoinError),
    #[error("The directory {path} can't be opened")]
    Directory { path: PathBuf, source: io::Error },
}

/// The files that a job makes.
struct Files {
    snapshot: PathBuf,
    kernel: Option<(KernelId, PathBuf)>,
    ramdisk: Option<(RamdiskId, PathBuf)>,
}

impl Files {
    fn new(layout: &Layout, task: &ImportTask, order: &Order) -> Self {
        let image = match &order.makes {
            Makes::Image(image) => Some(image),
            Makes::Snapshot => None,
        };
        let kernel = image
            .and_then(|image| image.kernel.as_ref())
            .map(|_| KernelId::from_random(random_bits()));
        let ramdisk = image
            .and_then(|image| image.ramdisk.as_ref())
            .map(|_| RamdiskId::from_random(random_bits()));
        Self {
            snapshot: layout.snapshot(task.snapshot),
            kernel: kernel.map(|id| (id, layout.kernel(id))),
            ramdisk: ramdisk.map(|id| (id, layout.ramdisk(id))),
        }
    }

    fn paths(&self) -> Vec<&Path> {
        let kernel = self.kernel.iter().map(|(_, path)| path.as_path());
        let ramdisk = self.ramdisk.iter().map(|(_, path)| path.as_path());
        kernel.chain(ramdisk).chain([self.snapshot.as_path()]).collect()
    }
}

/// What the files turned out to be.
struct Made {
    disk: Imported,
    kernel: Option<(KernelId, Stored)>,
    ramdisk: Option<(RamdiskId, Stored)>,
}

impl Imports {
    /// Does it, and puts the end on record. The task is under way until then.
    pub(super) async fn job(self, task: ImportTask, order: Arc<Order>, job: Job<ImportTaskId>) {
        let id = task.id;
        let files = Files::new(&self.layout, &task, &order);
        let result = match self.make(&task, &files, &order, &job).await {
            Ok(made) => self.complete(&task, Arc::clone(&order), made).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => info!(task = %id, "An import was completed"),
            Err(failure) => {
                let why = chain(&failure);
                warn!(task = %id, why, "An import failed");
                if let Err(failure) = self.take_away(task, &files.paths(), why).await {
                    // The next start of the daemon finds the task active still and tries again.
                    error!(task = %id, error = %chain(&failure), "What a failed import left can't be cleared");
                }
            }
        }
    }

    /// Makes the files.
    async fn make(
        &self,
        task: &ImportTask,
        files: &Files,
        order: &Arc<Order>,
        job: &Job<ImportTaskId>,
    ) -> Result<Made, ImportJobError> {
        let _turn = job.turn().await;
        let dest = self.files.create(&task.snapshot.to_string(), &files.snapshot).await?;
        let disk = copy_disk(Arc::clone(order), Arc::clone(&job.watch), dest, &files.snapshot).await?;
        let kernel = match &files.kernel {
            Some((id, path)) => Some((*id, self.store_file(order, id.to_string(), path, Kind::Kernel).await?)),
            None => None,
        };
        let ramdisk = match &files.ramdisk {
            Some((id, path)) => Some((*id, self.store_file(order, id.to_string(), path, Kind::Ramdisk).await?)),
            None => None,
        };
        match job.watch.why() {
            Some(why) => Err(ImportJobError::Ended(why)),
            None => Ok(Made { disk, kernel, ramdisk }),
        }
    }

    /// Stores a kernel or RAM disk.
    async fn store_file(
        &self,
        order: &Arc<Order>,
        owner: String,
        path: &Path,
        kind: Kind,
    ) -> Result<Stored, ImportJobError> {
        let dest = self.files.create(&owner, path).await?;
        let (order, path) = (Arc::clone(order), path.to_owned());
        let stored = tokio::task::spawn_blocking(move || kernel::store(kind.source(&order)?, dest, &path, kind));
        let stored = stored.await.map_err(ImportJobError::Thread)?;
        stored.map_err(|source| ImportJobError::Boot {
            what: kind.name(),
            source,
        })
    }

    /// Makes all of it available.
    async fn complete(&self, task: &ImportTask, order: Arc<Order>, made: Made) -> Result<(), ImportJobError> {
        let task = task.clone();
        let completed = self
            .store
            .write(move |store| completed(store, task, &order, made))
            .await;
        completed.map_err(ImportJobError::Record)
    }

    /// Takes all of it away: first the files, then the records. The task stays, deleted, and says why.
    pub(super) async fn take_away(&self, task: ImportTask, files: &[&Path], why: String) -> Result<(), TakeAwayError> {
        for path in files {
            self.files.remove(path).await?;
        }
        Ok(self.store.write(move |store| deleted(store, task, why)).await?)
    }
}

/// Why what an import left could not be taken away.
#[derive(Debug, thiserror::Error)]
pub enum TakeAwayError {
    /// The records can't be changed.
    #[error("The records of the import can't be changed")]
    Record(#[from] StoreError),
    /// A file can't be removed.
    #[error("A file of the import can't be removed")]
    File(#[from] HostFileError),
}

async fn copy_disk(order: Arc<Order>, watch: Arc<Watch>, dest: File, path: &Path) -> Result<Imported, ImportJobError> {
    let dir = path.parent().unwrap_or(path).to_owned();
    let copied = tokio::task::spawn_blocking(move || {
        let DiskSource { file, format } = &order.disk;
        let opened = File::open(&dir);
        let dir = opened.map_err(|source| ImportJobError::Directory { path: dir, source })?;
        let mut progress = |progress| watch.reach(progress);
        let imported = import(file, *format, &dest, &dir, &mut progress, watch.ending());
        match watch.why() {
            Some(why) => Err(ImportJobError::Ended(why)),
            None => imported.map_err(ImportJobError::Disk),
        }
    });
    copied.await.map_err(ImportJobError::Thread)?
}

fn completed(store: &Connection, mut task: ImportTask, order: &Order, made: Made) -> Result<(), StoreError> {
    if let Some(mut snapshot) = store::snapshots::get(store, task.snapshot)? {
        snapshot.size = made.disk.virtual_size;
        snapshot.digest = Some(made.disk.digest.to_string());
        snapshot.state = SnapshotState::Completed;
        store::snapshots::put(store, &snapshot)?;
    }
    task.format = made.disk.format.to_string();
    if let Makes::Image(wanted) = &order.makes {
        complete_image(store, &task, wanted, made)?;
    }
    task.state = TaskState::Completed;
    task.progress = 100;
    task.message = None;
    store::imports::put(store, &task)
}

fn complete_image(store: &Connection, task: &ImportTask, wanted: &ImageOrder, made: Made) -> Result<(), StoreError> {
    let Some(id) = task.image else { return Ok(()) };
    let Some(mut image) = store::images::get(store, id)? else {
        return Ok(());
    };
    let created = OffsetDateTime::now_utc();
    if let (Some((id, stored)), Some(source)) = (made.kernel, &wanted.kernel) {
        let kernel = KernelImage {
            id,
            description: image.description.clone(),
            command_line: source.command_line.clone(),
            digest: stored.digest,
            size: stored.size,
            created,
        };
        store::kernels::add(store, &kernel)?;
        image.kernel = Some(id);
    }
    if let Some((id, stored)) = made.ramdisk {
        let ramdisk = RamdiskImage {
            id,
            description: image.description.clone(),
            digest: stored.digest,
            size: stored.size,
            created,
        };
        store::kernels::add_ramdisk(store, &ramdisk)?;
        image.ramdisk = Some(id);
    }
    image.block_devices = vec![BlockDevice {
        device_name: ROOT_DEVICE.into(),
        snapshot: task.snapshot,
        size: made.disk.virtual_size.div_ceil(GIB) * GIB,
        delete_on_termination: true,
    }];
    image.state = ImageState::Available;
    store::images::put(store, &image)
}

fn deleted(store: &Connection, mut task: ImportTask, why: String) -> Result<(), StoreError> {
    if let Some(image) = task.image.take() {
        store::images::remove(store, image)?;
        store::tags::remove_all(store, ResourceId::Image(image))?;
    }
    store::snapshots::remove(store, task.snapshot)?;
    store::tags::remove_all(store, ResourceId::Snapshot(task.snapshot))?;
    task.state = TaskState::Deleted;
    task.message = Some(why);
    store::imports::put(store, &task)
}
