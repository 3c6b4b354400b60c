//! Reading from and writing to the buffers of a request as if they were one piece: a device must not assume how a driver
//! cuts its requests (virtio 1.2, 2.7.4).

use super::Buffer;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

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
