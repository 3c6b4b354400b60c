//! Guest memory: anonymous, private, left out of core dumps, and seen by all devices as one [`SharedMemory`].

use crate::x86_64::layout;
use std::io;
use vm_memory::{
    Address, GuestAddress, GuestMemoryAtomic, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MmapRegion,
};

/// The guest's RAM.
pub type Memory = GuestMemoryMmap<()>;
/// The guest's RAM as devices hold it: they see a change of the map at their next [`vm_memory::GuestAddressSpace::memory`].
pub type SharedMemory = GuestMemoryAtomic<Memory>;

/// Why there is no memory for a guest.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The size is not one that a machine may have.
    #[error(
        "A machine can't have {0} bytes of memory: it must be a multiple of 2 MiB, at least 16 MiB and at most 1 TiB"
    )]
    Size(u64),
    /// The host has no address space left.
    #[error("The host gave no {length} bytes of address space for guest memory")]
    Map {
        /// How many bytes were asked for.
        length: u64,
        /// Its reason.
        #[source]
        source: vm_memory::mmap::MmapRegionError,
    },
    /// The range could not be left out of core dumps.
    #[error("Guest memory could not be kept out of core dumps")]
    Advise(#[source] io::Error),
    /// The ranges don't fit together.
    #[error("The ranges of guest memory don't fit together")]
    Ranges(#[source] vm_memory::GuestRegionCollectionError),
}

/// The least memory a machine may have, in bytes.
const MEMORY_MIN: u64 = 16 << 20;

/// Whether a machine may have `memory` bytes.
///
/// # Errors
/// [`MemoryError::Size`].
pub fn check_size(memory: u64) -> Result<(), MemoryError> {
    let possible = (MEMORY_MIN..=layout::MEMORY_MAX).contains(&memory) && memory.is_multiple_of(layout::MEMORY_GRANULE);
    if possible {
        Ok(())
    } else {
        Err(MemoryError::Size(memory))
    }
}

/// Maps `memory` bytes of RAM around the hole below 4 GiB. Pages come as the guest touches them.
pub fn allocate(memory: u64) -> Result<Memory, MemoryError> {
    check_size(memory)?;
    let regions = layout::ram(memory)
        .into_iter()
        .map(|range| {
            let length = usize::try_from(range.length).map_err(|_| MemoryError::Size(memory))?;
            let mapping = MmapRegion::build(
                None,
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_NORESERVE,
            )
            .map_err(|source| MemoryError::Map {
                length: range.length,
                source,
            })?;
            keep_out_of_dumps(&mapping)?;
            GuestRegionMmap::new(mapping, GuestAddress(range.start)).ok_or(MemoryError::Size(memory))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Memory::from_regions(regions).map_err(MemoryError::Ranges)
}

fn keep_out_of_dumps(mapping: &MmapRegion) -> Result<(), MemoryError> {
    // SAFETY: the range is the mapping's own, and the advice changes nothing that Rust relies on.
    let result = unsafe { libc::madvise(mapping.as_ptr().cast(), mapping.size(), libc::MADV_DONTDUMP) };
    if result == 0 {
        Ok(())
    } else {
        Err(MemoryError::Advise(io::Error::last_os_error()))
    }
}

/// The RAM ranges of `memory`: guest address, length in bytes, address in this process.
pub fn slots(memory: &Memory) -> impl Iterator<Item = (u64, u64, u64)> {
    memory.iter().map(|region| {
        let host = region.get_mmap().as_ptr().expose_provenance() as u64;
        (region.start_addr().raw_value(), region.len(), host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::Bytes;

    #[test]
    fn memory_beyond_three_gib_goes_on_above_the_hole() {
        let memory = allocate(4 << 30).unwrap();
        memory.write_obj(7u64, GuestAddress(5 * (1 << 30) - 8)).unwrap();
        assert!(memory.write_obj(7u64, GuestAddress(3 << 30)).is_err());
        assert_eq!(slots(&memory).map(|(_, length, _)| length).sum::<u64>(), 4 << 30);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0, 1 << 20, (64 << 20) + 1, 2 << 40, u64::MAX] {
            assert!(matches!(allocate(size), Err(MemoryError::Size(s)) if s == size));
        }
    }
}
