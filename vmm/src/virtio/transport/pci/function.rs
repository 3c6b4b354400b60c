//! One virtio device as a PCI function: configuration space, the structures behind its base address register, and the
//! doorbells that move with it.

use super::capabilities::{self, AF_INITIATE_FLR, Places};
use super::common::{Common, Selectors};
use super::saved;
use super::vectors::Vectors;
use super::{BAR, BAR_LENGTH, COMMON, DEVICE, ISR, MAX_QUEUES, NOTIFY, NOTIFY_MULTIPLIER, PAGE, PENDING, TABLE};
use crate::bus::BusDevice;
use crate::events::EventRoutes;
use crate::pci::config::ConfigSpace;
use crate::pci::msix::Msix;
use crate::pci::{Bar, Function};
use crate::registry::{Context, Syscalls};
use crate::virtio::device::{ResizeError, RestoreError, SavedState, VirtioDevice};
use crate::virtio::transport::{Transport, TransportError};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// The base address registers of every virtio device.
pub const BARS: [Bar; 1] = [Bar {
    index: BAR,
    length: BAR_LENGTH,
    prefetchable: true,
}];

/// Why a device was not put behind PCI.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// More queues than this transport carries.
    #[error("Device {id} has {count} queues: at most {MAX_QUEUES} can be had over PCI")]
    Queues {
        /// The device.
        id: String,
        /// How many it has.
        count: usize,
    },
    /// No interrupt is left.
    #[error("The interrupts of {id} could not be made")]
    Interrupts {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The transport could not be made.
    #[error("Device {id} has no transport")]
    Transport {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: TransportError,
    },
}

/// Puts `device` behind PCI, under the name `id`; its thread may make `syscalls`.
///
/// # Errors
/// It has too many queues, or the host has no descriptor, interrupt or thread left.
pub fn attach(
    id: &str,
    device: Box<dyn VirtioDevice>,
    syscalls: Syscalls,
    context: &Context,
) -> Result<Arc<dyn Function>, AttachError> {
    let count = device.queue_sizes().len();
    let vectors = u16::try_from(count + 1).ok().filter(|_| count <= MAX_QUEUES);
    let vectors = vectors.ok_or_else(|| AttachError::Queues {
        id: id.to_owned(),
        count,
    })?;
    let msix = Msix::new(vectors, Arc::clone(&context.routes));
    let msix = Arc::new(msix.map_err(|source| AttachError::Interrupts {
        id: id.to_owned(),
        source,
    })?);
    let (config, places) = capabilities::config_space(device.identity(), &msix);
    let vectors = Arc::new(Vectors::new(Arc::clone(&msix), count));
    let transport = Transport::new(id, device, vectors.clone(), syscalls, context);
    let transport = transport.map_err(|source| AttachError::Transport {
        id: id.to_owned(),
        source,
    })?;
    let structures = Structures {
        transport,
        vectors,
        selectors: Selectors::default(),
        msix,
    };
    Ok(Arc::new(VirtioFunction {
        config: Mutex::new(config),
        places,
        structures: Arc::new(structures),
        routes: Arc::clone(&context.routes),
        doorbells_at: Mutex::new(Vec::new()),
    }))
}

/// What lies behind the base address register.
struct Structures {
    transport: Arc<Transport>,
    vectors: Arc<Vectors>,
    selectors: Selectors,
    msix: Arc<Msix>,
}

impl Structures {
    fn common(&self) -> Common<'_> {
        Common {
            transport: &self.transport,
            vectors: &self.vectors,
            selectors: &self.selectors,
        }
    }
}

impl BusDevice for Structures {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let place = offset % PAGE;
        data.fill(0);
        match offset - place {
            COMMON => self.common().read(place, data),
            ISR => {
                if let (0, Some(byte)) = (place, data.first_mut()) {
                    *byte = self.vectors.take_status();
                }
            }
            DEVICE => self.transport.read_config(place, data),
            TABLE => self.msix.read_table(place, data),
            PENDING => self.msix.read_pending(place, data),
            _ => {}
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let place = offset % PAGE;
        match offset - place {
            COMMON => self.common().write(place, data),
            DEVICE => self.transport.write_config(place, data),
            // Doorbells come by their events; one that does not was rung through the window, or while it moved.
            NOTIFY => {
                if let Ok(index) = u16::try_from(place / NOTIFY_MULTIPLIER) {
                    self.transport.change(|registers| registers.kick(index));
                }
            }
            TABLE => self.msix.write_table(place, data),
            _ => {}
        }
    }
}

struct VirtioFunction {
    config: Mutex<ConfigSpace>,
    places: Places,
    structures: Arc<Structures>,
    routes: Arc<dyn EventRoutes>,
    /// Where doorbells are assigned now, and of which queue each is.
    doorbells_at: Mutex<Vec<(u64, usize)>>,
}

impl VirtioFunction {
    fn config(&self) -> MutexGuard<'_, ConfigSpace> {
        self.config.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes interrupts and queues follow what configuration space says of them.
    fn follow(&self, config: &ConfigSpace) {
        let mut control = [0; 2];
        config.read(self.places.msix_control, &mut control);
        self.structures
            .msix
            .set_control(u16::from_le_bytes(control), config.bus_master());
        let transport = &self.structures.transport;
        transport.change(|registers| registers.set_bus_master(config.bus_master()));
    }

    /// The function-level reset: everything but the device's identity is forgotten, its place too.
    fn reset(&self, config: &mut ConfigSpace) {
        config.reset();
        self.structures.msix.reset();
        self.structures.common().write(20, &[0]);
        self.follow(config);
    }

    /// What the window is set to reach, if that is a register of a possible width.
    fn window(&self, config: &ConfigSpace) -> Option<(u64, usize)> {
        let mut raw = [0; 16];
        config.read(self.places.window, &mut raw);
        let [_, _, _, _, bar, _, _, _, o0, o1, o2, o3, l0, l1, l2, l3] = raw;
        let offset = u64::from(u32::from_le_bytes([o0, o1, o2, o3]));
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let possible = bar == BAR && matches!(length, 1 | 2 | 4) && offset.is_multiple_of(length.into());
        let length = usize::try_from(length).ok()?;
        (possible && offset + 4 <= BAR_LENGTH).then_some((offset, length))
    }

    /// Whether an access of `length` bytes at `offset` touches the window's data.
    fn meets_window(&self, offset: u16, length: usize) -> bool {
        let data = usize::from(self.places.window_data());
        let offset = usize::from(offset);
        offset < data + 4 && offset + length > data
    }
}

impl Function for VirtioFunction {
    fn id(&self) -> &str {
        self.structures.transport.id()
    }

    fn bars(&self) -> Vec<Bar> {
        BARS.to_vec()
    }

    fn place(&self, index: u8, address: u64) {
        self.config().place(index, address);
    }

    fn decoded(&self, index: u8) -> Option<u64> {
        self.config().decoded(index)
    }

    fn bar_device(&self, _index: u8) -> Arc<dyn BusDevice> {
        Arc::clone(&self.structures) as Arc<dyn BusDevice>
    }

    fn moved(&self, _index: u8, address: Option<u64>) {
        let mut at = self.doorbells_at.lock().unwrap_or_else(|e| e.into_inner());
        let events = self.structures.transport.doorbells();
        for (old, queue) in at.drain(..) {
            if let Some(event) = events.get(queue) {
                let _ = self.routes.deassign_ioeventfd(event, old);
            }
        }
        let Some(base) = address else {
            return;
        };
        for (queue, (event, place)) in events.iter().zip((base + NOTIFY..).step_by(4)).enumerate() {
            // A doorbell that KVM does not take comes as a write to the page, slower but not lost.
            if self.routes.assign_ioeventfd(event, place).is_ok() {
                at.push((place, queue));
            }
        }
    }

    fn read_config(&self, offset: u16, data: &mut [u8]) {
        let mut config = self.config();
        if self.meets_window(offset, data.len())
            && let Some((target, length)) = self.window(&config)
        {
            let mut value = [0; 4];
            self.structures
                .read(target, value.get_mut(..length).unwrap_or_default());
            config.write(self.places.window_data(), &value);
        }
        config.read(offset, data);
        // Whether transactions are pending, in the status register of advanced features.
        let pending = self.structures.transport.read(|registers| registers.resetting());
        let status = usize::from(self.places.af_control) + 1;
        let byte = status
            .checked_sub(usize::from(offset))
            .and_then(|place| data.get_mut(place));
        if let Some(byte) = byte {
            *byte = u8::from(pending);
        }
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        let mut config = self.config();
        config.write(offset, data);
        if self.meets_window(offset, data.len())
            && let Some((target, length)) = self.window(&config)
        {
            let mut value = [0; 4];
            config.read(self.places.window_data(), &mut value);
            self.structures.write(target, value.get(..length).unwrap_or_default());
        }
        let flr = usize::from(self.places.af_control).checked_sub(usize::from(offset));
        let flr = flr.and_then(|place| data.get(place));
        if flr.is_some_and(|control| control & AF_INITIATE_FLR != 0) {
            self.reset(&mut config);
        }
        self.follow(&config);
    }

    fn pause(&self) {
        self.structures.transport.pause();
    }

    fn resume(&self) {
        self.structures.transport.resume();
    }

    fn resize(&self, bytes: u64) -> Result<(), ResizeError> {
        self.structures.transport.resize(bytes)
    }

    fn save(&self) -> Option<SavedState> {
        let Structures {
            transport,
            vectors,
            selectors,
            msix,
        } = &*self.structures;
        let (registers, device) = transport.save()?;
        let state = saved::State {
            config: self.config().save(),
            msix: msix.save(),
            vectors: vectors.save(),
            selectors: selectors.save(),
            registers,
            device,
        };
        Some(SavedState::new(saved::KIND, saved::VERSION, &state))
    }

    fn restore(&self, state: &SavedState) -> Result<(), RestoreError> {
        let state: saved::State = state.parse(saved::KIND, saved::VERSION)?;
        let Structures {
            transport,
            vectors,
            selectors,
            msix,
        } = &*self.structures;
        transport.restore(state.registers, state.device)?;
        vectors.restore(state.vectors);
        selectors.restore(state.selectors);
        msix.restore(state.msix)?;
        let mut config = self.config();
        config.restore(&state.config);
        self.follow(&config);
        Ok(())
    }

    fn stop(&self) {
        self.structures.transport.stop();
    }
}

impl Drop for VirtioFunction {
    fn drop(&mut self) {
        self.structures.transport.stop();
        self.moved(BAR, None);
    }
}
