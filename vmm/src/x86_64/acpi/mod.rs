//! The ACPI tables (ACPI 6.5, chapter 5): what CPUs, interrupts, power registers and PCI bridge there are.
//!
//! They lie one after another in [`layout::ACPI`], the RSDP first, so that a kernel finds it there even if nobody tells
//! it. `machine` writes them once the devices are placed.

mod dsdt;
mod fadt;
mod hotplug;
mod madt;

use super::layout::{self, Range};
use crate::kvm::memory::Memory;
use acpi_tables::facs::FACS;
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

const OEM: [u8; 6] = *b"KILN  ";
const OEM_TABLE: [u8; 8] = *b"KILNVMM ";
const OEM_REVISION: u32 = 1;

/// What the tables describe.
#[derive(Debug, Clone, Copy)]
pub struct Hardware {
    /// How many CPUs; their APIC ids count from 0.
    pub vcpus: u8,
    /// The 64-bit window of the PCI bridge.
    pub pci_mmio64: Option<Range>,
}

/// Writes all tables.
pub fn write(memory: &Memory, hardware: &Hardware) -> Result<(), GuestMemoryError> {
    memory.write_slice(&tables(hardware), GuestAddress(layout::ACPI.start))
}

/// The bytes of [`layout::ACPI`], as far as they are used.
fn tables(hardware: &Hardware) -> Vec<u8> {
    let mut place = Place {
        bytes: vec![0; Rsdp::len()],
    };
    let facs = place.put(&FACS::new());
    let dsdt = place.put(&dsdt::table(hardware));
    let fadt = place.put(&fadt::table(facs, dsdt));
    let madt = place.put(&madt::table(hardware.vcpus));
    let mut mcfg = MCFG::new(OEM, OEM_TABLE, OEM_REVISION);
    mcfg.add_ecam(layout::ECAM.start, 0, 0, 0);
    let mcfg = place.put(&mcfg);
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
    [fadt, madt, mcfg].into_iter().for_each(|table| xsdt.add_entry(table));
    let xsdt = place.put(&xsdt);
    let mut rsdp = Vec::new();
    Rsdp::new(OEM, xsdt).to_aml_bytes(&mut rsdp);
    place.bytes[..rsdp.len()].copy_from_slice(&rsdp);
    place.bytes
}

/// Tables one behind another.
struct Place {
    bytes: Vec<u8>,
}

impl Place {
    /// Puts a table behind the others; returns its guest-physical address.
    fn put(&mut self, table: &dyn Aml) -> u64 {
        /// The FACS must be aligned so.
        const ALIGNMENT: usize = 64;
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        let address = layout::ACPI.start + self.bytes.len() as u64;
        table.to_aml_bytes(&mut self.bytes);
        address
    }
}

/// A system description table that is made of bytes.
struct Bytewise(acpi_tables::sdt::Sdt);

impl Aml for Bytewise {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(self.0.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: Hardware = Hardware {
        vcpus: 32,
        pci_mmio64: Some(Range {
            start: 1 << 40,
            length: 16 << 30,
        }),
    };

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn the_tables_fit_into_their_place() {
        assert!(tables(&LARGEST).len() as u64 <= layout::ACPI.length);
    }

    #[test]
    fn every_table_that_the_rsdp_leads_to_has_its_checksum() {
        let bytes = tables(&LARGEST);
        let sum = |range: &[u8]| range.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        assert_eq!(&bytes[..8], b"RSD PTR ");
        assert_eq!((sum(&bytes[..20]), sum(&bytes[..36])), (0, 0));
        let xsdt = word(&bytes, 24) - layout::ACPI.start as usize;
        let end = xsdt + word(&bytes, xsdt + 4);
        let mut seen = Vec::new();
        for entry in (xsdt + 36..end).step_by(8) {
            let at = word(&bytes, entry) - layout::ACPI.start as usize;
            assert_eq!(sum(&bytes[at..at + word(&bytes, at + 4)]), 0);
            seen.push(bytes[at..at + 4].to_vec());
        }
        assert_eq!(seen, [b"FACP", b"APIC", b"MCFG"]);
    }
}
