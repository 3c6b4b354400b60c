//! The state directory: does it share blocks, and is there room?

use super::Finding;
use crate::config::Size;
use std::io::{self, Write};
use std::path::Path;

/// Below it, not even a small image fits.
const LEAST: u64 = 2 << 30;
const COMFORTABLE: u64 = 10 << 30;

/// Clones one file into another, as a launch does with an image.
pub fn reflink(state_dir: &Path) -> Finding {
    let check = "reflink";
    let folder = nearest(state_dir);
    match try_clone(folder) {
        Ok(()) => Finding::pass(
            check,
            format!("{} shares blocks: a launch copies nothing", folder.display()),
        ),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            let found = format!(
                "{} can't be written by this user, so it was not tried",
                folder.display()
            );
            Finding::warn(check, found, "sudo kiln doctor")
        }
        Err(error) => Finding::warn(
            check,
            format!(
                "{} does not share blocks ({error}): each launch copies its image",
                folder.display()
            ),
            "sudo kiln pool init makes a file system for it that does",
        ),
    }
}

fn try_clone(folder: &Path) -> io::Result<()> {
    let mut source = tempfile::tempfile_in(folder)?;
    source.write_all(&[1; 65536])?;
    let target = tempfile::tempfile_in(folder)?;
    Ok(rustix::fs::ioctl_ficlone(&target, &source)?)
}

pub fn space(state_dir: &Path) -> Finding {
    let check = "disk space";
    let folder = nearest(state_dir);
    let free = match rustix::fs::statvfs(folder) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => {
            return Finding::fail(
                check,
                format!("{} can't be asked: {error}", folder.display()),
                "set state_dir",
            );
        }
    };
    let mib = u32::try_from(free >> 20).unwrap_or(u32::MAX);
    let found = format!("{} free in {}", Size::from_mib(mib), folder.display());
    match free {
        0..LEAST => Finding::fail(check, found, "make room, or set state_dir to a larger file system"),
        LEAST..COMFORTABLE => Finding::warn(check, found, "images and volumes grow; 10 GiB or more are better"),
        _ => Finding::pass(check, found),
    }
}

/// The directory itself, or the nearest above it that exists.
fn nearest(path: &Path) -> &Path {
    path.ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&folder.path().join("a/b/c")), folder.path());
    }

    #[test]
    fn trying_leaves_nothing_behind_and_never_fails_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let finding = reflink(folder.path());
        assert_ne!(finding.verdict, Verdict::Fail);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
