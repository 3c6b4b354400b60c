//! The threads that run the guest's CPUs: made paused, released together, stopped and joined by the machine.

use crate::kvm::vcpu::{Buses, Death, Vcpu, kick_signal};
use crate::sandbox::{self, Filters};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use vmm_sys_util::signal::Killable;

/// Stack of a CPU's thread, in bytes.
const STACK: usize = 128 << 10;

/// Takes word of a CPU that died. Called on its thread.
pub type OnDeath = Arc<dyn Fn(Death) + Send + Sync>;

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(|e| e.into_inner()) = true;
        self.opened.notify_all();
    }
}

/// All CPUs of a machine. Dropping them stops them.
pub struct Vcpus {
    threads: Vec<JoinHandle<()>>,
    gate: Arc<Gate>,
    stop: Arc<AtomicBool>,
}

impl Vcpus {
    /// Makes a thread for each of `vcpus`; none runs its CPU before [`Self::release`].
    pub fn spawn(vcpus: Vec<Vcpu>, buses: &Buses, on_death: &OnDeath, filters: &Arc<Filters>) -> io::Result<Self> {
        let mut all = Self {
            threads: Vec::new(),
            gate: Arc::default(),
            stop: Arc::default(),
        };
        for mut vcpu in vcpus {
            let (gate, stop) = (Arc::clone(&all.gate), Arc::clone(&all.stop));
            let (buses, on_death, filters) = (buses.clone(), Arc::clone(on_death), Arc::clone(filters));
            let body = move || {
                sandbox::confine(&filters.vcpu);
                gate.pass();
                if let Err(death) = vcpu.run(&buses, &stop) {
                    on_death(death);
                }
            };
            let name = format!("vcpu{}", all.threads.len());
            all.threads
                .push(thread::Builder::new().name(name).stack_size(STACK).spawn(body)?);
        }
        Ok(all)
    }

    /// Lets the CPUs run.
    pub fn release(&self) {
        self.gate.open();
    }
}

impl Drop for Vcpus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.gate.open();
        for thread in &self.threads {
            // It fails only where the thread has ended by itself.
            let _ = thread.kill(kick_signal());
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended the process.
            let _ = thread.join();
        }
    }
}
