//! The daemon's parts, as handlers see them.

use super::error::{ApiError, Code};
use super::vpcs;
use crate::chain::chain;
use crate::config::{Config, ImageAliases, InstanceTypes, LoadInstanceTypesError};
use crate::exports::Exports;
use crate::imports::{Imports, TakeAwayError};
use crate::instance::{AdoptError, Capacity, Checks, Events, IdentityKey, Instances, Parts};
use crate::machine::Machines;
use crate::model::{Block, VpcId};
use crate::network::{LinkError, Networks, default_block};
use crate::store::layout::Layout;
use crate::store::{OpenStoreError, Store, StoreError};
use crate::volumes::drafts::Drafts;
use crate::volumes::{HostFileError, Volumes};
use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The daemon's parts. `kilnd` makes one at its start; handlers share it.
#[derive(Debug)]
pub struct World {
    /// What the daemon was told.
    pub config: Config,
    /// The instance types there are.
    pub types: InstanceTypes,
    /// Other names of images.
    pub image_aliases: ImageAliases,
    /// Where things lie.
    pub layout: Layout,
    /// What the daemon knows.
    pub store: Store,
    /// The addresses of the default VPC, when one is made.
    pub default_vpc_block: Block,
    /// Volumes, and the files of snapshots, kernels and RAM disks.
    pub volumes: Volumes,
    /// Imports of images and snapshots.
    pub imports: Imports,
    /// Exports of images.
    pub exports: Exports,
    /// Snapshots that clients write block by block.
    pub drafts: Drafts,
    /// The instances.
    pub instances: Instances,
    /// Where the query endpoint listens, once it does.
    ec2_endpoint: OnceLock<SocketAddr>,
    /// Keeps a second daemon out as long as this one lives.
    _lock: File,
}

/// Why the daemon's parts could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenWorldError {
    /// A directory could not be made.
    #[error("Can't make the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon uses the state directory.
    #[error("Another daemon uses {state_dir}: give each its own --state-dir")]
    InUse {
        /// The state directory.
        state_dir: PathBuf,
    },
    /// The state directory can't be locked.
    #[error("Can't lock {path}")]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The instance types are no good.
    #[error("Can't load the instance types")]
    Types(#[from] LoadInstanceTypesError),
    /// The database could not be opened.
    #[error("Can't open the store")]
    Store(#[from] OpenStoreError),
    /// The host's routes can't be listed.
    #[error("Can't find a block for the default VPC")]
    Routes(#[source] LinkError),
    /// There is no default VPC, and none could be made.
    #[error("Can't make the default VPC")]
    DefaultVpc(#[source] StoreError),
    /// The volumes' file system could not be asked.
    #[error("Can't use the state directory")]
    Volumes(#[from] HostFileError),
    /// What the last daemon's imports left could not be taken away.
    #[error("Can't clear interrupted imports")]
    Imports(#[from] TakeAwayError),
    /// What the last daemon's exports were is not to be found out.
    #[error("Can't end interrupted exports")]
    Exports(#[source] StoreError),
    /// What clients write is not to be found out.
    #[error("Can't take up the snapshots that clients write")]
    Drafts(#[source] StoreError),
    /// The host does not say what it is made of.
    #[error("Can't find out what the host has")]
    Host(#[source] io::Error),
    /// The instances on record could not be taken up.
    #[error("Can't take up the instances")]
    Instances(#[from] AdoptError),
}

impl World {
    /// Puts the parts together as `config` says, making directories and database as needed.
    ///
    /// # Errors
    /// See [`OpenWorldError`].
    pub async fn open(config: Config) -> Result<Self, OpenWorldError> {
        let layout = Layout::new(&config.state_dir, &config.run_dir);
        for path in layout.permanent_dirs() {
            // Only the socket is for others' eyes.
            let mode = if path == layout.run_dir() { 0o755 } else { 0o700 };
            let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
            made.map_err(|source| OpenWorldError::Directory { path, source })?;
        }
        let lock = lock(&layout).await?;
        let types = InstanceTypes::load(config.capacity.instance_types.as_deref())?;
        let store = Store::open(&layout.database())?;
        let default_vpc_block = default_block().await.map_err(OpenWorldError::Routes)?;
        let place = config.place.clone();
        let default_vpc = store.write(move |tx| vpcs::ensure_default_vpc(tx, &place, default_vpc_block));
        default_vpc.await.map_err(OpenWorldError::DefaultVpc)?;
        let volumes = Volumes::open(store.clone(), layout.clone()).await?;
        let imports = Imports::new(store.clone(), layout.clone(), volumes.files().clone());
        imports.recover().await?;
        let exports = Exports::new(store.clone(), layout.clone());
        exports.recover().await.map_err(OpenWorldError::Exports)?;
        let drafts = Drafts::open(store.clone(), layout.clone(), volumes.clone()).await;
        let drafts = drafts.map_err(OpenWorldError::Drafts)?;
        let instances = open_instances(&config, &store, &layout, &volumes).await?;
        Ok(Self {
            config,
            types,
            image_aliases: ImageAliases::packaged(),
            layout,
            store,
            default_vpc_block,
            volumes,
            imports,
            exports,
            drafts,
            instances,
            ec2_endpoint: OnceLock::new(),
            _lock: lock,
        })
    }
}

impl World {
    /// Notes where the query endpoint listens. It is said once, before anybody asks.
    pub fn set_ec2_endpoint(&self, address: SocketAddr) {
        let _ = self.ec2_endpoint.set(address);
    }

    /// Where the query endpoint listens, if it does.
    #[must_use]
    pub fn ec2_endpoint(&self) -> Option<SocketAddr> {
        self.ec2_endpoint.get().copied()
    }

    /// Brings what the host enforces for a VPC up to what was just written. A change that can't be enforced is not done
    /// away with: it holds from the next one on, or from the daemon's next start.
    ///
    /// # Errors
    /// `Unavailable`, if the host refused.
    pub async fn apply_network(&self, vpc: VpcId) -> Result<(), ApiError> {
        let applied = self.instances.parts().networks.apply(vpc).await;
        applied.map_err(|error| {
            let error = chain(&error);
            tracing::error!(%vpc, %error, "A change of a network is not enforced yet");
            ApiError::new(
                Code::Unavailable,
                format!("The change is recorded but not yet enforced: {error}"),
            )
        })
    }
}

/// How long a lock is waited for. A process that a killed daemon was about to start has its open files until it becomes
/// another program, some milliseconds later.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long it is left alone between two looks.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks the state directory. The lock is the open file's: it goes with the process, however that ends.
async fn lock(layout: &Layout) -> Result<File, OpenWorldError> {
    let path = layout.lock();
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(source) => return Err(OpenWorldError::Lock { path, source }),
    };
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::WouldBlock) => {
                return Err(OpenWorldError::InUse {
                    state_dir: layout.state_dir().into(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(OpenWorldError::Lock { path, source }),
        }
    }
}

/// Takes up the instances; when this returns, what is on record of them is true.
async fn open_instances(
    config: &Config,
    store: &Store,
    layout: &Layout,
    volumes: &Volumes,
) -> Result<Instances, OpenWorldError> {
    let program = config.vmm.program_path().map_err(OpenWorldError::Host)?;
    let machines = Machines::open(store.clone(), layout.clone(), program, config.vmm.uids).await;
    let reserve = config.capacity.memory_reserve.bytes();
    let parts = Parts {
        store: store.clone(),
        layout: layout.clone(),
        volumes: volumes.clone(),
        machines: machines.map_err(OpenWorldError::Host)?,
        networks: Networks::new(store.clone(), config.network.transit.block()),
        public_pool: config.network.public_pool.clone(),
        vhost_net: config.network.vhost_net,
        identity: IdentityKey::new(store.clone()),
        checks: Checks::default(),
        place: config.place.clone(),
        capacity: Capacity::of_host(config.capacity.vcpu_overcommit, reserve).map_err(OpenWorldError::Host)?,
        events: Events::default(),
        stop_time_limit: config.lifecycle.stop_time_limit.as_duration(),
        retention: config.lifecycle.terminated_retention.as_duration(),
    };
    Ok(Instances::adopt(parts).await?)
}
