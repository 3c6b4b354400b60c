//! The state that a driver and a device share, whatever bus lies between: status, features, queues (virtio 1.2, 2.1,
//! 2.2, 2.6 and 3.1).
//!
//! It is plain data. vCPU threads change it by writing registers; the device's own thread asks [`Registers::next_action`]
//! what is to be done so that the device follows, does it, and says so. As the thread works towards what the registers
//! hold and not through a list of orders, a guest can't make it fall behind.
//!
//! ```text
//!            ACKNOWLEDGE, DRIVER      FEATURES_OK           DRIVER_OK
//!   reset ─────────────────────▶ … ──────────────▶ … ────────────────▶ running ──broken──▶ needs reset
//!     ▲                                                                   │                    │
//!     └──── status reads 0 again ◀── all queues stopped, device reset ◀───┴──── status = 0 ────┘
//! ```

mod saved;

pub use saved::SavedRegisters;

use crate::virtio::device::{Chained, QueueState};
use crate::virtio::queue::{RingAddresses, RingLayout};
use virtio_bindings::virtio_config as bits;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

/// The driver has found the device.
pub const ACKNOWLEDGE: u8 = 1;
/// The driver knows how to drive it.
pub const DRIVER: u8 = 2;
/// The driver is ready.
pub const DRIVER_OK: u8 = 4;
/// The driver has chosen its features, and the device agrees.
pub const FEATURES_OK: u8 = 8;
/// The device can't go on without a reset.
pub const NEEDS_RESET: u8 = 64;
/// The driver has given up.
pub const FAILED: u8 = 128;
const WRITABLE: u8 = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK | FAILED;

/// The features of the transport and the rings themselves, which every device offers.
pub const TRANSPORT_FEATURES: u64 = 1 << bits::VIRTIO_F_VERSION_1
    | 1 << VIRTIO_RING_F_INDIRECT_DESC
    | 1 << VIRTIO_RING_F_EVENT_IDX
    | 1 << bits::VIRTIO_F_RING_RESET;

/// What the driver wrote of one queue, and what the device makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRegisters {
    max_size: u16,
    /// The size, where the driver wants one.
    pub size: u16,
    /// Where its rings are.
    pub addresses: RingAddresses,
    enabled: Option<RingLayout>,
    reset_asked: bool,
    active: bool,
    state: Option<QueueState>,
    kicked: bool,
}

impl QueueRegisters {
    fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: max_size,
            addresses: RingAddresses::default(),
            enabled: None,
            reset_asked: false,
            active: false,
            state: None,
            kicked: false,
        }
    }

    /// The largest size.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Whether the driver has enabled it.
    pub fn enabled(&self) -> bool {
        self.enabled.is_some()
    }

    /// The rings, if the driver has enabled it.
    pub fn layout(&self) -> Option<RingLayout> {
        self.enabled
    }

    /// Whether its reset was asked for and is not done yet.
    pub fn resetting(&self) -> bool {
        self.reset_asked
    }

    /// Where it stands, if it is stopped and will go on.
    pub fn state(&self) -> Option<QueueState> {
        self.state
    }
}

/// What the device's thread has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this queue, then nothing or [`Registers::start_failed`].
    Start {
        /// Which queue.
        index: u16,
        /// Its rings.
        layout: RingLayout,
        /// What was negotiated.
        features: u64,
        /// Where it stood, if it ran before.
        state: Option<QueueState>,
    },
    /// Stop this queue, then [`Registers::stopped`].
    Stop {
        /// Which queue.
        index: u16,
    },
    /// Reset the device, then [`Registers::reset_done`].
    Reset,
    /// Say that the device needs a reset, and why.
    Announce(String),
    /// Ring the doorbell of this queue, as a vCPU could not.
    Kick {
        /// Which queue.
        index: u16,
    },
    /// All is stopped, for good.
    End,
}

/// The registers of one device.
#[derive(Debug, Clone)]
pub struct Registers {
    offered: u64,
    accepted: u64,
    status: u8,
    generation: u8,
    resetting: bool,
    /// Whether a queue was ever started since the last reset.
    touched: bool,
    bus_master: bool,
    held: bool,
    ending: bool,
    announcement: Option<String>,
    queues: Vec<QueueRegisters>,
}

impl Registers {
    /// Those of a device that offers `features` beside [`TRANSPORT_FEATURES`], with queues of these largest sizes.
    pub fn new(features: u64, queue_sizes: &[u16]) -> Self {
        Self {
            offered: features | TRANSPORT_FEATURES,
            accepted: 0,
            status: 0,
            generation: 0,
            resetting: false,
            touched: false,
            bus_master: false,
            held: false,
            ending: false,
            announcement: None,
            queues: queue_sizes.iter().map(|size| QueueRegisters::new(*size)).collect(),
        }
    }

    /// The features the device offers.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// The features the driver has chosen so far.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Takes the driver's choice in the bits of `mask`; once both agreed, it stays as it is.
    pub fn accept(&mut self, features: u64, mask: u64) {
        if self.status & FEATURES_OK == 0 && !self.resetting {
            self.accepted = self.accepted & !mask | features & mask;
        }
    }

    /// The device status. While a reset is under way it stays as it was.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Takes the driver's device status. Bits are only ever added, until a reset takes them all.
    pub fn set_status(&mut self, written: u8) {
        if self.resetting {
            return;
        }
        if written == 0 {
            return self.start_reset();
        }
        let mut status = self.status | written & WRITABLE;
        if status & FEATURES_OK != 0 && !self.features_agree() {
            status &= !FEATURES_OK;
        }
        if status & FEATURES_OK == 0 {
            status &= !DRIVER_OK;
        }
        self.status = status;
    }

    fn features_agree(&self) -> bool {
        let version_1 = 1 << bits::VIRTIO_F_VERSION_1;
        self.accepted & !self.offered == 0 && self.accepted & version_1 != 0
    }

    fn start_reset(&mut self) {
        match self.touched && !self.is_over() {
            true => self.resetting = true,
            false => self.reset_done(),
        }
    }

    /// Whether the end was asked for and nothing runs any more: whoever waits for the device's thread waits in vain.
    fn is_over(&self) -> bool {
        self.ending && self.queues.iter().all(|queue| !queue.active)
    }

    /// Whether a reset was asked for and is not done yet.
    pub fn resetting(&self) -> bool {
        self.resetting
    }

    /// How often the configuration changed, modulo 256.
    pub fn generation(&self) -> u8 {
        self.generation
    }

    /// Counts a change of the configuration; true if the driver is to be told.
    pub fn configuration_changed(&mut self) -> bool {
        self.generation = self.generation.wrapping_add(1);
        self.status & DRIVER_OK != 0
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> u16 {
        u16::try_from(self.queues.len()).unwrap_or(u16::MAX)
    }

    /// Queue `index`.
    pub fn queue(&self, index: u16) -> Option<&QueueRegisters> {
        self.queues.get(usize::from(index))
    }

    /// Queue `index`, if its size and addresses may be written: not while it is enabled or being reset.
    pub fn queue_setup(&mut self, index: u16) -> Option<&mut QueueRegisters> {
        let queue = self.queues.get_mut(usize::from(index))?;
        (!self.resetting && queue.enabled.is_none() && !queue.reset_asked).then_some(queue)
    }

    /// Enables queue `index` with rings that `check` found good; if it did not, the device needs a reset. Before
    /// features were agreed on nothing happens.
    pub fn enable_queue<E: std::error::Error + 'static>(
        &mut self,
        index: u16,
        check: impl FnOnce(&QueueRegisters) -> Result<RingLayout, E>,
    ) {
        if self.status & FEATURES_OK == 0 {
            return;
        }
        let Some(queue) = self.queue_setup(index) else {
            return;
        };
        match check(queue) {
            Ok(layout) => queue.enabled = Some(layout),
            Err(error) => self.break_device(&format_args!("Queue {index}: {}", Chained(&error))),
        }
    }

    /// Asks for the reset of queue `index` (virtio 1.2, 2.6.1), if that was negotiated and it is enabled.
    pub fn reset_queue(&mut self, index: u16) {
        let negotiated = self.accepted & 1 << bits::VIRTIO_F_RING_RESET != 0 && self.status & FEATURES_OK != 0;
        if negotiated && !self.resetting && self.is_over() {
            return self.replace_queue(index);
        }
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            queue.reset_asked |= negotiated && queue.enabled.is_some() && !self.resetting;
        }
    }

    /// Asks for a doorbell of queue `index` that did not come by its event.
    pub fn kick(&mut self, index: u16) {
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            queue.kicked = true;
        }
    }

    /// Marks the device as broken, to be announced once.
    pub fn break_device(&mut self, reason: &dyn std::fmt::Display) {
        let news = self.status & (NEEDS_RESET | FEATURES_OK) == FEATURES_OK && !self.resetting;
        if news {
            self.status |= NEEDS_RESET;
            self.announcement = (!self.ending).then(|| reason.to_string());
        }
    }

    /// Whether the device may use guest memory on its own; queues stop and go on with it.
    pub fn set_bus_master(&mut self, bus_master: bool) {
        self.bus_master = bus_master;
    }

    /// Whether queues are held still, for the state to be saved.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Asks for the end: all queues stop, and none starts again. Registers go on as before.
    pub fn end(&mut self) {
        self.ending = true;
        self.announcement = None;
    }

    /// Whether the end was asked for.
    pub fn ending(&self) -> bool {
        self.ending
    }

    /// Whether no queue runs, and nothing is under way.
    pub fn still(&self) -> bool {
        let queues = self.queues.iter().all(|queue| !queue.active && !queue.reset_asked);
        queues && !self.resetting && self.announcement.is_none()
    }

    fn should_run(&self, queue: &QueueRegisters) -> bool {
        let allowed = self.bus_master && !self.held && !self.ending && !self.resetting;
        allowed && self.status & DRIVER_OK != 0 && queue.enabled.is_some() && !queue.reset_asked
    }

    /// What the device's thread has to do, if anything.
    pub fn next_action(&mut self) -> Option<Action> {
        if let Some(index) = self.find(|registers, queue| queue.active && !registers.should_run(queue)) {
            return Some(Action::Stop { index });
        }
        if self.resetting {
            return Some(Action::Reset);
        }
        if let Some(index) = self.find(|_, queue| queue.reset_asked) {
            self.replace_queue(index);
        }
        if self.ending {
            return Some(Action::End);
        }
        if let Some(reason) = self.announcement.take() {
            return Some(Action::Announce(reason));
        }
        self.next_start().or_else(|| self.next_kick())
    }

    fn next_start(&mut self) -> Option<Action> {
        let index = self.find(|registers, queue| !queue.active && registers.should_run(queue))?;
        let features = self.accepted;
        let queue = self.queues.get_mut(usize::from(index))?;
        let layout = queue.enabled?;
        queue.active = true;
        let state = queue.state.take();
        self.touched = true;
        Some(Action::Start {
            index,
            layout,
            features,
            state,
        })
    }

    fn next_kick(&mut self) -> Option<Action> {
        let index = self.find(|_, queue| queue.kicked)?;
        let queue = self.queues.get_mut(usize::from(index))?;
        queue.kicked = false;
        Some(Action::Kick { index })
    }

    fn find(&self, wanted: impl Fn(&Self, &QueueRegisters) -> bool) -> Option<u16> {
        let place = self.queues.iter().position(|queue| wanted(self, queue))?;
        u16::try_from(place).ok()
    }

    /// Makes queue `index` as it was at first.
    fn replace_queue(&mut self, index: u16) {
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            *queue = QueueRegisters::new(queue.max_size);
        }
    }

    /// Queue `index` was stopped and stands at `state`.
    pub fn stopped(&mut self, index: u16, state: Option<QueueState>) {
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            queue.active = false;
            queue.state = state;
            if queue.reset_asked {
                self.replace_queue(index);
            }
        }
    }

    /// Queue `index` could not be started: the device needs a reset.
    pub fn start_failed(&mut self, index: u16, reason: &dyn std::fmt::Display) {
        if let Some(queue) = self.queues.get_mut(usize::from(index)) {
            queue.active = false;
            queue.enabled = None;
        }
        self.break_device(reason);
    }

    /// The device was reset: everything is as it was at first.
    pub fn reset_done(&mut self) {
        self.status = 0;
        self.accepted = 0;
        self.resetting = false;
        self.touched = false;
        self.announcement = None;
        for queue in &mut self.queues {
            *queue = QueueRegisters::new(queue.max_size);
        }
    }
}
