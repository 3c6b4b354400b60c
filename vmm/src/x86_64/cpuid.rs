//! What the CPUID instruction answers: the host's features as far as KVM can give them, made fit for this machine.
//!
//! The topology is one package of as many cores as the machine has CPUs, one thread each, APIC ids counted from 0.
//! What a guest could see but not use is hidden: performance counters, transactional memory, power and thermal
//! registers. What varies between hosts and means nothing in a guest is made plain: cache sharing, serial numbers.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

/// Applies to the leaf with this number (and to all its subleaves).
type Rule = (u32, fn(&mut kvm_cpuid_entry2, Place));

/// Which CPU of how many.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its id.
    pub id: u8,
    /// How many there are.
    pub count: u8,
    /// Whether the leaves are AMD's rather than Intel's.
    pub amd: bool,
}

impl Place {
    /// Bits of an APIC id that tell the cores of the package apart.
    fn core_bits(self) -> u32 {
        u32::from(self.count).next_power_of_two().trailing_zeros()
    }
}

const RULES: [Rule; 19] = [
    (0x1, features),
    (0x4, caches),
    (0x6, |leaf, _| keep(leaf, ARAT, 0, 0, 0)),
    (0x7, extended_features),
    (0xa, hide),
    (0x12, hide),
    (0x14, hide),
    (0x1c, hide),
    (0x1d, hide),
    (0x1e, hide),
    (0x8000_0001, amd_features),
    (0x8000_0007, |leaf, _| keep(leaf, 0, 0, 0, INVARIANT_TSC)),
    (0x8000_0008, amd_sizes),
    (0x8000_000a, hide),
    (0x8000_001b, hide),
    (0x8000_001c, hide),
    (0x8000_001d, caches),
    (0x8000_001e, amd_topology),
    (0x8000_0022, hide),
];

/// Leaf 6 `eax`: the APIC timer runs in all sleep states.
const ARAT: u32 = 1 << 2;
/// Leaf 0x80000007 `edx`.
const INVARIANT_TSC: u32 = 1 << 8;

/// What CPU `place` answers, made from what KVM supports on this host.
pub fn for_cpu(supported: &CpuId, place: Place) -> CpuId {
    let mut leaves: Vec<kvm_cpuid_entry2> = supported
        .as_slice()
        .iter()
        .filter(|leaf| !matches!(leaf.function, 0xb | 0x1f))
        .copied()
        .collect();
    for leaf in &mut leaves {
        for (function, rule) in RULES {
            if leaf.function == function {
                rule(leaf, place);
            }
        }
    }
    let last_basic = leaves.iter().find(|leaf| leaf.function == 0).map_or(0, |leaf| leaf.eax);
    for function in [0xb, 0x1f].into_iter().filter(|&function| function <= last_basic) {
        leaves.extend(topology(function, place));
    }
    // The list is at most three entries longer than KVM's own, whose bound is far away.
    CpuId::from_entries(&leaves).unwrap_or_else(|_| supported.clone())
}

/// Whether a host with these leaves is one of AMD's, or of a licensee's.
pub fn is_amd(supported: &CpuId) -> bool {
    let vendor = |leaf: &kvm_cpuid_entry2| [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
    let leaf = supported.as_slice().iter().find(|leaf| leaf.function == 0);
    leaf.is_some_and(|leaf| matches!(vendor(leaf).as_slice(), b"AuthenticAMD" | b"HygonGenuine"))
}

/// The physical address bits of a guest on this host.
pub fn physical_bits(supported: &CpuId) -> u8 {
    const WITHOUT_THE_LEAF: u8 = 36;
    let leaf = supported.as_slice().iter().find(|leaf| leaf.function == 0x8000_0008);
    leaf.map_or(WITHOUT_THE_LEAF, |leaf| match leaf.eax.to_le_bytes() {
        [host, _, 0, _] => host,
        // Nested paging reaches less far than the host's own.
        [_, _, guest, _] => guest,
    })
}

fn keep(leaf: &mut kvm_cpuid_entry2, eax: u32, ebx: u32, ecx: u32, edx: u32) {
    leaf.eax &= eax;
    leaf.ebx &= ebx;
    leaf.ecx &= ecx;
    leaf.edx &= edx;
}

/// A leaf about what is hidden: counters, enclaves, tracing, branch records, matrix tiles, nested virtualization.
fn hide(leaf: &mut kvm_cpuid_entry2, _: Place) {
    keep(leaf, 0, 0, 0, 0);
}

fn clear_bits(register: &mut u32, bits: &[u32]) {
    bits.iter().for_each(|&bit| set_bit(register, bit, false));
}

fn set_bit(register: &mut u32, bit: u32, on: bool) {
    *register = *register & !(1 << bit) | u32::from(on) << bit;
}

/// Leaf 1.
fn features(leaf: &mut kvm_cpuid_entry2, place: Place) {
    // In ecx.
    const DTES64: u32 = 2;
    const MONITOR: u32 = 3;
    const DS_CPL: u32 = 4;
    const VMX: u32 = 5;
    const SMX: u32 = 6;
    const SPEEDSTEP: u32 = 7;
    const THERMAL_MONITOR_2: u32 = 8;
    const PDCM: u32 = 15;
    const TSC_DEADLINE: u32 = 24;
    const HYPERVISOR: u32 = 31;
    // In edx.
    const DEBUG_STORE: u32 = 21;
    const THERMAL_CONTROL: u32 = 22;
    const HTT: u32 = 28;
    const THERMAL_MONITOR: u32 = 29;
    const PENDING_BREAK: u32 = 31;
    /// The line that CLFLUSH flushes, in units of eight bytes.
    const CLFLUSH_LINE: u8 = 8;
    leaf.ebx = u32::from_le_bytes([leaf.ebx.to_le_bytes()[0], CLFLUSH_LINE, place.count, place.id]);
    clear_bits(
        &mut leaf.ecx,
        &[DTES64, MONITOR, DS_CPL, VMX, SMX, SPEEDSTEP, THERMAL_MONITOR_2, PDCM],
    );
    // KVM's own local APIC has it; KVM_GET_SUPPORTED_CPUID leaves it to us to say so.
    set_bit(&mut leaf.ecx, TSC_DEADLINE, true);
    set_bit(&mut leaf.ecx, HYPERVISOR, true);
    clear_bits(
        &mut leaf.edx,
        &[DEBUG_STORE, THERMAL_CONTROL, THERMAL_MONITOR, PENDING_BREAK],
    );
    set_bit(&mut leaf.edx, HTT, place.count > 1);
}

/// Leaves 4 (Intel) and 0x8000001D (AMD): each CPU has its own first and second level; all share the third.
fn caches(leaf: &mut kvm_cpuid_entry2, place: Place) {
    const LINE: u32 = 64;
    let kind = leaf.eax & 0x1f;
    if kind == 0 {
        return;
    }
    let level = leaf.eax >> 5 & 7;
    // Intel counts the ids that there could be, AMD the CPUs that there are.
    let intel = leaf.function == 4;
    let cores = if intel {
        (1 << place.core_bits()) - 1
    } else {
        u32::from(place.count) - 1
    };
    let sharing = if level >= 3 { cores } else { 0 };
    let cores_per_package = if intel { cores } else { 0 };
    leaf.eax = leaf.eax & 0x3fff | sharing << 14 | cores_per_package << 26;
    // Line size, partitions and ways as an emulated host may give them are no cache's: keep the size, mend the rest.
    let line = (leaf.ebx & 0xfff) + 1;
    if !(line.is_power_of_two() && (16..=256).contains(&line)) {
        leaf.ebx = leaf.ebx & !0xfff | (LINE - 1);
    }
}

/// Leaf 7: no transactional memory, enclaves, tracing, branch records, matrix tiles; nothing that idles or queues work
/// behind the monitor's back.
fn extended_features(leaf: &mut kvm_cpuid_entry2, _: Place) {
    // Subleaf 0, in ebx.
    const SGX: u32 = 2;
    const HLE: u32 = 4;
    const RTM: u32 = 11;
    const PROCESSOR_TRACE: u32 = 25;
    // In ecx.
    const WAITPKG: u32 = 5;
    const ENQCMD: u32 = 29;
    const SGX_LAUNCH_CONTROL: u32 = 30;
    // In edx.
    const RTM_ALWAYS_ABORT: u32 = 11;
    const TSX_FORCE_ABORT: u32 = 13;
    const ARCH_LBR: u32 = 19;
    const AMX_BF16: u32 = 22;
    const AMX_TILE: u32 = 24;
    const AMX_INT8: u32 = 25;
    // Subleaf 1, in eax and edx.
    const AMX_FP16: u32 = 21;
    const AMX_COMPLEX: u32 = 8;
    match leaf.index {
        0 => {
            clear_bits(&mut leaf.ebx, &[SGX, HLE, RTM, PROCESSOR_TRACE]);
            clear_bits(&mut leaf.ecx, &[WAITPKG, ENQCMD, SGX_LAUNCH_CONTROL]);
            let hidden = [
                RTM_ALWAYS_ABORT,
                TSX_FORCE_ABORT,
                ARCH_LBR,
                AMX_BF16,
                AMX_TILE,
                AMX_INT8,
            ];
            clear_bits(&mut leaf.edx, &hidden);
        }
        1 => {
            clear_bits(&mut leaf.eax, &[AMX_FP16]);
            clear_bits(&mut leaf.edx, &[AMX_COMPLEX]);
        }
        _ => {}
    }
}

/// Leaf 0x80000001: no nested virtualization, no profiling, no counters.
fn amd_features(leaf: &mut kvm_cpuid_entry2, place: Place) {
    const CMP_LEGACY: u32 = 1;
    const SVM: u32 = 2;
    const IBS: u32 = 10;
    const WATCHDOG: u32 = 13;
    const LIGHTWEIGHT_PROFILING: u32 = 15;
    const CORE_COUNTERS: u32 = 23;
    const BRIDGE_COUNTERS: u32 = 24;
    const TSC_COUNTER: u32 = 27;
    const CACHE_COUNTERS: u32 = 28;
    let counters = [CORE_COUNTERS, BRIDGE_COUNTERS, TSC_COUNTER, CACHE_COUNTERS];
    clear_bits(&mut leaf.ecx, &[SVM, IBS, WATCHDOG, LIGHTWEIGHT_PROFILING]);
    clear_bits(&mut leaf.ecx, &counters);
    set_bit(&mut leaf.ecx, CMP_LEGACY, place.amd && place.count > 1);
}

/// Leaf 0x80000008: how many cores, and how wide their part of the APIC id is.
fn amd_sizes(leaf: &mut kvm_cpuid_entry2, place: Place) {
    let guest_bits = leaf.eax >> 16 & 0xff;
    if guest_bits != 0 {
        leaf.eax = leaf.eax & !0xff_00ff | guest_bits;
    }
    leaf.ecx = if place.amd {
        (u32::from(place.count) - 1) | (place.core_bits() << 12)
    } else {
        0
    };
    leaf.edx = 0;
}

/// Leaf 0x8000001E: one thread a core, one node.
fn amd_topology(leaf: &mut kvm_cpuid_entry2, place: Place) {
    (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (place.id.into(), place.id.into(), 0, 0);
}

/// Leaves 0xB and 0x1F: a level of threads, a level of cores, and the end.
fn topology(function: u32, place: Place) -> [kvm_cpuid_entry2; 3] {
    const SIGNIFICANT_INDEX: u32 = 1;
    const THREADS: u32 = 1;
    const CORES: u32 = 2;
    let level = |index, kind: u32, bits, count| kvm_cpuid_entry2 {
        function,
        index,
        flags: SIGNIFICANT_INDEX,
        eax: bits,
        ebx: count,
        ecx: kind << 8 | index,
        edx: place.id.into(),
        ..Default::default()
    };
    [
        level(0, THREADS, 0, 1),
        level(1, CORES, place.core_bits(), place.count.into()),
        level(2, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
        let [eax, ebx, ecx, edx] = registers;
        kvm_cpuid_entry2 {
            function,
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        }
    }

    fn only(leaves: &[kvm_cpuid_entry2], place: Place, function: u32) -> kvm_cpuid_entry2 {
        let supported = CpuId::from_entries(leaves).unwrap();
        let fit = for_cpu(&supported, place);
        *fit.as_slice().iter().find(|leaf| leaf.function == function).unwrap()
    }

    #[test]
    fn each_cpu_has_its_own_apic_id_in_every_leaf() {
        let place = Place {
            id: 3,
            count: 6,
            amd: true,
        };
        let host = [
            leaf(0, [0x1f, 0, 0, 0]),
            leaf(1, [0, 0x0720_0800, 0, 0]),
            leaf(0x8000_001e, [9, 9, 9, 9]),
        ];
        assert_eq!(only(&host, place, 1).ebx >> 24, 3);
        assert_eq!(only(&host, place, 0xb).edx, 3);
        assert_eq!(only(&host, place, 0x8000_001e).eax, 3);
        let supported = CpuId::from_entries(&host).unwrap();
        let cores = for_cpu(&supported, place)
            .as_slice()
            .iter()
            .find(|l| l.function == 0x1f && l.index == 1)
            .copied();
        assert_eq!(cores.map(|l| (l.eax, l.ebx)), Some((3, 6)));
    }

    #[test]
    fn a_cache_line_of_an_emulated_host_is_made_a_power_of_two() {
        let host = [leaf(0x8000_001d, [0x121, 1088, 511, 0])];
        assert_eq!(
            only(
                &host,
                Place {
                    id: 0,
                    count: 1,
                    amd: true
                },
                0x8000_001d
            )
            .ebx & 0xfff,
            63
        );
    }

    #[test]
    fn what_a_guest_can_not_use_is_hidden_and_the_hypervisor_shown() {
        let place = Place {
            id: 0,
            count: 1,
            amd: true,
        };
        let host = [
            leaf(1, [!0; 4]),
            leaf(7, [!0; 4]),
            leaf(0xa, [!0; 4]),
            leaf(0x8000_0001, [!0; 4]),
        ];
        let features = only(&host, place, 1);
        assert_eq!(features.ecx & (1 << 15 | 1 << 5 | 1 << 3), 0);
        assert_eq!(features.ecx >> 31, 1);
        assert_eq!(only(&host, place, 7).ebx & (1 << 4 | 1 << 11), 0);
        assert_eq!(only(&host, place, 0xa).eax, 0);
        assert_eq!(only(&host, place, 0x8000_0001).ecx & 1 << 2, 0);
    }
}
