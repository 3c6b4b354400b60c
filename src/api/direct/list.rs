//! ListSnapshotBlocks, ListChangedBlocks.

use super::{DirectError, block_size, open, snapshot_id, tokens, waiting};
use crate::api::World;
use crate::model::{GIB, Snapshot, SnapshotId};
use crate::volumes::blocks::{self, Page};
use serde::Serialize;
use std::ops::RangeInclusive;
use time::{Duration, OffsetDateTime};

/// What `maxResults` may be. Without it there are as many as most clients ask for.
const MAX_RESULTS: RangeInclusive<u32> = 100..=10_000;
/// For how long the API says that tokens are good. They are for longer.
const TOKEN_LIFE: Duration = Duration::days(7);

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// The token of an earlier page.
    pub page_token: Option<String>,
    /// How many blocks at most.
    pub max_results: Option<u32>,
    /// The block to begin at, if there is no token.
    pub starting_block_index: Option<u32>,
}

impl PageRequest {
    /// Where the part begins, and how many blocks it has at most.
    fn part(&self, list: &str) -> Result<(u32, usize), DirectError> {
        let max = self.max_results.unwrap_or(*MAX_RESULTS.end());
        if !MAX_RESULTS.contains(&max) {
            let (least, most) = (MAX_RESULTS.start(), MAX_RESULTS.end());
            let message = format!("maxResults is {max}; it must be from {least} to {most}");
            return Err(DirectError::parameter(message));
        }
        let from = match &self.page_token {
            Some(token) => tokens::check_page(token, list)?,
            None => self.starting_block_index.unwrap_or(0),
        };
        Ok((from, usize::try_from(max).unwrap_or(usize::MAX)))
    }
}

/// What both lists say beside their blocks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Frame {
    expiry_time: i64,
    volume_size: u64,
    block_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Frame {
    fn new(snapshot: &Snapshot, list: &str, next: Option<u32>) -> Self {
        Self {
            expiry_time: (OffsetDateTime::now_utc() + TOKEN_LIFE).unix_timestamp(),
            volume_size: snapshot.size.div_ceil(GIB),
            block_size: block_size(),
            next_token: next.map(|next| tokens::page(list, next)),
        }
    }
}

/// The answer to ListSnapshotBlocks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Blocks {
    blocks: Vec<Listed>,
    #[serde(flatten)]
    frame: Frame,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    block_index: u32,
    block_token: String,
}

/// The blocks of a snapshot that hold data. `held` is let go of when they were found.
///
/// # Errors
/// The snapshot is not there or not completed, or the page is none.
pub async fn list_blocks(
    world: &World,
    snapshot: &str,
    page: &PageRequest,
    held: impl Send + 'static,
) -> Result<Blocks, DirectError> {
    let id = snapshot_id(snapshot)?;
    let list = id.to_string();
    let (from, max) = page.part(&list)?;
    let (snapshot, file) = open(world, id).await?;
    let listed = waiting(held, move || blocks::list(&file, from, max)).await;
    let Page { items, next } = listed.map_err(|error| DirectError::internal(&error))?;
    let listed = |index| Listed {
        block_index: index,
        block_token: tokens::block(id, index),
    };
    Ok(Blocks {
        blocks: items.into_iter().map(listed).collect(),
        frame: Frame::new(&snapshot, &list, next),
    })
}

/// The answer to ListChangedBlocks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChangedBlocks {
    changed_blocks: Vec<Changed>,
    #[serde(flatten)]
    frame: Frame,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    block_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_block_token: Option<String>,
    second_block_token: String,
}

/// The blocks of the second snapshot whose bytes are not those of the first one; without a first one, those that hold data.
/// A block that the second one has no data in any more can be read as all others: it is zeros. `held` is let go of when they
/// were found.
///
/// # Errors
/// A snapshot is not there or not completed, or the page is none.
pub async fn list_changed_blocks(
    world: &World,
    first: Option<&str>,
    second: &str,
    page: &PageRequest,
    held: impl Send + 'static,
) -> Result<ChangedBlocks, DirectError> {
    let second = snapshot_id(second)?;
    let first = first.map(snapshot_id).transpose()?;
    let list = match first {
        Some(first) => format!("{first} {second}"),
        None => format!("none {second}"),
    };
    let (from, max) = page.part(&list)?;
    let (snapshot, file) = open(world, second).await?;
    let found = match first {
        Some(first) => {
            let (_, before) = open(world, first).await?;
            waiting(held, move || blocks::compare(&before, &file, from, max)).await
        }
        None => waiting(held, move || blocks::list(&file, from, max).map(all_new)).await,
    };
    let Page { items, next } = found.map_err(|error| DirectError::internal(&error))?;
    let changed = |block: blocks::Changed| Changed {
        block_index: block.index,
        first_block_token: first_token(first, block),
        second_block_token: tokens::block(second, block.index),
    };
    Ok(ChangedBlocks {
        changed_blocks: items.into_iter().map(changed).collect(),
        frame: Frame::new(&snapshot, &list, next),
    })
}

fn first_token(first: Option<SnapshotId>, block: blocks::Changed) -> Option<String> {
    let first = first.filter(|_| block.in_first)?;
    Some(tokens::block(first, block.index))
}

fn all_new(page: Page<u32>) -> Page<blocks::Changed> {
    let new = |index| blocks::Changed { index, in_first: false };
    Page {
        items: page.items.into_iter().map(new).collect(),
        next: page.next,
    }
}
