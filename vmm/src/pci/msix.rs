//! MSI-X (PCI Local Bus 3.0, 6.8.2): the table of messages, the pending bits, and the way from an event to a message.
//!
//! Each vector has an event descriptor and an interrupt number of KVM's. While the guest may be interrupted by it, the
//! event is an irqfd; while it is masked, the event belongs to nobody and what happens is kept as the pending bit, so
//! nothing is lost and nothing is sent twice. Everything that a vCPU thread does here is an ioctl.

use crate::events::{EventRoutes, Gsi, MsiMessage};
use crate::virtio::device::RestoreError;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Bytes of one entry of the table.
pub const ENTRY_SIZE: u64 = 16;
/// The message control bits that a driver writes: enable and function mask.
const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;
/// The identifier of the MSI-X capability.
pub const CAPABILITY_ID: u8 = 0x11;

/// What of one entry of the table a driver wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    address: u64,
    data: u32,
    masked: bool,
    pending: bool,
}

const FRESH: Entry = Entry {
    address: 0,
    data: 0,
    masked: true,
    pending: false,
};

struct VectorState {
    entry: Entry,
    /// What KVM's table holds for this vector.
    routed: Option<MsiMessage>,
    /// Whether the event is an irqfd now.
    connected: bool,
    /// Whether MSI-X as a whole is enabled.
    enabled: bool,
}

impl VectorState {
    /// The message that the vector must be able to send now.
    fn wanted(&self, control: Control) -> Option<MsiMessage> {
        (control.may_send() && !self.entry.masked).then_some(MsiMessage {
            address: self.entry.address,
            data: self.entry.data,
        })
    }
}

/// One vector: devices signal it.
pub struct Vector {
    event: Arc<EventFd>,
    gsi: Gsi,
    state: Mutex<VectorState>,
}

impl Vector {
    /// Sends its message, or sets its pending bit if it is masked; false if MSI-X is not enabled at all. Not for vCPU
    /// threads.
    pub fn signal(&self) -> bool {
        let mut state = self.lock();
        if state.connected {
            // The counter can't overflow: KVM takes it down again at once.
            let _ = self.event.write(1);
        } else if state.enabled {
            state.entry.pending = true;
        }
        state.enabled
    }

    /// Its event, for a back end in the kernel that signals by itself.
    pub fn event(&self) -> Arc<EventFd> {
        Arc::clone(&self.event)
    }

    fn lock(&self) -> MutexGuard<'_, VectorState> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The MSI-X of one function.
pub struct Msix {
    routes: Arc<dyn EventRoutes>,
    vectors: Vec<Arc<Vector>>,
    control: Mutex<Control>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Control {
    enabled: bool,
    function_mask: bool,
    bus_master: bool,
}

impl Control {
    fn may_send(self) -> bool {
        self.enabled && !self.function_mask && self.bus_master
    }
}

impl Msix {
    /// `count` vectors, all masked.
    ///
    /// # Errors
    /// No event descriptor or no interrupt is left.
    pub fn new(count: u16, routes: Arc<dyn EventRoutes>) -> io::Result<Self> {
        let mut msix = Self {
            routes,
            vectors: Vec::with_capacity(usize::from(count)),
            control: Mutex::default(),
        };
        for _ in 0..count {
            let event = Arc::new(EventFd::new(EFD_NONBLOCK)?);
            let gsi = msix.routes.allocate_gsi()?;
            msix.vectors.push(Arc::new(Vector {
                event,
                gsi,
                state: Mutex::new(VectorState {
                    entry: FRESH,
                    routed: None,
                    connected: false,
                    enabled: false,
                }),
            }));
        }
        Ok(msix)
    }

    /// The body of the capability, with the table at `table` and the pending bits at `pending` in base address
    /// register `bar`, and the mask of what a driver may write.
    pub fn capability(&self, bar: u8, table: u32, pending: u32) -> ([u8; 10], [u8; 2]) {
        let size = u16::try_from(self.vectors.len().saturating_sub(1)).unwrap_or(0x7ff);
        let mut body = [0; 10];
        body[..2].copy_from_slice(&size.to_le_bytes());
        body[2..6].copy_from_slice(&(table | u32::from(bar)).to_le_bytes());
        body[6..].copy_from_slice(&(pending | u32::from(bar)).to_le_bytes());
        (body, (ENABLE | FUNCTION_MASK).to_le_bytes())
    }

    /// Vector `index`, if there is one.
    pub fn vector(&self, index: u16) -> Option<&Arc<Vector>> {
        self.vectors.get(usize::from(index))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.vectors.len()
    }

    /// Whether a driver has enabled MSI-X.
    pub fn enabled(&self) -> bool {
        self.lock().enabled
    }

    /// Takes the message control register, and whether the function may master the bus: all vectors follow, with one
    /// change of KVM's table.
    pub fn set_control(&self, message_control: u16, bus_master: bool) {
        let mut control = self.lock();
        let new = Control {
            enabled: message_control & ENABLE != 0,
            function_mask: message_control & FUNCTION_MASK != 0,
            bus_master,
        };
        if *control != new {
            *control = new;
            self.apply(new, 0..self.vectors.len());
        }
    }

    /// Reads the table.
    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Some((vector, place)) = self.locate(offset, data.len()) else {
            return;
        };
        let entry = vector.lock().entry;
        let raw = [
            entry.address.to_le_bytes(),
            (u64::from(entry.masked) << 32 | u64::from(entry.data)).to_le_bytes(),
        ];
        for (byte, value) in data.iter_mut().zip(raw.as_flattened().iter().skip(place)) {
            *byte = *value;
        }
    }

    /// Writes the table: whole aligned registers of 4 or 8 bytes, as the specification demands.
    pub fn write_table(&self, offset: u64, data: &[u8]) {
        let control = self.lock();
        let Some((vector, place)) = self.locate(offset, data.len()) else {
            return;
        };
        let mut state = vector.lock();
        let entry = &mut state.entry;
        for (register, value) in (place / 4..).zip(data.as_chunks::<4>().0) {
            let value = u32::from_le_bytes(*value);
            match register {
                0 => entry.address = entry.address & !0xffff_ffff | u64::from(value & !3),
                1 => entry.address = entry.address & 0xffff_ffff | u64::from(value) << 32,
                2 => entry.data = value,
                _ => entry.masked = value & 1 != 0,
            }
        }
        drop(state);
        let index = usize::try_from(offset / ENTRY_SIZE).unwrap_or(usize::MAX);
        self.apply(*control, index..index + 1);
    }

    /// Reads the pending bits.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        for (place, byte) in (offset..).zip(data) {
            let first = usize::try_from(place.saturating_mul(8)).unwrap_or(usize::MAX);
            let vectors = self.vectors.iter().skip(first).take(8);
            *byte = vectors.enumerate().fold(0, |bits, (bit, vector)| {
                bits | u8::from(vector.lock().entry.pending) << bit
            });
        }
    }

    /// The entries, to be saved.
    pub fn save(&self) -> Vec<Entry> {
        self.vectors.iter().map(|vector| vector.lock().entry).collect()
    }

    /// Takes entries that were saved, if they are as many as there are vectors.
    ///
    /// # Errors
    /// They are not.
    pub fn restore(&self, entries: Vec<Entry>) -> Result<(), RestoreError> {
        if entries.len() != self.vectors.len() {
            let (kind, what) = ("msix", "number of vectors");
            return Err(RestoreError::Impossible { kind, what });
        }
        let control = self.lock();
        for (vector, entry) in self.vectors.iter().zip(entries) {
            vector.lock().entry = entry;
        }
        self.apply(*control, 0..self.vectors.len());
        Ok(())
    }

    /// All vectors as they were at first.
    pub fn reset(&self) {
        self.set_control(0, false);
        for vector in &self.vectors {
            vector.lock().entry = FRESH;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn locate(&self, offset: u64, length: usize) -> Option<(&Arc<Vector>, usize)> {
        let aligned = matches!(length, 4 | 8) && offset.is_multiple_of(u64::try_from(length).ok()?);
        let index = usize::try_from(offset / ENTRY_SIZE).ok()?;
        let place = usize::try_from(offset % ENTRY_SIZE).ok()?;
        aligned
            .then(|| self.vectors.get(index))
            .flatten()
            .map(|vector| (vector, place))
    }

    /// Makes KVM agree with `control` and the entries in `range`: irqfds that must be silent go first, then all routes
    /// change at once, then irqfds come and what was pending is sent.
    fn apply(&self, control: Control, range: std::ops::Range<usize>) {
        let vectors = self.vectors.get(range).unwrap_or_default();
        let mut states: Vec<_> = vectors.iter().map(|vector| (&**vector, vector.lock())).collect();
        let mut changes = Vec::new();
        for (vector, state) in &mut states {
            state.enabled = control.enabled;
            let wanted = state.wanted(control);
            if wanted.is_none() && std::mem::take(&mut state.connected) {
                let _ = self.routes.deassign_irqfd(&vector.event, vector.gsi);
            }
            let keep = control.enabled && wanted.is_none();
            if !keep && state.routed != wanted {
                changes.push((vector.gsi, wanted));
                state.routed = wanted;
            }
            state.entry.pending &= control.enabled;
        }
        self.route(&changes);
        for (vector, state) in &mut states {
            if state.wanted(control).is_none() {
                continue;
            }
            if !state.connected {
                state.connected = self.routes.assign_irqfd(&vector.event, vector.gsi).is_ok();
            }
            if state.connected && std::mem::take(&mut state.entry.pending) {
                let _ = self.routes.signal(vector.gsi);
            }
        }
    }

    /// Changes KVM's table once; one by one if it refuses, so that only what no APIC could take stays silent.
    fn route(&self, changes: &[(Gsi, Option<MsiMessage>)]) {
        if !changes.is_empty() && self.routes.route(changes).is_err() {
            for change in changes {
                let _ = self.routes.route(&[*change]);
            }
        }
    }
}

impl Drop for Msix {
    fn drop(&mut self) {
        for vector in &self.vectors {
            if std::mem::take(&mut vector.lock().connected) {
                let _ = self.routes.deassign_irqfd(&vector.event, vector.gsi);
            }
            self.routes.free_gsi(vector.gsi);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryRoutes;

    const ENABLED: u16 = ENABLE;

    fn msix(count: u16) -> (Arc<MemoryRoutes>, Msix) {
        let routes = Arc::new(MemoryRoutes::default());
        let msix = Msix::new(count, routes.clone()).unwrap();
        (routes, msix)
    }

    fn program(msix: &Msix, index: u64, data: u32, masked: bool) {
        msix.write_table(index * 16, &0xfee0_0000u64.to_le_bytes());
        msix.write_table(index * 16 + 8, &data.to_le_bytes());
        msix.write_table(index * 16 + 12, &u32::from(masked).to_le_bytes());
    }

    fn pending(msix: &Msix) -> u8 {
        let mut bits = [0; 8];
        msix.read_pending(0, &mut bits);
        bits[0]
    }

    #[test]
    fn a_vector_sends_its_message_once_enabled_and_unmasked() {
        let (routes, msix) = msix(2);
        msix.set_control(ENABLED, true);
        program(&msix, 1, 0x41, false);
        msix.vector(1).unwrap().signal();
        assert_eq!(routes.take_messages(), [0x41]);
        msix.vector(0).unwrap().signal();
        assert!(routes.take_messages().is_empty());
        assert_eq!(pending(&msix), 1);
    }

    #[test]
    fn what_happens_while_masked_is_pending_and_sent_once_at_unmask() {
        let (routes, msix) = msix(1);
        msix.set_control(ENABLED, true);
        program(&msix, 0, 0x41, false);
        for mask in [(true, ENABLED), (false, ENABLED | FUNCTION_MASK)] {
            msix.write_table(12, &u32::from(mask.0).to_le_bytes());
            msix.set_control(mask.1, true);
            msix.vector(0).unwrap().signal();
            msix.vector(0).unwrap().signal();
            assert_eq!((routes.take_messages(), pending(&msix)), (vec![], 1));
            msix.write_table(12, &[0; 4]);
            msix.set_control(ENABLED, true);
            assert_eq!((routes.take_messages(), pending(&msix)), (vec![0x41], 0));
            msix.write_table(12, &[1, 0, 0, 0]);
            msix.write_table(12, &[0; 4]);
            assert!(routes.take_messages().is_empty());
        }
    }

    #[test]
    fn a_new_message_holds_from_the_next_interrupt_on() {
        let (routes, msix) = msix(1);
        msix.set_control(ENABLED, true);
        program(&msix, 0, 0x41, false);
        program(&msix, 0, 0x52, false);
        msix.vector(0).unwrap().signal();
        assert_eq!(routes.take_messages(), [0x52]);
    }

    #[test]
    fn lifting_the_function_mask_changes_the_table_once() {
        let (routes, msix) = msix(32);
        msix.set_control(ENABLED | FUNCTION_MASK, true);
        for index in 0..32 {
            program(&msix, index, 0x30, false);
        }
        let before = routes.table_changes();
        msix.set_control(ENABLED, true);
        assert_eq!(routes.table_changes() - before, 1);
        assert_eq!(routes.irqfds(), 32);
    }

    #[test]
    fn disabling_takes_every_irqfd_and_route_away() {
        let (routes, msix) = msix(4);
        msix.set_control(ENABLED, true);
        for index in 0..4 {
            program(&msix, index, 0x30, false);
        }
        msix.set_control(0, true);
        assert_eq!((routes.irqfds(), routes.routed()), (0, 0));
        msix.set_control(ENABLED, true);
        drop(msix);
        assert_eq!((routes.irqfds(), routes.routed(), routes.gsis()), (0, 0, 0));
    }

    #[test]
    fn a_function_that_may_not_master_the_bus_sends_nothing_and_loses_nothing() {
        let (routes, msix) = msix(1);
        msix.set_control(ENABLED, false);
        program(&msix, 0, 0x41, false);
        msix.vector(0).unwrap().signal();
        assert!(routes.take_messages().is_empty());
        msix.set_control(ENABLED, true);
        assert_eq!(routes.take_messages(), [0x41]);
    }

    #[test]
    fn accesses_that_are_no_registers_do_nothing() {
        let (_, msix) = msix(1);
        program(&msix, 0, 0x41, true);
        for (offset, length) in [(1, 4), (4, 8), (12, 2), (16, 4), (u64::MAX - 3, 4)] {
            msix.write_table(offset, &vec![0xff; length]);
            let mut data = vec![1; length];
            msix.read_table(offset, &mut data);
            assert!(data.iter().all(|byte| *byte == 0));
        }
        let mut data = [0; 8];
        msix.read_table(8, &mut data);
        assert_eq!(u64::from_le_bytes(data), 1 << 32 | 0x41);
    }
}
