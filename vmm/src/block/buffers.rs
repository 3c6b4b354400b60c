//! Guest memory as the kernel wants it: an array of pieces that stays mapped and in place until the I/O is over.

use crate::virtio::queue::{Buffer, cursor};
use std::fmt;
use std::sync::Arc;
use vm_memory::GuestMemoryMmap;

/// The most pieces that one system call takes (`IOV_MAX`).
const MAX_PIECES: usize = 1024;

/// Pieces of memory to read into or write from. They live as long as this value does.
pub struct Buffers {
    pieces: Vec<libc::iovec>,
    /// Pieces before this one are done.
    first: usize,
    remaining: usize,
    memory: Backing,
}

enum Backing {
    Guest {
        memory: Arc<GuestMemoryMmap>,
        buffers: Vec<Buffer>,
    },
    Static,
}

// SAFETY: the pieces point into guest memory, which `memory` keeps mapped, or into a static; neither belongs to a
// thread. Guest memory is shared with the guest anyway and only ever accessed through raw pointers.
unsafe impl Send for Buffers {}

/// Why buffers can't be handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuffersError {
    /// Not in guest memory.
    #[error("A buffer is not in guest memory")]
    Outside,
    /// More pieces than one system call takes.
    #[error("The request has more than {MAX_PIECES} pieces")]
    TooMany,
}

static ZEROES: [u8; 65536] = [0; 65536];

impl Buffers {
    /// The bytes of `buffers`, in order.
    ///
    /// # Errors
    /// They are not in `memory`, or too many.
    pub fn guest(memory: Arc<GuestMemoryMmap>, buffers: Vec<Buffer>) -> Result<Self, BuffersError> {
        let mut pieces = Vec::with_capacity(buffers.len());
        for slice in cursor::slices(&memory, &buffers) {
            let slice = slice.map_err(|_| BuffersError::Outside)?;
            pieces.push(libc::iovec {
                iov_base: slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: slice.len(),
            });
        }
        if pieces.len() > MAX_PIECES {
            return Err(BuffersError::TooMany);
        }
        Ok(Self::new(pieces, Backing::Guest { memory, buffers }))
    }

    /// Up to `length` bytes of zero, to be written; as many as one system call takes.
    pub fn zeroes(length: u64) -> Self {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        let mut pieces = Vec::new();
        while left > 0 && pieces.len() < MAX_PIECES {
            let iov_len = left.min(ZEROES.len());
            let iov_base = ZEROES.as_ptr().cast_mut().cast();
            pieces.push(libc::iovec { iov_base, iov_len });
            left -= iov_len;
        }
        Self::new(pieces, Backing::Static)
    }

    fn new(pieces: Vec<libc::iovec>, memory: Backing) -> Self {
        let remaining = pieces.iter().map(|piece| piece.iov_len).sum();
        Self {
            pieces,
            first: 0,
            remaining,
            memory,
        }
    }

    /// The pieces that are not done yet.
    pub fn pieces(&self) -> &[libc::iovec] {
        self.pieces.get(self.first..).unwrap_or_default()
    }

    /// How many bytes are not done yet.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The first `done` of the remaining bytes are done.
    pub fn advance(&mut self, done: usize) {
        let mut left = done.min(self.remaining);
        self.remaining -= left;
        while let Some(piece) = self.pieces.get_mut(self.first).filter(|_| left > 0) {
            if left < piece.iov_len {
                piece.iov_base = piece.iov_base.cast::<u8>().wrapping_add(left).cast();
                piece.iov_len -= left;
                return;
            }
            left -= piece.iov_len;
            self.first += 1;
        }
    }

    /// Notes that the kernel wrote to the guest's memory, which no page table tells.
    pub fn mark_written(&self) {
        if let Backing::Guest { memory, buffers } = &self.memory {
            cursor::mark_written(memory, buffers, u64::MAX);
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffers({} bytes in {} pieces)", self.remaining, self.pieces().len())
    }
}
