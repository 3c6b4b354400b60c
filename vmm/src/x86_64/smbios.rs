//! The SMBIOS tables (DMTF DSP0134 3.4): how a guest learns whose machine it is.
//!
//! cloud-init knows EC2 by the system uuid, which begins with `ec2`. The guest scans [`layout::SMBIOS`] for the entry
//! point; the table lies behind it.

use super::layout;
use crate::kvm::memory::Memory;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

/// A UUID as SMBIOS 2.6 and later store it: the first three fields little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Reads the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`; none if it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let hex: String = groups.concat();
        if lengths != [8, 4, 4, 4, 12] || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = u128::from_str_radix(&hex, 16).ok()?.to_be_bytes();
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Some(Self(bytes))
    }

    /// The lower-case text form.
    pub fn text(self) -> String {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        let hex = format!("{:032x}", u128::from_be_bytes(bytes));
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

/// What the tables say.
pub struct Identity<'a> {
    /// The system's uuid.
    pub uuid: Uuid,
    /// The system's product name: the instance type.
    pub product: &'a str,
    /// The board's asset tag: the instance id.
    pub instance_id: &'a str,
    /// What systemd finds its credentials in: printable, not empty, and bounded by the launch's plan.
    pub oem_strings: &'a [String],
    /// Whether the machine has a network, and so a metadata service to be found.
    pub has_network: bool,
}

impl Identity<'_> {
    /// The serial number of system and board: the uuid, as EC2 has it.
    ///
    /// cloud-init 22 takes uuid and serial together for EC2, and then asks for metadata for six minutes at each boot.
    /// Without a network that is in vain, so the serial number is another then.
    fn serial(&self) -> String {
        if self.has_network {
            self.uuid.text()
        } else {
            self.instance_id.into()
        }
    }
}

const VENDOR: &str = "Amazon EC2";
/// Longer strings are cut: no table outgrows its place.
const STRING_MAX: usize = 64;

/// Writes the entry points and the table.
pub fn write(memory: &Memory, identity: &Identity<'_>) -> Result<(), GuestMemoryError> {
    const TABLE: u64 = layout::SMBIOS.start + 0x100;
    let table = table(identity);
    memory.write_slice(&entry_point(TABLE, table.len()), GuestAddress(layout::SMBIOS.start))?;
    memory.write_slice(&table, GuestAddress(TABLE))
}

/// The 64-bit entry point (DSP0134, 5.2.2).
fn entry_point(address: u64, length: usize) -> Vec<u8> {
    const CHECKSUM: usize = 5;
    let mut entry = b"_SM3_\0\x18\x03\x04\x00\x01\0".to_vec();
    entry.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    entry.extend(address.to_le_bytes());
    entry[CHECKSUM] = entry.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    entry
}

fn table(identity: &Identity<'_>) -> Vec<u8> {
    let mut table = Table::default();
    let serial = identity.serial();
    firmware(&mut table);
    system(&mut table, identity, &serial);
    board(&mut table, identity, &serial);
    chassis(&mut table);
    oem_strings(&mut table, identity.oem_strings);
    table.structure(127, |_| {});
    table.bytes
}

/// Type 0. A virtual machine without BIOS characteristics.
fn firmware(table: &mut Table) {
    table.structure(0, |s| {
        s.string(VENDOR);
        s.string("1.0");
        s.bytes(&[0, 0]); // the segment of the BIOS: none
        s.string("10/16/2017");
        s.bytes(&[0]); // its size: 64 KiB
        s.bytes(&(1u64 << 3).to_le_bytes()); // characteristics are not supported
        s.bytes(&[0, 0x10]); // this is a virtual machine
        s.bytes(&[1, 0, 0xff, 0xff]); // release 1.0, no controller firmware
    });
}

/// Type 1.
fn system(table: &mut Table, identity: &Identity<'_>, serial: &str) {
    table.structure(1, |s| {
        s.string(VENDOR);
        s.string(identity.product);
        s.string("");
        s.string(serial);
        s.bytes(&identity.uuid.0);
        s.bytes(&[6]); // woken by the power switch
        s.string("");
        s.string("");
    });
}

/// Type 2. The asset tag is the instance id, as on EC2's own hardware.
fn board(table: &mut Table, identity: &Identity<'_>, serial: &str) {
    const CHASSIS_HANDLE: u16 = 3;
    table.structure(2, |s| {
        s.string(VENDOR);
        s.string("");
        s.string("");
        s.string(serial);
        s.string(identity.instance_id);
        s.bytes(&[1]); // hosts the machine
        s.string("");
        s.bytes(&CHASSIS_HANDLE.to_le_bytes());
        s.bytes(&[0x0a, 0]); // a motherboard that contains nothing else
    });
}

/// Type 3.
fn chassis(table: &mut Table) {
    table.structure(3, |s| {
        s.string(VENDOR);
        s.bytes(&[1]); // of another kind
        s.string("");
        s.string("");
        s.string(VENDOR);
        s.bytes(&[3, 3, 3, 3]); // all is safe
        s.bytes(&[0; 4]);
        s.bytes(&[0, 0, 0, 0]);
        s.string("");
    });
}

/// Type 11 (DSP0134, 7.12), if there are any: their number, and the strings whole, for whoever wrote them.
fn oem_strings(table: &mut Table, strings: &[String]) {
    if let Ok(count @ 1..) = u8::try_from(strings.len()) {
        table.structure(11, |s| {
            s.bytes(&[count]);
            for string in strings {
                s.strings.extend(string.bytes());
                s.strings.push(0);
            }
        });
    }
}

#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    handle: u16,
}

impl Table {
    fn structure(&mut self, kind: u8, fill: impl FnOnce(&mut Structure)) {
        let mut structure = Structure::default();
        fill(&mut structure);
        let length = u8::try_from(4 + structure.fields.len()).unwrap_or(u8::MAX);
        self.bytes.extend([kind, length]);
        self.bytes.extend(self.handle.to_le_bytes());
        self.bytes.extend(structure.fields);
        if structure.strings.is_empty() {
            structure.strings.push(0);
        }
        self.bytes.extend(structure.strings);
        self.bytes.push(0);
        self.handle += 1;
    }
}

/// One structure: its formatted area, and the strings that it numbers from 1.
#[derive(Default)]
struct Structure {
    fields: Vec<u8>,
    strings: Vec<u8>,
    count: u8,
}

impl Structure {
    fn bytes(&mut self, bytes: &[u8]) {
        self.fields.extend(bytes);
    }

    fn string(&mut self, text: &str) {
        let text: Vec<u8> = text
            .bytes()
            .filter(|b| b.is_ascii_graphic() || *b == b' ')
            .take(STRING_MAX)
            .collect();
        if text.is_empty() {
            return self.fields.push(0);
        }
        self.count += 1;
        self.fields.push(self.count);
        self.strings.extend(text);
        self.strings.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Smbios;

    const UUID: &str = "ec2a1b2c-3d4e-4f50-8a9b-0123456789ab";

    fn identity() -> Identity<'static> {
        Identity {
            uuid: Uuid::parse(UUID).unwrap(),
            product: "t3.micro",
            instance_id: "i-0123456789abcdef0",
            oem_strings: &[],
            has_network: true,
        }
    }

    #[test]
    fn only_a_machine_with_a_network_has_the_serial_number_by_which_cloud_init_seeks_metadata() {
        assert_eq!(identity().serial(), UUID);
        let lonely = Identity {
            has_network: false,
            ..identity()
        };
        assert_eq!(lonely.serial(), "i-0123456789abcdef0");
    }

    #[test]
    fn a_uuid_is_kept_whole_and_what_is_none_is_refused() {
        assert_eq!(identity().uuid.text(), UUID);
        for text in [
            "",
            "ec2",
            "ec2a1b2c3d4e4f508a9b0123456789ab",
            "+c2a1b2c-3d4e-4f50-8a9b-0123456789ab",
        ] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_entry_point_sums_to_zero() {
        let entry = entry_point(0xf_0100, 300);
        assert_eq!(entry.len(), 0x18);
        assert_eq!(entry.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)), 0);
    }

    /// The structures of a table: kind, formatted area without its header, and strings.
    fn structures(table: &[u8]) -> Vec<(u8, Vec<u8>, Vec<String>)> {
        let (mut at, mut found) = (0, Vec::new());
        while at < table.len() {
            let strings = at + usize::from(table[at + 1]);
            let end = (strings..).find(|&i| table[i..i + 2] == [0, 0]).unwrap();
            let texts = table[strings..end].split(|&byte| byte == 0);
            let texts = texts.map(|text| String::from_utf8(text.into()).unwrap()).collect();
            found.push((table[at], table[at + 4..strings].to_vec(), texts));
            at = end + 2;
        }
        found
    }

    #[test]
    fn every_structure_ends_with_two_zeros_and_the_last_is_the_end_marker() {
        let table = table(&identity());
        let kinds: Vec<u8> = structures(&table).iter().map(|structure| structure.0).collect();
        assert_eq!(kinds, [0, 1, 2, 3, 127]);
        assert!(table.windows(19).any(|w| w == b"i-0123456789abcdef0"));
    }

    #[test]
    fn oem_strings_are_counted_and_whole_and_the_most_of_them_have_their_place() {
        let own = ["io.systemd.credential:a=1".to_owned(), "x".repeat(1024)];
        let with = |oem_strings| {
            table(&Identity {
                oem_strings,
                ..identity()
            })
        };
        let found = structures(&with(&own));
        assert_eq!(found[4], (11, vec![2], own.to_vec()));
        assert_eq!(found[5].0, 127);
        let most = vec!["x".repeat(Smbios::OEM_STRING_MAX); Smbios::OEM_STRINGS_MAX];
        assert!(0x100 + with(&most).len() as u64 <= layout::SMBIOS.length);
    }
}
