//! [`EventRoutes`] in memory: what KVM would do with doorbells and interrupts.

use crate::events::{EventRoutes, Gsi, MsiMessage};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

#[derive(Default)]
struct Inner {
    routes: BTreeMap<Gsi, Option<MsiMessage>>,
    irqfds: BTreeMap<Gsi, EventFd>,
    doorbells: BTreeMap<u64, EventFd>,
    signalled: Vec<u32>,
    table_changes: usize,
}

/// Interrupts and doorbells that go nowhere but here.
#[derive(Default)]
pub struct MemoryRoutes {
    inner: Mutex<Inner>,
}

impl MemoryRoutes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The data of the messages that were sent since this was last asked, in no particular order.
    pub fn take_messages(&self) -> Vec<u32> {
        let mut inner = self.lock();
        let mut messages = std::mem::take(&mut inner.signalled);
        for (gsi, event) in &inner.irqfds {
            if event.read().is_ok()
                && let Some(Some(message)) = inner.routes.get(gsi)
            {
                messages.push(message.data);
            }
        }
        messages
    }

    /// As [`Self::take_messages`], but waits up to `limit` for the first.
    pub fn wait_messages(&self, limit: Duration) -> Vec<u32> {
        let end = Instant::now() + limit;
        loop {
            let messages = self.take_messages();
            if !messages.is_empty() || Instant::now() >= end {
                return messages;
            }
            self.poll(Duration::from_millis(20));
        }
    }

    /// Waits up to `limit` for a message with this data, and drops others; false if it did not come.
    pub fn wait_for(&self, data: u32, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if self
                .wait_messages(end.saturating_duration_since(Instant::now()))
                .contains(&data)
            {
                return true;
            }
        }
        false
    }

    fn poll(&self, limit: Duration) {
        let events: Vec<EventFd> = self.lock().irqfds.values().filter_map(|e| e.try_clone().ok()).collect();
        let mut fds: Vec<_> = events.iter().map(borrow).collect();
        let limit = rustix::event::Timespec::try_from(limit).ok();
        let _ = rustix::event::poll(&mut fds, limit.as_ref());
    }

    /// A guest's write to `address`: true if a doorbell took it.
    pub fn ring(&self, address: u64) -> bool {
        let inner = self.lock();
        inner
            .doorbells
            .get(&address)
            .is_some_and(|event| event.write(1).is_ok())
    }

    /// Where doorbells are.
    pub fn doorbells(&self) -> Vec<u64> {
        self.lock().doorbells.keys().copied().collect()
    }

    /// How many irqfds are assigned.
    pub fn irqfds(&self) -> usize {
        self.lock().irqfds.len()
    }

    /// How many interrupts are routed.
    pub fn routed(&self) -> usize {
        self.lock().routes.values().flatten().count()
    }

    /// How many interrupts are reserved.
    pub fn gsis(&self) -> usize {
        self.lock().routes.len()
    }

    /// How often the routing table was replaced.
    pub fn table_changes(&self) -> usize {
        self.lock().table_changes
    }
}

fn borrow(event: &EventFd) -> rustix::event::PollFd<'_> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    // SAFETY: the descriptor is open as long as `event` lives, which the result borrows.
    let fd = unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) };
    rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

impl EventRoutes for MemoryRoutes {
    fn allocate_gsi(&self) -> io::Result<Gsi> {
        let mut inner = self.lock();
        let gsi = (24..4096).map(Gsi).find(|gsi| !inner.routes.contains_key(gsi));
        let gsi = gsi.ok_or_else(|| missing("No interrupt is left"))?;
        inner.routes.insert(gsi, None);
        Ok(gsi)
    }

    fn free_gsi(&self, gsi: Gsi) {
        self.lock().routes.remove(&gsi);
    }

    fn route(&self, changes: &[(Gsi, Option<MsiMessage>)]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.table_changes += 1;
        for (gsi, message) in changes {
            *inner
                .routes
                .get_mut(gsi)
                .ok_or_else(|| missing("The interrupt was never reserved"))? = *message;
        }
        Ok(())
    }

    fn assign_irqfd(&self, event: &EventFd, gsi: Gsi) -> io::Result<()> {
        let event = event.try_clone()?;
        match self.lock().irqfds.insert(gsi, event) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn deassign_irqfd(&self, _event: &EventFd, gsi: Gsi) -> io::Result<()> {
        let mut inner = self.lock();
        let event = inner.irqfds.remove(&gsi).ok_or_else(|| missing("No such irqfd"))?;
        if event.read().is_ok()
            && let Some(Some(message)) = inner.routes.get(&gsi).copied()
        {
            inner.signalled.push(message.data);
        }
        Ok(())
    }

    fn signal(&self, gsi: Gsi) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(Some(message)) = inner.routes.get(&gsi).copied() {
            inner.signalled.push(message.data);
        }
        Ok(())
    }

    fn assign_ioeventfd(&self, event: &EventFd, address: u64) -> io::Result<()> {
        let event = event.try_clone()?;
        match self.lock().doorbells.insert(address, event) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn deassign_ioeventfd(&self, _event: &EventFd, address: u64) -> io::Result<()> {
        let removed = self.lock().doorbells.remove(&address);
        removed.map(drop).ok_or_else(|| missing("No such doorbell"))
    }
}
