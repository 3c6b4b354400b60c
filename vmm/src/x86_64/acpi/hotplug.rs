//! AML of hot plug (ACPI 6.5, 5.6.4 to 5.6.6, 6.3): the slots of the PCI bus, and what happens at the event by which
//! [`crate::pci::hotplug`] calls.
//!
//! ```text
//! Scope (\_GPE) { Method (_E01) { \_SB.PCI0.NEWS () } }
//! Device (PCI0) {
//!     OperationRegion (HPLG, SystemIO, …)   Field: FILL, LEAV, EJCT
//!     Method (NEWS) { for each slot: Notify (Snn, 1) if it is in FILL, Notify (Snn, 3) if it is in LEAV }
//!     Device (S01) { _ADR, _SUN   Method (_EJ0, 1) { EJCT = 1 << 1 } }   …   Device (S1F) { … }
//! }
//! ```

use super::dsdt::{Raw, bytes};
use crate::pci::SLOTS;
use crate::pci::hotplug::offset;
use crate::x86_64::layout;
use acpi_tables::aml::{
    And, Device, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule, If, Local, Method, MethodCall,
    Name, Notify, OpRegion, OpRegionSpace, Path, Scope, Store, ZERO,
};

/// Notifications (ACPI 6.5, table 5.154): look whether a device is there, and give one up.
const DEVICE_CHECK: u8 = 1;
const EJECT_REQUEST: u8 = 3;

/// The scope of general-purpose events: the one of [`crate::legacy::power::PCI_HOTPLUG_EVENT`], whose status is cleared
/// before its method runs (`_Exx`), so that news which come meanwhile are an event of their own.
pub fn events() -> Vec<u8> {
    let news = MethodCall::new(Path::new("\\_SB_.PCI0.NEWS"), vec![]);
    let name = format!("_E{:02X}", crate::legacy::power::PCI_HOTPLUG_EVENT);
    let event = bytes(&Method::new(Path::new(&name), 0, true, vec![&news]));
    Scope::raw(Path::new("\\_GPE"), event)
}

/// What the host bridge has beside its own: registers, method and slots.
pub fn slots() -> Vec<u8> {
    let mut code = registers();
    code.extend((1..=SLOTS).flat_map(slot));
    code.extend(news());
    code
}

fn registers() -> Vec<u8> {
    const BITS: usize = 32;
    let (ports, length) = (layout::PCI_HOTPLUG, layout::PCI_HOTPLUG_PORTS);
    let region = OpRegion::new(Path::new("HPLG"), OpRegionSpace::SystemIO, &ports, &length);
    let mut fields = [
        (offset::INSERTED, *b"FILL"),
        (offset::LEAVING, *b"LEAV"),
        (offset::EJECT, *b"EJCT"),
    ];
    fields.sort_unstable();
    let field = Field::new(
        Path::new("HPLG"),
        FieldAccessType::DWord,
        FieldLockRule::NoLock,
        FieldUpdateRule::WriteAsZeroes,
        fields.map(|(_, name)| FieldEntry::Named(name, BITS)).to_vec(),
    );
    [bytes(&region), bytes(&field)].concat()
}

fn name(slot: u8) -> Path {
    Path::new(&format!("S{slot:03X}"))
}

fn slot(slot: u8) -> Vec<u8> {
    let address = Name::new(Path::new("_ADR"), &(u32::from(slot) << 16));
    let number = Name::new(Path::new("_SUN"), &slot);
    let register = Path::new("EJCT");
    let mask = 1u32 << slot;
    let write = Store::new(&register, &mask);
    let eject = Method::new(Path::new("_EJ0"), 1, false, vec![&write]);
    bytes(&Device::new(name(slot), vec![&address, &number, &eject]))
}

/// Reads and acknowledges all news, then passes them on.
fn news() -> Vec<u8> {
    let mut code = Vec::new();
    for (register, local) in [("FILL", Local(0)), ("LEAV", Local(1))] {
        let register = Path::new(register);
        code.extend(bytes(&Store::new(&local, &register)));
        code.extend(bytes(&Store::new(&register, &local)));
    }
    for slot in 1..=SLOTS {
        for (local, what) in [(Local(0), DEVICE_CHECK), (Local(1), EJECT_REQUEST)] {
            let (mask, device) = (1u32 << slot, name(slot));
            let is_meant = And::new(&ZERO, &local, &mask);
            let notify = Notify::new(&device, &what);
            code.extend(bytes(&If::new(&is_meant, vec![&notify])));
        }
    }
    bytes(&Method::new(Path::new("NEWS"), 0, true, vec![&Raw(code)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(code: &[u8], wanted: &[u8]) -> usize {
        let mut places = code.windows(wanted.len()).enumerate().filter(|(_, own)| *own == wanted);
        let (place, _) = places
            .next()
            .unwrap_or_else(|| panic!("{wanted:02x?} is not in {code:02x?}"));
        place
    }

    #[test]
    fn the_event_calls_the_method_of_the_bridge() {
        let code = events();
        assert_eq!(code[0], 0x10);
        find(&code, b"\\_GPE");
        // A serialized method without arguments, whose body is the call.
        find(&code, b"_E01\x08\\\x2f\x03_SB_PCI0NEWS");
    }

    #[test]
    fn the_registers_are_three_words_in_the_order_of_their_ports() {
        let code = registers();
        let [low, high] = layout::PCI_HOTPLUG.to_le_bytes();
        find(&code, &[b'H', b'P', b'L', b'G', 1, 0x0b, low, high, 0x0a, 12]);
        // Access by double words, no lock, other bits written as zeroes; each field has 32 bits.
        find(&code, b"HPLG\x43FILL\x20LEAV\x20EJCT\x20");
    }

    #[test]
    fn each_slot_has_its_address_its_number_and_its_bit() {
        let code = slot(31);
        assert_eq!(code[..2], [0x5b, 0x82]);
        find(&code, b"S01F\x08_ADR\x0c\x00\x00\x1f\x00\x08_SUN\x0a\x1f");
        find(&code, b"_EJ0\x01\x70\x0c\x00\x00\x00\x80EJCT");
        let all = slots();
        for slot in 1..=SLOTS {
            find(&all, format!("S{slot:03X}\x08_ADR").as_bytes());
        }
    }

    #[test]
    fn the_method_acknowledges_what_it_read_and_notifies_the_slots() {
        let code = news();
        find(&code, b"NEWS\x08\x70FILL\x60\x70\x60FILL\x70LEAV\x61\x70\x61LEAV");
        // If (Local0 & 4) Notify (S002, 1); If (Local1 & 4) Notify (S002, 3).
        find(&code, b"\x7b\x60\x0a\x04\x00\x86S002\x01");
        find(&code, b"\x7b\x61\x0a\x04\x00\x86S002\x0a\x03");
    }
}
