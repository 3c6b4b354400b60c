//! Type 0 configuration space (PCI Local Bus 3.0, chapter 6): registers with write masks, a list of capabilities and
//! 64-bit base address registers. Functions that the monitor emulates keep one inside them.

use super::Bar;

/// Conventional configuration space, in bytes; what lies beyond reads as zero, which says that nothing is there.
const SIZE: usize = 256;
const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BAR0: usize = 0x10;
const CAPABILITIES: usize = 0x34;
const FIRST_CAPABILITY: usize = 0x40;
/// Memory decoding, bus mastering, parity and SERR# reporting, INTx disable.
const COMMAND_MASK: u16 = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 8 | 1 << 10;
const MEMORY_ENABLE: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const BAR_64_BIT: u32 = 0b100;
const BAR_PREFETCHABLE: u32 = 0b1000;

/// Who a function says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Vendor and device.
    pub device: (u16, u16),
    /// Subsystem vendor and subsystem.
    pub subsystem: (u16, u16),
    /// The revision.
    pub revision: u8,
    /// Class, subclass and programming interface, in the low 24 bits.
    pub class: u32,
}

/// The registers of one function.
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    values: [u8; SIZE],
    masks: [u8; SIZE],
    bars: Vec<Bar>,
    last_capability: usize,
    free: usize,
}

impl ConfigSpace {
    /// A space with nothing in it but the header.
    pub fn new(ids: Ids) -> Self {
        let mut space = Self {
            values: [0; SIZE],
            masks: [0; SIZE],
            bars: Vec::new(),
            last_capability: CAPABILITIES,
            free: FIRST_CAPABILITY,
        };
        space.set_u16(0x00, ids.device.0);
        space.set_u16(0x02, ids.device.1);
        space.set_u32(0x08, ids.class << 8 | u32::from(ids.revision));
        space.set_u16(0x2c, ids.subsystem.0);
        space.set_u16(0x2e, ids.subsystem.1);
        space.mask(COMMAND, &COMMAND_MASK.to_le_bytes());
        // The interrupt line is firmware's scratch register; the pin stays zero, as there is no INTx.
        space.mask(0x3c, &[0xff]);
        space
    }

    /// Adds a 64-bit base address register, which takes two of the six.
    ///
    /// # Panics
    /// If it has no room, or its length is not a power of two from 16: a mistake of the monitor, not of a guest.
    pub fn add_bar(&mut self, bar: Bar) {
        assert!(bar.index < 5 && bar.length.is_power_of_two() && bar.length >= 16);
        let register = bar_register(bar.index);
        let kind = BAR_64_BIT | if bar.prefetchable { BAR_PREFETCHABLE } else { 0 };
        self.set_u32(register, kind);
        self.mask(register, &(!(bar.length - 1)).to_le_bytes());
        self.bars.push(bar);
    }

    /// Adds a capability: `body` is what follows its identifier and link, and `mask` says which of its bits a driver
    /// may write (a shorter mask leaves the rest read-only). Gives the offset of its identifier.
    ///
    /// # Panics
    /// If it does not fit: a mistake of the monitor.
    pub fn add_capability(&mut self, id: u8, body: &[u8], mask: &[u8]) -> u16 {
        let offset = self.free;
        assert!(mask.len() <= body.len() && offset + 2 + body.len() <= SIZE);
        self.set(offset, &[id, 0]);
        self.set(offset + 2, body);
        self.mask(offset + 2, mask);
        self.set(self.last_capability_link(), &offset.to_le_bytes()[..1]);
        self.last_capability = offset;
        self.free = (offset + 2 + body.len()).next_multiple_of(4);
        self.set_u16(STATUS, STATUS_CAPABILITIES);
        offset
            .to_le_bytes()
            .first_chunk()
            .map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    fn last_capability_link(&self) -> usize {
        match self.last_capability {
            CAPABILITIES => CAPABILITIES,
            offset => offset + 1,
        }
    }

    /// The base address registers.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Fills `data` from `offset` on.
    pub fn read(&self, offset: u16, data: &mut [u8]) {
        for (place, byte) in (usize::from(offset)..).zip(data) {
            *byte = self.values.get(place).copied().unwrap_or(0);
        }
    }

    /// Takes a driver's write: only what its mask allows changes.
    pub fn write(&mut self, offset: u16, data: &[u8]) {
        for (place, byte) in (usize::from(offset)..).zip(data) {
            if let (Some(value), Some(mask)) = (self.values.get_mut(place), self.masks.get(place)) {
                *value = *value & !mask | byte & mask;
            }
        }
    }

    /// Writes `address` into base address register `index`, as firmware would.
    pub fn place(&mut self, index: u8, address: u64) {
        let register = u16::from(index) * 4 + 0x10;
        self.write(register, &address.to_le_bytes());
    }

    /// Where base address register `index` points, if the function decodes memory.
    pub fn decoded(&self, index: u8) -> Option<u64> {
        let bar = self.bars.iter().find(|bar| bar.index == index)?;
        let register = bar_register(bar.index);
        let mut raw = [0; 8];
        raw.copy_from_slice(self.values.get(register..register + 8)?);
        (self.command() & MEMORY_ENABLE != 0).then(|| u64::from_le_bytes(raw) & !(bar.length - 1))
    }

    /// Whether the function may read and write memory and send interrupts on its own.
    pub fn bus_master(&self) -> bool {
        self.command() & BUS_MASTER != 0
    }

    /// All values, to be kept.
    pub fn save(&self) -> Vec<u8> {
        self.values.to_vec()
    }

    /// Takes values that were kept, as far as a driver could have written them.
    pub fn restore(&mut self, values: &[u8]) {
        self.write(0, values);
    }

    /// Back to how it was before anything was written, with what firmware placed forgotten too.
    pub fn reset(&mut self) {
        for (value, mask) in self.values.iter_mut().zip(self.masks) {
            *value &= !mask;
        }
    }

    fn command(&self) -> u16 {
        u16::from_le_bytes([self.values[COMMAND], self.values[COMMAND + 1]])
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.values[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn set_u16(&mut self, offset: usize, value: u16) {
        self.set(offset, &value.to_le_bytes());
    }

    fn set_u32(&mut self, offset: usize, value: u32) {
        self.set(offset, &value.to_le_bytes());
    }

    fn mask(&mut self, offset: usize, mask: &[u8]) {
        self.masks[offset..offset + mask.len()].copy_from_slice(mask);
    }
}

fn bar_register(index: u8) -> usize {
    BAR0 + 4 * usize::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space() -> ConfigSpace {
        let mut space = ConfigSpace::new(Ids {
            device: (0x1af4, 0x1042),
            subsystem: (0x1af4, 0x1100),
            revision: 1,
            class: 0x01_0000,
        });
        space.add_bar(Bar {
            index: 0,
            length: 0x8000,
            prefetchable: true,
        });
        space
    }

    fn read_u32(space: &ConfigSpace, offset: u16) -> u32 {
        let mut data = [0; 4];
        space.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn a_driver_sizes_a_64_bit_register_as_the_specification_says() {
        let mut space = space();
        space.write(0x10, &[0xff; 4]);
        space.write(0x14, &[0xff; 4]);
        assert_eq!(read_u32(&space, 0x10), 0xffff_800c);
        assert_eq!(read_u32(&space, 0x14), 0xffff_ffff);
    }

    #[test]
    fn memory_is_decoded_only_while_the_command_register_says_so() {
        let mut space = space();
        space.place(0, 0x40_0000_8000);
        assert_eq!(space.decoded(0), None);
        space.write(0x04, &2u16.to_le_bytes());
        assert_eq!(space.decoded(0), Some(0x40_0000_8000));
        assert!(!space.bus_master());
        space.write(0x04, &6u16.to_le_bytes());
        assert!(space.bus_master());
    }

    #[test]
    fn capabilities_are_a_list() {
        let mut space = space();
        let first = space.add_capability(0x11, &[0; 10], &[0, 0xc0]);
        let second = space.add_capability(0x09, &[7], &[]);
        let link = |offset: u16| {
            let mut data = [0; 2];
            space.read(offset, &mut data);
            data
        };
        assert_eq!(link(0x34)[0], u8::try_from(first).unwrap());
        assert_eq!(link(first), [0x11, u8::try_from(second).unwrap()]);
        assert_eq!(link(second), [0x09, 0]);
        assert_eq!(read_u32(&space, 0x04) >> 16 & 0x10, 0x10);
    }

    proptest! {
        #[test]
        fn nothing_written_changes_what_is_read_only(writes in prop::collection::vec((any::<u16>(), any::<[u8; 4]>()), 0..64)) {
            let mut written = space();
            for (offset, data) in writes {
                written.write(offset, &data);
            }
            let fresh = space();
            for offset in [0x00, 0x08, 0x2c, 0x34] {
                prop_assert_eq!(read_u32(&written, offset), read_u32(&fresh, offset));
            }
            prop_assert_eq!(read_u32(&written, 0x10) & 0x7fff, 0xc);
            written.reset();
            prop_assert_eq!(written.values, fresh.values);
        }
    }
}
