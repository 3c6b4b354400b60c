//! The state a CPU starts in: its segments, control registers, model-specific registers and local APIC.
//!
//! `machine` calls [`set_up`] for every CPU and [`enter`] for the first; the others wait for the guest's INIT and SIPI,
//! which KVM handles.

use super::kernel::Entry;
use super::layout;
use crate::kvm::memory::Memory;
use crate::kvm::vcpu::Vcpu;
use crate::kvm::vm::VmError;
use kvm_bindings::{kvm_lapic_state, kvm_regs, kvm_segment};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

/// Why a CPU could not be given its first state.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// KVM refused it.
    #[error("KVM refused the CPU's first state")]
    Kvm(#[from] VmError),
    /// The tables that it needs could not be written.
    #[error("The CPU's first tables can't be written to guest memory")]
    Memory(#[from] GuestMemoryError),
}

/// Gives `vcpu` what every CPU has after reset: memory types as firmware leaves them, and the wiring of its APIC.
pub fn set_up(vcpu: &Vcpu) -> Result<(), CpuError> {
    const MISC_ENABLE: u32 = 0x1a0;
    const FAST_STRINGS: u64 = 1;
    const MTRR_DEFAULT_TYPE: u32 = 0x2ff;
    /// MTRRs on, and all that they don't name is write-back.
    const WRITE_BACK: u64 = 1 << 11 | 6;
    const LVT_LINT0: usize = 0x350;
    const LVT_LINT1: usize = 0x360;
    const EXTINT: u32 = 7 << 8;
    const NMI: u32 = 4 << 8;

    vcpu.set_msrs(&[(MISC_ENABLE, FAST_STRINGS), (MTRR_DEFAULT_TYPE, WRITE_BACK)])?;
    let mut lapic = vcpu.lapic()?;
    set_delivery(&mut lapic, LVT_LINT0, EXTINT);
    set_delivery(&mut lapic, LVT_LINT1, NMI);
    vcpu.set_lapic(&lapic)?;
    Ok(())
}

fn set_delivery(lapic: &mut kvm_lapic_state, register: usize, mode: u32) {
    const MODE: u32 = 7 << 8;
    let bytes = lapic.regs[register..register + 4].iter().map(|&b| b.cast_unsigned());
    let value = bytes.rev().fold(0u32, |value, byte| value << 8 | u32::from(byte)) & !MODE | mode;
    for (target, byte) in lapic.regs[register..].iter_mut().zip(value.to_le_bytes()) {
        *target = byte.cast_signed();
    }
}

/// Points `vcpu` at the kernel's entry.
pub fn enter(vcpu: &Vcpu, memory: &Memory, entry: Entry) -> Result<(), CpuError> {
    const FLAGS: u64 = 2;
    let mut sregs = vcpu.sregs()?;
    let long = matches!(entry, Entry::Linux64(_));
    write_gdt(memory, long)?;
    sregs.gdt.base = layout::GDT;
    sregs.gdt.limit = 0x2f;
    sregs.cs = segment(CODE, 0xb, long);
    let data = segment(DATA, 3, false);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = kvm_segment {
        selector: TASK,
        limit: 0x67,
        type_: 0xb,
        present: 1,
        ..Default::default()
    };
    sregs.cr0 = 0x11; // protected mode; the coprocessor's type bit is always on
    let mut regs = kvm_regs {
        rflags: FLAGS,
        ..Default::default()
    };
    match entry {
        Entry::Pvh(address) => (regs.rip, regs.rbx) = (address, layout::PVH_START_INFO),
        Entry::Linux64(address) => {
            write_page_tables(memory)?;
            sregs.cr3 = layout::PAGE_TABLES;
            sregs.cr4 = 1 << 5; // physical address extension
            sregs.cr0 |= 1 << 31; // paging
            sregs.efer = 1 << 8 | 1 << 10; // long mode, enabled and active
            (regs.rip, regs.rsi, regs.rsp) = (address, layout::ZERO_PAGE, layout::BOOT_STACK);
        }
    }
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&regs)?;
    Ok(())
}

/// A flat segment of 4 GiB.
fn segment(selector: u16, type_: u8, long: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 0,
        db: u8::from(!long),
        s: 1,
        l: u8::from(long),
        g: 1,
        ..Default::default()
    }
}

/// Writes the descriptors that [`segment`] loads, for a kernel that reloads them before it brings its own.
fn write_gdt(memory: &Memory, long: bool) -> Result<(), GuestMemoryError> {
    let code: u64 = if long {
        0x00af_9b00_0000_ffff
    } else {
        0x00cf_9b00_0000_ffff
    };
    let entries: [u64; 6] = [0, 0, code, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067, 0];
    for (address, entry) in (layout::GDT..).step_by(8).zip(entries) {
        memory.write_obj(entry, GuestAddress(address))?;
    }
    Ok(())
}

/// Maps the first 4 GiB to themselves with pages of 2 MiB, as the 64-bit boot protocol wants.
fn write_page_tables(memory: &Memory) -> Result<(), GuestMemoryError> {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let third = layout::PAGE_TABLES + 0x1000;
    let second = layout::PAGE_TABLES + 0x2000;
    memory.write_obj(third | PRESENT_WRITABLE, GuestAddress(layout::PAGE_TABLES))?;
    for gib in 0..4 {
        memory.write_obj(
            (second + gib * 0x1000) | PRESENT_WRITABLE,
            GuestAddress(third + gib * 8),
        )?;
    }
    for page in 0..2048u64 {
        memory.write_obj(page << 21 | LARGE | PRESENT_WRITABLE, GuestAddress(second + page * 8))?;
    }
    Ok(())
}
