//! What makes the machine a PC: addresses, CPU features, the state a CPU starts in, and the firmware's tables.
//!
//! Only `kvm` and this module know the architecture; `machine` calls both.

pub mod acpi;
pub mod boot_params;
pub mod cpu;
pub mod cpuid;
pub mod kernel;
pub mod layout;
pub mod smbios;
