//! The receive buffers that were taken from a ring and hold no frame yet.
//!
//! How long a frame is shows only when it has been read, so there must be room for the longest before: one buffer of the
//! driver, or with mergeable ones (virtio 1.2, 5.1.6.3.2) as many as it takes. What a frame leaves over is for the next.

use super::frame::HEADER;
use super::pieces::Pieces;
use crate::virtio::queue::{Chain, Ring, RingError, cursor};
use std::collections::VecDeque;
use std::sync::Arc;
use vm_memory::{GuestMemoryError, GuestMemoryMmap};

/// How a driver's receive buffers are useless.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveBufferError {
    /// The queue itself is broken.
    #[error("The driver broke its receive queue")]
    Ring(#[from] RingError),
    /// Not even a header fits.
    #[error("The receive buffer at descriptor {head} has {length} bytes: a header has {HEADER}")]
    Short {
        /// Where it begins.
        head: u16,
        /// Its length in bytes.
        length: u64,
    },
    /// It is not there any more.
    #[error("A receive buffer is not in guest memory")]
    Memory(#[from] GuestMemoryError),
}

struct Posted {
    chain: Chain,
    length: u64,
    pieces: usize,
}

/// Buffers in the order in which they are filled.
pub struct Window {
    memory: Arc<GuestMemoryMmap>,
    mergeable: bool,
    posted: VecDeque<Posted>,
    /// Where all of them lie.
    pieces: VecDeque<libc::iovec>,
    room: u64,
    /// What one frame used: kept to be used again.
    used: Vec<(u16, u32)>,
}

// SAFETY: the pieces are addresses in guest memory, which `memory` keeps mapped and which belongs to no thread.
unsafe impl Send for Window {}

impl Window {
    /// No buffers, of a driver with mergeable ones or not.
    pub fn new(memory: Arc<GuestMemoryMmap>, mergeable: bool) -> Self {
        Self {
            memory,
            mergeable,
            posted: VecDeque::new(),
            pieces: VecDeque::new(),
            room: 0,
            used: Vec::new(),
        }
    }

    /// Moves to `memory`, if that is another one than before: `ring` gives the buffers again.
    pub fn follow(&mut self, memory: Arc<GuestMemoryMmap>, ring: &mut Ring) {
        if !Arc::ptr_eq(&memory, &self.memory) {
            self.give_up(ring);
            self.memory = memory;
        }
    }

    /// Puts all buffers back into `ring`.
    pub fn give_up(&mut self, ring: &mut Ring) {
        ring.unpop(u16::try_from(self.posted.len()).unwrap_or(u16::MAX));
        self.posted.clear();
        self.pieces.clear();
        self.room = 0;
    }

    /// The memory that the buffers are in.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Whether there is no buffer.
    pub fn is_empty(&self) -> bool {
        self.posted.is_empty()
    }

    /// Whether a frame of `length` bytes, its header among them, has room.
    pub fn holds(&self, length: usize) -> bool {
        u64::try_from(length).is_ok_and(|length| length <= self.room)
    }

    /// Whether no more buffers can come from a `ring` before one is used.
    pub fn is_full(&self, ring: &Ring) -> bool {
        match self.mergeable {
            true => self.posted.len() >= usize::from(ring.size()),
            false => !self.posted.is_empty(),
        }
    }

    /// Takes buffers from `ring` until there is room for `length` bytes, or no more are there.
    ///
    /// # Errors
    /// The driver is broken.
    pub fn fill(&mut self, ring: &mut Ring, length: usize) -> Result<(), ReceiveBufferError> {
        while !self.holds(length) && !self.is_full(ring) {
            match ring.pop(&self.memory)? {
                Some(chain) => self.add(chain)?,
                None => break,
            }
        }
        Ok(())
    }

    fn add(&mut self, chain: Chain) -> Result<(), ReceiveBufferError> {
        let length = cursor::length(chain.writable());
        if length < HEADER as u64 {
            let head = chain.head();
            return Err(ReceiveBufferError::Short { head, length });
        }
        let before = self.pieces.len();
        for slice in cursor::slices(&self.memory, chain.writable()) {
            let slice = slice?;
            self.pieces.push_back(libc::iovec {
                iov_base: slice.ptr_guard_mut().as_ptr().cast(),
                iov_len: slice.len(),
            });
        }
        self.room += length;
        let pieces = self.pieces.len() - before;
        self.posted.push_back(Posted { chain, length, pieces });
        Ok(())
    }

    /// Adds the room for a frame of up to `length` bytes behind its header to `pieces`; says how many bytes that are, or
    /// none if there is less, or it can't be had at once.
    pub fn gather(&self, length: usize, pieces: &mut Pieces) -> Option<usize> {
        pieces.add_buffers(self.pieces.iter().copied(), HEADER, length)
    }

    /// Copies `frame`, which has room, into the buffers.
    ///
    /// # Errors
    /// The memory is gone.
    pub fn copy(&self, frame: &[u8]) -> Result<(), ReceiveBufferError> {
        let mut left = frame;
        for posted in &self.posted {
            let written = cursor::write(&self.memory, posted.chain.writable(), left)?;
            left = left
                .get(usize::try_from(written).unwrap_or(usize::MAX)..)
                .unwrap_or_default();
            if left.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Gives the driver the buffers that a frame of `length` bytes, its header among them, lies in. `header` makes the
    /// header for a number of buffers.
    ///
    /// # Errors
    /// The driver is broken.
    pub fn give(
        &mut self,
        ring: &mut Ring,
        length: usize,
        header: impl FnOnce(u16) -> [u8; HEADER],
    ) -> Result<(), ReceiveBufferError> {
        let mut left = u64::try_from(length).unwrap_or(u64::MAX);
        let mut first = None;
        self.used.clear();
        while left > 0
            && let Some(posted) = self.posted.pop_front()
        {
            self.pieces.drain(..posted.pieces.min(self.pieces.len()));
            self.room -= posted.length;
            let written = left.min(posted.length);
            left -= written;
            cursor::mark_written(&self.memory, posted.chain.writable(), written);
            self.used
                .push((posted.chain.head(), u32::try_from(written).unwrap_or(u32::MAX)));
            first.get_or_insert(posted.chain);
        }
        if let Some(first) = first {
            let header = header(u16::try_from(self.used.len()).unwrap_or(u16::MAX));
            cursor::write(&self.memory, first.writable(), &header)?;
        }
        ring.push_together(&self.memory, &self.used)?;
        Ok(())
    }
}
