//! The machine: the recipe by which it is built, and how it ends.
//!
//! A [`Machine`] is one life between two resets. Building it goes from the bottom up: memory, the VM with its
//! interrupt controllers, CPUs, devices, kernel, firmware tables, then the CPUs' threads, paused. Ending it goes from
//! the top down: the CPUs stop, then the devices' queues (which drains and flushes what is in flight), then all is
//! released. [`supervisor`] does both, and does them again for a reset. [`hotplug`] changes the recipe and the machine
//! together, [`rest`] has block devices stand still for a while.

mod devices;
mod hotplug;
pub mod plan;
pub mod report;
pub mod rest;
pub mod supervisor;

use crate::boot::{self, FindKernelError};
use crate::bus::BusError;
use crate::console::Console;
use crate::guest::Door;
use crate::kvm::memory::{self, Memory, MemoryError, SharedMemory};
use crate::kvm::vcpu::{Buses, Vcpu};
use crate::kvm::vm::{Host, Vm, VmError};
use crate::legacy::power::PowerManagement;
use crate::legacy::{Line, OnPower};
use crate::pci::InsertError;
use crate::protocol::Event;
use crate::registry::BuildDeviceError;
use crate::sandbox::Filters;
use crate::vcpus::{OnDeath, Vcpus};
use crate::virtio::blk::Limiters;
use crate::virtio::vsock::Dialer;
use crate::x86_64::cpu::{self, CpuError};
use crate::x86_64::kernel::Entry;
use crate::x86_64::{acpi, cpuid, layout, smbios};
use devices::{PciBus, attach_hotplug, attach_legacy};
use kvm_bindings::CpuId;
use plan::Plan;
use std::io;
use std::sync::Arc;
use vm_memory::GuestMemoryError;

/// Why a machine was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no memory for it.
    #[error("The machine's memory can't be had")]
    Memory(#[from] MemoryError),
    /// KVM can't hold it.
    #[error("KVM can't hold the machine")]
    Kvm(#[from] VmError),
    /// A CPU could not be prepared.
    #[error("A CPU can't be prepared")]
    Cpu(#[from] CpuError),
    /// Two devices answer at one address: the layout is wrong.
    #[error("A device can't be reached by the guest")]
    Bus(#[from] BusError),
    /// A device could not be made.
    #[error("A device can't be made")]
    Device(#[from] BuildDeviceError),
    /// A device has no place on the PCI bus.
    #[error("A device can't be plugged in")]
    Insert(#[from] InsertError),
    /// A device's file could not be duplicated for this life of the machine.
    #[error("A device's files can't be duplicated")]
    Duplicate(#[source] io::Error),
    /// Nothing can be booted.
    #[error("The machine has nothing to boot")]
    Boot(#[from] FindKernelError),
    /// The firmware's tables could not be written.
    #[error("The firmware tables can't be written to guest memory")]
    Tables(#[source] GuestMemoryError),
    /// A CPU's thread could not be made.
    #[error("A CPU's thread can't be started")]
    Thread(#[source] io::Error),
}

/// What a machine tells whoever built it. Called by its threads, which must not be made to wait.
#[derive(Clone)]
pub struct Callbacks {
    /// The guest wants power off or a reset.
    pub on_power: OnPower,
    /// A CPU died.
    pub on_death: OnDeath,
    /// A device has something for the daemon.
    pub on_event: Arc<dyn Fn(Event) + Send + Sync>,
    /// The guest has ejected devices. Called again only after they were taken away.
    pub on_eject: Arc<dyn Fn() + Send + Sync>,
}

/// What stays over resets, and every machine of the process is built from.
pub struct Workshop {
    /// What to build.
    pub plan: Plan,
    /// `/dev/kvm`.
    pub host: Host,
    /// The serial console.
    pub console: Arc<Console>,
    /// Where the guest thread hears of interfaces that come and go; none where it is told nothing.
    pub door: Option<Door>,
    /// Where the machine's socket device can be dialled.
    pub dialer: Arc<Dialer>,
    /// Where the limits of its volumes can be changed.
    pub limiters: Arc<Limiters>,
    /// Which of its block devices rest.
    pub resting: rest::Resting,
    /// The system call filters of threads.
    pub filters: Arc<Filters>,
}

/// One life of a machine. Fields are dropped in order, and that is how a machine ends: the CPUs stop, the devices'
/// queues stop, drain and are flushed, and the rest is released.
pub struct Machine {
    vcpus: Vcpus,
    pci: PciBus,
    power: Arc<PowerManagement<Line>>,
    console: Arc<Console>,
    _vm: Vm,
}

impl Machine {
    /// Builds a machine whose CPUs wait for [`Self::run`].
    ///
    /// # Errors
    /// See [`BuildError`]; nothing is left of a machine that was not built.
    pub fn build(workshop: &Workshop, callbacks: &Callbacks) -> Result<Self, BuildError> {
        let plan = &workshop.plan;
        let memory = memory::allocate(plan.memory)?;
        let mut vm = workshop.host.create_vm()?;
        vm.set_memory(memory.clone())?;
        let features = workshop.host.supported_cpuid()?;
        let vcpus = make_vcpus(plan, &vm, &features)?;
        let (buses, routes) = (Buses::default(), vm.routes());
        let power = attach_legacy(&buses, &routes, workshop, callbacks)?;
        let hotplug = attach_hotplug(&buses, &power, callbacks)?;
        let high = layout::pci_mmio64(plan.memory, cpuid::physical_bits(&features));
        let shared = SharedMemory::new(memory.clone());
        let pci = PciBus::build(&buses, (&routes, hotplug), &shared, high, (workshop, callbacks))?;
        let entry = boot::load(plan, &memory)?;
        write_tables(plan, &memory, high)?;
        enter(&vcpus, &memory, entry)?;
        let vcpus = Vcpus::spawn(vcpus, &buses, &callbacks.on_death, &workshop.filters).map_err(BuildError::Thread)?;
        Ok(Self {
            vcpus,
            pci,
            power,
            console: Arc::clone(&workshop.console),
            _vm: vm,
        })
    }

    /// Lets the CPUs run.
    pub fn run(&self) {
        self.vcpus.release();
    }

    /// Presses the power button.
    pub fn press_power_button(&self) {
        self.power.press_power_button();
    }

    /// Ends the machine: when this returns, all that the guest was told is durable is so, its last words are in the
    /// console log, and nothing of it is left.
    pub fn end(self) {
        let console = Arc::clone(&self.console);
        drop(self);
        console.connect(None);
        console.flush();
    }
}

fn make_vcpus(plan: &Plan, vm: &Vm, features: &CpuId) -> Result<Vec<Vcpu>, BuildError> {
    let (count, amd) = (plan.vcpus, cpuid::is_amd(features));
    let make = |id| {
        let vcpu = vm.create_vcpu(id)?;
        vcpu.set_cpuid(&cpuid::for_cpu(features, cpuid::Place { id, count, amd }))?;
        cpu::set_up(&vcpu)?;
        Ok(vcpu)
    };
    (0..count).map(make).collect()
}

fn enter(vcpus: &[Vcpu], memory: &Memory, entry: Entry) -> Result<(), BuildError> {
    vcpus
        .first()
        .map_or(Ok(()), |first| cpu::enter(first, memory, entry))
        .map_err(BuildError::Cpu)
}

fn write_tables(plan: &Plan, memory: &Memory, pci_mmio64: Option<layout::Range>) -> Result<(), BuildError> {
    let hardware = acpi::Hardware {
        vcpus: plan.vcpus,
        pci_mmio64,
    };
    acpi::write(memory, &hardware).map_err(BuildError::Tables)?;
    let identity = smbios::Identity {
        uuid: plan.uuid,
        product: &plan.product,
        instance_id: &plan.instance_id,
        oem_strings: plan.oem_strings.get(),
        has_network: plan.devices.values().any(|device| device.spec.kind == "net"),
    };
    smbios::write(memory, &identity).map_err(BuildError::Tables)
}
