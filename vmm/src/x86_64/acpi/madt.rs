//! MADT: the CPUs' local APICs, the I/O APIC, and how the SCI is wired.

use super::{Bytewise, OEM, OEM_REVISION, OEM_TABLE};
use crate::x86_64::layout;
use acpi_tables::sdt::Sdt;

/// The table of a machine with `vcpus` CPUs.
pub fn table(vcpus: u8) -> Bytewise {
    const HEADER: u32 = 36;
    const REVISION: u8 = 5;
    /// There are two 8259 as well.
    const PCAT_COMPAT: u32 = 1;
    let mut madt = Sdt::new(*b"APIC", HEADER, REVISION, OEM, OEM_TABLE, OEM_REVISION);
    madt.append_slice(&low(layout::LAPIC));
    madt.append_slice(&PCAT_COMPAT.to_le_bytes());
    for id in 0..vcpus {
        madt.append_slice(&local_apic(id));
    }
    madt.append_slice(&io_apic());
    madt.append_slice(&sci_override());
    madt.append_slice(&nmi_on_lint1());
    Bytewise(madt)
}

fn low(address: u64) -> [u8; 4] {
    u32::try_from(address).unwrap_or(0).to_le_bytes()
}

fn local_apic(id: u8) -> [u8; 8] {
    const ENABLED: u8 = 1;
    [0, 8, id, id, ENABLED, 0, 0, 0]
}

fn io_apic() -> Vec<u8> {
    [&[1, 12, 0, 0], low(layout::IOAPIC).as_slice(), &[0; 4]].concat()
}

/// The SCI is level-triggered and active high, unlike an ISA interrupt.
fn sci_override() -> Vec<u8> {
    const ACTIVE_HIGH_LEVEL: u8 = 0x0d;
    let irq = layout::SCI_IRQ.to_le_bytes();
    [&[2, 10, 0, irq[0]], irq.as_slice(), &[ACTIVE_HIGH_LEVEL, 0]].concat()
}

/// On all CPUs, as `cpu::set_up` wires it.
fn nmi_on_lint1() -> [u8; 6] {
    const ALL: u8 = 0xff;
    [4, 6, ALL, 0, 0, 1]
}
