//! How far the attachment of something to an instance has come: a network interface, a volume.

/// The state of an attachment. What is attached to an instance that does not run is [`Self::Attached`]: its next machine
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttachmentState {
    /// The running machine is being given it.
    Attaching,
    /// The machine has it.
    Attached,
    /// The guest was asked to give it up.
    Detaching,
}

impl AttachmentState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Attaching, Self::Attached, Self::Detaching];

    /// EC2's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}
