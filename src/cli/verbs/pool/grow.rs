//! `kiln pool grow`: the file, the loop device and the file system grow, in this order. Cut short, it can be run again.

use super::super::super::Context;
use super::super::super::error::CommandError;
use super::{programs, show};
use crate::config::Size;
use rustix::fs::{FallocateFlags, fallocate};
use serde_json::json;
use std::fs::File;
use std::path::PathBuf;

pub(super) async fn grow(context: &Context, size: Size) -> Result<(), CommandError> {
    programs::must_be_root()?;
    let pool = show::pool(context).await?;
    let Some(file) = pool.backing_file else {
        let message = format!(
            "{} is not on a pool that kiln made: its file system grows as it does elsewhere",
            pool.path
        );
        return Err(CommandError::Usage(message));
    };
    let path = PathBuf::from(&file);
    let failed = |source| CommandError::File {
        path: path.clone(),
        source,
    };
    let opened = File::options().write(true).open(&path).map_err(failed)?;
    let now = opened.metadata().map_err(failed)?.len();
    let Some(more) = size.bytes().checked_sub(now) else {
        let message = format!("The pool has {} already, and can't shrink", Size::from_bytes(now));
        return Err(CommandError::Usage(message));
    };
    if more > 0 {
        // Blocks and all, so that nobody else takes them: the file system on it relies on them.
        fallocate(&opened, FallocateFlags::empty(), now, more).map_err(|error| failed(error.into()))?;
        opened.sync_all().map_err(failed)?;
    }
    let device = programs::output("losetup", &["--noheadings", "--output", "NAME", "--associated", &file]).await?;
    programs::run("losetup", &["--set-capacity", &device]).await?;
    programs::run("xfs_growfs", &[&pool.path]).await?;
    match context.out.json {
        true => context
            .out
            .answer(&json!({"Path": pool.path, "BackingFile": file, "SizeBytes": size.bytes()})),
        false => context.out.line(&format!("{} has {size}", pool.path)),
    }
}
