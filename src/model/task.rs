//! The states of tasks: imports and exports.

/// The state of an import or export task (`Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// At work.
    Active,
    /// Done; what it was to make is there.
    Completed,
    /// Failed, or cancelled by a user; nothing is left behind.
    Deleted,
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Completed, Self::Deleted];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Deleted => "deleted",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}
