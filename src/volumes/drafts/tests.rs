//! Drafts in a real directory, and what daemons that were killed leave of them.

use super::*;
use crate::model::{DraftToken, GIB, SnapshotState};
use crate::store::{self, StoreError, ledger};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::os::unix::fs::FileExt;

struct Lab {
    _dir: tempfile::TempDir,
    store: Store,
    layout: Layout,
    drafts: Drafts,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("state"), dir.path().join("run"));
        for dir in layout.permanent_dirs() {
            std::fs::create_dir_all(dir).unwrap();
        }
        let store = Store::open(&layout.database()).unwrap();
        Self {
            _dir: dir,
            drafts: open(&store, &layout).await,
            store,
            layout,
        }
    }

    /// As the next daemon finds it.
    async fn next(self) -> Self {
        let drafts = open(&self.store, &self.layout).await;
        Self { drafts, ..self }
    }

    async fn begin(&self, parent: Option<SnapshotId>, token: Option<&str>) -> Result<SnapshotId, StartError> {
        let order = Order {
            size: GIB,
            parent,
            description: None,
            tags: Vec::new(),
            timeout: 10,
            token: token.map(|token| DraftToken {
                token: token.into(),
                digest: "same".into(),
            }),
        };
        Ok(self.drafts.start(order).await?.snapshot.id)
    }

    async fn put(&self, id: SnapshotId, index: u32, byte: u8) -> Result<(), PutError> {
        let data = Bytes::from(vec![byte; blocks::BLOCK]);
        let sum = Sha256::digest(&data).into();
        self.drafts.put(id, index, (data, sum), None, ()).await
    }

    async fn state(&self, id: SnapshotId) -> Option<SnapshotState> {
        let read = self.store.read(move |store| store::snapshots::get(store, id));
        let found: Result<_, StoreError> = read.await;
        found.unwrap().map(|snapshot| snapshot.state)
    }

    async fn on_ledger(&self) -> usize {
        self.store.read(ledger::list).await.unwrap().len()
    }
}

async fn open(store: &Store, layout: &Layout) -> Drafts {
    let volumes = Volumes::open(store.clone(), layout.clone()).await.unwrap();
    Drafts::open(store.clone(), layout.clone(), volumes).await.unwrap()
}

#[tokio::test]
async fn a_start_that_was_cut_short_leaves_nothing_and_its_token_is_free() {
    let lab = Lab::new().await;
    let id = lab.begin(None, Some("once")).await.unwrap();
    assert_eq!(lab.begin(None, Some("once")).await.unwrap(), id);
    // The file of the checksums comes last.
    std::fs::remove_file(lab.layout.snapshot_sums(id)).unwrap();
    let lab = lab.next().await;
    assert_eq!((lab.state(id).await, lab.on_ledger().await), (None, 0));
    assert!(!lab.layout.snapshot(id).exists());
    assert_ne!(lab.begin(None, Some("once")).await.unwrap(), id);
}

#[tokio::test]
async fn checksums_that_outlived_the_completion_go_at_the_next_start() {
    let lab = Lab::new().await;
    let id = lab.begin(None, None).await.unwrap();
    lab.put(id, 3, 1).await.unwrap();
    lab.drafts.complete(id, 1, None).await.unwrap();
    let left = lab.layout.snapshot_sums(id);
    assert!(!left.exists());
    lab.drafts.files().create(&id.to_string(), &left).await.unwrap();
    let lab = lab.next().await;
    assert!(!left.exists() && lab.layout.snapshot(id).exists());
    assert_eq!(
        (lab.state(id).await, lab.on_ledger().await),
        (Some(SnapshotState::Completed), 1)
    );
}

#[tokio::test]
async fn a_block_whose_second_writing_was_cut_short_was_not_written() {
    let lab = Lab::new().await;
    let id = lab.begin(None, None).await.unwrap();
    lab.put(id, 3, 1).await.unwrap();
    lab.put(id, 4, 1).await.unwrap();
    // As it is when the new bytes are about to be written.
    let sums = File::options().write(true).open(lab.layout.snapshot_sums(id)).unwrap();
    sums.write_all_at(&[0; SUM], 3 * SUM as u64).unwrap();
    let lab = lab.next().await;
    let completed = lab.drafts.complete(id, 2, None).await;
    assert!(
        matches!(completed, Err(CompleteError::Count { written: 1, .. })),
        "{completed:?}"
    );
    lab.put(id, 3, 2).await.unwrap();
    lab.drafts.complete(id, 2, None).await.unwrap();
}

#[tokio::test]
async fn a_child_begins_with_what_its_parent_has_and_never_changes_it() {
    let lab = Lab::new().await;
    let parent = lab.begin(None, None).await.unwrap();
    lab.put(parent, 3, 1).await.unwrap();
    let early = lab.begin(Some(parent), None).await;
    assert!(matches!(early, Err(StartError::ParentState { .. })), "{early:?}");
    lab.drafts.complete(parent, 1, None).await.unwrap();
    let child = lab.begin(Some(parent), None).await.unwrap();
    lab.put(child, 4, 2).await.unwrap();
    lab.drafts.complete(child, 1, None).await.unwrap();
    let bytes = |id| {
        let file = File::open(lab.layout.snapshot(id)).unwrap();
        let first = |index| {
            let mut block = vec![0; blocks::BLOCK];
            blocks::read(&file, index, &mut block).unwrap();
            block[0]
        };
        [first(3), first(4), first(5)]
    };
    assert_eq!((bytes(parent), bytes(child)), ([1, 0, 0], [1, 2, 0]));
}

#[tokio::test]
async fn nothing_is_written_to_a_draft_that_is_being_deleted() {
    let lab = Lab::new().await;
    let id = lab.begin(None, None).await.unwrap();
    let closing = lab.drafts.close(id).await.unwrap();
    let (put, finished) = tokio::join!(lab.put(id, 0, 1), closing.finish());
    finished.unwrap();
    assert!(matches!(put, Err(PutError::NoDraft)), "{put:?}");
    assert!(lab.drafts.close(id).await.is_none());
    assert_eq!(lab.on_ledger().await, 0);
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing() {
    let lab = Lab::new().await;
    let parent = lab.begin(None, None).await.unwrap();
    lab.drafts.complete(parent, 0, None).await.unwrap();
    std::fs::remove_file(lab.layout.snapshot(parent)).unwrap();
    assert!(lab.begin(Some(parent), Some("once")).await.is_err());
    let all: Result<Vec<_>, StoreError> = lab.store.read(store::snapshots::list).await;
    assert_eq!((all.unwrap().len(), lab.on_ledger().await), (1, 1));
    assert!(lab.begin(None, Some("once")).await.is_ok());
}
