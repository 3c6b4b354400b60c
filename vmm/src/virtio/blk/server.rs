//! Serving one queue of a block device: requests become operations of the queue's engine, and completed operations
//! become used buffers. Runs on the queue's own thread.
//!
//! A flush is an fdatasync that begins after the driver asked, so after every write it has seen completed; writes that
//! are under way meanwhile are the driver's to order.

use super::config::BlkConfig;
use super::limits::price;
use super::request::{Request, RequestError, SERIAL, Status, Task};
use crate::block::{Buffers, BuffersError, Completed, Engine, Kind, Operation};
use crate::virtio::device::{Chained, QueueResources, QueueState};
use crate::virtio::limit::Pace;
use crate::virtio::queue::{Chain, Ring, RingError, cursor};
use crate::virtio::worker::{Progress, QueueServer};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestAddressSpace, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

/// Requests that are taken before the thread looks up.
const BATCH: u16 = 256;
/// How often an operation that was interrupted is tried again.
const RETRIES: u8 = 16;

/// What all queues of a volume share.
pub struct Volume {
    /// What the driver sees.
    pub config: Arc<BlkConfig>,
    /// Its name as the driver sees it.
    pub serial: [u8; SERIAL],
}

/// How a driver broke a block queue.
#[derive(Debug, thiserror::Error)]
enum BrokenQueueError {
    #[error("The driver broke its queue")]
    Ring(#[from] RingError),
    #[error("The driver made an impossible request")]
    Request(#[from] RequestError),
}

/// A request under way.
struct Pending {
    head: u16,
    status: GuestAddress,
    memory: Arc<GuestMemoryMmap>,
    /// Data bytes the driver was given.
    read: u32,
    /// Whether an fdatasync must follow.
    durable: bool,
    /// If this makes zeroes: how many bytes, where it must not be left undone.
    zeroes: Option<u64>,
    retries: u8,
}

/// What is to be done after an operation.
enum Next {
    Submit(Operation),
    Finish(Status),
}

struct Running {
    ring: Ring,
    resources: QueueResources,
    features: u64,
    broken: bool,
}

/// Serves one queue.
pub struct BlkServer {
    volume: Arc<Volume>,
    engine: Box<dyn Engine>,
    pace: Pace,
    pending: Vec<Option<Pending>>,
    free: Vec<usize>,
    running: Option<Running>,
}

impl BlkServer {
    /// Serves a queue of up to `depth` entries, with an engine of the same depth.
    pub fn new(volume: Arc<Volume>, engine: Box<dyn Engine>, pace: Pace, depth: u16) -> Self {
        let depth = usize::from(depth);
        Self {
            volume,
            engine,
            pace,
            pending: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            running: None,
        }
    }

    fn in_flight(&self) -> bool {
        self.free.len() < self.pending.len()
    }

    fn step(&mut self, running: &mut Running) -> Result<Progress, BrokenQueueError> {
        let memory = running.resources.memory.memory();
        running.ring.disable_doorbell(&memory)?;
        let mut pushed = self.reap(running)?;
        let mut taken = 0;
        let mut waits = false;
        while taken < BATCH
            && let Some(chain) = running.ring.pop(&memory)?
        {
            if !self.pace.may_go() {
                running.ring.unpop(1);
                waits = true;
                break;
            }
            taken += 1;
            pushed |= self.take(running, &memory, &chain)?;
        }
        self.engine.begin();
        pushed |= self.reap(running)?;
        if pushed && running.ring.needs_interrupt(&memory)? {
            running.resources.interrupt.signal();
        }
        if waits {
            // The timer wakes the thread, so the doorbell is not needed.
            return Ok(Progress::Idle);
        }
        match taken == BATCH || running.ring.enable_doorbell(&memory)? {
            true => Ok(Progress::More),
            false => Ok(Progress::Idle),
        }
    }

    /// Begins one request, or finishes it at once; says whether it did.
    fn take(
        &mut self,
        running: &mut Running,
        memory: &<crate::virtio::device::Memory as GuestAddressSpace>::T,
        chain: &Chain,
    ) -> Result<bool, BrokenQueueError> {
        let request = Request::read(memory, chain, &self.volume.config)?;
        let durable = !self.volume.config.may_cache(running.features);
        let (bytes, operations) = price(&request.task);
        self.pace.charge(bytes, operations);
        let mut pending = Pending {
            head: chain.head(),
            status: request.status,
            memory: memory.clone().into_inner(),
            read: 0,
            durable: false,
            zeroes: None,
            retries: 0,
        };
        let begun = match request.task {
            Task::GetId { buffers } => {
                pending.read = cursor::write(memory, &buffers, &self.volume.serial).unwrap_or(0);
                Err(Status::Ok)
            }
            Task::Refuse(status) => Err(status),
            task => begin(task, durable, &mut pending).map_err(|_| Status::IoError),
        };
        match begun {
            Ok((offset, kind)) => {
                self.submit(pending, offset, kind);
                Ok(false)
            }
            Err(status) => {
                finish(running, &pending, status)?;
                Ok(true)
            }
        }
    }

    fn submit(&mut self, pending: Pending, offset: u64, kind: Kind) {
        // The ring never has more requests under way than it has entries, which are no more than the slots.
        let Some(slot) = self.free.pop() else {
            return;
        };
        if let Some(place) = self.pending.get_mut(slot) {
            *place = Some(pending);
        }
        let tag = u64::try_from(slot).unwrap_or(u64::MAX);
        self.engine.submit(Operation { tag, offset, kind });
    }

    /// Gives back what is complete; says whether there was anything.
    fn reap(&mut self, running: &mut Running) -> Result<bool, RingError> {
        let mut pushed = false;
        while let Some(completed) = self.engine.completed() {
            if let Some((pending, status)) = self.advance(completed) {
                finish(running, &pending, status)?;
                pushed = true;
            }
        }
        Ok(pushed)
    }

    /// Goes on with a request whose operation is complete; gives it back when all is done.
    fn advance(&mut self, completed: Completed) -> Option<(Pending, Status)> {
        let slot = usize::try_from(completed.operation.tag).ok()?;
        let pending = self.pending.get_mut(slot)?;
        match next(pending.as_mut()?, completed) {
            Next::Submit(operation) => {
                self.engine.submit(operation);
                self.engine.begin();
                None
            }
            Next::Finish(status) => {
                let pending = pending.take()?;
                self.free.push(slot);
                Some((pending, status))
            }
        }
    }

    /// Waits for what is under way, and gives it back if the queue still stands.
    fn drain(&mut self, running: &mut Running) {
        while self.in_flight() {
            self.engine.wait();
            while let Some(completed) = self.engine.completed() {
                if let Some((pending, status)) = self.advance(completed)
                    && !running.broken
                {
                    running.broken = finish(running, &pending, status).is_err();
                }
            }
        }
    }

    /// Makes durable what was written. If that fails, no flush of the driver has told it otherwise.
    fn sync(&mut self) {
        let (tag, offset, kind) = (u64::MAX, 0, Kind::Sync);
        self.engine.submit(Operation { tag, offset, kind });
        self.engine.begin();
        while self.engine.completed().is_none() {
            self.engine.wait();
        }
    }
}

/// The first operation of a task.
fn begin(task: Task, durable: bool, pending: &mut Pending) -> Result<(u64, Kind), BuffersError> {
    let memory = || Arc::clone(&pending.memory);
    let (offset, kind) = match task {
        Task::Read { offset, buffers } => (offset, Kind::Read(Buffers::guest(memory(), buffers)?)),
        Task::Write { offset, buffers } => {
            let buffers = Buffers::guest(memory(), buffers)?;
            (offset, Kind::Write { buffers, durable })
        }
        Task::Discard { offset, length } => {
            pending.durable = durable;
            (offset, Kind::Punch { length })
        }
        Task::WriteZeroes { offset, length, unmap } => {
            pending.durable = durable;
            pending.zeroes = Some(length);
            match unmap {
                true => (offset, Kind::Punch { length }),
                false => (offset, Kind::Zero { length }),
            }
        }
        Task::Flush | Task::GetId { .. } | Task::Refuse(_) => (0, Kind::Sync),
    };
    Ok((offset, kind))
}

/// What follows an operation: the rest of it, another way to do it, an fdatasync, or the end.
fn next(pending: &mut Pending, completed: Completed) -> Next {
    let Completed { mut operation, result } = completed;
    let result = match result {
        Err(error) if interrupted(&error) && pending.retries < RETRIES => {
            pending.retries += 1;
            return Next::Submit(operation);
        }
        Err(error) => return failed(pending, operation, &error),
        Ok(result) => result,
    };
    // The file ends before its volume does: somebody cut it.
    let moves = matches!(operation.kind, Kind::Read(_) | Kind::Write { .. });
    if moves && result == 0 {
        return Next::Finish(Status::IoError);
    }
    if let Kind::Read(_) = operation.kind {
        pending.read = pending.read.saturating_add(u32::try_from(result).unwrap_or(u32::MAX));
    }
    match &mut operation.kind {
        Kind::Read(buffers) | Kind::Write { buffers, .. } => {
            buffers.advance(result);
            operation.offset += u64::try_from(result).unwrap_or(0);
            if buffers.remaining() > 0 {
                return Next::Submit(operation);
            }
            if pending.read > 0 {
                buffers.mark_written();
            }
        }
        Kind::Punch { .. } | Kind::Zero { .. } if pending.durable => {
            operation.kind = Kind::Sync;
            return Next::Submit(operation);
        }
        Kind::Sync | Kind::Punch { .. } | Kind::Zero { .. } => {}
    }
    Next::Finish(Status::Ok)
}

fn interrupted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}

/// A file system may not know how to give space back or make zeroes. The first is only a hint; zeroes are written out.
fn failed(pending: &Pending, mut operation: Operation, error: &io::Error) -> Next {
    let unsupported = error.raw_os_error() == Some(libc::EOPNOTSUPP);
    match (&operation.kind, pending.zeroes) {
        (Kind::Punch { .. }, None) if unsupported => Next::Finish(Status::Ok),
        (Kind::Punch { .. }, Some(length)) if unsupported => {
            operation.kind = Kind::Zero { length };
            Next::Submit(operation)
        }
        (Kind::Zero { .. }, Some(length)) if unsupported => {
            let buffers = Buffers::zeroes(length);
            let durable = pending.durable;
            operation.kind = Kind::Write { buffers, durable };
            Next::Submit(operation)
        }
        _ => Next::Finish(Status::IoError),
    }
}

/// Tells the driver how its request ended.
fn finish(running: &mut Running, pending: &Pending, status: Status) -> Result<(), RingError> {
    let told = pending.memory.write_obj(status.byte(), pending.status).is_ok();
    // The length counts from the first byte without a gap, so after a failed read the status is not in it.
    let whole = told && (status == Status::Ok || pending.read == 0);
    let written = pending.read.saturating_add(u32::from(whole));
    running.ring.push(&pending.memory, pending.head, written)
}

impl QueueServer for BlkServer {
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError> {
        let ring = Ring::new(&resources.layout, features, state)?;
        self.running = Some(Running {
            ring,
            resources,
            features,
            broken: false,
        });
        Ok(())
    }

    fn serve(&mut self) -> Progress {
        let Some(mut running) = self.running.take() else {
            return Progress::Idle;
        };
        let mut progress = Progress::Idle;
        if !running.broken {
            progress = self.step(&mut running).unwrap_or_else(|error| {
                running.broken = true;
                running.resources.link.needs_reset(&Chained(&error));
                Progress::Idle
            });
        }
        self.running = Some(running);
        progress
    }

    fn stop(&mut self) -> Option<QueueState> {
        let mut running = self.running.take()?;
        self.drain(&mut running);
        self.sync();
        let memory = running.resources.memory.memory();
        if !running.broken && running.ring.needs_interrupt(&memory).unwrap_or(false) {
            running.resources.interrupt.signal();
        }
        Some(running.ring.state())
    }

    fn events(&self) -> Vec<(RawFd, EventSet)> {
        let timer = self.pace.timer().map(AsRawFd::as_raw_fd);
        let events = self.engine.event().into_iter().chain(timer);
        events.map(|event| (event, EventSet::IN)).collect()
    }
}
