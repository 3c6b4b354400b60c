//! A machine without CPUs: memory, a PCI bus with windows, and whatever devices a test puts into it. A test is the
//! guest: it reads and writes physical addresses.

use super::MemoryRoutes;
use crate::bus::Bus;
use crate::pci::{Function, Root, Window};
use crate::protocol::{DeviceSpec, Event};
use crate::registry::{self, BuildResult, Context, Syscalls, Threads};
use crate::virtio::blk::Limiters;
use crate::virtio::vsock::Dialer;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use vm_memory::{GuestAddress, GuestMemoryAtomic, GuestMemoryMmap};

/// Where ECAM is.
pub const ECAM: u64 = 0xe000_0000;
/// Bytes of memory, from address 0.
pub const MEMORY: usize = 8 << 20;

/// Threads as they come, with all their system calls.
pub struct PlainThreads;

impl Threads for PlainThreads {
    fn spawn(&self, name: &str, _syscalls: Syscalls, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body)
    }
}

/// The machine.
pub struct Machine {
    /// What answers at which address, but memory and doorbells.
    pub mmio: Arc<Bus>,
    /// The PCI bus.
    pub root: Arc<Root>,
    /// Interrupts and doorbells.
    pub routes: Arc<MemoryRoutes>,
    /// Its memory.
    pub memory: Arc<GuestMemoryMmap>,
    /// What its devices told the daemon.
    pub events: Arc<Mutex<Vec<Event>>>,
    /// What its devices are built with.
    pub context: Context,
}

impl Default for Machine {
    fn default() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]);
        Self::with_memory(Arc::new(memory.expect("memory for a test")))
    }
}

impl Machine {
    /// A machine with the memory of another.
    pub fn with_memory(memory: Arc<GuestMemoryMmap>) -> Self {
        let mmio = Arc::new(Bus::default());
        let low = Window {
            start: 0xc000_0000,
            length: 0x1000_0000,
        };
        let high = Window {
            start: 0x40_0000_0000,
            length: 0x1000_0000,
        };
        let root = Root::new(&mmio, low, high);
        let ecam = mmio.insert(ECAM, crate::pci::ECAM_SIZE, root.ecam());
        ecam.expect("an empty bus has room");
        let routes = Arc::new(MemoryRoutes::default());
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let context = Context {
            memory: GuestMemoryAtomic::from(Arc::clone(&memory)),
            routes: routes.clone(),
            threads: Arc::new(PlainThreads),
            events: Arc::new(move |event| log.lock().unwrap_or_else(|e| e.into_inner()).push(event)),
            dialer: Arc::new(Dialer::default()),
            limiters: Arc::new(Limiters::default()),
        };
        Self {
            mmio,
            root,
            routes,
            memory,
            events,
            context,
        }
    }
}

impl Machine {
    /// Builds a device and puts it into the next slot; gives the slot.
    ///
    /// # Errors
    /// Its kind refuses.
    pub fn add(
        &self,
        kind: &str,
        id: &str,
        config: serde_json::Value,
        files: Vec<File>,
    ) -> Result<u8, registry::BuildDeviceError> {
        let files_named = (0..).map(crate::protocol::FileIndex).take(files.len()).collect();
        let spec = DeviceSpec {
            kind: kind.to_owned(),
            id: id.to_owned(),
            config,
            files: files_named,
            slot: 1,
            service: None,
        };
        let built: BuildResult = registry::build(&spec, files, &self.context);
        Ok(self.insert(built?))
    }

    /// Puts a function into the next slot; gives the slot.
    pub fn insert(&self, function: Arc<dyn Function>) -> u8 {
        self.root.insert(function, 1).expect("a slot and its windows are free")
    }

    /// A vCPU's read.
    pub fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut data = [0; N];
        self.mmio.read(address, &mut data);
        data
    }

    /// A vCPU's write: a doorbell takes it, or else the bus.
    pub fn write(&self, address: u64, data: &[u8]) {
        if !self.routes.ring(address) {
            self.mmio.write(address, data);
        }
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}
