//! The few devices of the old PC that a stock kernel still uses: a serial port, the keyboard controller's reset line,
//! ACPI's fixed power management hardware. What is not here reads as all ones, and the FADT says that it is absent.

pub mod i8042;
pub mod power;
pub mod serial;

use crate::kvm::irq::Routes;
use std::sync::Arc;

/// What a guest asks of its machine through these devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerRequest {
    /// Cut the power: ACPI S5.
    Off,
    /// Start anew.
    Reset,
}

/// Takes a [`PowerRequest`]. Called by vCPU threads.
pub type OnPower = Arc<dyn Fn(PowerRequest) + Send + Sync>;

/// An interrupt line of a legacy device.
#[derive(Clone)]
pub struct Line {
    routes: Arc<Routes>,
    number: u32,
}

impl Line {
    /// The line `number` of the machine's interrupt controllers.
    pub fn new(routes: Arc<Routes>, number: u32) -> Self {
        Self { routes, number }
    }
}

/// What a legacy device does with its interrupt; the tests stand in for KVM.
pub trait SetLine: Send + Sync {
    /// Makes the line high or low.
    fn set(&self, high: bool);
}

impl SetLine for Line {
    fn set(&self, high: bool) {
        // KVM refuses only pins that don't exist, and these do.
        let _ = self.routes.set_line(self.number, high);
    }
}
