//! Reading from and writing to the buffers of a request as if they were one piece: a device must not assume how a driver
//! cuts its requests (virtio 1.2, 2.7.4).

use super::Buffer;
use vm_memory::bitmap::Bitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryMmap, VolatileSlice};

/// The bytes of all `buffers`.
pub fn length(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.length)).sum()
}

/// The part of `buffers` that begins `skip` bytes in and has `length` bytes; shorter if they end before.
pub fn part(buffers: &[Buffer], skip: u64, length: u64) -> Vec<Buffer> {
    let (mut skip, mut left) = (skip, length);
    let mut parts = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let own = u64::from(buffer.length);
        let skipped = skip.min(own);
        skip -= skipped;
        let taken = left.min(own - skipped);
        left -= taken;
        if let (true, Ok(length)) = (taken > 0, u32::try_from(taken)) {
            let address = GuestAddress(buffer.address.0 + skipped);
            parts.push(Buffer { address, length });
        }
    }
    parts
}

/// Copies the first `N` bytes of `buffers` out of guest memory; none if there are fewer.
///
/// # Errors
/// The memory is gone.
pub fn read<const N: usize>(memory: &GuestMemoryMmap, buffers: &[Buffer]) -> Result<Option<[u8; N]>, GuestMemoryError> {
    let mut bytes = [0; N];
    let mut left = bytes.as_mut_slice();
    for buffer in buffers {
        let own = usize::try_from(buffer.length).unwrap_or(usize::MAX).min(left.len());
        let (now, later) = left.split_at_mut(own);
        memory.read_slice(now, buffer.address)?;
        left = later;
    }
    let whole = left.is_empty();
    Ok(whole.then_some(bytes))
}

/// Copies `bytes` into `buffers`, as much as they hold; says how many bytes.
///
/// # Errors
/// The memory is gone.
pub fn write(memory: &GuestMemoryMmap, buffers: &[Buffer], bytes: &[u8]) -> Result<u32, GuestMemoryError> {
    let mut left = bytes;
    let mut written = 0;
    for buffer in buffers {
        let own = usize::try_from(buffer.length).unwrap_or(usize::MAX).min(left.len());
        let (now, later) = left.split_at(own);
        memory.write_slice(now, buffer.address)?;
        written += u32::try_from(now.len()).unwrap_or(0);
        left = later;
    }
    Ok(written)
}

/// The memory of `buffers`, in pieces where one crosses from a region of guest memory into the next.
pub fn slices<'m>(
    memory: &'m GuestMemoryMmap,
    buffers: &'m [Buffer],
) -> impl Iterator<Item = Result<VolatileSlice<'m>, GuestMemoryError>> {
    buffers.iter().flat_map(|buffer| {
        let length = usize::try_from(buffer.length).unwrap_or(usize::MAX);
        GuestMemoryBackend::get_slices(memory, buffer.address, length)
    })
}

/// Notes that the kernel wrote the first `length` bytes of `buffers`, which no page table tells.
pub fn mark_written(memory: &GuestMemoryMmap, buffers: &[Buffer], length: u64) {
    let mut left = length;
    for slice in slices(memory, buffers).map_while(Result::ok) {
        let own = usize::try_from(left).unwrap_or(usize::MAX).min(slice.len());
        slice.bitmap().mark_dirty(0, own);
        left = left.saturating_sub(u64::try_from(own).unwrap_or(u64::MAX));
        if left == 0 {
            return;
        }
    }
}
