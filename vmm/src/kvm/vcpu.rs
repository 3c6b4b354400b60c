//! One CPU of the guest: what its exits mean, and what is told when it dies.
//!
//! A [`Vcpu`] is run on a thread of its own (`vcpus`). [`Vcpu::run`] makes no system call but `KVM_RUN`; what the
//! devices do in it is ioctls and futexes at most.
//!
//! A thread is taken out of `KVM_RUN` by a signal. Its handler sets `immediate_exit` of the CPU that runs on the
//! thread, so a signal that comes just before `KVM_RUN` is not lost: `KVM_RUN` then returns at once.

use crate::bus::Bus;
use kvm_bindings::{CpuId, kvm_lapic_state, kvm_regs, kvm_run, kvm_sregs};
use kvm_ioctls::{VcpuExit, VcpuFd};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use super::vm::{VmError, ioctl};

thread_local! {
    /// `immediate_exit` of the CPU that this thread runs; null while it runs none.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// The signal that takes a thread out of `KVM_RUN`.
pub fn kick_signal() -> c_int {
    SIGRTMIN()
}

extern "C" fn on_kick(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    let flag = IMMEDIATE_EXIT.get();
    if !flag.is_null() {
        // SAFETY: a non-null pointer is into the `kvm_run` page of the CPU that this very thread runs (`Vcpu::run`).
        unsafe { flag.write_volatile(1) }
    }
}

/// Installs the handler of [`kick_signal`]; once a process.
pub fn install_kick_handler() -> Result<(), VmError> {
    register_signal_handler(kick_signal(), on_kick).map_err(ioctl("set a signal handler"))
}

/// Where a CPU's accesses to devices go.
#[derive(Clone, Default)]
pub struct Buses {
    /// Port I/O.
    pub ports: std::sync::Arc<Bus>,
    /// Memory-mapped I/O.
    pub memory: std::sync::Arc<Bus>,
}

/// How a guest's CPU died, with its registers as far as KVM still tells them.
#[derive(Debug)]
pub struct Death {
    /// Which CPU.
    pub cpu: u8,
    /// What KVM said.
    pub exit: String,
    /// General and special registers.
    pub registers: Option<Box<(kvm_regs, kvm_sregs)>>,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "CPU {}: {}", self.cpu, self.exit)?;
        let Some((r, s)) = self.registers.as_deref() else {
            return writeln!(f, "Its registers could not be read");
        };
        writeln!(f, "rip {:016x}  rsp {:016x}  rflags {:08x}", r.rip, r.rsp, r.rflags)?;
        writeln!(
            f,
            "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}",
            r.rax, r.rbx, r.rcx, r.rdx
        )?;
        writeln!(
            f,
            "rsi {:016x}  rdi {:016x}  rbp {:016x}  r8  {:016x}",
            r.rsi, r.rdi, r.rbp, r.r8
        )?;
        writeln!(
            f,
            "r9  {:016x}  r10 {:016x}  r11 {:016x}  r12 {:016x}",
            r.r9, r.r10, r.r11, r.r12
        )?;
        writeln!(f, "r13 {:016x}  r14 {:016x}  r15 {:016x}", r.r13, r.r14, r.r15)?;
        writeln!(
            f,
            "cr0 {:016x}  cr2 {:016x}  cr3 {:016x}  cr4 {:016x}",
            s.cr0, s.cr2, s.cr3, s.cr4
        )?;
        writeln!(
            f,
            "cs {:04x}  ss {:04x}  ds {:04x}  efer {:x}",
            s.cs.selector, s.ss.selector, s.ds.selector, s.efer
        )?;
        writeln!(
            f,
            "gdt {:x}+{:x}  idt {:x}+{:x}",
            s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit
        )
    }
}

/// One CPU in KVM.
pub struct Vcpu {
    id: u8,
    fd: VcpuFd,
}

impl Vcpu {
    pub(super) fn new(id: u8, fd: VcpuFd) -> Self {
        Self { id, fd }
    }

    /// Which CPU it is, counted from 0: its APIC id.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Sets what the CPUID instruction answers.
    pub fn set_cpuid(&self, cpuid: &CpuId) -> Result<(), VmError> {
        self.fd.set_cpuid2(cpuid).map_err(ioctl("set CPU features"))
    }

    /// Sets model-specific registers. One that KVM does not know is an error: the caller sets none that a kernel of
    /// today could lack.
    pub fn set_msrs(&self, values: &[(u32, u64)]) -> Result<(), VmError> {
        let entries: Vec<_> = values
            .iter()
            .map(|&(index, data)| kvm_bindings::kvm_msr_entry {
                index,
                data,
                ..Default::default()
            })
            .collect();
        let refused = || ioctl("set model-specific registers")(kvm_ioctls::Error::new(libc::EINVAL));
        let msrs = kvm_bindings::Msrs::from_entries(&entries).map_err(|_| refused())?;
        let set = self.fd.set_msrs(&msrs).map_err(ioctl("set model-specific registers"))?;
        if set == entries.len() { Ok(()) } else { Err(refused()) }
    }

    /// The special registers.
    pub fn sregs(&self) -> Result<kvm_sregs, VmError> {
        self.fd.get_sregs().map_err(ioctl("tell the special registers"))
    }

    /// Sets the special registers.
    pub fn set_sregs(&self, sregs: &kvm_sregs) -> Result<(), VmError> {
        self.fd.set_sregs(sregs).map_err(ioctl("set the special registers"))
    }

    /// Sets the general registers.
    pub fn set_regs(&self, regs: &kvm_regs) -> Result<(), VmError> {
        self.fd.set_regs(regs).map_err(ioctl("set the registers"))
    }

    /// The registers of the local APIC.
    pub fn lapic(&self) -> Result<kvm_lapic_state, VmError> {
        self.fd.get_lapic().map_err(ioctl("tell the local APIC's registers"))
    }

    /// Sets the registers of the local APIC.
    pub fn set_lapic(&self, lapic: &kvm_lapic_state) -> Result<(), VmError> {
        self.fd
            .set_lapic(lapic)
            .map_err(ioctl("set the local APIC's registers"))
    }

    /// Runs the CPU on this thread until `stop` is set (and the thread kicked) or the CPU dies.
    ///
    /// # Errors
    /// How it died.
    pub fn run(&mut self, buses: &Buses, stop: &AtomicBool) -> Result<(), Death> {
        let run: *mut kvm_run = self.fd.get_kvm_run();
        // SAFETY: the page stays mapped as long as `self.fd`, which outlives the guard below.
        IMMEDIATE_EXIT.set(unsafe { &raw mut (*run).immediate_exit });
        let _guard = ClearOnDrop;
        while !stop.load(Ordering::Acquire) {
            self.step(run, buses)?;
        }
        Ok(())
    }

    fn step(&mut self, run: *const kvm_run, buses: &Buses) -> Result<(), Death> {
        let died = match self.fd.run() {
            Ok(VcpuExit::IoOut(port, data)) => {
                // SAFETY: `run` is the live page of this CPU and KVM just filled its `io` part; `data` lies behind it.
                let size = unsafe { (*run).__bindgen_anon_1.io.size };
                data.chunks(size.max(1).into())
                    .for_each(|item| buses.ports.write(port.into(), item));
                return Ok(());
            }
            Ok(VcpuExit::IoIn(port, data)) => {
                // SAFETY: as above.
                let size = unsafe { (*run).__bindgen_anon_1.io.size };
                data.chunks_mut(size.max(1).into())
                    .for_each(|item| buses.ports.read(port.into(), item));
                return Ok(());
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                buses.memory.read(address, data);
                return Ok(());
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                buses.memory.write(address, data);
                return Ok(());
            }
            Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => return Ok(()),
            Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => {
                self.fd.set_kvm_immediate_exit(0);
                return Ok(());
            }
            Ok(VcpuExit::Shutdown) => return Err(self.triple_fault()),
            Ok(VcpuExit::FailEntry(reason, cpu)) => {
                format!(
                    "The processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY, reason {reason:#x}, host CPU {cpu})"
                )
            }
            Ok(VcpuExit::InternalError) => internal_error(self.fd.get_kvm_run()),
            Ok(exit) => format!("An exit that no guest should cause: {exit:?}"),
            Err(e) => format!("KVM_RUN failed: {e}"),
        };
        Err(self.death(died))
    }

    fn triple_fault(&self) -> Death {
        /// Where a CPU begins after its reset.
        const RESET_VECTOR: u64 = 0xfff0;
        let mut death = self.death("Triple fault (KVM_EXIT_SHUTDOWN)".to_owned());
        if death
            .registers
            .as_ref()
            .is_some_and(|registers| registers.0.rip == RESET_VECTOR)
        {
            death.exit += "; KVM on AMD processors resets the CPU at once, so these are not the registers it died with";
        }
        death
    }

    fn death(&self, exit: String) -> Death {
        let registers = self.fd.get_regs().ok().zip(self.fd.get_sregs().ok()).map(Box::new);
        Death {
            cpu: self.id,
            exit,
            registers,
        }
    }
}

struct ClearOnDrop;

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        IMMEDIATE_EXIT.set(ptr::null_mut());
    }
}

/// What KVM says of an instruction that it could not run (`KVM_EXIT_INTERNAL_ERROR`).
fn internal_error(run: &kvm_run) -> String {
    const EMULATION: u32 = 1;
    const INSTRUCTION_BYTES: u64 = 1;
    // SAFETY: the exit reason says that KVM filled this part of the union; all of it is plain numbers.
    let (internal, emulation) = unsafe { (run.__bindgen_anon_1.internal, run.__bindgen_anon_1.emulation_failure) };
    let mut text = format!(
        "KVM could not go on (KVM_EXIT_INTERNAL_ERROR, suberror {}",
        internal.suberror
    );
    if internal.suberror == EMULATION && emulation.ndata >= 3 && emulation.flags & INSTRUCTION_BYTES != 0 {
        // SAFETY: as above.
        let instruction = unsafe { emulation.__bindgen_anon_1.__bindgen_anon_1 };
        let length = usize::from(instruction.insn_size).min(instruction.insn_bytes.len());
        text += &format!(
            ": no emulation of the instruction {:02x?}",
            &instruction.insn_bytes[..length]
        );
    } else {
        let count = usize::try_from(internal.ndata)
            .unwrap_or(usize::MAX)
            .min(internal.data.len());
        text += &format!(", data {:x?}", &internal.data[..count]);
    }
    text + ")"
}
