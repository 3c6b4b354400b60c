//! Locking in: first the process ([`process`]), then each thread by its kind ([`seccomp`]).
//!
//! `main` calls [`process::lock_in`] before it accepts a connection. Threads confine themselves as their first act, with
//! filters that were compiled before ([`Filters`]).

pub mod process;
pub mod seccomp;

use crate::registry::{self, Syscalls, Threads};
use seccomp::{Filter, FilterError};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Stack of a device's thread, in bytes.
const DEVICE_STACK: usize = 256 << 10;

/// The filters of all kinds of threads.
pub struct Filters {
    /// Of the thread that serves the control socket.
    pub control: Filter,
    /// Of the thread that builds and ends the machine.
    pub machine: Filter,
    /// Of the console thread.
    pub console: Filter,
    /// Of the thread that answers the guest.
    pub guest: Filter,
    /// Of threads that run a CPU.
    pub vcpu: Filter,
}

impl Filters {
    /// Compiles them.
    pub fn compile() -> Result<Arc<Self>, FilterError> {
        let devices: Vec<Syscalls> = registry::KINDS
            .iter()
            .flat_map(|row| [row.syscalls, Syscalls::without_ioctls(row.build_syscalls)])
            .collect();
        Ok(Arc::new(Self {
            control: Filter::control()?,
            machine: Filter::machine(&devices)?,
            console: Filter::console()?,
            guest: Filter::guest()?,
            vcpu: Filter::vcpu()?,
        }))
    }
}

/// Confines the calling thread; where that fails, the process must not go on.
pub fn confine(filter: &Filter) {
    if let Err(error) = filter.install() {
        eprintln!("kiln-vmm: {error}");
        std::process::abort();
    }
}

/// Makes the threads of devices, each confined to its kind's list.
pub struct DeviceThreads;

impl Threads for DeviceThreads {
    fn spawn(&self, name: &str, syscalls: Syscalls, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        let filter = Filter::device(syscalls).map_err(io::Error::other)?;
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(DEVICE_STACK)
            .spawn(move || {
                confine(&filter);
                drop(filter);
                body();
            })
    }
}
