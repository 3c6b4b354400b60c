//! Puts devices where the guest finds them: those of the old PC at their ports, the launch's own on the PCI bus, where they
//! may also come and go later.

use super::plan::PlannedDevice;
use super::{BuildError, Callbacks, Workshop};
use crate::bus::BusDevice;
use crate::console::{Console, Input};
use crate::kvm::irq::Routes;
use crate::kvm::memory::SharedMemory;
use crate::kvm::vcpu::Buses;
use crate::legacy::i8042::I8042;
use crate::legacy::power::{PCI_HOTPLUG_EVENT, PowerManagement};
use crate::legacy::serial::{Output, SerialPort};
use crate::legacy::{Line, SetLine};
use crate::pci::hotplug::Hotplug;
use crate::pci::{Function, Root, Window};
use crate::registry::{self, Context};
use crate::sandbox::DeviceThreads;
use crate::virtio::device::ResizeError;
use crate::x86_64::layout::{self, Range};
use std::sync::Arc;

/// Puts the serial port, the power registers and the keyboard controller at their ports.
pub fn attach_legacy(
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

/// The registers of hot plug at their ports; their event is one of `power`'s.
pub fn attach_hotplug(
    buses: &Buses,
    power: &Arc<PowerManagement<Line>>,
    callbacks: &Callbacks,
) -> Result<Arc<Hotplug>, BuildError> {
    let (power, ejected) = (Arc::clone(power), Arc::clone(&callbacks.on_eject));
    let tell_guest = Box::new(move || power.raise_event(PCI_HOTPLUG_EVENT));
    let hotplug = Arc::new(Hotplug::new(tell_guest, Box::new(move || ejected())));
    let (first, count) = (layout::PCI_HOTPLUG, layout::PCI_HOTPLUG_PORTS);
    let device: Arc<dyn BusDevice> = Arc::<Hotplug>::clone(&hotplug);
    buses.ports.insert(first.into(), count.into(), device)?;
    Ok(hotplug)
}

/// The PCI bus of a machine. Dropping it ends the devices' I/O, durably; the CPUs must not run any more.
pub struct PciBus {
    root: Arc<Root>,
    hotplug: Arc<Hotplug>,
    context: Context,
}

impl PciBus {
    /// A bus with the devices of the plan in their slots.
    pub fn build(
        buses: &Buses,
        (routes, hotplug): (&Arc<Routes>, Arc<Hotplug>),
        memory: &SharedMemory,
        high: Option<Range>,
        (workshop, callbacks): (&Workshop, &Callbacks),
    ) -> Result<Self, BuildError> {
        let window = |range: Range| Window {
            start: range.start,
            length: range.length,
        };
        let high = high.unwrap_or(Range {
            start: layout::HOLE.end(),
            length: 0,
        });
        let root = Root::new(&buses.memory, window(layout::PCI_MMIO32), window(high));
        let ports = u64::from(layout::PCI_CONFIG_PORTS);
        buses
            .memory
            .insert(layout::ECAM.start, layout::ECAM.length, root.ecam())?;
        buses.ports.insert(ports, 4, root.address_port())?;
        buses.ports.insert(ports + 4, 4, root.data_port())?;
        let context = Context {
            memory: memory.clone(),
            routes: Arc::<Routes>::clone(routes),
            threads: Arc::new(DeviceThreads),
            events: Arc::clone(&callbacks.on_event),
            dialer: Arc::clone(&workshop.dialer),
            limiters: Arc::clone(&workshop.limiters),
        };
        let bus = Self { root, hotplug, context };
        for (slot, device) in &workshop.plan.devices {
            bus.root.insert_at(*slot, bus.make(device)?)?;
        }
        Ok(bus)
    }

    fn make(&self, device: &PlannedDevice) -> Result<Arc<dyn Function>, BuildError> {
        let files = device.duplicate_files().map_err(BuildError::Duplicate)?;
        Ok(registry::build(&device.spec, files, &self.context)?)
    }

    /// Puts `device` into its slot while the CPUs run, and tells the guest; gives the slot.
    pub fn attach(&self, device: &PlannedDevice) -> Result<u8, BuildError> {
        let slot = self.root.insert(self.make(device)?, device.spec.slot)?;
        self.hotplug.inserted(slot);
        Ok(slot)
    }

    /// Asks the guest to eject what is in `slot`.
    pub fn ask_to_eject(&self, slot: u8) {
        self.hotplug.ask(slot);
    }

    /// Ends the I/O of what is in `slot`, durably, and closes its files. Its registers stay until the guest ejects them, which
    /// it is asked to: drivers wait for answers of a device that they let go.
    pub fn kill(&self, slot: u8) {
        if let Some(function) = self.root.function(slot) {
            function.stop();
        }
        self.hotplug.ask(slot);
    }

    /// Has what is in `slot` rest; what was under way is durable when this returns.
    pub fn pause(&self, slot: u8) {
        if let Some(function) = self.root.function(slot) {
            function.pause();
        }
    }

    /// Lets what is in `slot` go on.
    pub fn resume(&self, slot: u8) {
        if let Some(function) = self.root.function(slot) {
            function.resume();
        }
    }

    /// Gives what is in `slot` a new size, and tells its driver.
    pub fn resize(&self, slot: u8, bytes: u64) -> Result<(), ResizeError> {
        let function = self.root.function(slot).ok_or(ResizeError::Gone)?;
        function.resize(bytes)
    }

    /// Takes away what the guest has ejected, durably; gives the slots.
    pub fn take_ejected(&self) -> Vec<u8> {
        let slots = self.hotplug.take_ejected();
        for slot in &slots {
            if let Some(function) = self.root.remove(*slot) {
                function.stop();
            }
        }
        slots
    }
}

impl Drop for PciBus {
    fn drop(&mut self) {
        self.root.stop();
    }
}
