//! Interrupts and doorbells in KVM: the GSI routing table, irqfds, ioeventfds, and the lines of the legacy devices.
//!
//! GSIs 0 to 23 are the pins of the I/O APIC (0 to 15 also those of the PICs), as KVM has them by default; the rest
//! are for message-signalled interrupts. A change of the table replaces it whole, so changes are batched.

use super::vm::VmError;
use crate::events::{EventRoutes, Gsi, MsiMessage};
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry, kvm_irq_routing_irqchip, kvm_irq_routing_msi,
};
use kvm_ioctls::{Cap, IoEventAddress, NoDatamatch, VmFd};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vmm_sys_util::eventfd::EventFd;

/// Pins of the I/O APIC; message-signalled interrupts have the GSIs after them.
const IOAPIC_PINS: u32 = 24;

/// [`EventRoutes`] of a KVM machine, and its legacy interrupt lines.
pub struct Routes {
    fd: Arc<VmFd>,
    limit: u32,
    /// Every reserved GSI, and where it points.
    table: Mutex<BTreeMap<u32, Option<MsiMessage>>>,
}

impl Routes {
    pub(super) fn new(fd: Arc<VmFd>) -> Result<Self, VmError> {
        let limit = u32::try_from(fd.check_extension_int(Cap::IrqRouting)).unwrap_or(0);
        if limit <= IOAPIC_PINS {
            return Err(VmError::Capability(Cap::IrqRouting));
        }
        Ok(Self {
            fd,
            limit,
            table: Mutex::default(),
        })
    }

    /// Sets the level of an interrupt line of a legacy device.
    ///
    /// # Errors
    /// KVM refuses: never for a pin that exists.
    pub fn set_line(&self, line: u32, high: bool) -> io::Result<()> {
        self.fd.set_irq_line(line, high).map_err(from_errno)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u32, Option<MsiMessage>>> {
        self.table.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn apply(&self, table: &BTreeMap<u32, Option<MsiMessage>>) -> io::Result<()> {
        let mut entries = pins();
        entries.extend(
            table
                .iter()
                .filter_map(|(&gsi, message)| message.map(|m| msi_entry(gsi, m))),
        );
        let routing = KvmIrqRouting::from_entries(&entries).map_err(|e| io::Error::other(e.to_string()))?;
        self.fd.set_gsi_routing(&routing).map_err(from_errno)
    }
}

impl EventRoutes for Routes {
    fn allocate_gsi(&self) -> io::Result<Gsi> {
        let mut table = self.table();
        let gsi = (IOAPIC_PINS..self.limit)
            .find(|gsi| !table.contains_key(gsi))
            .ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "The interrupt routing table is full"))?;
        table.insert(gsi, None);
        Ok(Gsi(gsi))
    }

    fn free_gsi(&self, gsi: Gsi) {
        let mut table = self.table();
        if let Some(Some(_)) = table.remove(&gsi.0) {
            // A smaller table of routes that KVM took before can't be refused; if it were, the route is only unused.
            let _ = self.apply(&table);
        }
    }

    fn route(&self, changes: &[(Gsi, Option<MsiMessage>)]) -> io::Result<()> {
        let mut table = self.table();
        let mut changed = table.clone();
        for (gsi, message) in changes {
            match changed.get_mut(&gsi.0) {
                Some(route) => *route = *message,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "The interrupt was never reserved",
                    ));
                }
            }
        }
        if *table != changed {
            self.apply(&changed)?;
            *table = changed;
        }
        Ok(())
    }

    fn assign_irqfd(&self, event: &EventFd, gsi: Gsi) -> io::Result<()> {
        self.fd.register_irqfd(event, gsi.0).map_err(from_errno)
    }

    fn deassign_irqfd(&self, event: &EventFd, gsi: Gsi) -> io::Result<()> {
        self.fd.unregister_irqfd(event, gsi.0).map_err(from_errno)
    }

    fn signal(&self, gsi: Gsi) -> io::Result<()> {
        // KVM delivers the message of a routed interrupt when its "line" rises; there is nothing to lower.
        self.fd.set_irq_line(gsi.0, true).map_err(from_errno)
    }

    fn assign_ioeventfd(&self, event: &EventFd, address: u64) -> io::Result<()> {
        self.fd
            .register_ioevent(event, &IoEventAddress::Mmio(address), NoDatamatch)
            .map_err(from_errno)
    }

    fn deassign_ioeventfd(&self, event: &EventFd, address: u64) -> io::Result<()> {
        self.fd
            .unregister_ioevent(event, &IoEventAddress::Mmio(address), NoDatamatch)
            .map_err(from_errno)
    }
}

fn from_errno(error: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// The pins of the interrupt controllers: KVM's default table.
fn pins() -> Vec<kvm_irq_routing_entry> {
    let mut entries = Vec::new();
    for gsi in 0..IOAPIC_PINS {
        match gsi {
            0..8 => entries.push(pin_entry(gsi, KVM_IRQCHIP_PIC_MASTER, gsi)),
            8..16 => entries.push(pin_entry(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8)),
            _ => {}
        }
        entries.push(pin_entry(gsi, KVM_IRQCHIP_IOAPIC, gsi));
    }
    entries
}

fn pin_entry(gsi: u32, irqchip: u32, pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..Default::default()
    };
    entry.u.irqchip = kvm_irq_routing_irqchip { irqchip, pin };
    entry
}

fn msi_entry(gsi: u32, message: MsiMessage) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_MSI,
        ..Default::default()
    };
    let [a0, a1, a2, a3, b0, b1, b2, b3] = message.address.to_le_bytes();
    entry.u.msi = kvm_irq_routing_msi {
        address_lo: u32::from_le_bytes([a0, a1, a2, a3]),
        address_hi: u32::from_le_bytes([b0, b1, b2, b3]),
        data: message.data,
        ..Default::default()
    };
    entry
}
