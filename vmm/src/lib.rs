//! The virtual machine monitor: one process a running instance.
//!
//! `kilnd` starts the `kiln-vmm` program with a listening control socket and nothing else; the program locks itself
//! in, waits for a [`protocol::Request::Launch`] that carries the open files of the machine, builds it and runs it.
//! The daemon uses only [`protocol`] of this crate.

pub mod arguments;
pub mod block;
pub mod boot;
pub mod bus;
pub mod console;
pub mod control;
pub mod events;
pub mod guest;
pub mod kvm;
pub mod legacy;
pub mod machine;
pub mod pci;
pub mod probe;
pub mod protocol;
pub mod registry;
pub mod sandbox;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vcpus;
pub mod virtio;
pub mod x86_64;

/// The descriptor by which the daemon passes the listening control socket.
pub const CONTROL_FD: i32 = 3;
