//! Puts a kernel and its initial RAM disk into guest memory, and says where the boot CPU enters.
//!
//! Two kinds are taken: a bzImage, entered by the 64-bit Linux boot protocol, and an ELF file with a PVH note
//! (`XEN_ELFNOTE_PHYS32_ENTRY`), entered in 32-bit protected mode. `boot` calls this with bytes that a guest may have
//! written: nothing in them is trusted, all that is read lands inside guest memory or is refused.

use super::boot_params::{self, BootData, Module};
use super::layout;
use crate::kvm::memory::Memory;
use kiln_images::ReadAt;
use linux_loader::loader::bootparam::{XLF_KERNEL_64, setup_header};
use linux_loader::loader::{BzImage, Elf, KernelLoader, PvhBootCapability};
use std::io::{self, Read, Seek, SeekFrom};
use vm_memory::bitmap::BitmapSlice;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, ReadVolatile, VolatileMemoryError, VolatileSlice};

/// Where and how the boot CPU enters the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// In 32-bit protected mode, with the start info in `rbx`.
    Pvh(u64),
    /// In 64-bit mode, with the zero page in `rsi`.
    Linux64(u64),
}

/// Why a kernel could not be put into memory.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel or RAM disk could not be read.
    #[error("The {what} can't be read")]
    Read {
        /// Kernel or RAM disk.
        what: &'static str,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// It begins like nothing that can be entered.
    #[error("The kernel is neither a bzImage nor an ELF file: it begins with {0:02x?}")]
    Unknown([u8; 4]),
    /// The image contradicts itself, or does not fit into guest memory.
    #[error("The kernel can't be loaded: {0}")]
    Load(linux_loader::loader::Error),
    /// An ELF file that contradicts itself, or asks for more work than any kernel does.
    #[error("The kernel is an ELF file with {0}")]
    Malformed(&'static str),
    /// An ELF file that offers no PVH entry.
    #[error("The kernel is an ELF file without a PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY); build it with CONFIG_PVH")]
    NoPvhEntry,
    /// A bzImage too old, or for 32 bits.
    #[error("The kernel is a bzImage without a 64-bit entry (boot protocol {major}.{minor})")]
    No64BitEntry {
        /// Of the boot protocol's version.
        major: u16,
        /// Of the boot protocol's version.
        minor: u16,
    },
    /// Kernel and RAM disk don't fit.
    #[error(
        "{memory} bytes of memory below 4 GiB can't hold the kernel up to {kernel_end:#x} and a RAM disk of {ramdisk} bytes; give the machine more memory"
    )]
    NoRoom {
        /// Memory below 4 GiB, in bytes.
        memory: u64,
        /// Where the kernel ends.
        kernel_end: u64,
        /// The RAM disk's length in bytes.
        ramdisk: u64,
    },
    /// The command line is longer than the kernel takes.
    #[error("The command line has {length} bytes; the kernel takes {limit}")]
    CommandLine {
        /// Its length.
        length: usize,
        /// The most.
        limit: u64,
    },
    /// Guest memory could not be written.
    #[error("Boot data can't be written to guest memory")]
    Memory(#[source] GuestMemoryError),
}

/// What is booted.
pub struct Payload<'a> {
    /// A bzImage or an ELF file.
    pub kernel: &'a dyn ReadAt,
    /// The initial RAM disk.
    pub ramdisk: Option<&'a dyn ReadAt>,
    /// The kernel's command line.
    pub command_line: &'a str,
}

/// Loads `payload` into `memory` (of `size` bytes) and writes the boot data beside it.
///
/// # Errors
/// See [`KernelError`].
pub fn load(memory: &Memory, size: u64, payload: &Payload<'_>) -> Result<Entry, KernelError> {
    let mut magic = [0; 4];
    let read = |source| KernelError::Read { what: "kernel", source };
    payload.kernel.read_exact_at(&mut magic, 0).map_err(read)?;
    let mut image = Cursor {
        bytes: payload.kernel,
        position: 0,
        size: payload.kernel.size().map_err(read)?,
    };
    if &magic == b"\x7fELF" {
        load_elf(memory, size, payload, &mut image)
    } else if begins_bzimage(payload.kernel) {
        load_bzimage(memory, size, payload, &mut image)
    } else {
        Err(KernelError::Unknown(magic))
    }
}

fn begins_bzimage(kernel: &dyn ReadAt) -> bool {
    let mut magic = [0; 4];
    kernel.read_exact_at(&mut magic, 0x202).is_ok() && &magic == b"HdrS"
}

/// Bounds what loading an ELF file may take: its segments lie in the file and don't tell it over and over.
fn check_segments(image: &Cursor<'_>) -> Result<(), KernelError> {
    const LOAD: u64 = 1;
    const NOTE: u64 = 4;
    const SEGMENTS_MAX: u64 = 64;
    const NOTE_MAX: u64 = 64 << 10;
    let read = |buffer: &mut [u8], offset| {
        let read = image.bytes.read_exact_at(buffer, offset);
        read.map_err(|source| KernelError::Read { what: "kernel", source })
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    let mut header = [0; 64];
    read(&mut header, 0)?;
    let (table, count) = (number(&header[32..40]), number(&header[56..58]));
    if count > SEGMENTS_MAX || table > image.size {
        return Err(KernelError::Malformed("an impossible table of segments"));
    }
    let mut loaded = 0u64;
    for index in 0..count {
        let mut segment = [0; 56];
        read(&mut segment, table + index * 56)?;
        let (kind, length) = (number(&segment[..4]), number(&segment[32..40]));
        let end = number(&segment[8..16]).checked_add(length);
        if [LOAD, NOTE].contains(&kind) && end.is_none_or(|end| end > image.size) {
            return Err(KernelError::Malformed("a segment that is not in the file"));
        }
        loaded += if kind == LOAD { length } else { 0 };
        if loaded > image.size || kind == NOTE && length > NOTE_MAX {
            return Err(KernelError::Malformed("segments larger than itself"));
        }
    }
    Ok(())
}

fn load_elf(memory: &Memory, size: u64, payload: &Payload<'_>, image: &mut Cursor<'_>) -> Result<Entry, KernelError> {
    check_segments(image)?;
    let loaded = Elf::load(memory, None, image, None).map_err(KernelError::Load)?;
    let PvhBootCapability::PvhEntryPresent(entry) = loaded.pvh_boot_cap else {
        return Err(KernelError::NoPvhEntry);
    };
    let ramdisk = place_ramdisk(memory, size, payload, loaded.kernel_end, u64::from(u32::MAX))?;
    let data = boot_data(size, payload, ramdisk, layout::COMMAND_LINE.length)?;
    boot_params::write_pvh(memory, &data).map_err(KernelError::Memory)?;
    Ok(Entry::Pvh(entry.0))
}

fn load_bzimage(
    memory: &Memory,
    size: u64,
    payload: &Payload<'_>,
    image: &mut Cursor<'_>,
) -> Result<Entry, KernelError> {
    let header = read_setup_header(payload.kernel)?;
    let (version, flags) = (header.version, header.xloadflags);
    if version < 0x020c || flags & XLF_KERNEL_64 == 0 {
        return Err(KernelError::No64BitEntry {
            major: version >> 8,
            minor: version & 0xff,
        });
    }
    let low = size.min(layout::HOLE.start);
    // What the kernel needs while it unpacks itself, from its preferred address where that fits.
    let (preferred, needs) = (header.pref_address, u64::from(header.init_size));
    let fits = preferred >= layout::HIGH_RAM && preferred.checked_add(needs).is_some_and(|end| end <= low);
    let start = if fits || header.relocatable_kernel == 0 {
        preferred
    } else {
        layout::HIGH_RAM
    };
    let loaded = BzImage::load(memory, Some(GuestAddress(start)), image, None).map_err(KernelError::Load)?;
    let kernel_end = loaded.kernel_end.max(start.saturating_add(needs));
    let ramdisk = place_ramdisk(memory, size, payload, kernel_end, header.initrd_addr_max.into())?;
    let limit = u64::from(header.cmdline_size).min(layout::COMMAND_LINE.length - 1);
    let data = boot_data(size, payload, ramdisk, limit)?;
    boot_params::write_linux64(memory, header, &data).map_err(KernelError::Memory)?;
    Ok(Entry::Linux64(start + 0x200))
}

fn read_setup_header(kernel: &dyn ReadAt) -> Result<setup_header, KernelError> {
    let mut bytes = [0; size_of::<setup_header>()];
    kernel
        .read_exact_at(&mut bytes, 0x1f1)
        .map_err(|source| KernelError::Read { what: "kernel", source })?;
    // The header's own length is in its jump instruction: what lies behind it is code, not fields.
    let length = 0x202 - 0x1f1 + usize::from(bytes[0x201 - 0x1f1]);
    bytes.iter_mut().skip(length).for_each(|byte| *byte = 0);
    let mut header = setup_header::default();
    vm_memory::ByteValued::as_mut_slice(&mut header).copy_from_slice(&bytes);
    Ok(header)
}

/// Reads the RAM disk straight into guest memory: as high as the kernel can reach, as boot loaders do.
fn place_ramdisk(
    memory: &Memory,
    size: u64,
    payload: &Payload<'_>,
    kernel_end: u64,
    last: u64,
) -> Result<Option<Module>, KernelError> {
    const PAGE: u64 = 4096;
    let low = size.min(layout::HOLE.start);
    let read = |source| KernelError::Read {
        what: "RAM disk",
        source,
    };
    let length = payload
        .ramdisk
        .map(ReadAt::size)
        .transpose()
        .map_err(read)?
        .unwrap_or(0);
    let no_room = KernelError::NoRoom {
        memory: low,
        kernel_end,
        ramdisk: length,
    };
    if kernel_end > low {
        return Err(no_room);
    }
    let Some(ramdisk) = payload.ramdisk.filter(|_| length > 0) else {
        return Ok(None);
    };
    let top = low.min(last.saturating_add(1));
    let start = top
        .checked_sub(length)
        .map(|start| start / PAGE * PAGE)
        .filter(|&start| start >= kernel_end);
    let (Some(start), Ok(count)) = (start, usize::try_from(length)) else {
        return Err(no_room);
    };
    let mut source = Cursor {
        bytes: ramdisk,
        position: 0,
        size: length,
    };
    memory
        .read_exact_volatile_from(GuestAddress(start), &mut source, count)
        .map_err(|e| read(io::Error::other(e)))?;
    Ok(Some(Module { start, length }))
}

fn boot_data<'a>(
    size: u64,
    payload: &Payload<'a>,
    ramdisk: Option<Module>,
    limit: u64,
) -> Result<BootData<'a>, KernelError> {
    let length = payload.command_line.len();
    if payload.command_line.contains('\0') || length as u64 >= limit {
        return Err(KernelError::CommandLine { length, limit });
    }
    Ok(BootData {
        memory: size,
        command_line: payload.command_line,
        ramdisk,
    })
}

/// A cursor over bytes that are read by offset: the open file's own cursor may be shared with other monitors.
struct Cursor<'a> {
    bytes: &'a dyn ReadAt,
    position: u64,
    size: u64,
}

impl Cursor<'_> {
    /// How many of `length` bytes are left.
    fn next(&self, length: usize) -> usize {
        let left = self.size.saturating_sub(self.position);
        length.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.next(buf.len());
        self.bytes.read_exact_at(&mut buf[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, from: SeekFrom) -> io::Result<u64> {
        let position = match from {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl ReadVolatile for Cursor<'_> {
    /// Fills all of `target` that there are bytes for: guest memory takes a short read for the end.
    fn read_volatile<B: BitmapSlice>(
        &mut self,
        target: &mut VolatileSlice<'_, B>,
    ) -> Result<usize, VolatileMemoryError> {
        let mut buffer = [0; 16 << 10];
        let total = self.next(target.len());
        let mut done = 0;
        while done < total {
            let count = buffer.len().min(total - done);
            let chunk = &mut buffer[..count];
            self.bytes
                .read_exact_at(chunk, self.position)
                .map_err(VolatileMemoryError::IOError)?;
            target.subslice(done, count)?.copy_from(chunk);
            self.position += count as u64;
            done += count;
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvm::memory;
    use proptest::prelude::*;

    const SIZE: u64 = 32 << 20;

    fn load_bytes(kernel: &[u8], ramdisk: Option<Vec<u8>>) -> Result<Entry, KernelError> {
        let memory = memory::allocate(SIZE).unwrap();
        let kernel = kernel.to_vec();
        let ramdisk = ramdisk.as_ref().map(|r| r as &dyn ReadAt);
        load(
            &memory,
            SIZE,
            &Payload {
                kernel: &kernel,
                ramdisk,
                command_line: "console=ttyS0",
            },
        )
    }

    /// An ELF file with one segment at 1 MiB and a PVH note that points to it.
    fn elf() -> Vec<u8> {
        let mut file = vec![0; 0x100];
        file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x10, &[2, 0, 62, 0, 1, 0, 0, 0]);
        put(0x18, &0x10_0000u64.to_le_bytes());
        put(0x20, &64u64.to_le_bytes());
        put(0x34, &[64, 0, 56, 0, 2, 0]);
        for (at, kind, offset, address, length) in [(64, 1u32, 0xf0u64, 0x10_0000u64, 16u64), (120, 4, 0xc0, 0, 20)] {
            put(at, &kind.to_le_bytes());
            put(at + 8, &offset.to_le_bytes());
            put(at + 24, &address.to_le_bytes());
            put(at + 32, &length.to_le_bytes());
            put(at + 40, &length.to_le_bytes());
        }
        put(0xc0, b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\0\0\x10\0");
        file
    }

    #[test]
    fn an_elf_file_is_entered_where_its_pvh_note_says() {
        assert_eq!(load_bytes(&elf(), Some(vec![1; 5000])).unwrap(), Entry::Pvh(0x10_0000));
    }

    #[test]
    fn a_long_ramdisk_lies_whole_at_the_end_of_memory() {
        let memory = memory::allocate(SIZE).unwrap();
        let ramdisk: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let payload = Payload {
            kernel: &elf(),
            ramdisk: Some(&ramdisk),
            command_line: "",
        };
        load(&memory, SIZE, &payload).unwrap();
        let start = (SIZE - 400_000) / 4096 * 4096;
        let mut seen = vec![0; 400_000];
        memory.read_slice(&mut seen, GuestAddress(start)).unwrap();
        assert!(seen == ramdisk);
    }

    #[test]
    fn a_ramdisk_larger_than_memory_is_refused() {
        let error = load_bytes(&elf(), Some(vec![0; SIZE as usize])).unwrap_err();
        assert!(matches!(error, KernelError::NoRoom { .. }));
    }

    #[test]
    fn segments_that_tell_the_file_over_and_over_are_refused() {
        let mut file = elf();
        file[0x38..0x3a].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(matches!(load_bytes(&file, None), Err(KernelError::Malformed(_))));
        let mut file = elf();
        file[120..124].copy_from_slice(&1u32.to_le_bytes());
        file[128..136].copy_from_slice(&0u64.to_le_bytes());
        file[152..160].copy_from_slice(&0xf8u64.to_le_bytes());
        assert!(matches!(load_bytes(&file, None), Err(KernelError::Malformed(_))));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert!(matches!(load_bytes(b"#!/bin/sh\n", None), Err(KernelError::Unknown(_))));
        assert!(matches!(load_bytes(b"", None), Err(KernelError::Read { .. })));
    }

    proptest! {
        #[test]
        fn no_broken_elf_file_panics(changes in prop::collection::vec((0usize..0x100, any::<u8>()), 1..8), cut in 0usize..=0x100) {
            let mut file = elf();
            for (at, byte) in changes {
                file[at] = byte;
            }
            let _ = load_bytes(&file[..cut], None);
        }

        #[test]
        fn no_broken_setup_header_panics(header in prop::collection::vec(any::<u8>(), 0x90), size in 0x290usize..0x4000) {
            let mut file = vec![0; size];
            file[0x1f1..0x281].copy_from_slice(&header);
            file[0x202..0x206].copy_from_slice(b"HdrS");
            let _ = load_bytes(&file, None);
        }
    }
}
