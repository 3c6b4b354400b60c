//! Memory as `readv` and `writev` want it, made anew for each frame: the frame's header in our own memory, then the
//! guest's buffers where they lie.

/// The most pieces that one system call takes (`IOV_MAX`).
const MAX: usize = 1024;

/// The pieces of one frame.
#[derive(Default)]
pub struct Pieces(Vec<libc::iovec>);

// SAFETY: these are addresses, which belong to no thread; whoever hands them to the kernel answers for what is there.
unsafe impl Send for Pieces {}

impl Pieces {
    /// Begins a frame.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds `bytes`.
    pub fn add_bytes(&mut self, bytes: &mut [u8]) {
        self.0.push(libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        });
    }

    /// Adds `buffers` without their first `skip` bytes, up to the piece with which there are `wanted` bytes or more. Says
    /// how many bytes it added; none if that would be too many pieces, or fewer bytes than wanted.
    pub fn add_buffers(
        &mut self,
        buffers: impl Iterator<Item = libc::iovec>,
        skip: usize,
        wanted: usize,
    ) -> Option<usize> {
        let (mut skip, mut added) = (skip, 0usize);
        for buffer in buffers {
            if added >= wanted {
                break;
            }
            let skipped = skip.min(buffer.iov_len);
            skip -= skipped;
            let iov_len = buffer.iov_len - skipped;
            if iov_len > 0 {
                let iov_base = buffer.iov_base.cast::<u8>().wrapping_add(skipped).cast();
                self.0.push(libc::iovec { iov_base, iov_len });
                added = added.saturating_add(iov_len);
            }
        }
        // One place is left for what finds out that a frame is longer.
        (added >= wanted && self.0.len() < MAX).then_some(added)
    }

    /// All of them, for the kernel.
    pub fn list(&self) -> &[libc::iovec] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fake(lengths: &[usize]) -> Vec<libc::iovec> {
        let mut at = 0x1000usize;
        let piece = |length: &usize| {
            let iov_base = std::ptr::without_provenance_mut(at);
            at += length;
            libc::iovec {
                iov_base,
                iov_len: *length,
            }
        };
        lengths.iter().map(piece).collect()
    }

    proptest! {
        #[test]
        fn what_is_gathered_is_what_was_there_without_its_beginning(
            lengths in prop::collection::vec(1..400usize, 0..40),
            skip in 0..100usize,
            wanted in 0..4000usize,
        ) {
            let mut pieces = Pieces::default();
            let added = pieces.add_buffers(fake(&lengths).into_iter(), skip, wanted);
            let there = lengths.iter().sum::<usize>().saturating_sub(skip);
            prop_assert_eq!(added.is_some(), there >= wanted);
            let mut next = 0x1000 + skip;
            for piece in pieces.list() {
                prop_assert_eq!((piece.iov_base.addr(), piece.iov_len > 0), (next, true));
                next += piece.iov_len;
            }
            if let Some(added) = added {
                prop_assert_eq!(next, 0x1000 + skip + added);
                prop_assert!(added < wanted + 400);
            }
        }
    }

    #[test]
    fn a_frame_in_more_pieces_than_one_call_takes_is_refused() {
        for (count, taken) in [(MAX - 1, true), (MAX, false), (3 * MAX, false)] {
            let added = Pieces::default().add_buffers(fake(&vec![1; count]).into_iter(), 0, count);
            assert_eq!(added.is_some(), taken, "{count}");
        }
    }
}
