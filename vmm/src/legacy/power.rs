//! ACPI's fixed hardware (ACPI 6.5, 4.8): the PM1 event and control registers with the power button, the block of
//! general-purpose events, and the reset register that the FADT names. `x86_64::acpi` tells the guest where they are.

use super::{OnPower, PowerRequest, SetLine};
use crate::bus::BusDevice;
use std::sync::{Mutex, MutexGuard};

/// Offsets of the registers.
pub mod offset {
    /// PM1 status, two bytes; writing a one clears it.
    pub const STATUS: u64 = 0;
    /// PM1 enable, two bytes.
    pub const ENABLE: u64 = 2;
    /// PM1 control, two bytes.
    pub const CONTROL: u64 = 4;
    /// The reset register, one byte.
    pub const RESET: u64 = 8;
    /// Status of the general-purpose events, one byte; writing a one clears it.
    pub const EVENT_STATUS: u64 = 12;
    /// Enable of the general-purpose events, one byte.
    pub const EVENT_ENABLE: u64 = 13;
}

/// The value that resets, written to the reset register.
pub const RESET_VALUE: u8 = 6;
/// The number of the general-purpose event that tells of [`crate::pci::hotplug`].
pub const PCI_HOTPLUG_EVENT: u8 = 1;
/// The sleep type of S5 in PM1 control.
pub const SLEEP_TYPE_S5: u8 = 5;

const POWER_BUTTON: u16 = 1 << 8;
const SCI_ENABLE: u16 = 1;
const SLEEP_TYPE_SHIFT: u16 = 10;
const SLEEP_TYPE_MASK: u16 = 7;
const SLEEP_ENABLE: u16 = 1 << 13;
/// The control bits that are kept: bus master reload and the sleep type.
const CONTROL_KEPT: u16 = 1 << 1 | SLEEP_TYPE_MASK << SLEEP_TYPE_SHIFT;

#[derive(Default)]
struct Registers {
    status: u16,
    enable: u16,
    control: u16,
    event_status: u8,
    event_enable: u8,
}

/// The registers.
pub struct PowerManagement<L: SetLine> {
    registers: Mutex<Registers>,
    sci: L,
    on_power: OnPower,
}

impl<L: SetLine> PowerManagement<L> {
    /// Fixed hardware whose interrupt is `sci`.
    pub fn new(sci: L, on_power: OnPower) -> Self {
        Self {
            registers: Mutex::default(),
            sci,
            on_power,
        }
    }

    /// Presses the power button. The guest notices when it has enabled that event.
    pub fn press_power_button(&self) {
        let mut registers = self.lock();
        registers.status |= POWER_BUTTON;
        self.update(&registers);
    }

    /// Raises the general-purpose event `number`, 0 to 7. The guest notices when it has enabled it.
    pub fn raise_event(&self, number: u8) {
        let mut registers = self.lock();
        registers.event_status |= 1u8.checked_shl(number.into()).unwrap_or(0);
        self.update(&registers);
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn update(&self, registers: &Registers) {
        let fixed = registers.status & registers.enable != 0;
        let general = registers.event_status & registers.event_enable != 0;
        self.sci.set(fixed || general);
    }

    fn write_byte(&self, registers: &mut Registers, offset: u64, byte: u8) {
        match offset {
            offset::EVENT_STATUS => return registers.event_status &= !byte,
            offset::EVENT_ENABLE => return registers.event_enable = byte,
            _ => {}
        }
        let shift = (offset & 1) * 8;
        let value = u16::from(byte) << shift;
        let others = !(0xff << shift);
        match offset & !1 {
            offset::STATUS => registers.status &= !value,
            offset::ENABLE => registers.enable = registers.enable & others | value,
            offset::CONTROL => registers.control = registers.control & others | value,
            _ => {}
        }
    }
}

impl<L: SetLine> BusDevice for PowerManagement<L> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let registers = self.lock();
        for (offset, byte) in (offset..).zip(data) {
            let register = match offset & !1 {
                offset::STATUS => registers.status,
                offset::ENABLE => registers.enable,
                offset::CONTROL => registers.control & CONTROL_KEPT | SCI_ENABLE,
                offset::EVENT_STATUS => u16::from_le_bytes([registers.event_status, registers.event_enable]),
                _ => 0,
            };
            *byte = register.to_le_bytes()[usize::from(offset & 1 == 1)];
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if offset == offset::RESET {
            if data.first() == Some(&RESET_VALUE) {
                (self.on_power)(PowerRequest::Reset);
            }
            return;
        }
        let mut registers = self.lock();
        for (offset, byte) in (offset..).zip(data) {
            self.write_byte(&mut registers, offset, *byte);
        }
        self.update(&registers);
        let control = registers.control;
        registers.control &= CONTROL_KEPT;
        let sleep_type = control >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK;
        if control & SLEEP_ENABLE != 0 && sleep_type == u16::from(SLEEP_TYPE_S5) {
            (self.on_power)(PowerRequest::Off);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Clone, Default)]
    struct Sci(Arc<AtomicBool>);

    impl SetLine for Sci {
        fn set(&self, high: bool) {
            self.0.store(high, Ordering::Relaxed);
        }
    }

    fn device() -> (PowerManagement<Sci>, Sci, Arc<Mutex<Vec<PowerRequest>>>) {
        let (sci, requests) = (Sci::default(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&requests);
        let on_power: OnPower = Arc::new(move |request| seen.lock().unwrap().push(request));
        (PowerManagement::new(sci.clone(), on_power), sci, requests)
    }

    fn read16(device: &PowerManagement<Sci>, offset: u64) -> u16 {
        let mut data = [0; 2];
        device.read(offset, &mut data);
        u16::from_le_bytes(data)
    }

    #[test]
    fn the_power_button_interrupts_once_it_is_enabled_until_it_is_acknowledged() {
        let (device, sci, _) = device();
        device.press_power_button();
        assert!(!sci.0.load(Ordering::Relaxed));
        device.write(offset::ENABLE, &POWER_BUTTON.to_le_bytes());
        assert!(sci.0.load(Ordering::Relaxed));
        assert_eq!(read16(&device, offset::STATUS), POWER_BUTTON);
        device.write(offset::STATUS, &POWER_BUTTON.to_le_bytes());
        assert!(!sci.0.load(Ordering::Relaxed));
        assert_eq!(read16(&device, offset::STATUS), 0);
    }

    #[test]
    fn a_general_purpose_event_interrupts_beside_the_power_button() {
        let (device, sci, _) = device();
        let high = || sci.0.load(Ordering::Relaxed);
        device.raise_event(PCI_HOTPLUG_EVENT);
        assert!(!high());
        device.write(offset::EVENT_ENABLE, &[0xff]);
        assert!(high());
        assert_eq!(read16(&device, offset::EVENT_STATUS), 0xff02);
        device.write(offset::ENABLE, &POWER_BUTTON.to_le_bytes());
        device.press_power_button();
        device.write(offset::EVENT_STATUS, &[0xfd]);
        device.write(offset::STATUS, &POWER_BUTTON.to_le_bytes());
        assert!(high(), "The event was cleared with others");
        device.write(offset::EVENT_STATUS, &[2]);
        assert!(!high());
        device.raise_event(8);
        assert!(!high());
    }

    #[test]
    fn sleep_type_five_with_the_enable_bit_powers_off() {
        let (device, _, requests) = device();
        assert_eq!(read16(&device, offset::CONTROL), SCI_ENABLE);
        device.write(offset::CONTROL, &0x1400u16.to_le_bytes());
        device.write(offset::CONTROL, &0x2000u16.to_le_bytes());
        assert!(requests.lock().unwrap().is_empty());
        device.write(offset::CONTROL, &0x3400u16.to_le_bytes());
        assert_eq!(*requests.lock().unwrap(), [PowerRequest::Off]);
    }

    #[test]
    fn the_reset_register_takes_only_its_value() {
        let (device, _, requests) = device();
        device.write(offset::RESET, &[0]);
        device.write(offset::RESET, &[RESET_VALUE]);
        assert_eq!(*requests.lock().unwrap(), [PowerRequest::Reset]);
    }
}
