//! The steps of a start, from the request to the guest's word that it is ready.

/// A step of an instance's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The request was taken on.
    Requested,
    /// The root volume is there.
    VolumeReady,
    /// The monitor's process waits for its machine.
    MonitorStarted,
    /// The first vCPU enters the kernel.
    Kernel,
    /// The console shows the first process.
    Init,
    /// DHCP gave the guest its address.
    Lease,
    /// The console shows a login prompt.
    Login,
    /// The guest's service manager says that it is ready; one that knows of no such thing never does.
    Ready,
}

impl Stage {
    /// All steps, in their order.
    pub const ALL: [Self; 8] = [
        Self::Requested,
        Self::VolumeReady,
        Self::MonitorStarted,
        Self::Kernel,
        Self::Init,
        Self::Lease,
        Self::Login,
        Self::Ready,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "request",
            Self::VolumeReady => "volume",
            Self::MonitorStarted => "monitor",
            Self::Kernel => "kernel",
            Self::Init => "init",
            Self::Lease => "lease",
            Self::Login => "login",
            Self::Ready => "ready",
        }
    }

    /// The step of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}
