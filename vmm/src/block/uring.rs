//! The engine on io_uring: operations run in the kernel, and an event tells of completions.

use super::sync::{PUNCH, ZERO};
use super::{Completed, Engine, Kind, Operation};
use io_uring::{IoUring, Probe, opcode, squeue, types};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The file's place among the ring's registered files.
const FILE: types::Fixed = types::Fixed(0);

/// One ring.
pub struct UringEngine {
    ring: IoUring,
    event: EventFd,
    /// What is under way, by the number that the kernel knows it by.
    slots: Vec<Option<Operation>>,
    free: Vec<usize>,
    _file: Arc<File>,
}

impl UringEngine {
    /// A ring for up to `depth` operations on `file`.
    ///
    /// # Errors
    /// The host refuses io_uring, or its kernel lacks an operation.
    pub fn new(file: Arc<File>, depth: u16) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder().setup_clamp().build(u32::from(depth))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::Readv::CODE,
            opcode::Writev::CODE,
            opcode::Fsync::CODE,
            opcode::Fallocate::CODE,
        ];
        if !needed.into_iter().all(|code| probe.is_supported(code)) || !ring.params().is_feature_nodrop() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let event = EventFd::new(EFD_NONBLOCK)?;
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let depth = usize::from(depth);
        Ok(Self {
            ring,
            event,
            slots: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            _file: file,
        })
    }

    fn entry(operation: &Operation) -> squeue::Entry {
        let offset = operation.offset;
        match &operation.kind {
            Kind::Read(buffers) => {
                let (pieces, count) = pieces(buffers.pieces());
                opcode::Readv::new(FILE, pieces, count).offset(offset).build()
            }
            Kind::Write { buffers, durable } => {
                let (pieces, count) = pieces(buffers.pieces());
                let flags = if *durable { libc::RWF_DSYNC } else { 0 };
                let write = opcode::Writev::new(FILE, pieces, count).offset(offset);
                write.rw_flags(flags).build()
            }
            Kind::Sync => opcode::Fsync::new(FILE).flags(types::FsyncFlags::DATASYNC).build(),
            Kind::Punch { length } => opcode::Fallocate::new(FILE, *length).offset(offset).mode(PUNCH).build(),
            Kind::Zero { length } => opcode::Fallocate::new(FILE, *length).offset(offset).mode(ZERO).build(),
        }
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Enters the kernel with all that is in the ring, and waits for `want` completions.
    fn enter(&mut self, want: usize) {
        while let Err(error) = self.ring.submit_and_wait(want) {
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // The kernel has no memory for a request, or completions are to be taken first: there will be.
                Some(libc::EAGAIN | libc::EBUSY) if self.ring.completion().is_empty() => std::thread::yield_now(),
                _ => return,
            }
        }
    }
}

fn pieces(pieces: &[libc::iovec]) -> (*const libc::iovec, u32) {
    (pieces.as_ptr(), u32::try_from(pieces.len()).unwrap_or(0))
}

impl Engine for UringEngine {
    /// # Panics
    /// If more than the depth are under way: a mistake of the device, which no guest can cause.
    fn submit(&mut self, operation: Operation) {
        let slot = self.free.pop().expect("no more operations than the engine's depth");
        let number = u64::try_from(slot).unwrap_or(u64::MAX);
        let operation = self.slots[slot].insert(operation);
        let entry = Self::entry(operation).user_data(number);
        loop {
            // SAFETY: what the entry points to (pieces and the memory behind them) is owned by the operation in its
            // slot, which is left there until the kernel has completed it.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter(0);
        }
    }

    fn begin(&mut self) {
        if !self.ring.submission().is_empty() {
            self.enter(0);
        }
    }

    fn completed(&mut self) -> Option<Completed> {
        let completion = self.ring.completion().next()?;
        let slot = usize::try_from(completion.user_data()).ok()?;
        let operation = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        let result = completion.result();
        let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Some(Completed { operation, result })
    }

    fn wait(&mut self) {
        if self.in_flight() > 0 && self.ring.completion().is_empty() {
            self.enter(1);
        }
    }

    fn event(&self) -> Option<RawFd> {
        Some(self.event.as_raw_fd())
    }
}

impl Drop for UringEngine {
    /// The kernel must be done with the memory of every operation before that goes. It takes a ring down when it likes, so
    /// the file is taken back first: whoever waits for it to be closed, and its lock to be free, waits no longer than for
    /// this.
    fn drop(&mut self) {
        while self.in_flight() > 0 {
            self.wait();
            while self.completed().is_some() {}
        }
        // It fails only where there is nothing to take back.
        let _ = self.ring.submitter().unregister_files();
    }
}
