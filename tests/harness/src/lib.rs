//! What the integration tests stand on: a real `kilnd` of its own for a test, its socket spoken to as any client does,
//! the consoles of its guests, and a look at the host for anything left behind.
//!
//! Used by the tests and benchmarks of package `kiln` only. Nothing here knows the daemon from the inside, but for the layout of its
//! state directory and the tables that must be empty in the end. Every wait has a deadline and is for an event. What goes
//! wrong panics, with the console's and the daemon's last lines: a test needs no more.

mod api;
mod console;
mod daemon;
mod debian;
mod guest;
mod http;
mod leftovers;
mod namespace;

pub use api::{Api, Refusal};
pub use console::Console;
pub use daemon::{Daemon, Setup};
pub use debian::Debian;
pub use guest::{debian_disk, has_kvm, import_small_guest, small_guest};
pub use leftovers::processes_of;
pub use namespace::Namespace;
