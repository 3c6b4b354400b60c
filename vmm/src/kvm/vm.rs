//! One virtual machine in KVM: its memory slots, interrupt controllers and timer.

use super::irq::Routes;
use super::memory::{self, Memory};
use super::vcpu::Vcpu;
use crate::x86_64::layout;
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VmFd};
use std::fs::File;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::Arc;

/// Why KVM holds no such machine.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The file that was given does not answer as `/dev/kvm`.
    #[error("The file given as /dev/kvm answers with API version {0}, not 12")]
    Version(i32),
    /// This kernel's KVM lacks something that every guest needs.
    #[error("This host's KVM lacks {0:?}; its kernel is too old or built without it")]
    Capability(Cap),
    /// An ioctl failed.
    #[error("KVM refused to {action}")]
    Ioctl {
        /// What it should have done.
        action: &'static str,
        /// Its reason.
        #[source]
        source: kvm_ioctls::Error,
    },
}

/// Names the ioctl that failed.
pub(super) fn ioctl(action: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> VmError {
    move |source| VmError::Ioctl { action, source }
}

/// `/dev/kvm`, checked.
pub struct Host {
    kvm: Kvm,
}

const NEEDED: [Cap; 9] = [
    Cap::Irqchip,
    Cap::Irqfd,
    Cap::Ioeventfd,
    Cap::ImmediateExit,
    Cap::UserMemory,
    Cap::SetTssAddr,
    Cap::ExtCpuid,
    Cap::Pit2,
    Cap::TscDeadlineTimer,
];

impl Host {
    /// Takes `/dev/kvm` as it was handed over.
    ///
    /// # Errors
    /// It is something else, or lacks what every guest needs.
    pub fn new(file: File) -> Result<Self, VmError> {
        // SAFETY: the descriptor is open, and nobody else owns it from here on.
        let kvm = unsafe { Kvm::from_raw_fd(file.into_raw_fd()) };
        let version = kvm.get_api_version();
        if version != 12 {
            return Err(VmError::Version(version));
        }
        match NEEDED.into_iter().find(|&cap| !kvm.check_extension(cap)) {
            Some(cap) => Err(VmError::Capability(cap)),
            None => Ok(Self { kvm }),
        }
    }

    /// The CPU features that KVM can give a guest here.
    pub fn supported_cpuid(&self) -> Result<CpuId, VmError> {
        self.kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(ioctl("tell its CPU features"))
    }

    /// Makes an empty machine with interrupt controllers and timer.
    pub fn create_vm(&self) -> Result<Vm, VmError> {
        let fd = self.kvm.create_vm().map_err(ioctl("make a machine"))?;
        fd.set_identity_map_address(layout::KVM_IDENTITY_MAP)
            .map_err(ioctl("place its identity map"))?;
        fd.set_tss_address(layout::KVM_TSS).map_err(ioctl("place its TSS"))?;
        fd.create_irq_chip().map_err(ioctl("make interrupt controllers"))?;
        let pit = kvm_pit_config {
            flags: KVM_PIT_SPEAKER_DUMMY,
            ..Default::default()
        };
        fd.create_pit2(pit).map_err(ioctl("make the timer"))?;
        let fd = Arc::new(fd);
        let routes = Arc::new(Routes::new(Arc::clone(&fd))?);
        Ok(Vm {
            routes,
            memory: None,
            fd,
        })
    }
}

/// A machine in KVM. Fields are dropped in order: the machine's own descriptor goes before the memory that it maps.
pub struct Vm {
    fd: Arc<VmFd>,
    routes: Arc<Routes>,
    memory: Option<Memory>,
}

impl Vm {
    /// Shows `memory` to the guest. The mapping stays as long as the machine.
    pub fn set_memory(&mut self, memory: Memory) -> Result<(), VmError> {
        for (slot, (guest_phys_addr, memory_size, userspace_addr)) in (0u32..).zip(memory::slots(&memory)) {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr,
                memory_size,
                userspace_addr,
            };
            // SAFETY: the range is a live mapping of that size, and `self` keeps it mapped as long as the machine.
            unsafe { self.fd.set_user_memory_region(region) }.map_err(ioctl("map guest memory"))?;
        }
        self.memory = Some(memory);
        Ok(())
    }

    /// Doorbells and interrupts of this machine.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }

    /// Makes the CPU with this id.
    pub fn create_vcpu(&self, id: u8) -> Result<Vcpu, VmError> {
        let fd = self.fd.create_vcpu(id.into()).map_err(ioctl("make a CPU"))?;
        Ok(Vcpu::new(id, fd))
    }
}
