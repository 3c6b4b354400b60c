//! An engine that fails or holds back operations on demand: for tests of whatever uses engines.

use super::{Completed, Engine, Kind, Operation};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// What is to go wrong, shared between a test and the engines it is about.
#[derive(Default)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Errors for the next reads and writes, in order; none lets one pass.
    errors: VecDeque<Option<i32>>,
    held: bool,
    /// What was begun, in order.
    log: Vec<String>,
    wake: Vec<EventFd>,
}

impl Faults {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// The next operations fail with these errors; none lets one pass.
    pub fn fail(&self, errors: impl IntoIterator<Item = Option<i32>>) {
        self.with(|inner| inner.errors.extend(errors));
    }

    /// From now on completions are kept back, or come.
    pub fn hold(&self, held: bool) {
        self.with(|inner| {
            inner.held = held;
            for event in &inner.wake {
                let _ = event.write(1);
            }
        });
    }

    /// What was begun so far: the first letter of each operation's kind.
    pub fn log(&self) -> String {
        self.with(|inner| inner.log.concat())
    }
}

/// An engine before another one.
pub struct FaultyEngine {
    inner: Box<dyn Engine>,
    faults: Arc<Faults>,
    failed: VecDeque<Completed>,
    event: EventFd,
}

impl FaultyEngine {
    /// Puts `faults` before `inner`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(inner: Box<dyn Engine>, faults: Arc<Faults>) -> io::Result<Self> {
        let event = EventFd::new(EFD_NONBLOCK)?;
        let wake = event.try_clone()?;
        faults.with(|inner| inner.wake.push(wake));
        Ok(Self {
            inner,
            faults,
            failed: VecDeque::new(),
            event,
        })
    }
}

impl Engine for FaultyEngine {
    fn submit(&mut self, operation: Operation) {
        let letter = match operation.kind {
            Kind::Read(_) => "r",
            Kind::Write { durable: false, .. } => "w",
            Kind::Write { durable: true, .. } => "W",
            Kind::Sync => "s",
            Kind::Punch { .. } => "p",
            Kind::Zero { .. } => "z",
        };
        let error = self.faults.with(|inner| {
            inner.log.push(letter.to_owned());
            inner.errors.pop_front().flatten()
        });
        match error {
            None => self.inner.submit(operation),
            Some(error) => self.failed.push_back(Completed {
                operation,
                result: Err(io::Error::from_raw_os_error(error)),
            }),
        }
    }

    fn begin(&mut self) {
        self.inner.begin();
        // What failed never reaches the other engine, so its completions are announced here.
        let _ = self.event.write(1);
    }

    fn completed(&mut self) -> Option<Completed> {
        if self.faults.with(|inner| inner.held) {
            return None;
        }
        self.failed.pop_front().or_else(|| self.inner.completed())
    }

    fn wait(&mut self) {
        while self.faults.with(|inner| inner.held) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if self.failed.is_empty() {
            self.inner.wait();
        }
    }

    /// Edges of the other engine are not seen; [`super::SyncEngine`] has none.
    fn event(&self) -> Option<RawFd> {
        use std::os::fd::AsRawFd;
        Some(self.event.as_raw_fd())
    }
}
