//! The machine: the recipe by which it is built, and how it ends.
//!
//! A [`Machine`] is one life between two resets. Building it goes from the bottom up: memory, the VM with its
//! interrupt controllers, CPUs, devices, kernel, firmware tables, then the CPUs' threads, paused. Ending it goes from
//! the top down: the CPUs stop, then the devices' queues (which drains and flushes what is in flight), then all is
//! released. [`supervisor`] does both, and does them again for a reset.

pub mod plan;
pub mod report;
pub mod supervisor;

use crate::boot::{self, FindKernelError};
use crate::bus::{BusDevice, BusError};
use crate::console::{Console, Input};
use crate::kvm::irq::Routes;
use crate::kvm::memory::{self, Memory, MemoryError};
use crate::kvm::vcpu::{Buses, Vcpu};
use crate::kvm::vm::{Host, Vm, VmError};
use crate::legacy::i8042::I8042;
use crate::legacy::power::PowerManagement;
use crate::legacy::serial::{Output, SerialPort};
use crate::legacy::{Line, OnPower, SetLine};
use crate::protocol::Event;
use crate::sandbox::Filters;
use crate::vcpus::{OnDeath, Vcpus};
use crate::x86_64::cpu::{self, CpuError};
use crate::x86_64::kernel::Entry;
use crate::x86_64::{acpi, cpuid, layout, smbios};
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
}

/// What stays over resets, and every machine of the process is built from.
pub struct Workshop {
    /// What to build.
    pub plan: Plan,
    /// `/dev/kvm`.
    pub host: Host,
    /// The serial console.
    pub console: Arc<Console>,
    /// The system call filters of threads.
    pub filters: Arc<Filters>,
}

/// One life of a machine. Fields are dropped in order.
pub struct Machine {
    vcpus: Vcpus,
    console: Arc<Console>,
    power: Arc<PowerManagement<Line>>,
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
        let vcpus = make_vcpus(workshop, &vm)?;
        let buses = Buses::default();
        let power = attach_legacy(&buses, &vm.routes(), workshop, callbacks)?;
        let entry = boot::load(plan, &memory)?;
        write_tables(workshop, &memory)?;
        enter(&vcpus, &memory, entry)?;
        let vcpus = Vcpus::spawn(vcpus, &buses, &callbacks.on_death, &workshop.filters).map_err(BuildError::Thread)?;
        Ok(Self {
            vcpus,
            console: Arc::clone(&workshop.console),
            power,
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

    /// Ends the machine: when this returns, all that the guest was told is durable is so, and nothing of it is left.
    pub fn end(self) {
        let Self {
            vcpus,
            console,
            power,
            _vm,
        } = self;
        drop(vcpus);
        console.connect(None);
        console.flush();
        drop(power);
    }
}

fn make_vcpus(workshop: &Workshop, vm: &Vm) -> Result<Vec<Vcpu>, BuildError> {
    let supported = workshop.host.supported_cpuid()?;
    let (count, amd) = (workshop.plan.vcpus, cpuid::is_amd(&supported));
    let mut vcpus = Vec::new();
    for id in 0..count {
        let vcpu = vm.create_vcpu(id)?;
        vcpu.set_cpuid(&cpuid::for_cpu(&supported, cpuid::Place { id, count, amd }))?;
        cpu::set_up(&vcpu)?;
        vcpus.push(vcpu);
    }
    Ok(vcpus)
}

fn enter(vcpus: &[Vcpu], memory: &Memory, entry: Entry) -> Result<(), BuildError> {
    vcpus
        .first()
        .map_or(Ok(()), |first| cpu::enter(first, memory, entry))
        .map_err(BuildError::Cpu)
}

fn write_tables(workshop: &Workshop, memory: &Memory) -> Result<(), BuildError> {
    let plan = &workshop.plan;
    let bits = cpuid::physical_bits(&workshop.host.supported_cpuid()?);
    let hardware = acpi::Hardware {
        vcpus: plan.vcpus,
        pci_mmio64: layout::pci_mmio64(plan.memory, bits),
    };
    acpi::write(memory, &hardware).map_err(BuildError::Tables)?;
    let identity = smbios::Identity {
        uuid: plan.uuid,
        product: &plan.product,
        instance_id: &plan.instance_id,
    };
    smbios::write(memory, &identity).map_err(BuildError::Tables)
}

fn attach_legacy(
    buses: &Buses,
    routes: &Arc<Routes>,
    workshop: &Workshop,
    callbacks: &Callbacks,
) -> Result<Arc<PowerManagement<Line>>, BuildError> {
    let line = |number| Line::new(Arc::clone(routes), number);
    let output: Arc<dyn Output> = Arc::<Console>::clone(&workshop.console);
    let serial = Arc::new(SerialPort::new(line(layout::COM1_IRQ), output));
    workshop.console.connect(Some(Arc::<SerialPort<Line>>::clone(&serial)));
    let power = Arc::new(PowerManagement::new(
        line(layout::SCI_IRQ),
        Arc::clone(&callbacks.on_power),
    ));
    let keyboard = Arc::new(I8042::new(Arc::clone(&callbacks.on_power)));
    let ports: [(u16, u64, Arc<dyn BusDevice>); 3] = [
        (layout::COM1, SerialPort::<Line>::PORTS, serial),
        (
            layout::ACPI_PM,
            layout::ACPI_PM_PORTS.into(),
            Arc::<PowerManagement<Line>>::clone(&power),
        ),
        (layout::I8042, I8042::PORTS, keyboard),
    ];
    for (first, count, device) in ports {
        buses.ports.insert(first.into(), count, device)?;
    }
    Ok(power)
}

impl<L: SetLine> Input for SerialPort<L> {
    fn input(&self, bytes: &[u8]) -> usize {
        SerialPort::input(self, bytes)
    }
}
