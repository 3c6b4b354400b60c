//! The file systems that loaders read: ext4 and its ancestors, and FAT. Paths are resolved here for all of them.

mod ext4;
mod fat;

use super::disk::{FsError, Window};
use super::file::BootFile;

/// The most symbolic links in one path, as Linux has it.
const MAX_LINKS: u32 = 40;
/// The most steps on the way to one file.
const MAX_STEPS: u32 = 400;
/// The most names of one directory.
const MAX_NAMES: usize = 10_000;

/// A tree of directories with links.
trait Tree<'d> {
    /// A file, directory or link.
    type Node;

    fn root(&self) -> Result<Self::Node, FsError>;
    /// What `name` stands for in a directory; [`FsError::NotFound`] also if `directory` is none.
    fn child(&self, directory: &Self::Node, name: &str) -> Result<Self::Node, FsError>;
    /// The names in a directory that are UTF-8.
    fn names(&self, directory: &Self::Node) -> Result<Vec<String>, FsError>;
    /// Where a symbolic link leads; none if it is none.
    fn link_target(&self, node: &Self::Node) -> Result<Option<String>, FsError>;
    fn is_directory(&self, node: &Self::Node) -> bool;
    fn open(&self, node: &Self::Node, name: &str) -> Result<BootFile<'d>, FsError>;
}

/// A file system of a kind that can be read.
pub(super) enum FileSystem<'w, 'd> {
    Ext4(Box<ext4::Ext4<'w, 'd>>),
    Fat(fat::Fat<'w, 'd>),
}

/// Does the same with either kind.
macro_rules! on_tree {
    ($fs:expr, $tree:ident => $body:expr) => {
        match $fs {
            FileSystem::Ext4(fs) => {
                let $tree = fs.as_ref();
                $body
            }
            FileSystem::Fat($tree) => $body,
        }
    };
}

impl<'w, 'd> FileSystem<'w, 'd> {
    /// Opens what `window` holds; none if that is no file system known here.
    pub(super) fn open_in(window: Window<'w, 'd>) -> Result<Option<Self>, FsError> {
        if let Some(fs) = ext4::Ext4::open(window)? {
            return Ok(Some(Self::Ext4(Box::new(fs))));
        }
        Ok(fat::Fat::open(window)?.map(Self::Fat))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Ext4(_) => "ext4",
            Self::Fat(_) => "FAT",
        }
    }

    /// As `blkid` writes it.
    pub(super) fn uuid(&self) -> &str {
        match self {
            Self::Ext4(fs) => fs.uuid(),
            Self::Fat(fs) => fs.uuid(),
        }
    }

    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::Ext4(fs) => fs.label(),
            Self::Fat(fs) => fs.label(),
        }
    }

    /// Opens the regular file at an absolute path, through links; `name` is what it is called.
    pub(super) fn open(&self, path: &str, name: &str) -> Result<BootFile<'d>, FsError> {
        on_tree!(self, tree => tree.open(&resolve(tree, path)?, name))
    }

    /// The names in the directory at an absolute path.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, FsError> {
        on_tree!(self, tree => {
            let node = resolve(tree, path)?;
            if tree.is_directory(&node) { tree.names(&node) } else { Err(FsError::NotFound) }
        })
    }
}

/// Finds what a path stands for, through links.
fn resolve<'d, T: Tree<'d>>(tree: &T, path: &str) -> Result<T::Node, FsError> {
    let mut pending: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    let (mut node, mut parents) = (tree.root()?, Vec::new());
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = pending.pop() {
        steps += 1;
        if steps > MAX_STEPS {
            return Err(FsError::Damaged("a path never ends"));
        }
        match name.as_str() {
            "" | "." => continue,
            ".." => node = parents.pop().map_or_else(|| tree.root(), Ok)?,
            name => {
                let child = tree.child(&node, name)?;
                match tree.link_target(&child)? {
                    Some(target) => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(FsError::Damaged("symbolic links lead in a circle"));
                        }
                        if target.starts_with('/') {
                            parents.clear();
                            node = tree.root()?;
                        }
                        pending.extend(target.rsplit('/').map(str::to_owned));
                    }
                    None => parents.push(std::mem::replace(&mut node, child)),
                }
            }
        }
    }
    Ok(node)
}
