//! A world in a directory of its own, and calls into it as `wire` makes them: checked against EC2's model.

use super::{ApiError, Caller, RequestId, World, operations};
use crate::config::Config;
use crate::model::{
    Architecture, BlockDevice, Image, ImageAttributes, ImageId, ImageOwner, ImageState, Instance, InstanceAttributes,
    InstanceId, InstanceState, InstanceType, MetadataOptions, Reservation, ReservationId, ShutdownBehavior, Snapshot,
    SnapshotId, SnapshotState,
};
use crate::store::{self, random_bits};
use crate::wire::Dispatch;
use serde_json::{Value, json};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// The world and its directory, which goes with it.
pub struct TestWorld {
    pub world: Arc<World>,
    dispatch: Dispatch,
    config: Config,
    _directory: tempfile::TempDir,
}

impl TestWorld {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With more in its configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            state_dir: directory.path().join("state"),
            run_dir: directory.path().join("run"),
            ..Config::default()
        };
        change(&mut config);
        let world = Arc::new(World::open(config.clone()).await.unwrap());
        Self {
            dispatch: Dispatch::new(Arc::clone(&world), operations()),
            world,
            config,
            _directory: directory,
        }
    }

    /// The world as the next daemon finds it.
    pub async fn restart(self) -> Self {
        let Self {
            world,
            dispatch,
            config,
            _directory,
        } = self;
        // The state directory is the old daemon's as long as it is there.
        drop((world, dispatch));
        let world = Arc::new(World::open(config.clone()).await.unwrap());
        Self {
            dispatch: Dispatch::new(Arc::clone(&world), operations()),
            world,
            config,
            _directory,
        }
    }

    /// The snapshot of [`Self::tiny_image`].
    pub const TINY_SNAPSHOT: SnapshotId = SnapshotId::from_random(5);
    /// What [`Self::tiny_image`] adds.
    pub const TINY_IMAGE: ImageId = ImageId::from_random(6);

    /// Adds the account's image `tiny`, of 3 MiB, in which nothing boots.
    pub async fn tiny_image(&self) {
        let file = std::fs::File::create(self.world.layout.snapshot(Self::TINY_SNAPSHOT)).unwrap();
        file.set_len(3 << 20).unwrap();
        let created = OffsetDateTime::now_utc();
        let snapshot = Snapshot {
            id: Self::TINY_SNAPSHOT,
            size: 3 << 20,
            volume: None,
            state: SnapshotState::Completed,
            state_message: None,
            description: None,
            digest: None,
            created,
        };
        let image = Image {
            id: Self::TINY_IMAGE,
            name: "tiny".into(),
            description: None,
            owner: ImageOwner::Account,
            state: ImageState::Available,
            state_reason: None,
            architecture: Architecture::X86_64,
            root_device_name: "/dev/sda1".into(),
            block_devices: vec![BlockDevice {
                device_name: "/dev/sda1".into(),
                snapshot: Self::TINY_SNAPSHOT,
                size: 3 << 20,
                delete_on_termination: true,
            }],
            instance_store: Vec::new(),
            kernel: None,
            ramdisk: None,
            source: crate::model::ImageSource::default(),
            attributes: ImageAttributes::default(),
            created,
        };
        let written = self.world.store.write(move |tx| {
            store::snapshots::put(tx, &snapshot)?;
            store::images::put(tx, &image)
        });
        written.await.unwrap();
    }

    /// Asserts that the state directory has these files and no other, and the ledger knows just them.
    pub async fn assert_files(&self, expected: &[String]) {
        let mut found = Vec::new();
        for kind in ["snapshots", "volumes", "kernels", "ramdisks", "instances"] {
            let entries = std::fs::read_dir(self.config.state_dir.join(kind)).unwrap();
            found.extend(entries.map(|entry| format!("{kind}/{}", entry.unwrap().file_name().to_string_lossy())));
        }
        let mut expected = expected.to_vec();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        let ledger = self.world.store.read(crate::store::ledger::list).await.unwrap();
        assert_eq!(ledger.len(), expected.len(), "{ledger:?}");
    }

    /// Carries out an operation.
    pub async fn call(&self, operation: &str, request: Value) -> Result<Value, ApiError> {
        self.call_with(operation, request, Vec::new()).await
    }

    /// Carries out an operation that brings files.
    pub async fn call_with(&self, operation: &str, request: Value, files: Vec<OwnedFd>) -> Result<Value, ApiError> {
        let caller = Caller {
            uid: 0,
            gid: 0,
            pid: None,
        };
        let result = self
            .dispatch
            .call(operation, request, caller, files, RequestId(1))
            .await;
        if let Err(error) = &result {
            assert!(error.code.status() < 500, "{operation}: {error}");
        }
        result
    }

    /// Carries out an operation that must be refused; gives EC2's code.
    pub async fn refused(&self, operation: &str, request: Value) -> &'static str {
        match self.call(operation, request).await {
            Ok(answer) => panic!("{operation} answered {answer}"),
            Err(error) => error.code.as_str(),
        }
    }

    /// Waits for an import or export task to end; gives its description.
    pub async fn ended(&self, task: &Value) -> Value {
        let (operation, ids, list, id) = match (&task["ExportImageTaskId"], &task["ImportTaskId"]) {
            (Value::String(id), _) => ("DescribeExportImageTasks", "ExportImageTaskIds", "ExportImageTasks", id),
            (_, Value::String(id)) if id.starts_with("import-snap-") => (
                "DescribeImportSnapshotTasks",
                "ImportTaskIds",
                "ImportSnapshotTasks",
                id,
            ),
            (_, Value::String(id)) => ("DescribeImportImageTasks", "ImportTaskIds", "ImportImageTasks", id),
            _ => panic!("{task} is no task"),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.call(operation, json!({ids: [id]})).await.unwrap();
            let task = &answer[list][0];
            let status = task
                .get("Status")
                .unwrap_or_else(|| &task["SnapshotTaskDetail"]["Status"]);
            if status == "completed" || status == "deleted" {
                return task.clone();
            }
            assert!(Instant::now() < deadline, "{task}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// An open file with these bytes at its beginning and that size.
pub fn file(bytes: &[u8], size: u64) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(size).unwrap();
    file.into()
}

/// An instance that is on record as stopped, and nothing else: the next daemon takes it up.
pub async fn stopped_instance(world: &TestWorld) -> InstanceId {
    let now = OffsetDateTime::now_utc();
    let reservation = Reservation {
        id: ReservationId::from_random(random_bits()),
        client_token: None,
        request_digest: String::new(),
        created: now,
    };
    let instance = Instance {
        id: InstanceId::from_random(random_bits()),
        reservation: reservation.id,
        client_token: None,
        launch_index: 0,
        image: ImageId::from_random(1),
        instance_type: InstanceType {
            name: "t3.micro".into(),
            vcpus: 2,
            threads_per_core: 2,
            memory: 1 << 30,
            network_mbps: None,
            instance_store: None,
        },
        architecture: Architecture::X86_64,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/sda1".into(),
        state: InstanceState::Stopped,
        reason: None,
        ran: true,
        rebooting: false,
        launched: now,
        terminated: None,
        shutdown_behavior: ShutdownBehavior::Stop,
        user_data: None,
        key: None,
        metadata_options: MetadataOptions::default(),
        attributes: InstanceAttributes::default(),
    };
    let id = instance.id;
    let add = world.world.store.write(move |store| {
        store::reservations::add(store, &reservation)?;
        store::instances::add(store, &instance)
    });
    add.await.unwrap();
    id
}
