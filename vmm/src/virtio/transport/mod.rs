//! What lies between a driver's registers and a device: one [`Transport`] a device, whatever the bus.
//!
//! A bus (`pci`; one over plain memory-mapped registers would sit beside it) translates register accesses into calls
//! of [`Transport`] and gives it its [`Interrupts`]. vCPU threads only change [`Registers`] and wake the device's own
//! thread, which starts and stops queues: no vCPU ever waits for I/O, and none writes to an event.

pub mod pci;
pub mod registers;
#[cfg(test)]
mod tests;

use super::device::{
    Chained, DeviceConfig, DriverLink, Memory, QueueInterrupt, QueueResources, ResizeError, RestoreError, SavedState,
    StartQueueError, VirtioDevice,
};
use super::queue::{RingLayout, RingLayoutError};
use crate::protocol::Event;
use crate::registry::{Context, Syscalls};
use registers::{Action, QueueRegisters, Registers, SavedRegisters};
use std::fmt::Display;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use vm_memory::GuestAddressSpace;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// How many times a device reports a broken driver; a guest that breaks it over and over is not worth more lines.
const REPORTS: u32 = 16;

/// Something to be done to a device by its own thread.
type Errand = Box<dyn FnOnce(&mut dyn VirtioDevice) + Send>;

/// How a bus interrupts the driver.
pub trait Interrupts: Send + Sync {
    /// Tells the driver that the configuration changed, or that the device needs a reset.
    fn configuration_changed(&self);
    /// The interrupt of queue `index`.
    fn queue(&self, index: u16) -> Arc<dyn QueueInterrupt>;
    /// Forgets which vectors the driver chose.
    fn reset(&self);
}

/// Why a transport could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No doorbell is left.
    #[error("The doorbells of {id} could not be made")]
    Doorbell {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread is left.
    #[error("The thread of {id} could not be started")]
    Thread {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A device as its bus sees it.
pub struct Transport {
    id: String,
    registers: Mutex<Registers>,
    changed: Condvar,
    config: Arc<dyn DeviceConfig>,
    interrupts: Arc<dyn Interrupts>,
    memory: Memory,
    doorbells: Vec<Arc<EventFd>>,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    errands: Mutex<Vec<Errand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Transport {
    /// Takes `device` and starts its thread, which may make `syscalls`.
    ///
    /// # Errors
    /// No descriptor or no thread is left.
    pub fn new(
        id: &str,
        device: Box<dyn VirtioDevice>,
        interrupts: Arc<dyn Interrupts>,
        syscalls: Syscalls,
        context: &Context,
    ) -> Result<Arc<Self>, TransportError> {
        let sizes = device.queue_sizes();
        let doorbells = sizes
            .iter()
            .map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new))
            .collect::<io::Result<_>>();
        let config = device.config();
        let transport = Arc::new(Self {
            id: id.to_owned(),
            registers: Mutex::new(Registers::new(config.features(), &sizes)),
            changed: Condvar::new(),
            config,
            interrupts,
            memory: context.memory.clone(),
            doorbells: doorbells.map_err(|source| TransportError::Doorbell {
                id: id.to_owned(),
                source,
            })?,
            events: Arc::clone(&context.events),
            errands: Mutex::default(),
            thread: Mutex::new(None),
        });
        let own = Arc::clone(&transport);
        let thread = context.threads.spawn(id, syscalls, Box::new(move || own.serve(device)));
        let thread = thread.map_err(|source| TransportError::Thread {
            id: id.to_owned(),
            source,
        })?;
        *transport.thread.lock().unwrap_or_else(|e| e.into_inner()) = Some(thread);
        Ok(transport)
    }

    /// The device's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The doorbell of each queue.
    pub fn doorbells(&self) -> &[Arc<EventFd>] {
        &self.doorbells
    }

    /// Reads registers.
    pub fn read<T>(&self, read: impl FnOnce(&Registers) -> T) -> T {
        read(&self.lock())
    }

    /// Changes registers, and lets the device follow.
    pub fn change<T>(&self, change: impl FnOnce(&mut Registers) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Takes the driver's device status.
    pub fn set_status(&self, status: u8) {
        let mut registers = self.lock();
        registers.set_status(status);
        if status == 0 && !registers.resetting() {
            self.config.reset();
            self.interrupts.reset();
        }
        drop(registers);
        self.changed.notify_all();
    }

    /// Takes the driver's wish to enable queue `index`, whose rings it has described.
    pub fn enable_queue(&self, index: u16) {
        let memory = self.memory.memory();
        let check = |queue: &QueueRegisters| -> Result<RingLayout, RingLayoutError> {
            RingLayout::check(queue.addresses, queue.size, queue.max_size(), &memory)
        };
        self.change(|registers| registers.enable_queue(index, check));
    }

    /// Reads the device-specific configuration, all of it as it was at one moment of [`Registers::generation`].
    pub fn read_config(&self, offset: u64, data: &mut [u8]) {
        let _registers = self.lock();
        self.config.read(offset, data);
    }

    /// Writes the device-specific configuration.
    pub fn write_config(&self, offset: u64, data: &[u8]) {
        let registers = self.lock();
        self.config.write(offset, data, registers.accepted());
    }

    /// Stops all queues where they stand, and waits until they do. For threads that may wait.
    pub fn pause(&self) {
        self.change(|registers| registers.hold(true));
        let still = self.changed.wait_while(self.lock(), |registers| !registers.still());
        drop(still.unwrap_or_else(|e| e.into_inner()));
    }

    /// Lets all queues go on.
    pub fn resume(&self) {
        self.change(|registers| registers.hold(false));
    }

    /// Gives the device the size of what it stands on, and tells the driver.
    ///
    /// # Errors
    /// See [`ResizeError`].
    pub fn resize(&self, bytes: u64) -> Result<(), ResizeError> {
        let mut registers = self.lock();
        self.config.resize(bytes)?;
        let tell = registers.configuration_changed();
        drop(registers);
        if tell {
            self.interrupts.configuration_changed();
        }
        Ok(())
    }

    /// What must be kept of a device that is paused: the registers, and what its kind needs.
    pub fn save(&self) -> Option<(SavedRegisters, SavedState)> {
        let device = self.on_thread(|device| device.save())?;
        Some((self.read(Registers::save), device))
    }

    /// Takes what was kept. The device must be paused, and new.
    ///
    /// # Errors
    /// It is another kind's, or impossible.
    pub fn restore(&self, registers: SavedRegisters, device: SavedState) -> Result<(), RestoreError> {
        let impossible = |what| RestoreError::Impossible { kind: "virtio", what };
        let restored = self.on_thread(move |own| own.restore(&device));
        restored.ok_or_else(|| impossible("thread"))??;
        let memory = self.memory.memory();
        let check = |queue: &QueueRegisters| RingLayout::check(queue.addresses, queue.size, queue.max_size(), &memory);
        self.change(|own| own.restore(registers, check)).map_err(impossible)
    }

    /// Has the device's thread run `errand`, and waits for it; none if the thread has ended.
    fn on_thread<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut dyn VirtioDevice) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let errand: Errand = Box::new(move |device| {
            let _ = answer.send(errand(device));
        });
        self.change(|registers| {
            // After the end nobody would take it; dropped here, it closes the channel.
            if !registers.ending() {
                self.errands.lock().unwrap_or_else(|e| e.into_inner()).push(errand);
            }
        });
        answered.recv().ok()
    }

    /// Stops all queues for good, waits until they stand still, and ends the thread. May be called again.
    pub fn stop(&self) {
        self.change(Registers::end);
        let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(thread) = thread {
            // A panic of the thread was reported by the panic hook; there is nothing left to stop.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The device's thread: makes the device follow the registers.
    fn serve(self: Arc<Self>, mut device: Box<dyn VirtioDevice>) {
        let mut reports = REPORTS;
        loop {
            for errand in self.take_errands() {
                errand(&mut *device);
            }
            let Some(action) = self.next_action() else {
                continue;
            };
            match action {
                Action::Start {
                    index,
                    layout,
                    features,
                    state,
                } => {
                    let started = match self.resources(index, layout) {
                        Some(resources) => device.start_queue(index, resources, features, state),
                        None => Err(StartQueueError::NotStopped { index }),
                    };
                    if let Err(error) = started {
                        self.change(|registers| registers.start_failed(index, &Chained(&error)));
                    }
                }
                Action::Stop { index } => {
                    let state = device.stop_queue(index);
                    self.change(|registers| registers.stopped(index, state));
                }
                Action::Reset => {
                    device.reset();
                    self.config.reset();
                    self.interrupts.reset();
                    self.change(Registers::reset_done);
                }
                Action::Announce(reason) => {
                    self.interrupts.configuration_changed();
                    self.report(&mut reports, reason);
                }
                Action::Kick { index } => self.ring(index),
                // Whoever still waits for an errand learns by its being dropped that nobody will run it.
                Action::End => return drop(self.take_errands()),
            }
        }
    }

    /// Waits until there is something to do; none if it is an errand.
    fn next_action(&self) -> Option<Action> {
        let mut registers = self.lock();
        loop {
            if let Some(action) = registers.next_action() {
                return Some(action);
            }
            if !self.errands.lock().unwrap_or_else(|e| e.into_inner()).is_empty() {
                return None;
            }
            registers = self.changed.wait(registers).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn take_errands(&self) -> Vec<Errand> {
        std::mem::take(&mut *self.errands.lock().unwrap_or_else(|e| e.into_inner()))
    }

    fn resources(self: &Arc<Self>, index: u16, layout: RingLayout) -> Option<QueueResources> {
        Some(QueueResources {
            memory: self.memory.clone(),
            layout,
            doorbell: Arc::clone(self.doorbells.get(usize::from(index))?),
            interrupt: self.interrupts.queue(index),
            link: Arc::clone(self) as Arc<dyn DriverLink>,
        })
    }

    fn ring(&self, index: u16) {
        if let Some(doorbell) = self.doorbells.get(usize::from(index)) {
            // A counter that is full means that the bell is ringing already.
            let _ = doorbell.write(1);
        }
    }

    fn report(&self, left: &mut u32, reason: String) {
        if *left > 0 {
            *left -= 1;
            let device = self.id.clone();
            (self.events)(Event::DeviceNeedsReset { device, reason });
        }
    }
}

impl DriverLink for Transport {
    fn change_config(&self, change: &mut dyn FnMut()) {
        let mut registers = self.lock();
        change();
        let tell = registers.configuration_changed();
        drop(registers);
        if tell {
            self.interrupts.configuration_changed();
        }
    }

    fn needs_reset(&self, reason: &dyn Display) {
        self.change(|registers| registers.break_device(reason));
    }
}
