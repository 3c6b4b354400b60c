//! What the process gives up before it reads the first byte from anybody: its view of files, network and names, its
//! user, its capabilities, and the hope of getting any of it back.

use crate::arguments::Arguments;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, UnshareFlags};
use rustix::{fs, mount, process, thread};
use std::ffi::CString;

/// Whom the process becomes.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

/// A step of locking in that failed.
#[derive(Debug, thiserror::Error)]
#[error("The sandbox could not {action}: kiln-vmm must be started by root (or, in tests, with --sandbox=partial)")]
pub struct SandboxError {
    /// What should have been done.
    pub action: &'static str,
    /// Why it was not.
    #[source]
    pub source: std::io::Error,
}

type Step = (&'static str, fn(&Arguments) -> Result<(), Errno>);

/// In this order: a step may need what a later one gives up.
const STEPS: [Step; 9] = [
    ("close the descriptors it inherited", |_| close_inherited()),
    ("bound what it may use", |_| limit_resources()),
    ("leave the host's namespaces", leave_namespaces),
    ("empty its root directory", |_| empty_root()),
    ("empty the bounding set of capabilities", |_| empty_bounding_set()),
    ("become its own user", |arguments| become_user(arguments.identity)),
    ("drop its capabilities", |_| drop_capabilities()),
    ("make itself undumpable", |_| {
        process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable)
    }),
    ("renounce new privileges", |_| thread::set_no_new_privs(true)),
];

/// Locks the process in, as `arguments` say. It must have one thread. With `partial`, steps that fail are told and left out.
///
/// # Errors
/// The first step that failed; what was done before it stays done.
pub fn lock_in(arguments: &Arguments) -> Result<Vec<SandboxError>, SandboxError> {
    let mut left_out = Vec::new();
    for (action, step) in STEPS {
        match step(arguments).map_err(|errno| SandboxError {
            action,
            source: errno.into(),
        }) {
            Err(error) if arguments.partial => left_out.push(error),
            other => other?,
        }
    }
    Ok(left_out)
}

/// All beyond the standard ones and the control socket.
fn close_inherited() -> Result<(), Errno> {
    // SAFETY: at this point nothing in the process owns a descriptor above the control socket's.
    let result = unsafe { libc::syscall(libc::SYS_close_range, crate::CONTROL_FD + 1, u32::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}

fn limit_resources() -> Result<(), Errno> {
    /// Enough for a few hundred queues.
    const FILES: u64 = 2048;
    let exactly = |value| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    process::setrlimit(Resource::Core, exactly(0))?;
    process::setrlimit(Resource::Nofile, exactly(FILES))
}

/// The network of a VPC that a monitor stays in is no way out: it has no system call that makes a socket.
fn leave_namespaces(arguments: &Arguments) -> Result<(), Errno> {
    let mut left = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    left.set(UnshareFlags::NEWNET, !arguments.keep_network);
    // SAFETY: the process has one thread, and no descriptor table is unshared.
    unsafe { thread::unshare_unsafe(left) }
}

/// An empty, read-only file system becomes the root; the host's is detached.
fn empty_root() -> Result<(), Errno> {
    /// Any directory will do to mount upon: it is seen in this namespace only, and for a moment.
    const PLACE: &str = "/proc";
    mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = CString::from(c"size=4k,nr_inodes=1,mode=0555");
    mount::mount("kiln-vmm", PLACE, "tmpfs", flags, options.as_c_str())?;
    process::chdir(PLACE)?;
    process::pivot_root(".", ".")?;
    mount::unmount(".", UnmountFlags::DETACH)?;
    process::chdir("/")?;
    mount::mount_remount("/", flags | MountFlags::RDONLY, options.as_c_str())
}

fn empty_bounding_set() -> Result<(), Errno> {
    for capability in CapabilitySet::all().iter() {
        match thread::remove_capability_from_bounding_set(capability) {
            // This kernel is older than that capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn become_user(identity: Identity) -> Result<(), Errno> {
    let (uid, gid) = (fs::Uid::from_raw(identity.uid), fs::Gid::from_raw(identity.gid));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)
}

fn drop_capabilities() -> Result<(), Errno> {
    let none = thread::CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, none)
}
