//! The virtual machine monitor: one process a running instance.
//!
//! `kilnd` starts the `kiln-vmm` program with a listening control socket and nothing else; the program locks itself
//! in, waits for a [`protocol::Request::Launch`] that carries the open files of the machine, builds it and runs it.
//! The daemon uses only [`protocol`] of this crate.

pub mod bus;
pub mod events;
pub mod kvm;
pub mod pci;
pub mod protocol;
pub mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod virtio;
pub mod x86_64;
