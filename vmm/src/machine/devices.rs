//! Puts devices where the guest finds them: those of the old PC at their ports, the launch's own on the PCI bus.

use super::{BuildError, Callbacks, Workshop};
use crate::bus::BusDevice;
use crate::console::{Console, Input};
use crate::kvm::irq::Routes;
use crate::kvm::memory::SharedMemory;
use crate::kvm::vcpu::Buses;
use crate::legacy::i8042::I8042;
use crate::legacy::power::PowerManagement;
use crate::legacy::serial::{Output, SerialPort};
use crate::legacy::{Line, SetLine};
use crate::pci::{Root, Window};
use crate::registry::{self, Context};
use crate::sandbox::DeviceThreads;
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

/// The PCI bus of a machine. Dropping it ends the devices' I/O, durably; the CPUs must not run any more.
pub struct PciBus(Arc<Root>);

impl PciBus {
    /// A bus with the devices of the launch, in its order.
    pub fn build(
        buses: &Buses,
        routes: &Arc<Routes>,
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
        let bus = Self(root);
        let ports = u64::from(layout::PCI_CONFIG_PORTS);
        buses
            .memory
            .insert(layout::ECAM.start, layout::ECAM.length, bus.0.ecam())?;
        buses.ports.insert(ports, 4, bus.0.address_port())?;
        buses.ports.insert(ports + 4, 4, bus.0.data_port())?;
        let context = Context {
            memory: memory.clone(),
            routes: Arc::<Routes>::clone(routes),
            threads: Arc::new(DeviceThreads),
            events: Arc::clone(&callbacks.on_event),
        };
        for device in &workshop.plan.devices {
            let files = device.duplicate_files().map_err(BuildError::Duplicate)?;
            bus.0.insert(registry::build(&device.spec, files, &context)?)?;
        }
        Ok(bus)
    }
}

impl Drop for PciBus {
    fn drop(&mut self) {
        self.0.stop();
    }
}
