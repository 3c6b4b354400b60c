//! The only place with KVM's ioctls: the machine, its CPUs, memory, interrupts.
//!
//! `machine` builds a [`vm::Vm`] from the open `/dev/kvm`; devices see only `events::EventRoutes`.

pub mod irq;
pub mod memory;
pub mod vcpu;
pub mod vm;
