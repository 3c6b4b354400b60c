//! Instances: their states with EC2's codes, what may follow what, and why a state was left.

use super::{
    Architecture, AttachmentState, ImageId, InstanceAttributes, InstanceId, InstanceType, KernelId, KeyName, RamdiskId,
    ReservationId, Stage, VolumeId,
};
use std::fmt;
use time::OffsetDateTime;
use time::macros::format_description;

/// The state of an instance.
///
/// ```text
///            ┌──────────────────────────────────────────────┐
///            │                start                         │
///            ▼                                              │
/// run ──► pending ──► running ──► stopping ─────────────► stopped
///            │           │            │                     │
///            └───────────┴────────────┴──► shutting-down ◄──┘
///                                               │
///                                               ▼
///                                          terminated
/// ```
/// A start that fails goes from `pending` back to `stopped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// Volume and machine are being made.
    Pending,
    /// The guest runs.
    Running,
    /// The instance is being taken down for good.
    ShuttingDown,
    /// It is gone; its record stays for an hour.
    Terminated,
    /// The guest is being stopped.
    Stopping,
    /// No machine; the volumes are kept.
    Stopped,
}

impl InstanceState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::ShuttingDown,
        Self::Terminated,
        Self::Stopping,
        Self::Stopped,
    ];

    /// EC2's number (`InstanceState.Code`, low byte).
    pub const fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether an instance may go from this state to `next`. Staying is no transition.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Running | Self::ShuttingDown | Self::Stopped),
            Self::Running => matches!(next, Self::Stopping | Self::ShuttingDown),
            Self::Stopping => matches!(next, Self::Stopped | Self::ShuttingDown),
            Self::Stopped => matches!(next, Self::Pending | Self::ShuttingDown),
            Self::ShuttingDown => matches!(next, Self::Terminated),
            Self::Terminated => false,
        }
    }

    /// Whether an instance in this state holds vCPUs and memory of the host.
    pub const fn holds_capacity(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Stopping | Self::ShuttingDown => true,
            Self::Stopped | Self::Terminated => false,
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kinds of reasons for a state (`StateReason.Code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// A user asked for it.
    UserInitiatedShutdown,
    /// The guest powered itself off.
    InstanceInitiatedShutdown,
    /// What was launched can't run: its volume holds nothing that boots, say.
    ClientError,
    /// The snapshot of the root volume is gone.
    SnapshotNotFound,
    /// kiln or the host failed, or the guest did what no CPU survives.
    InternalError,
    /// The host has not enough left.
    InsufficientCapacity,
}

impl ReasonCode {
    /// All codes.
    pub const ALL: [Self; 6] = [
        Self::UserInitiatedShutdown,
        Self::InstanceInitiatedShutdown,
        Self::ClientError,
        Self::SnapshotNotFound,
        Self::InternalError,
        Self::InsufficientCapacity,
    ];

    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserInitiatedShutdown => "Client.UserInitiatedShutdown",
            Self::InstanceInitiatedShutdown => "Client.InstanceInitiatedShutdown",
            Self::ClientError => "Client.InternalError",
            Self::SnapshotNotFound => "Client.InvalidSnapshot.NotFound",
            Self::InternalError => "Server.InternalError",
            Self::InsufficientCapacity => "Server.InsufficientInstanceCapacity",
        }
    }

    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

/// Why an instance is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReason {
    /// The kind of reason.
    pub code: ReasonCode,
    /// For people, without the code in front.
    pub detail: String,
    /// When it came about.
    pub at: OffsetDateTime,
}

impl StateReason {
    /// `StateReason.Message` as EC2 writes it: the code, then the detail.
    pub fn message(&self) -> String {
        format!("{}: {}", self.code.name(), self.detail)
    }

    /// `StateTransitionReason` as EC2 writes it: `User initiated (2026-01-02 03:04:05 GMT)`, else the code.
    pub fn transition(&self) -> String {
        let at = self
            .at
            .format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second] GMT"))
            .unwrap_or_default();
        match self.code {
            ReasonCode::UserInitiatedShutdown => format!("User initiated ({at})"),
            code => format!("{} ({at})", code.name()),
        }
    }
}

/// What a guest's own power-off does to its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShutdownBehavior {
    /// The instance is stopped.
    #[default]
    Stop,
    /// The instance is terminated.
    Terminate,
}

impl ShutdownBehavior {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }

    /// The behaviour of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Stop, Self::Terminate]
            .into_iter()
            .find(|behavior| behavior.name() == name)
    }
}

/// What was launched by one RunInstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its identifier.
    pub id: ReservationId,
    /// The token that makes the launch idempotent.
    pub client_token: Option<String>,
    /// A digest of the request: the same token with another request is a mistake.
    pub request_digest: String,
    /// When it was asked for.
    pub created: OffsetDateTime,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its identifier.
    pub id: InstanceId,
    /// The launch it came of.
    pub reservation: ReservationId,
    /// The launch's token, if it had one.
    pub client_token: Option<String>,
    /// Its place within the launch, from 0.
    pub launch_index: u32,
    /// The image it came of; which may be gone by now.
    pub image: ImageId,
    /// What it is made of, as its type was when it was given it.
    pub instance_type: InstanceType,
    /// The architecture of its image.
    pub architecture: Architecture,
    /// The kernel it boots, if not its root volume's own.
    pub kernel: Option<KernelId>,
    /// The RAM disk that goes with the kernel.
    pub ramdisk: Option<RamdiskId>,
    /// The name of the root device, `/dev/sda1` say.
    pub root_device_name: String,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in that state; none while all went as asked.
    pub reason: Option<StateReason>,
    /// Whether it ever ran: one whose first start fails is terminated.
    pub ran: bool,
    /// It runs, but its guest was asked to go down and come up again.
    pub rebooting: bool,
    /// When it was last asked to start (`LaunchTime`).
    pub launched: OffsetDateTime,
    /// When it was terminated.
    pub terminated: Option<OffsetDateTime>,
    /// What the guest's own power-off does.
    pub shutdown_behavior: ShutdownBehavior,
    /// User data, as the guest reads it.
    pub user_data: Option<Vec<u8>>,
    /// The key pair that its guest lets in, as it was at the launch.
    pub key: Option<LaunchKey>,
    /// How its guest may ask for instance metadata.
    pub metadata_options: MetadataOptions,
    /// What else is said of it.
    pub attributes: InstanceAttributes,
}

/// A key pair's name and public key, which stay with an instance when the pair is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchKey {
    /// The name.
    pub name: KeyName,
    /// One line in the form of `authorized_keys`.
    pub public_key: String,
}

/// How a guest may ask for instance metadata (`InstanceMetadataOptions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataOptions {
    /// Whether it is answered at all.
    pub endpoint: bool,
    /// Whether only requests with a token are (IMDSv2).
    pub tokens_required: bool,
    /// How many hops a token may travel, 1 to 64.
    pub hop_limit: u8,
    /// Whether the instance's tags are told.
    pub tags: bool,
}

impl Default for MetadataOptions {
    /// As EC2 has it for images of today: tokens are required, and a container in the guest is reached.
    fn default() -> Self {
        Self {
            endpoint: true,
            tokens_required: true,
            hop_limit: 2,
            tags: false,
        }
    }
}

/// What the account says of the metadata options of instances to come, where their launch says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataDefaults {
    /// See [`MetadataOptions`].
    pub endpoint: Option<bool>,
    /// See [`MetadataOptions`].
    pub tokens_required: Option<bool>,
    /// See [`MetadataOptions`].
    pub hop_limit: Option<u8>,
    /// See [`MetadataOptions`].
    pub tags: Option<bool>,
    /// Whether no instance may do without tokens.
    pub tokens_enforced: Option<bool>,
}

impl MetadataDefaults {
    /// What an instance gets of whose options nothing is said.
    pub fn options(&self) -> MetadataOptions {
        let ours = MetadataOptions::default();
        MetadataOptions {
            endpoint: self.endpoint.unwrap_or(ours.endpoint),
            tokens_required: self.tokens_required.unwrap_or(ours.tokens_required),
            hop_limit: self.hop_limit.unwrap_or(ours.hop_limit),
            tags: self.tags.unwrap_or(ours.tags),
        }
    }
}

impl Instance {
    /// The machine's UUID, made of the identifier; it begins with `ec2`, by which guests know where they are.
    pub fn uuid(&self) -> String {
        let bits = self.id.bits();
        let all = format!("ec2{bits:017x}{:012x}", bits >> 20);
        let part = |from: usize, to: usize| all.get(from..to).unwrap_or_default().to_owned();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }
}

/// A step of an instance's last start and when it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milestone {
    /// Which step.
    pub stage: Stage,
    /// When.
    pub at: OffsetDateTime,
}

/// A volume's place in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The volume.
    pub volume: VolumeId,
    /// The instance.
    pub instance: InstanceId,
    /// The name it was asked for by, `/dev/sda1` say.
    pub device_name: String,
    /// Whether it goes when the instance does.
    pub delete_on_termination: bool,
    /// Since when.
    pub attached: OffsetDateTime,
    /// Whether the instance's machine has it.
    pub state: AttachmentState,
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceState::*;

    #[test]
    fn terminated_is_the_end_and_every_state_leads_to_it() {
        for state in InstanceState::ALL {
            assert!(!Terminated.may_become(state));
            assert!(!state.may_become(state), "{state}");
            let leads = matches!(state, Terminated | ShuttingDown) || state.may_become(ShuttingDown);
            assert!(leads, "{state}");
        }
        assert!(ShuttingDown.may_become(Terminated));
    }

    #[test]
    fn only_a_start_makes_an_instance_pending() {
        let before: Vec<_> = InstanceState::ALL
            .into_iter()
            .filter(|state| state.may_become(Pending))
            .collect();
        assert_eq!(before, [Stopped]);
    }

    #[test]
    fn names_are_ec2s_and_read_back() {
        for state in InstanceState::ALL {
            assert_eq!(InstanceState::from_name(state.name()), Some(state));
        }
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_name(code.name()), Some(code));
        }
        assert_eq!(InstanceState::from_name("rebooting"), None);
    }

    #[test]
    fn a_users_stop_reads_as_ec2s() {
        let at = time::macros::datetime!(2026-01-02 03:04:05 UTC);
        let reason = StateReason {
            code: ReasonCode::UserInitiatedShutdown,
            detail: "User initiated shutdown".into(),
            at,
        };
        assert_eq!(reason.transition(), "User initiated (2026-01-02 03:04:05 GMT)");
        assert_eq!(
            reason.message(),
            "Client.UserInitiatedShutdown: User initiated shutdown"
        );
    }
}
