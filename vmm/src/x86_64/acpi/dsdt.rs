//! DSDT: the power-off state, the PCI host bridge with its windows and slots, the serial port, and what addresses are taken.

use super::hotplug;
use super::{Bytewise, Hardware, OEM, OEM_REVISION, OEM_TABLE};
use crate::legacy::power::SLEEP_TYPE_S5;
use crate::x86_64::layout::{self, Range};
use acpi_tables::Aml;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Arg, CreateDWordField, Device, EISAName, Else, Equal, IO, If, Interrupt,
    Local, Memory32Fixed, Method, Name, Or, Package, Path, ResourceTemplate, Return, Scope, Store, Uuid,
};
use acpi_tables::sdt::Sdt;

/// The table.
pub fn table(hardware: &Hardware) -> Bytewise {
    const HEADER: u32 = 36;
    const REVISION: u8 = 2;
    let mut code = Vec::new();
    sleep_state().to_aml_bytes(&mut code);
    let (taken, com1, bridge) = (taken_addresses(), serial_port(), host_bridge(hardware));
    code.extend(Scope::raw(Path::new("_SB_"), [taken, com1, bridge].concat()));
    code.extend(hotplug::events());
    let mut dsdt = Sdt::new(*b"DSDT", HEADER, REVISION, OEM, OEM_TABLE, OEM_REVISION);
    dsdt.append_slice(&code);
    Bytewise(dsdt)
}

/// What `aml` is in bytes.
pub fn bytes(aml: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    aml.to_aml_bytes(&mut bytes);
    bytes
}

/// `\_S5`: the sleep type that powers off.
fn sleep_state() -> impl Aml {
    Name::new(
        Path::new("_S5_"),
        &Package::new(vec![&SLEEP_TYPE_S5, &SLEEP_TYPE_S5, &0u8, &0u8]),
    )
}

/// Motherboard resources: without the ECAM among them Linux does not trust MCFG.
fn taken_addresses() -> Vec<u8> {
    let id = Name::new(Path::new("_HID"), &EISAName::new("PNP0C02"));
    let uid = Name::new(Path::new("_UID"), &0u8);
    let ecam = Memory32Fixed::new(true, low(layout::ECAM.start), low(layout::ECAM.length));
    let [power, slots] = [
        (layout::ACPI_PM, layout::ACPI_PM_PORTS),
        (layout::PCI_HOTPLUG, layout::PCI_HOTPLUG_PORTS),
    ]
    .map(|(first, count)| IO::new(first, first, 1, u8::try_from(count).unwrap_or(u8::MAX)));
    let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ecam, &power, &slots]));
    bytes(&Device::new(Path::new("MRES"), vec![&id, &uid, &resources]))
}

fn serial_port() -> Vec<u8> {
    let id = Name::new(Path::new("_HID"), &EISAName::new("PNP0501"));
    let uid = Name::new(Path::new("_UID"), &0u8);
    let name = Name::new(Path::new("_DDN"), &"COM1");
    let interrupt = Interrupt::new(true, true, false, false, layout::COM1_IRQ);
    let ports = IO::new(layout::COM1, layout::COM1, 1, 8);
    let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&interrupt, &ports]));
    bytes(&Device::new(Path::new("COM1"), vec![&id, &uid, &name, &resources]))
}

/// The PCI Express root; its windows are those of [`layout`].
fn host_bridge(hardware: &Hardware) -> Vec<u8> {
    let id = Name::new(Path::new("_HID"), &EISAName::new("PNP0A08"));
    let compatible = Name::new(Path::new("_CID"), &EISAName::new("PNP0A03"));
    let numbers = ["_UID", "_SEG", "_BBN"].map(|name| Name::new(Path::new(name), &0u8));
    let buses = AddressSpace::new_bus_number(0u16, 0u16);
    let ports = IO::new(layout::PCI_CONFIG_PORTS, layout::PCI_CONFIG_PORTS, 1, 8);
    let cacheable = AddressSpaceCacheable::NotCacheable;
    let window = layout::PCI_MMIO32;
    let memory32 = AddressSpace::new_memory(cacheable, true, low(window.start), low(window.end() - 1), None);
    let memory64 = hardware.pci_mmio64.map(|Range { start, length }| {
        AddressSpace::new_memory(
            AddressSpaceCacheable::PreFetchable,
            true,
            start,
            start + length - 1,
            None,
        )
    });
    let mut windows: Vec<&dyn Aml> = vec![&buses, &ports, &memory32];
    windows.extend(memory64.as_ref().map(|window| window as &dyn Aml));
    let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(windows));
    let (osc, slots) = (operating_system_capabilities(), hotplug::slots());
    let [uid, segment, bus] = &numbers;
    bytes(&Device::new(
        Path::new("PCI0"),
        vec![&id, &compatible, uid, segment, bus, &resources, &Raw(osc), &Raw(slots)],
    ))
}

/// `_OSC` of the bridge: the guest gets control of all that it asks for, since there is no firmware to compete with.
fn operating_system_capabilities() -> Vec<u8> {
    const PCI_HOST_BRIDGE: &str = "33DB4D5B-1FF7-401C-9657-7441C03DD766";
    const UNRECOGNIZED_UUID: u8 = 4;
    let status = Path::new("CDW1");
    let first = CreateDWordField::new(&status, &Arg(3), &0u8);
    let uuid = Uuid::new(PCI_HOST_BRIDGE);
    let is_ours = Equal::new(&Arg(0), &uuid);
    let granted = Return::new(&Arg(3));
    let unknown = Or::new(&Local(0), &status, &UNRECOGNIZED_UUID);
    let answer = Store::new(&status, &Local(0));
    let yes = If::new(&is_ours, vec![&granted]);
    let no = Else::new(vec![&unknown, &answer, &granted]);
    bytes(&Method::new(Path::new("_OSC"), 4, true, vec![&first, &yes, &no]))
}

/// AML that is bytes already.
pub struct Raw(pub Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}

fn low(address: u64) -> u32 {
    u32::try_from(address).unwrap_or(u32::MAX)
}
