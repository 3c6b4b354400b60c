//! Machine images: bringing them in, copying them cheaply, and finding what they boot.
//!
//! - [`formats`]: an image in a foreign format becomes a sparse raw file. Called by the daemon, at import only.
//! - [`clone`]: a raw file becomes another one, by reflink where the file system can. Called by the daemon.
//! - [`extents`]: what a file takes of the disk, and what of that it shares. Called by the daemon.
//! - [`sparse`]: where the data of a sparse file lies. Called by the daemon, too.
//! - [`boot`]: which kernel, RAM disk and command line a root volume boots. Called by `kiln-vmm`, inside its sandbox,
//!   on disks that a guest has written: nothing on them is trusted.
//!
//! This package knows neither the daemon nor the monitor; it is given open files and opens none.

pub mod boot;
pub mod clone;
pub mod extents;
mod field;
pub mod formats;
mod read_at;
pub mod sparse;

pub use read_at::ReadAt;
