//! The keyboard controller, as far as kernels use one without a keyboard: its reset line.
//!
//! Linux falls back to it when ACPI's reset register did not help, and small guests know nothing else.

use super::{OnPower, PowerRequest};
use crate::bus::BusDevice;

/// The command port, counted from the data port.
const COMMAND: u64 = 4;
/// Pulse the reset line.
const PULSE_RESET: u8 = 0xfe;

/// The controller: ports 0x60 to 0x64.
pub struct I8042 {
    on_power: OnPower,
}

impl I8042 {
    /// How many ports it takes, counted from its data port.
    pub const PORTS: u64 = 5;

    /// A controller whose reset line ends in `on_power`.
    pub fn new(on_power: OnPower) -> Self {
        Self { on_power }
    }
}

impl BusDevice for I8042 {
    fn read(&self, offset: u64, data: &mut [u8]) {
        // Status: no input waits, none is wanted. Whoever waits for the controller to be ready goes on at once.
        data.fill(if offset == COMMAND { 0 } else { 0xff });
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if offset == COMMAND && data.first() == Some(&PULSE_RESET) {
            (self.on_power)(PowerRequest::Reset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn only_the_reset_command_resets() {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let device = I8042::new(Arc::new(move |request| seen.lock().unwrap().push(request)));
        device.write(0, &[PULSE_RESET]);
        device.write(COMMAND, &[0xd1]);
        assert!(requests.lock().unwrap().is_empty());
        device.write(COMMAND, &[PULSE_RESET]);
        assert_eq!(*requests.lock().unwrap(), [PowerRequest::Reset]);
    }
}
