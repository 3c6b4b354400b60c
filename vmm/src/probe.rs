//! `kiln-vmm probe`: says whether this host's KVM can run stock kernels, by running a few instructions that they use.
//!
//! KVM without hardware support may be software that emulates ring 0: it answers every ioctl but lacks instructions
//! that no kernel does without. `kiln doctor` and the test lab ask this. Prints one line of JSON, exits 0 or 1.

use crate::bus::{BusDevice, BusError};
use crate::kvm::memory::{self, MemoryError};
use crate::kvm::vcpu::{Buses, Death, install_kick_handler};
use crate::kvm::vm::{Host, VmError};
use crate::machine::report::chain;
use crate::x86_64::cpu::{self, CpuError};
use crate::x86_64::cpuid;
use crate::x86_64::kernel::Entry;
use std::fs::OpenOptions;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

/// Why a host can't run stock kernels.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no `/dev/kvm`, or not for us.
    #[error("/dev/kvm can't be opened")]
    Open(#[source] io::Error),
    /// KVM refused something.
    #[error("KVM refuses the probe guest")]
    Kvm(#[from] VmError),
    /// The probe guest has no memory.
    #[error("The probe guest has no memory")]
    Memory(#[from] MemoryError),
    /// The probe guest could not be written.
    #[error("The probe guest can't be written")]
    Write(#[from] GuestMemoryError),
    /// The probe guest's CPU could not be prepared.
    #[error("The probe guest's CPU can't be prepared")]
    Cpu(#[from] CpuError),
    /// The probe guest's device could not be placed.
    #[error("The probe guest's port can't be placed")]
    Bus(#[from] BusError),
    /// The probe guest neither ended nor died.
    #[error("The probe guest did not end within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// An instruction of the probe guest did not run.
    #[error("KVM can't run `{instruction}` in ring 0, which stock kernels need: {exit}")]
    Instruction {
        /// Which.
        instruction: &'static str,
        /// What KVM said.
        exit: String,
    },
}

/// How long a few instructions may take, on an emulated host as well.
const PATIENCE: Duration = Duration::from_secs(20);
/// The port on which the probe guest says how far it came.
const PROGRESS_PORT: u64 = 0xf4;
const CODE: u64 = 0x10_0000;
const IDT: u64 = 0x1_0000;
const STACK: u64 = 0x8_0000;
/// Said when all has run.
const DONE: u8 = 0xff;
/// What progress byte `n` says has run before it: what runs next is at `n`.
const INSTRUCTIONS: [&str; 4] = ["mov", "popcnt", "cmpxchg16b", "int3"];

/// 64-bit code, entered with a stack; `say(n)` is `mov $n, %al; out %al, $0xf4`.
const GUEST: &[u8] = &[
    0xb0, 0x01, 0xe6, 0xf4, // say(1)
    0xbb, 0xff, 0x00, 0x00, 0x00, // mov $0xff, %ebx
    0xf3, 0x0f, 0xb8, 0xcb, // popcnt %ebx, %ecx
    0xb0, 0x02, 0xe6, 0xf4, // say(2)
    0x31, 0xc0, 0x31, 0xd2, 0x31, 0xdb, 0x31, 0xc9, // xor all four
    0xbf, 0x00, 0x00, 0x07, 0x00, // mov $0x70000, %edi
    0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b (%rdi)
    0xb0, 0x03, 0xe6, 0xf4, // say(3)
    0x0f, 0x01, 0x1c, 0x25, 0xf0, 0x0f, 0x01, 0x00, // lidt 0x10ff0
    0xcc, // int3: its handler follows
    0xf4, // hlt: not reached
    0xb0, 0xff, 0xe6, 0xf4, // say(DONE)
    0xf4, // hlt
];
/// Where the handler of int3 begins in [`GUEST`].
const HANDLER: u64 = 4 + 5 + 4 + 4 + 8 + 5 + 5 + 4 + 8 + 1 + 1;

struct Progress {
    reached: AtomicU8,
    stop: Arc<AtomicBool>,
}

impl BusDevice for Progress {
    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, _: u64, data: &[u8]) {
        if let Some(&byte) = data.first() {
            self.reached.store(byte, Ordering::Relaxed);
            self.stop.store(byte == DONE, Ordering::Relaxed);
        }
    }
}

/// Runs the probe.
///
/// # Errors
/// What a stock kernel would lack here.
pub fn probe() -> Result<(), ProbeError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(ProbeError::Open)?;
    let host = Host::new(file)?;
    install_kick_handler()?;
    let memory = memory::allocate(16 << 20)?;
    let mut vm = host.create_vm()?;
    vm.set_memory(memory.clone())?;
    let mut vcpu = vm.create_vcpu(0)?;
    let supported = host.supported_cpuid()?;
    let place = cpuid::Place {
        id: 0,
        count: 1,
        amd: cpuid::is_amd(&supported),
    };
    vcpu.set_cpuid(&cpuid::for_cpu(&supported, place))?;
    cpu::set_up(&vcpu)?;
    write_guest(&memory)?;
    cpu::enter(&vcpu, &memory, Entry::Linux64(CODE))?;
    let stop = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(Progress {
        reached: AtomicU8::new(0),
        stop: Arc::clone(&stop),
    });
    let buses = Buses::default();
    buses
        .ports
        .insert(PROGRESS_PORT, 1, Arc::<Progress>::clone(&progress))?;
    vcpu.run(&buses, &stop).map_err(|death: Death| {
        let at = usize::from(progress.reached.load(Ordering::Relaxed));
        let instruction = INSTRUCTIONS.get(at).copied().unwrap_or("hlt");
        ProbeError::Instruction {
            instruction,
            exit: death.exit,
        }
    })
}

fn write_guest(memory: &memory::Memory) -> Result<(), GuestMemoryError> {
    const BREAKPOINT: u64 = 3;
    const CODE_SELECTOR: u64 = 0x10;
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e;
    memory.write_slice(GUEST, GuestAddress(CODE))?;
    let handler = CODE + HANDLER;
    let gate = handler & 0xffff | CODE_SELECTOR << 16 | PRESENT_INTERRUPT_GATE << 40 | (handler >> 16 & 0xffff) << 48;
    memory.write_obj(gate, GuestAddress(IDT + BREAKPOINT * 16))?;
    memory.write_obj(0xfffu16, GuestAddress(IDT + 0xff0))?;
    memory.write_obj(IDT, GuestAddress(IDT + 0xff2))?;
    memory.write_obj(0u64, GuestAddress(STACK))
}

/// The subcommand.
pub fn main() -> ExitCode {
    let (sender, outcome) = channel();
    // Left behind if it does not end; the process ends it.
    thread::spawn(move || sender.send(probe()));
    let (usable, reason) = match outcome.recv_timeout(PATIENCE).unwrap_or(Err(ProbeError::TimedOut)) {
        Ok(()) => (true, None),
        Err(error) => (false, Some(chain(&error))),
    };
    println!("{}", serde_json::json!({ "stock_kernels": usable, "reason": reason }));
    if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
