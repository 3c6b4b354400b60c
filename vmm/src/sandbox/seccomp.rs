//! Which system calls a thread may make: one list a kind of thread, and the process dies at any other.
//!
//! A filter can only be narrowed, and threads inherit their maker's. So the machine thread, which makes the threads of
//! CPUs and devices, may do whatever they may; the control thread is confined after it has made the machine thread.
//! The list of CPUs' threads has no reading, writing, syncing or opening in it at all: that is how it holds that a
//! guest's CPU never waits for a disk or a socket.

use crate::registry::Syscalls;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// The number of a system call, as `libc::SYS_…`.
pub type Syscall = libc::c_long;

/// Memory, locks, the clock, signals, and ending: what the runtime needs in every thread.
const EVERY: &[Syscall] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

const CONSOLE: &[Syscall] = &[
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_write,
];

const CONTROL: &[Syscall] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_getsockopt,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_statx,
    libc::SYS_write,
];

/// No `socket`, `bind` or `connect`: there are the sockets that came with the launch, and what they accept.
const GUEST: &[Syscall] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_write,
];

/// Beside what the threads that it makes may do.
const MACHINE: &[Syscall] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_lseek,
    libc::SYS_prctl,
    libc::SYS_read,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_seccomp,
    libc::SYS_set_robust_list,
    libc::SYS_statx,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
];

/// Which of KVM's ioctls a thread may make.
#[derive(Debug, Clone, Copy)]
enum KvmIoctls {
    None,
    /// `KVM_IRQ_LINE`: what is typed at the console interrupts the guest.
    IrqLine,
    All,
}

/// A filter ready to be installed.
pub struct Filter(BpfProgram);

/// Why a filter could not be made or installed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The list can't be compiled.
    #[error("A seccomp filter can't be compiled")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel refused it.
    #[error("A seccomp filter can't be installed; kiln-vmm needs a kernel with CONFIG_SECCOMP_FILTER")]
    Install(#[source] seccompiler::Error),
}

impl Filter {
    /// For the thread that serves the control socket.
    pub fn control() -> Result<Self, FilterError> {
        Self::compile(&[EVERY, CONTROL], KvmIoctls::IrqLine, &[])
    }

    /// For the console thread.
    pub fn console() -> Result<Self, FilterError> {
        Self::compile(&[EVERY, CONSOLE], KvmIoctls::None, &[])
    }

    /// For the thread that answers the guest.
    pub fn guest() -> Result<Self, FilterError> {
        Self::compile(&[EVERY, GUEST], KvmIoctls::None, &[])
    }

    /// For threads that run a guest's CPU: KVM's ioctls and futexes.
    pub fn vcpu() -> Result<Self, FilterError> {
        Self::compile(&[EVERY], KvmIoctls::All, &[])
    }

    /// For the threads of a device kind that makes `syscalls`.
    pub fn device(syscalls: Syscalls) -> Result<Self, FilterError> {
        Self::compile(&[EVERY, syscalls.numbers], KvmIoctls::All, syscalls.ioctls)
    }

    /// For the machine thread; `devices` are the lists of all device kinds.
    pub fn machine(devices: &[Syscalls]) -> Result<Self, FilterError> {
        let mut lists = vec![EVERY, CONSOLE, GUEST, MACHINE];
        lists.extend(devices.iter().map(|device| device.numbers));
        let ioctls: Vec<u32> = devices.iter().flat_map(|device| device.ioctls).copied().collect();
        Self::compile(&lists, KvmIoctls::All, &ioctls)
    }

    fn compile(lists: &[&[Syscall]], kvm: KvmIoctls, ioctls: &[u32]) -> Result<Self, FilterError> {
        let mut rules: BTreeMap<Syscall, Vec<SeccompRule>> = lists
            .iter()
            .flat_map(|list| list.iter())
            .map(|&call| (call, Vec::new()))
            .collect();
        let get_flags = fcntl_get_flags().map_err(FilterError::Compile)?;
        rules.entry(libc::SYS_fcntl).or_insert_with(|| vec![get_flags]);
        if let Some(options) = rules.get_mut(&libc::SYS_setsockopt) {
            options.extend(socket_options().map_err(FilterError::Compile)?);
        }
        let ioctls = ioctl_rules(kvm, ioctls).map_err(FilterError::Compile)?;
        if !ioctls.is_empty() {
            rules.insert(libc::SYS_ioctl, ioctls);
        }
        SeccompFilter::new(
            rules,
            SeccompAction::KillProcess,
            SeccompAction::Allow,
            TargetArch::x86_64,
        )
        .and_then(TryInto::try_into)
        .map(Self)
        .map_err(FilterError::Compile)
    }

    /// Confines the calling thread, for ever.
    pub fn install(&self) -> Result<(), FilterError> {
        seccompiler::apply_filter(&self.0).map_err(FilterError::Install)
    }
}

impl KvmIoctls {
    /// The bits of the request number that are looked at, and what they must be.
    fn pattern(self) -> Option<(u64, u64)> {
        /// Of all KVM's ioctls: their type, in the second byte.
        const TYPE: (u64, u64) = (0xff00, 0xae00);
        const KVM_IRQ_LINE: (u64, u64) = (WHOLE, 0x4008_ae61);
        match self {
            Self::None => None,
            Self::IrqLine => Some(KVM_IRQ_LINE),
            Self::All => Some(TYPE),
        }
    }
}

/// All bits of a request number: the kernel reads 32.
const WHOLE: u64 = 0xffff_ffff;

/// The rules for `ioctl`: KVM's, and these requests exactly.
fn ioctl_rules(kvm: KvmIoctls, requests: &[u32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let exactly = requests.iter().map(|request| (WHOLE, u64::from(*request)));
    let patterns = kvm.pattern().into_iter().chain(exactly);
    let rule = |(mask, number)| {
        let number = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), number)?;
        SeccompRule::new(vec![number])
    };
    patterns.map(rule).collect()
}

/// `fcntl(F_GETFD)`: the standard library checks so, in debug builds, that what it closes is open.
fn fcntl_get_flags() -> Result<SeccompRule, seccompiler::BackendError> {
    const F_GETFD: u64 = 1;
    SeccompRule::new(vec![SeccompCondition::new(
        1,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        F_GETFD,
    )?])
}

/// `setsockopt` for `IP_TTL`, over how many hops a metadata token gets, and `SO_LINGER`, what becomes of unsent bytes. No
/// thread sets another option.
fn socket_options() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const OPTIONS: [(libc::c_int, libc::c_int); 2] =
        [(libc::IPPROTO_IP, libc::IP_TTL), (libc::SOL_SOCKET, libc::SO_LINGER)];
    let argument = |number, value: libc::c_int| {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        SeccompCondition::new(number, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let rule = |(level, option)| SeccompRule::new(vec![argument(1, level)?, argument(2, option)?]);
    OPTIONS.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_cpus_may_not_read_write_sync_or_open() {
        for call in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_io_uring_enter,
        ] {
            assert!(!EVERY.contains(&call), "system call {call}");
        }
    }

    /// How a child ended that confined itself with `filter` and then made `call`.
    fn confined(filter: Result<Filter, FilterError>, call: impl FnOnce() -> libc::c_long) -> i32 {
        // SAFETY: the child makes only plain system calls, on memory of its own copy, until it ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let _ = filter.map(|filter| filter.install());
            call();
            // SAFETY: it takes a plain number.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: `child` is ours and `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        status
    }

    fn killed(status: i32) -> bool {
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS
    }

    #[test]
    fn a_confined_thread_dies_at_a_call_off_its_list_and_not_before() {
        // SAFETY: the arguments are plain numbers.
        let allowed = || unsafe { libc::syscall(libc::SYS_getpid) };
        // SAFETY: as above.
        let forbidden = || unsafe { libc::syscall(libc::SYS_fsync, -1) };
        assert_eq!(confined(Filter::vcpu(), allowed), 0);
        assert!(killed(confined(Filter::vcpu(), forbidden)));
    }

    #[test]
    fn a_device_may_make_the_ioctls_of_its_kind_and_no_others() {
        let set_offload = u32::try_from(libc::TUNSETOFFLOAD).unwrap();
        let filter = |ioctls| Filter::device(Syscalls { numbers: &[], ioctls });
        // SAFETY: there is no such descriptor, so no call gets as far as its argument.
        let ioctl = |request: u64| move || unsafe { libc::syscall(libc::SYS_ioctl, -1, request, 0) };
        let own: &'static [u32] = Box::leak(Box::new([set_offload]));
        assert_eq!(confined(filter(own), ioctl(libc::TUNSETOFFLOAD)), 0);
        for other in [
            libc::TUNSETOFFLOAD + 1,
            libc::TUNSETOFFLOAD & !0xff,
            libc::TUNSETOFFLOAD ^ 0x4000_0000,
            libc::TUNSETIFF,
            0,
        ] {
            assert!(killed(confined(filter(own), ioctl(other))), "{other:#x}");
        }
        assert!(killed(confined(filter(&[]), ioctl(libc::TUNSETOFFLOAD))));
    }

    #[test]
    fn the_guest_s_thread_may_limit_hops_and_lingering_and_set_no_other_option_of_a_socket_and_make_none() {
        // SAFETY: there is no such descriptor, so no call gets as far as its argument.
        let set =
            |level: i32, option: i32| move || unsafe { libc::syscall(libc::SYS_setsockopt, -1, level, option, 0, 0) };
        for (level, option) in [(libc::IPPROTO_IP, libc::IP_TTL), (libc::SOL_SOCKET, libc::SO_LINGER)] {
            assert_eq!(confined(Filter::guest(), set(level, option)), 0, "{level} {option}");
        }
        for (level, option) in [
            (libc::IPPROTO_IP, libc::IP_OPTIONS),
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
            (libc::SOL_SOCKET, libc::IP_TTL),
        ] {
            assert!(
                killed(confined(Filter::guest(), set(level, option))),
                "{level} {option}"
            );
        }
        for call in [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_openat,
            libc::SYS_read,
        ] {
            // SAFETY: as above.
            let forbidden = || unsafe { libc::syscall(call, -1, 0, 0) };
            assert!(killed(confined(Filter::guest(), forbidden)), "system call {call}");
        }
    }
}
