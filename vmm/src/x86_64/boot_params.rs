//! What a kernel finds at its entry: the memory map, its command line, where the RAM disk and the ACPI tables are.
//!
//! Two forms of the same: the start info of PVH, and the zero page of the Linux boot protocol
//! (`Documentation/arch/x86/boot.rst` of the kernel).

use super::layout;
use crate::kvm::memory::Memory;
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

/// The initial RAM disk in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// Its guest-physical address.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What either form says.
pub struct BootData<'a> {
    /// Guest memory in bytes.
    pub memory: u64,
    /// The command line; shorter than [`layout::COMMAND_LINE`].
    pub command_line: &'a str,
    /// The initial RAM disk.
    pub ramdisk: Option<Module>,
}

const RAM: u32 = 1;
const RESERVED: u32 = 2;

/// The memory map, as firmware would give it (E820): ranges and their types.
fn memory_map(memory: u64) -> Vec<(layout::Range, u32)> {
    let tables = layout::Range {
        start: layout::ACPI.start,
        length: layout::HIGH_RAM - layout::ACPI.start,
    };
    let mut map = vec![
        (
            layout::Range {
                start: 0,
                length: layout::LOW_RAM_END,
            },
            RAM,
        ),
        (tables, RESERVED),
    ];
    for mut range in layout::ram(memory) {
        if range.start == 0 {
            range = layout::Range {
                start: layout::HIGH_RAM,
                length: range.length - layout::HIGH_RAM,
            };
        }
        map.push((range, RAM));
    }
    map.insert(3, (layout::ECAM, RESERVED));
    map
}

fn write_command_line(memory: &Memory, data: &BootData<'_>) -> Result<(), GuestMemoryError> {
    let line = [data.command_line.as_bytes(), b"\0"].concat();
    memory.write_slice(&line, GuestAddress(layout::COMMAND_LINE.start))
}

/// Writes the PVH start info at [`layout::PVH_START_INFO`].
pub fn write_pvh(memory: &Memory, data: &BootData<'_>) -> Result<(), GuestMemoryError> {
    const MAGIC: u32 = 0x336e_c578;
    const MODULES: u64 = layout::PVH_START_INFO + 0x100;
    const MAP: u64 = layout::PVH_START_INFO + 0x200;
    write_command_line(memory, data)?;
    let mut entries = 0;
    for (range, type_) in memory_map(data.memory) {
        let entry = hvm_memmap_table_entry {
            addr: range.start,
            size: range.length,
            type_,
            reserved: 0,
        };
        write_struct(
            memory,
            &entry,
            MAP + entries * size_of::<hvm_memmap_table_entry>() as u64,
        )?;
        entries += 1;
    }
    let mut info = hvm_start_info {
        magic: MAGIC,
        version: 1,
        cmdline_paddr: layout::COMMAND_LINE.start,
        rsdp_paddr: layout::ACPI.start,
        memmap_paddr: MAP,
        memmap_entries: u32::try_from(entries).unwrap_or(0),
        ..Default::default()
    };
    if let Some(ramdisk) = data.ramdisk {
        let module = hvm_modlist_entry {
            paddr: ramdisk.start,
            size: ramdisk.length,
            ..Default::default()
        };
        write_struct(memory, &module, MODULES)?;
        info.nr_modules = 1;
        info.modlist_paddr = MODULES;
    }
    write_struct(memory, &info, layout::PVH_START_INFO)
}

/// Writes the zero page at [`layout::ZERO_PAGE`]; `header` is the kernel's own.
pub fn write_linux64(memory: &Memory, header: setup_header, data: &BootData<'_>) -> Result<(), GuestMemoryError> {
    /// A loader that has no number assigned.
    const UNDEFINED_LOADER: u8 = 0xff;
    write_command_line(memory, data)?;
    let mut params = Box::new(boot_params {
        hdr: header,
        acpi_rsdp_addr: layout::ACPI.start,
        ..Default::default()
    });
    params.hdr.type_of_loader = UNDEFINED_LOADER;
    params.hdr.cmd_line_ptr = low(layout::COMMAND_LINE.start);
    if let Some(ramdisk) = data.ramdisk {
        params.hdr.ramdisk_image = low(ramdisk.start);
        params.hdr.ramdisk_size = low(ramdisk.length);
    }
    let mut table = params.e820_table;
    let map = memory_map(data.memory);
    for (slot, (range, type_)) in table.iter_mut().zip(&map) {
        *slot = boot_e820_entry {
            addr: range.start,
            size: range.length,
            r#type: *type_,
        };
    }
    params.e820_table = table;
    params.e820_entries = u8::try_from(map.len()).unwrap_or(0);
    memory.write_slice(
        vm_memory::ByteValued::as_slice(&*params),
        GuestAddress(layout::ZERO_PAGE),
    )
}

/// What lies below 4 GiB by construction: the kernel and its RAM disk do.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Marks the structures of the boot protocols that are plain bytes.
trait Plain: Copy {}
impl Plain for hvm_start_info {}
impl Plain for hvm_memmap_table_entry {}
impl Plain for hvm_modlist_entry {}

fn write_struct<T: Plain>(memory: &Memory, value: &T, address: u64) -> Result<(), GuestMemoryError> {
    // SAFETY: a `Plain` structure is `repr(C)` integers without padding; the slice lives as long as `value`.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const *value).cast::<u8>(), size_of::<T>()) };
    memory.write_slice(bytes, GuestAddress(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_map_is_sorted_and_reserves_tables_and_ecam() {
        for memory in [16 << 20, 3 << 30, 5 << 30] {
            let map = memory_map(memory);
            assert!(map.windows(2).all(|pair| pair[0].0.end() <= pair[1].0.start));
            assert!(map.contains(&(layout::ECAM, RESERVED)));
            let usable: u64 = map
                .iter()
                .filter(|(_, kind)| *kind == RAM)
                .map(|(range, _)| range.length)
                .sum();
            assert_eq!(usable, memory - (layout::HIGH_RAM - layout::LOW_RAM_END));
        }
    }
}
