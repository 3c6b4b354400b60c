//! Volumes in a real directory.

use super::*;
use crate::model::GIB;
use std::os::unix::fs::{FileExt, MetadataExt};
use time::OffsetDateTime;

struct Lab {
    _dir: tempfile::TempDir,
    store: Store,
    layout: Layout,
    volumes: Volumes,
}

async fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("state"), dir.path().join("run"));
    for dir in layout.permanent_dirs() {
        std::fs::create_dir_all(dir).unwrap();
    }
    let store = Store::open(&layout.database()).unwrap();
    let volumes = Volumes::open(store.clone(), layout.clone()).await.unwrap();
    Lab {
        _dir: dir,
        store,
        layout,
        volumes,
    }
}

impl Lab {
    fn snapshot(&self) -> SnapshotId {
        let id = SnapshotId::from_random(1);
        let file = File::create(self.layout.snapshot(id)).unwrap();
        file.write_all_at(b"the root", 4096).unwrap();
        file.set_len(1 << 20).unwrap();
        id
    }

    async fn volume(&self, snapshot: SnapshotId) -> Volume {
        let volume = Volume {
            id: VolumeId::from_random(store::random_bits()),
            size: GIB,
            snapshot: Some(snapshot),
            state: VolumeState::Creating,
            limits: crate::model::VolumeLimits::default(),
            created: OffsetDateTime::now_utc(),
        };
        let row = volume.clone();
        self.store.write(move |tx| store::volumes::add(tx, &row)).await.unwrap();
        volume
    }
}

#[tokio::test]
async fn a_volume_is_its_snapshot_grown_to_its_own_size() {
    let lab = lab().await;
    let snapshot = lab.snapshot();
    let volume = lab.volume(snapshot).await;
    lab.volumes.create(&volume).await.unwrap();
    // What a crash in the middle of it leaves is made anew.
    lab.volumes.create(&volume).await.unwrap();
    let file = lab.volumes.open_for_guest(volume.id).await.unwrap();
    let mut read = [0; 8];
    file.read_exact_at(&mut read, 4096).unwrap();
    assert_eq!(&read, b"the root");
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), GIB);
    assert!(metadata.blocks() * 512 < 1 << 20, "The volume is not sparse");
    assert_eq!(metadata.mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_volume_has_one_writer_at_a_time() {
    let lab = lab().await;
    let snapshot = lab.snapshot();
    let volume = lab.volume(snapshot).await;
    lab.volumes.create(&volume).await.unwrap();
    let first = lab.volumes.open_for_guest(volume.id).await.unwrap();
    let second = lab.volumes.open_for_guest(volume.id).await;
    assert!(matches!(second, Err(OpenVolumeError::Locked { .. })), "{second:?}");
    // One that is about to end is waited for.
    let (opened, ()) = tokio::join!(lab.volumes.open_for_guest(volume.id), async { drop(first) });
    opened.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_volume() {
    let lab = lab().await;
    let snapshot = lab.snapshot();
    let volume = lab.volume(snapshot).await;
    lab.volumes.create(&volume).await.unwrap();
    lab.volumes.delete(volume.id).await.unwrap();
    assert!(!lab.layout.volume(volume.id).exists());
    assert!(lab.store.read(store::volumes::list).await.unwrap().is_empty());
    assert!(lab.store.read(ledger::list).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_snapshot_that_is_gone_makes_no_volume_and_leaves_nothing() {
    let lab = lab().await;
    let gone = SnapshotId::from_random(9);
    let volume = lab.volume(gone).await;
    let made = lab.volumes.create(&volume).await;
    assert!(matches!(made, Err(CreateVolumeError::Snapshot { .. })), "{made:?}");
    assert!(!lab.layout.volume(volume.id).exists());
    assert!(lab.store.read(ledger::list).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_found_out_before_anything_is_made() {
    let lab = lab().await;
    let snapshot = lab.snapshot();
    lab.volumes.check_room(snapshot, 1).await.unwrap();
    if !lab.volumes.reflinks() {
        let too_many = lab.volumes.check_room(snapshot, u64::MAX).await;
        assert!(matches!(too_many, Err(SpaceError::Full { .. })), "{too_many:?}");
    }
}
