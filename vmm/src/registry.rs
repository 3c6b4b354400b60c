//! The device kinds: one row each, and nothing anywhere else that knows them all.
//!
//! The machine hands every [`DeviceSpec`] of a launch to [`build`] and puts what it gets into the PCI root. A kind is a
//! directory under `virtio/` (or elsewhere) that implements [`DeviceKind`], and its line in [`KINDS`].

use crate::events::EventRoutes;
use crate::pci::Function;
use crate::protocol::{DeviceSpec, Event};
use crate::virtio::blk::{Blk, Limiters};
use crate::virtio::device::Memory;
use crate::virtio::net::Net;
use crate::virtio::rng::Rng;
use crate::virtio::vsock::{Dialer, Vsock};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What every device of a machine is built with.
#[derive(Clone)]
pub struct Context {
    /// The memory of the guest.
    pub memory: Memory,
    /// Doorbells and interrupts.
    pub routes: Arc<dyn EventRoutes>,
    /// Where threads come from.
    pub threads: Arc<dyn Threads>,
    /// Takes what the daemon must hear. Called by device threads; must not block for long.
    pub events: Arc<dyn Fn(Event) + Send + Sync>,
    /// Where the machine's socket device can be dialled.
    pub dialer: Arc<Dialer>,
    /// Where the limits of the machine's volumes can be changed.
    pub limiters: Arc<Limiters>,
}

/// What the threads of a device kind may ask of the kernel, beside what every thread needs: memory for its heap and stack,
/// futexes, reading the clock, closing descriptors, ending, and KVM's ioctls.
#[derive(Debug, Clone, Copy)]
pub struct Syscalls {
    /// System calls, as `libc::SYS_…`; `ioctl` is not one of them.
    pub numbers: &'static [libc::c_long],
    /// The requests of `ioctl`, each by its exact number.
    pub ioctls: &'static [u32],
}

impl Syscalls {
    /// These, and no ioctl.
    pub const fn without_ioctls(numbers: &'static [libc::c_long]) -> Self {
        Self { numbers, ioctls: &[] }
    }
}

/// Makes the threads of devices, each locked into the system calls it needs. Called only while a device is built.
pub trait Threads: Send + Sync {
    /// Starts a thread that may make `syscalls`.
    fn spawn(&self, name: &str, syscalls: Syscalls, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>;
}

/// A kind of device.
pub trait DeviceKind {
    /// Its name in [`DeviceSpec::kind`].
    const NAME: &'static str;
    /// The system calls that its own threads make.
    const SYSCALLS: Syscalls;
    /// The system calls that building one makes on the machine's thread, beside those of its own threads and those for
    /// threads, events and epoll.
    const BUILD_SYSCALLS: &'static [libc::c_long];
    /// The version of the state it saves.
    const STATE_VERSION: u32;
    /// What [`DeviceSpec::config`] holds; its `Deserialize` refuses unknown members.
    type Config: DeserializeOwned;
    /// Why one can't be built.
    type BuildError: Error + Send + Sync + 'static;

    /// How many open files a device with this configuration is given.
    fn files(config: &Self::Config) -> usize;

    /// Makes a device named `id`; `files` are as many as [`Self::files`] says.
    fn build(
        id: &str,
        config: Self::Config,
        files: Vec<File>,
        context: &Context,
    ) -> Result<Arc<dyn Function>, Self::BuildError>;
}

/// Why a device was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildDeviceError {
    /// No such kind.
    #[error("Device {id} has the unknown kind {kind:?}: known are {known}")]
    UnknownKind {
        /// The device.
        id: String,
        /// What was asked for.
        kind: String,
        /// What there is.
        known: String,
    },
    /// Its configuration is not one of its kind.
    #[error("The configuration of device {id} can't be read")]
    Config {
        /// The device.
        id: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Too few or too many files came with it.
    #[error("Device {id} wants {wanted} open files but was given {given}")]
    Files {
        /// The device.
        id: String,
        /// How many it wants.
        wanted: usize,
        /// How many it was given.
        given: usize,
    },
    /// Its kind could not make it.
    #[error("Device {id} could not be made")]
    Kind {
        /// The device.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What [`build`] answers.
pub type BuildResult = Result<Arc<dyn Function>, BuildDeviceError>;

/// One kind, as the table holds it.
pub struct Row {
    /// Its name in [`DeviceSpec::kind`].
    pub name: &'static str,
    /// The system calls of its threads.
    pub syscalls: Syscalls,
    /// The system calls that building one makes.
    pub build_syscalls: &'static [libc::c_long],
    /// The version of the state it saves.
    pub state_version: u32,
    check: fn(&DeviceSpec) -> Result<(), BuildDeviceError>,
    build: fn(&DeviceSpec, Vec<File>, &Context) -> BuildResult,
}

impl Row {
    /// The row of kind `K`.
    pub const fn of<K: DeviceKind>() -> Self {
        Self {
            name: K::NAME,
            syscalls: K::SYSCALLS,
            build_syscalls: K::BUILD_SYSCALLS,
            state_version: K::STATE_VERSION,
            check: |spec| parse::<K>(spec, spec.files.len()).map(drop),
            build: |spec, files, context| {
                let config = parse::<K>(spec, files.len())?;
                let built = K::build(&spec.id, config, files, context);
                built.map_err(|source| BuildDeviceError::Kind {
                    id: spec.id.clone(),
                    source: Box::new(source),
                })
            },
        }
    }
}

/// The configuration in `spec`, if it is one and wants as many open files as there are.
fn parse<K: DeviceKind>(spec: &DeviceSpec, given: usize) -> Result<K::Config, BuildDeviceError> {
    let id = || spec.id.clone();
    let config = K::Config::deserialize(&spec.config);
    let config = config.map_err(|source| BuildDeviceError::Config { id: id(), source })?;
    match K::files(&config) {
        wanted if wanted == given => Ok(config),
        wanted => Err(BuildDeviceError::Files {
            id: id(),
            wanted,
            given,
        }),
    }
}

/// All kinds.
pub static KINDS: &[Row] = &[Row::of::<Blk>(), Row::of::<Net>(), Row::of::<Rng>(), Row::of::<Vsock>()];

fn find(spec: &DeviceSpec) -> Result<&'static Row, BuildDeviceError> {
    let row = KINDS.iter().find(|row| row.name == spec.kind);
    row.ok_or_else(|| BuildDeviceError::UnknownKind {
        id: spec.id.clone(),
        kind: spec.kind.clone(),
        known: KINDS.iter().map(|row| row.name).collect::<Vec<_>>().join(", "),
    })
}

/// Says whether [`build`] would understand `spec`, without touching any file: for the moment a launch is asked for.
///
/// # Errors
/// An unknown kind, a configuration it can't read, or a wrong number of files.
pub fn check(spec: &DeviceSpec) -> Result<(), BuildDeviceError> {
    (find(spec)?.check)(spec)
}

/// Makes the device that `spec` describes from its open files, in the order that the specification names them.
///
/// The files are the caller's duplicates: they are closed when the device is dropped.
///
/// # Errors
/// Those of [`check`], and whatever kept its kind from making it.
pub fn build(spec: &DeviceSpec, files: Vec<File>, context: &Context) -> BuildResult {
    (find(spec)?.build)(spec, files, context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FileIndex;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn spec(kind: &str, config: serde_json::Value, files: u8) -> DeviceSpec {
        DeviceSpec {
            kind: kind.to_owned(),
            id: "a device".to_owned(),
            config,
            files: (0..files).map(FileIndex).collect(),
            slot: 1,
            service: None,
        }
    }

    #[test]
    fn what_can_be_built_is_known_before_it_is() {
        let blk = json!({"read_only": false, "queues": 1});
        assert!(check(&spec("blk", blk.clone(), 1)).is_ok());
        assert!(check(&spec("rng", json!({}), 0)).is_ok());
        assert!(check(&spec("vsock", json!({"guest_cid": 3, "notify_port": 1}), 0)).is_ok());
        let unknown = check(&spec("floppy", json!({}), 0)).unwrap_err();
        assert!(unknown.to_string().contains("blk, net, rng, vsock"), "{unknown}");
        assert!(matches!(
            check(&spec("blk", blk, 2)),
            Err(BuildDeviceError::Files {
                wanted: 1,
                given: 2,
                ..
            })
        ));
        for config in [
            json!({}),
            json!(null),
            json!({"read_only": 1, "queues": 1}),
            json!({"read_only": true, "queues": -1}),
        ] {
            assert!(matches!(
                check(&spec("blk", config, 1)),
                Err(BuildDeviceError::Config { .. })
            ));
        }
    }

    #[test]
    fn kinds_have_names_of_their_own_and_no_call_that_opens() {
        let names: BTreeSet<_> = KINDS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for row in KINDS {
            for call in [
                libc::SYS_open,
                libc::SYS_openat,
                libc::SYS_openat2,
                libc::SYS_socket,
                libc::SYS_execve,
            ] {
                assert!(
                    !row.syscalls.numbers.contains(&call) && !row.build_syscalls.contains(&call),
                    "{}",
                    row.name
                );
            }
            // Only by exact request, never as a whole; and none that makes a new interface out of an open tap.
            let whole = |numbers: &[libc::c_long]| numbers.contains(&libc::SYS_ioctl);
            assert!(
                !whole(row.syscalls.numbers) && !whole(row.build_syscalls),
                "{}",
                row.name
            );
            for request in [libc::TUNSETIFF, libc::TUNSETPERSIST, libc::TUNSETOWNER] {
                let allowed = row.syscalls.ioctls.iter().any(|own| u64::from(*own) == request);
                assert!(!allowed, "{}: {request:#x}", row.name);
            }
        }
    }
}
