//! Where everything lies in the guest's physical address space: the one table of addresses.
//!
//! ```text
//!           0 ┌──────────────────────────┐
//!             │ RAM (boot data first)    │
//!     0x9fc00 ├──────────────────────────┤
//!             │ ACPI, SMBIOS (RAM that   │
//!             │ the e820 map reserves)   │
//!    0x100000 ├──────────────────────────┤
//!             │ RAM                      │
//!  0xc0000000 ├──────────────────────────┤
//!             │ 32-bit PCI window        │
//!  0xe0000000 │ ECAM                     │
//!  0xfec00000 │ IOAPIC, LAPIC, KVM's own │
//! 0x100000000 ├──────────────────────────┤
//!             │ RAM beyond the hole      │
//!             ├──────────────────────────┤
//!             │ 64-bit PCI window        │
//!             └──────────────────────────┘
//! ```

/// A range of addresses: its first and its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// How many bytes.
    pub length: u64,
}

impl Range {
    /// The first address behind the range.
    pub const fn end(self) -> u64 {
        self.start + self.length
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The most memory a machine may have, in bytes: 1 TiB.
pub const MEMORY_MAX: u64 = 1 << 40;
/// Memory comes in multiples of this many bytes: 2 MiB.
pub const MEMORY_GRANULE: u64 = 2 * MIB;

/// The GDT that the boot CPU starts with.
pub const GDT: u64 = 0x500;
/// PVH start info, its memory map and module list.
pub const PVH_START_INFO: u64 = 0x6000;
/// The zero page (`boot_params`) of the Linux boot protocol.
pub const ZERO_PAGE: u64 = 0x7000;
/// The stack of a kernel that is entered by the 64-bit boot protocol.
pub const BOOT_STACK: u64 = 0x8ff0;
/// Page tables that map the first 4 GiB to themselves: six pages.
pub const PAGE_TABLES: u64 = 0x9000;
/// The kernel's command line.
pub const COMMAND_LINE: Range = Range {
    start: 0x2_0000,
    length: 64 * KIB,
};
/// Where usable RAM below 1 MiB ends.
pub const LOW_RAM_END: u64 = 0x9_fc00;
/// ACPI tables, the RSDP first.
pub const ACPI: Range = Range {
    start: 0xe_0000,
    length: 64 * KIB,
};
/// SMBIOS: the entry point, then the table.
pub const SMBIOS: Range = Range {
    start: 0xf_0000,
    length: 64 * KIB,
};
/// Where RAM goes on, and kernels lie.
pub const HIGH_RAM: u64 = MIB;

/// Where RAM below 4 GiB ends at the latest.
pub const HOLE: Range = Range {
    start: 3 * GIB,
    length: GIB,
};
/// Where 32-bit BARs of PCI devices are put.
pub const PCI_MMIO32: Range = Range {
    start: 0xc000_0000,
    length: 512 * MIB,
};
/// PCI configuration space (PCI Express Base 4.0, 7.2.2): one bus.
pub const ECAM: Range = Range {
    start: 0xe000_0000,
    length: MIB,
};
/// The I/O APIC.
pub const IOAPIC: u64 = 0xfec0_0000;
/// The local APICs.
pub const LAPIC: u64 = 0xfee0_0000;
/// A page that KVM on Intel wants for itself.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;
/// Three pages that KVM on Intel wants for itself.
pub const KVM_TSS: usize = 0xfffb_d000;

/// Port I/O: the first serial port.
pub const COM1: u16 = 0x3f8;
/// The interrupt of the first serial port.
pub const COM1_IRQ: u32 = 4;
/// The ports of the keyboard controller (data at 0, command at 4).
pub const I8042: u16 = 0x60;
/// ACPI's fixed hardware: PM1 event block at 0, PM1 control block at 4, the reset register at 8, the block of
/// general-purpose events at 12.
pub const ACPI_PM: u16 = 0x600;
/// How many ports [`ACPI_PM`] takes.
pub const ACPI_PM_PORTS: u16 = 16;
/// The registers of [`crate::pci::hotplug`].
pub const PCI_HOTPLUG: u16 = 0x610;
/// How many ports [`PCI_HOTPLUG`] takes.
pub const PCI_HOTPLUG_PORTS: u16 = 12;
/// ACPI's interrupt (SCI): level, active high.
pub const SCI_IRQ: u32 = 9;
/// The configuration address and data ports of PCI, eight bytes.
pub const PCI_CONFIG_PORTS: u16 = 0xcf8;

/// The ranges of RAM of a machine with `memory` bytes: one, or two around the hole below 4 GiB.
pub fn ram(memory: u64) -> Vec<Range> {
    let low = memory.min(HOLE.start);
    let mut ranges = vec![Range { start: 0, length: low }];
    if memory > low {
        ranges.push(Range {
            start: HOLE.end(),
            length: memory - low,
        });
    }
    ranges
}

/// Where 64-bit BARs of PCI devices are put: above RAM, within `physical_bits` of address; none if there is no room.
pub fn pci_mmio64(memory: u64, physical_bits: u8) -> Option<Range> {
    let ram_end = ram(memory).last().map_or(0, |r| r.end()).max(HOLE.end());
    let start = ram_end.next_multiple_of(16 * GIB);
    let end = 1u64
        .checked_shl(physical_bits.into())?
        .min(start.checked_add(16 * GIB)?);
    (end > start).then(|| Range {
        start,
        length: end - start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_machine_has_one_range_of_ram() {
        assert_eq!(
            ram(128 * MIB),
            [Range {
                start: 0,
                length: 128 * MIB
            }]
        );
        assert_eq!(
            ram(3 * GIB),
            [Range {
                start: 0,
                length: 3 * GIB
            }]
        );
    }

    #[test]
    fn the_pci_window_is_absent_where_the_cpu_has_no_addresses_left() {
        assert_eq!(pci_mmio64(GIB, 32), None);
        assert_eq!(
            pci_mmio64(GIB, 36),
            Some(Range {
                start: 16 * GIB,
                length: 16 * GIB
            })
        );
    }

    proptest! {
        #[test]
        fn ram_is_all_there_and_meets_nothing_else(granules in 1..=MEMORY_MAX / MEMORY_GRANULE) {
            let memory = granules * MEMORY_GRANULE;
            let ranges = ram(memory);
            prop_assert_eq!(ranges.iter().map(|r| r.length).sum::<u64>(), memory);
            let window = pci_mmio64(memory, 46).unwrap();
            for r in &ranges {
                prop_assert!(r.end() <= HOLE.start || r.start >= HOLE.end());
                prop_assert!(r.end() <= window.start);
            }
        }
    }
}
