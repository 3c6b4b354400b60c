//! The limits of volumes, as EC2 has them: operations and bytes a second. [`Limiters`] finds the limit of a volume by its name, so
//! that the machine's thread can change it while the queues' threads go by it.

use super::request::Task;
use crate::virtio::limit::{Clock, Limiter, Rate, monotonic};
use crate::virtio::queue::cursor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// What counts as one operation at most: a larger one is as many as it has parts of so many bytes, as with EC2's SSD volumes.
const OPERATION: u64 = 256 << 10;

/// How much a volume may be used; without limits, as much as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Reads and writes, those above 256 KiB counted for each part of so much.
    pub operations: Option<Rate>,
    /// Bytes read and written.
    pub bytes: Option<Rate>,
}

/// The limits of a machine's volumes by name, over resets of the machine.
#[derive(Default)]
pub struct Limiters(Mutex<BTreeMap<String, Weak<Limiter>>>);

impl Limiters {
    /// The limit that the volume `id` is to go by from now on.
    pub fn make(&self, id: &str, limits: Limits) -> Arc<Limiter> {
        self.make_by(id, limits, &monotonic())
    }

    fn make_by(&self, id: &str, limits: Limits, clock: &Clock) -> Arc<Limiter> {
        let limiter = Limiter::adjustable(limits.bytes, limits.operations, clock);
        let mut all = self.lock();
        all.retain(|_, one| one.strong_count() > 0);
        all.insert(id.to_owned(), Arc::downgrade(&limiter));
        limiter
    }

    /// Gives the volume `id` other limits; false if there is none of that name.
    pub fn adjust(&self, id: &str, limits: Limits) -> bool {
        let limiter = self.lock().get(id).and_then(Weak::upgrade);
        limiter.is_some_and(|limiter| {
            limiter.adjust(limits.bytes, limits.operations);
            true
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Limiter>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// What `task` counts: bytes, and operations. Only what moves data counts.
pub fn price(task: &Task) -> (u64, u64) {
    match task {
        Task::Read { buffers, .. } | Task::Write { buffers, .. } => {
            let bytes = cursor::length(buffers);
            (bytes, bytes.div_ceil(OPERATION))
        }
        _ => (0, 0),
    }
}
