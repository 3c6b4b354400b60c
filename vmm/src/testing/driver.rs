//! A virtio driver that does what Linux's does, step by step: finds the structures by their capabilities, negotiates,
//! sets up queues and MSI-X, and moves requests through split rings.

use super::Machine;
use super::machine::ECAM;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vm_memory::{Bytes, GuestAddress};

/// How long a test waits for a device before it calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The driver of one device.
pub struct Driver<'m> {
    machine: &'m Machine,
    config: u64,
    /// The guest physical address of each structure, by its type.
    structures: BTreeMap<u8, u64>,
    notify_multiplier: u64,
    capabilities: BTreeMap<u8, u64>,
    /// The queues it has set up.
    pub queues: Vec<DriverQueue>,
}

/// The driver's side of one queue.
pub struct DriverQueue {
    /// Its number.
    pub index: u16,
    /// Its size.
    pub size: u16,
    /// Where its rings and buffers are: 1 MiB.
    pub base: u64,
    next_avail: u16,
    last_used: u16,
    next_descriptor: u16,
    event_idx: bool,
}

/// A piece of a request.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Where it is.
    pub address: u64,
    /// Its length in bytes.
    pub length: u32,
    /// Whether the device writes it.
    pub writable: bool,
}

/// A piece for the device to read.
pub fn readable(address: u64, length: u32) -> Piece {
    let writable = false;
    Piece {
        address,
        length,
        writable,
    }
}

/// A piece for the device to write.
pub fn writable(address: u64, length: u32) -> Piece {
    let writable = true;
    Piece {
        address,
        length,
        writable,
    }
}

impl<'m> Driver<'m> {
    /// Finds the device in `slot` and enables it, as a bus driver does before it probes.
    pub fn find(machine: &'m Machine, slot: u8) -> Self {
        let config = ECAM + (u64::from(slot) << 15);
        let mut driver = Self {
            machine,
            config,
            structures: BTreeMap::new(),
            notify_multiplier: 0,
            capabilities: BTreeMap::new(),
            queues: Vec::new(),
        };
        machine.write(config + 4, &6u16.to_le_bytes());
        let low = u32::from_le_bytes(machine.read(config + 0x10)) & !0xf;
        let high = u32::from_le_bytes(machine.read(config + 0x14));
        let bar = u64::from(high) << 32 | u64::from(low);
        let [mut place] = machine.read::<1>(config + 0x34);
        while place != 0 {
            let at = config + u64::from(place);
            let [id, next, length, kind] = machine.read(at);
            driver.capabilities.insert(id, at);
            if id == 9 {
                driver
                    .structures
                    .insert(kind, bar + u64::from(u32::from_le_bytes(machine.read(at + 8))));
                if kind == 2 && length >= 20 {
                    driver.notify_multiplier = u32::from_le_bytes(machine.read(at + 16)).into();
                }
                if kind == 5 {
                    driver.structures.insert(5, at);
                }
            }
            place = next;
        }
        driver
    }

    /// The address of a register of configuration space.
    pub fn config_register(&self, offset: u64) -> u64 {
        self.config + offset
    }

    /// The address of a capability, by its identifier; of vendor-specific ones the last.
    pub fn capability(&self, id: u8) -> u64 {
        self.capabilities[&id]
    }

    /// The address of a structure, by its type; that of type 5 is its capability.
    pub fn structure(&self, kind: u8) -> u64 {
        self.structures[&kind]
    }

    /// The address of a common register.
    pub fn common(&self, offset: u64) -> u64 {
        self.structures[&1] + offset
    }

    /// Reads a common register.
    pub fn read<const N: usize>(&self, offset: u64) -> [u8; N] {
        self.machine.read(self.common(offset))
    }

    /// Writes a common register.
    pub fn write(&self, offset: u64, data: &[u8]) {
        self.machine.write(self.common(offset), data);
    }

    /// The device status.
    pub fn status(&self) -> u8 {
        self.read::<1>(20)[0]
    }

    /// Adds bits to the device status.
    pub fn add_status(&self, bits: u8) {
        let status = self.status() | bits;
        self.write(20, &[status]);
    }

    /// Resets the device and waits until it says that it is reset.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn reset(&mut self) {
        self.write(20, &[0]);
        let done = self.wait(|driver| driver.status() == 0);
        assert!(done, "the device hangs in its reset");
        self.queues.clear();
    }

    /// Waits until `condition` holds; false if that takes too long.
    pub fn wait(&self, condition: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        true
    }

    /// The features that the device offers.
    pub fn offered(&self) -> u64 {
        let word = |select: u32| {
            self.write(0, &select.to_le_bytes());
            u64::from(u32::from_le_bytes(self.read(4)))
        };
        word(1) << 32 | word(0)
    }

    /// Chooses features.
    pub fn choose(&self, features: u64) {
        for (select, word) in [(0u32, features & 0xffff_ffff), (1, features >> 32)] {
            self.write(8, &select.to_le_bytes());
            self.write(12, &word.to_le_bytes()[..4]);
        }
    }

    /// Resets, acknowledges and negotiates all features of the mask that are offered.
    ///
    /// # Panics
    /// If the device does not agree.
    pub fn negotiate(&mut self, mask: u64) -> u64 {
        self.reset();
        self.add_status(1);
        self.add_status(2);
        let features = self.offered() & mask;
        self.choose(features);
        self.add_status(8);
        assert_eq!(self.status() & 8, 8, "features {features:#x} were refused");
        features
    }

    /// Enables MSI-X and sets up all queues, each with a vector of its own (vector 0 is for the configuration).
    pub fn set_up(&mut self, features: u64) {
        let count = u16::from_le_bytes(self.read(18));
        self.enable_msix(count + 1);
        self.write(16, &0u16.to_le_bytes());
        for index in 0..count {
            self.set_up_queue(index, features);
        }
    }

    /// Enables MSI-X as Linux does: all masked at first, then each vector with its own number as its message's data.
    pub fn enable_msix(&self, vectors: u16) {
        let control = self.capability(0x11) + 2;
        self.machine.write(control, &0xc000u16.to_le_bytes());
        for vector in 0..vectors {
            let entry = self.vector(vector);
            self.machine.write(entry, &0xfee0_0000u32.to_le_bytes());
            self.machine.write(entry + 4, &[0; 4]);
            self.machine.write(entry + 8, &u32::from(vector).to_le_bytes());
            self.machine.write(entry + 12, &[0; 4]);
        }
        self.machine.write(control, &0x8000u16.to_le_bytes());
    }

    /// Where the MSI-X entry of `vector` is.
    pub fn vector(&self, vector: u16) -> u64 {
        self.bar() + 0x4000 + 16 * u64::from(vector)
    }

    /// Where the base address register points.
    pub fn bar(&self) -> u64 {
        self.structures[&1]
    }

    /// Sets up queue `index` in its own 1 MiB of memory and enables it.
    pub fn set_up_queue(&mut self, index: u16, features: u64) {
        self.write(22, &index.to_le_bytes());
        let size = u16::from_le_bytes(self.read(24));
        let base = (u64::from(index % 7) + 1) << 20;
        let queue = DriverQueue {
            index,
            size,
            base,
            next_avail: 0,
            last_used: 0,
            next_descriptor: 0,
            event_idx: features & 1 << 29 != 0,
        };
        for part in [queue.available(), queue.used()] {
            let zeroes = vec![0; 6 + 8 * usize::from(size)];
            self.machine
                .memory
                .write_slice(&zeroes, GuestAddress(part))
                .expect("rings are in memory");
        }
        self.write(26, &(index + 1).to_le_bytes());
        self.write(32, &queue.base.to_le_bytes());
        self.write(40, &queue.available().to_le_bytes());
        self.write(48, &queue.used().to_le_bytes()[..4]);
        self.write(52, &queue.used().to_le_bytes()[4..]);
        self.write(28, &1u16.to_le_bytes());
        self.queues.retain(|queue| queue.index != index);
        self.queues.push(queue);
        self.queues.sort_by_key(|queue| queue.index);
    }

    /// All of it: what Linux does at a probe. Gives the features.
    pub fn probe(machine: &'m Machine, slot: u8, mask: u64) -> (Self, u64) {
        let mut driver = Self::find(machine, slot);
        let features = driver.negotiate(mask);
        driver.set_up(features);
        driver.add_status(4);
        (driver, features)
    }

    /// Makes a request available in queue `queue`, without telling the device. Gives its head.
    pub fn add(&mut self, queue: usize, pieces: &[Piece]) -> u16 {
        let memory = &*self.machine.memory;
        let queue = &mut self.queues[queue];
        let head = queue.next_descriptor;
        for (place, piece) in pieces.iter().enumerate() {
            let last = place + 1 == pieces.len();
            let next = (queue.next_descriptor + 1) % queue.size;
            let flags = u16::from(!last) | u16::from(piece.writable) << 1;
            queue.descriptor(memory, queue.next_descriptor, *piece, flags, next);
            queue.next_descriptor = next;
        }
        queue.publish(memory, head);
        head
    }

    /// As [`Self::add`], with an indirect table at `table`.
    pub fn add_indirect(&mut self, queue: usize, pieces: &[Piece], table: u64) -> u16 {
        let memory = &*self.machine.memory;
        let queue = &mut self.queues[queue];
        for (place, piece) in (0u16..).zip(pieces) {
            let last = usize::from(place) + 1 == pieces.len();
            let flags = u16::from(!last) | u16::from(piece.writable) << 1;
            write_descriptor(memory, table + 16 * u64::from(place), *piece, flags, place + 1);
        }
        let head = queue.next_descriptor;
        let length = 16 * u32::try_from(pieces.len()).expect("few pieces");
        queue.descriptor(memory, head, readable(table, length), 4, 0);
        queue.next_descriptor = (head + 1) % queue.size;
        queue.publish(memory, head);
        head
    }

    /// Rings the doorbell of queue `queue`, if the device asked for that.
    pub fn notify(&self, queue: usize) {
        let queue = &self.queues[queue];
        let memory = &*self.machine.memory;
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let wanted = match queue.event_idx {
            true => {
                let event = load(memory, queue.used() + 4 + 8 * u64::from(queue.size));
                // Everything since the last notification is told at once, so any event since then counts.
                queue.next_avail.wrapping_sub(event).wrapping_sub(1) < queue.size
            }
            false => load(memory, queue.used()) & 1 == 0,
        };
        if wanted {
            self.ring(queue.index);
        }
    }

    /// Rings a doorbell whatever the device asked for.
    pub fn ring(&self, index: u16) {
        let address = self.structures[&2] + self.notify_multiplier * u64::from(index);
        self.machine.write(address, &index.to_le_bytes());
    }

    /// Takes the used entries of queue `queue` that are there: heads and lengths.
    pub fn take_used(&mut self, queue: usize) -> Vec<(u32, u32)> {
        let memory = &*self.machine.memory;
        let queue = &mut self.queues[queue];
        let mut used = Vec::new();
        loop {
            let index = load(memory, queue.used() + 2);
            while queue.last_used != index {
                let entry = queue.used() + 4 + 8 * u64::from(queue.last_used % queue.size);
                let [head, length]: [u32; 2] = memory.read_obj(GuestAddress(entry)).expect("rings are in memory");
                used.push((head, length));
                queue.last_used = queue.last_used.wrapping_add(1);
            }
            if queue.event_idx {
                store(
                    memory,
                    queue.available() + 4 + 2 * u64::from(queue.size),
                    queue.last_used,
                );
                std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            }
            if load(memory, queue.used() + 2) == index {
                return used;
            }
        }
    }

    /// Waits, interrupt by interrupt, until `count` requests of queue `queue` were used.
    ///
    /// # Panics
    /// If that takes too long: the device hangs, or an interrupt was lost.
    pub fn wait_used(&mut self, queue: usize, count: usize) -> Vec<(u32, u32)> {
        let end = Instant::now() + PATIENCE;
        let mut used = self.take_used(queue);
        while used.len() < count {
            assert!(Instant::now() < end, "queue {queue}: {} of {count} used", used.len());
            self.machine.routes.wait_messages(Duration::from_secs(1));
            used.extend(self.take_used(queue));
        }
        used
    }
}

impl DriverQueue {
    /// Where the available ring is.
    pub fn available(&self) -> u64 {
        self.base + 0x8_0000
    }

    /// Where the used ring is.
    pub fn used(&self) -> u64 {
        self.base + 0xa_0000
    }

    /// Where buffers may be: 256 KiB.
    pub fn data(&self) -> u64 {
        self.base + 0xc_0000
    }

    fn descriptor(&self, memory: &vm_memory::GuestMemoryMmap, index: u16, piece: Piece, flags: u16, next: u16) {
        write_descriptor(memory, self.base + 16 * u64::from(index), piece, flags, next);
    }

    fn publish(&mut self, memory: &vm_memory::GuestMemoryMmap, head: u16) {
        store(
            memory,
            self.available() + 4 + 2 * u64::from(self.next_avail % self.size),
            head,
        );
        self.next_avail = self.next_avail.wrapping_add(1);
        store(memory, self.available() + 2, self.next_avail);
    }

    /// Sets the index of the available ring, right or wrong.
    pub fn set_available_index(&self, machine: &Machine, index: u16) {
        store(&machine.memory, self.available() + 2, index);
    }
}

fn write_descriptor(memory: &vm_memory::GuestMemoryMmap, at: u64, piece: Piece, flags: u16, next: u16) {
    let rest = u64::from(piece.length) | u64::from(flags) << 32 | u64::from(next) << 48;
    memory
        .write_obj([piece.address, rest], GuestAddress(at))
        .expect("rings are in memory");
}

fn load(memory: &vm_memory::GuestMemoryMmap, address: u64) -> u16 {
    memory
        .load(GuestAddress(address), std::sync::atomic::Ordering::Acquire)
        .expect("rings are in memory")
}

fn store(memory: &vm_memory::GuestMemoryMmap, address: u64, value: u16) {
    memory
        .store(value, GuestAddress(address), std::sync::atomic::Ordering::Release)
        .expect("rings are in memory");
}
