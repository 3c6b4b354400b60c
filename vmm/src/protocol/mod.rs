//! What the daemon and a running `kiln-vmm` say to each other over the control socket.
//!
//! The socket is a Unix stream. A message is one line of JSON, at most [`MAX_MESSAGE`] bytes with its newline. The
//! client sends [`Request`]s, the monitor answers each with one [`Response`], in order. Three requests turn the
//! connection into something else after their answer: [`Request::Subscribe`] into a stream of [`Event`] lines,
//! [`Request::Console`] into the raw bytes of the serial console, both ways, [`Request::Vsock`] into a connection to the
//! guest.
//!
//! Open files travel with the [`Request::Launch`] or [`Request::Attach`] line as `SCM_RIGHTS`; messages name them by their
//! place in that list.
//! The monitor serves any number of connections one after another and a few at a time, so a daemon that was killed
//! finds its guests again by connecting anew.

mod guest;

pub use crate::virtio::blk::Limits as DiskLimits;
pub use crate::virtio::limit::Rate;
pub use guest::{ActiveKey, GuestServices, InterfaceService, Lease, Metadata, MetadataOptions, Resolver, Told};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of this protocol; a monitor and a daemon with different ones don't talk.
pub const VERSION: u32 = 1;
/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// The most open files one message may carry (the kernel's own bound on one `SCM_RIGHTS` message is 253).
pub const MAX_FILES: usize = 192;

/// An open file that came with the message: its place in the list of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileIndex(pub u8);

/// What the daemon asks of a monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who are you? Answered with [`Answer::Hello`], at any time.
    Hello,
    /// Build the machine and run it. Answered when the first vCPU runs, or with the reason why it can't.
    Launch(Box<MachineSpec>),
    /// Answered with [`Answer::Status`].
    Status,
    /// Press the ACPI power button. A guest whose driver is not there yet does not notice: press again.
    PowerButton,
    /// Press the ACPI power button, and when the guest has powered itself off, reset the machine instead of ending it.
    /// A [`Request::PowerButton`] that comes later wins.
    Reboot,
    /// Reset the machine, as its reset button would.
    Reset,
    /// From now on the guest is told this, instead of what [`GuestServices::told`] or an earlier request said. For a
    /// machine whose launch had [`GuestServices`]; effective with the guest's next question.
    Tell(Box<Told>),
    /// For [`ActiveKey::LIFE`] from now on the metadata service has this key, too, whatever [`Request::Tell`] says in between,
    /// and over resets. For a machine whose launch had [`GuestServices`]; a [`FailureKind::Full`] where there are as many keys
    /// as may be. One that is there already begins its life anew.
    SendKey(ActiveKey),
    /// Put a device into its PCI slot of the running machine, or the next one that is free. Answered when it is there and the guest was told; or with
    /// the reason why it can't be. From then on it belongs to the machine, over resets too.
    Attach {
        /// The device; [`DeviceSpec::files`] are those that come with this message.
        device: Box<DeviceSpec>,
    },
    /// Ask the guest to give up a device, which it may do when it likes, or never: answered when it was asked. When it has
    /// done so, or the machine is reset, the device is gone and [`Event::Detached`] says so. May be asked again: a device
    /// that is gone is a [`FailureKind::NoSuchDevice`]. One that the machine boots from can't be detached.
    Detach {
        /// The device's name.
        id: String,
        /// Take it away now, without the guest's agreement: what the guest has not written is lost.
        force: bool,
    },
    /// Have block devices rest: what is under way completes and is made durable, and nothing more is begun. Answered when they
    /// rest; they go on when this connection ends. Until then the guest sees slow disks.
    Quiesce {
        /// The devices' names.
        ids: Vec<String>,
        /// Not now, but when the machine is reset next: from before the guest's first instruction.
        after_reset: bool,
    },
    /// The file behind a block device has grown: the guest is told its new size.
    Resize {
        /// The device's name.
        id: String,
    },
    /// Give a volume other limits, at once and over resets.
    Limit {
        /// The device's name.
        id: String,
        /// The limits.
        limits: DiskLimits,
    },
    /// End the machine now: vCPUs stop, queues drain, volumes are flushed, the process ends.
    Stop,
    /// Answered with [`Answer::ConsoleLog`]: the last part of what the guest wrote to its serial console.
    ConsoleLog,
    /// After the answer the connection carries the serial console: first the log, then what comes.
    Console,
    /// Connect to a port of the guest, by the machine's socket device (virtio 1.2, 5.10). After the answer, before which
    /// nothing may be sent, the connection is one to that port, both ways; one that the guest does not take is answered
    /// with [`FailureKind::NotConnected`] and closed.
    Vsock {
        /// The port.
        port: u32,
    },
    /// After the answer the connection carries [`Event`] lines, beginning with what already happened.
    Subscribe,
}

/// The answer to one request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It was done.
    Ok(Answer),
    /// It was not, and why.
    Error(Failure),
}

/// What a request that was carried out answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing to say.
    Done,
    /// To [`Request::Hello`].
    Hello {
        /// [`VERSION`] of the monitor.
        version: u32,
        /// The instance that it runs; none before the launch.
        instance_id: Option<String>,
        /// Its process id, as it sees it.
        pid: u32,
    },
    /// To [`Request::Status`] and [`Request::Launch`].
    Status(Status),
    /// To [`Request::ConsoleLog`]: the bytes, as text in which invalid UTF-8 is replaced.
    ConsoleLog(String),
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// For people: what failed and why, the whole chain of causes.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The kinds of failure that the daemon tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The message was not one of this protocol, or not one for this moment.
    BadRequest,
    /// The root volume holds nothing that can be booted; the message says what was looked for and found.
    NotBootable,
    /// The host's `/dev/kvm` can't hold such a machine.
    Host,
    /// A device could not be made.
    Device,
    /// The machine has no device of that name.
    NoSuchDevice,
    /// The guest refused a connection or did not answer in time, or has no driver for it.
    NotConnected,
    /// There is no room for more of that; some comes with time.
    Full,
}

/// A machine, as the daemon wants it. Everything that is checked here is checked again by the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// The instance (`i-…`).
    pub instance_id: String,
    /// Virtual CPUs, 1 to 32.
    pub vcpus: u8,
    /// Guest memory in bytes; a multiple of 2 MiB.
    pub memory: u64,
    /// What the firmware tables say of the machine.
    pub smbios: Smbios,
    /// Where the kernel comes from.
    pub boot: Boot,
    /// Devices, in the order of their PCI slots.
    pub devices: Vec<DeviceSpec>,
    /// What the monitor itself answers its guest; none for a guest without a network.
    #[serde(default)]
    pub guest: Option<GuestServices>,
    /// `/dev/kvm`.
    pub kvm: FileIndex,
    /// The console log: a file that the monitor keeps below [`CONSOLE_LOG_MAX`] bytes.
    pub console_log: FileIndex,
    /// An empty file into which the monitor writes its [`Report`] (one line of JSON, synced) before it ends.
    pub report: FileIndex,
}

/// The most that the console log file of a machine holds, in bytes.
pub const CONSOLE_LOG_MAX: u64 = 1024 * 1024;

/// The strings of the SMBIOS tables (DMTF DSP0134), as EC2 has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smbios {
    /// Type 1 UUID; begins with `ec2`.
    pub uuid: String,
    /// Type 1 product name: the instance type.
    pub product: String,
    /// Type 11 strings, by which systemd takes credentials (`io.systemd.credential:NAME=VALUE`). At most
    /// [`Self::OEM_STRINGS_MAX`], each 1 to [`Self::OEM_STRING_MAX`] bytes of printable ASCII.
    #[serde(default)]
    pub oem_strings: Vec<String>,
}

impl Smbios {
    /// The most OEM strings.
    pub const OEM_STRINGS_MAX: usize = 32;
    /// The longest of them, in bytes.
    pub const OEM_STRING_MAX: usize = 1024;
}

/// Where the kernel comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Boot {
    /// From the volume of one of [`MachineSpec::devices`], as its own boot loader would.
    Volume {
        /// The name of the root volume's device.
        device: String,
    },
    /// From files that the image carries (EC2's kernel and RAM disk images).
    Kernel {
        /// A bzImage or an ELF file.
        kernel: FileIndex,
        /// The initial RAM disk.
        ramdisk: Option<FileIndex>,
        /// The kernel's command line, whole.
        command_line: String,
    },
}

/// One device: its kind is looked up in the monitor's registry, which alone knows what the rest means.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// The kind, `blk` or `rng` for instance.
    pub kind: String,
    /// A name that is unique in the machine, `vol-…` for instance.
    pub id: String,
    /// Its PCI slot, 1 to 31; the next one that is free if that is taken. Guests name network interfaces and disks by it.
    pub slot: u8,
    /// What the kind's own parser reads.
    pub config: serde_json::Value,
    /// The open files it was given, in the order that the kind wants.
    pub files: Vec<FileIndex>,
    /// Where the monitor answers the guest over this device: for a network interface of a machine that has
    /// [`GuestServices`].
    #[serde(default)]
    pub service: Option<InterfaceService>,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: MachineState,
    /// How many times it was reset since its launch.
    pub resets: u32,
    /// What happened when, in order.
    pub timeline: Vec<Moment>,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// The monitor waits for its launch.
    Waiting,
    /// The guest runs.
    Running,
    /// The machine is being built again after a reset.
    Resetting,
    /// The machine is being taken down.
    Stopping,
}

/// A step of a boot, with the wall-clock time in microseconds since 1970 at which it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which step.
    pub stage: Stage,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at: u64,
}

/// The steps of a boot that the monitor sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The launch request came in.
    Launched,
    /// Kernel and RAM disk lie in guest memory; the first vCPU enters.
    Kernel,
    /// The console shows that the first process runs.
    Init,
    /// The console shows a login prompt.
    Login,
    /// The guest's service manager says that it is ready, over the machine's socket device.
    Ready,
}

/// Something that happened to the machine, sent to subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A step of the boot was reached.
    Reached(Moment),
    /// The machine was reset, by the guest or by request, and boots again.
    Reset,
    /// A device found its driver broken and asks to be reset (virtio 1.2, 2.1.2 `DEVICE_NEEDS_RESET`).
    DeviceNeedsReset {
        /// The device's id.
        device: String,
        /// What the driver did.
        reason: String,
    },
    /// A device is gone that was to be detached, and its files are closed.
    Detached {
        /// The device's id.
        device: String,
    },
    /// DHCP gave an interface its lease, for the first time since the launch or the last reset.
    Leased {
        /// The interface's hardware address.
        mac: String,
        /// Microseconds since 1970-01-01T00:00:00Z.
        at: u64,
    },
    /// The machine has ended; the last event of a stream.
    Ended(Report),
}

/// How a machine ended: the monitor's last word, to its subscribers and into its report file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why.
    pub reason: EndReason,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// For people: registers, the exit that killed it and the last lines of the console, where a guest died.
    pub detail: Option<String>,
}

/// Why a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The guest powered itself off.
    PowerOff,
    /// [`Request::Stop`] asked for it.
    Stopped,
    /// The machine could not be built, at its launch or after a reset.
    BootFailed,
    /// The guest did what no CPU survives (a triple fault, an instruction that KVM could not run).
    Crashed,
    /// The monitor itself failed.
    Failed,
}
