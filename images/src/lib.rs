//! Machine images: bringing them in, copying them cheaply, and finding what they boot.
//!
//! - [`formats`]: an image in a foreign format becomes a sparse raw file. Called by the daemon, at import only.
//! - [`clone`]: a raw file becomes another one, by reflink where the file system can. Called by the daemon.
//! - [`boot`]: which kernel, RAM disk and command line a root volume boots. Called by `kiln-vmm`, inside its sandbox,
//!   on disks that a guest has written: nothing on them is trusted.
//!
//! This package knows neither the daemon nor the monitor; it is given open files and opens none.

pub mod boot;
pub mod clone;
mod field;
pub mod formats;
mod read_at;
mod sparse;

pub use read_at::ReadAt;
