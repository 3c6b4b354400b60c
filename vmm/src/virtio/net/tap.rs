//! The queues of a tap: frames in and out, each behind a header of [`HEADER`] bytes, and what the device sets on the tap.
//!
//! The daemon makes the interface and opens its queues; here nothing is opened and nothing is named. A queue that the
//! guest does not use is detached, so that the kernel gives it no frames.

use super::frame::{HEADER, Offloads};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

/// The ioctls of a tap that are made here.
pub const IOCTLS: [u32; 4] = [
    number(libc::TUNGETIFF),
    number(libc::TUNSETVNETHDRSZ),
    number(libc::TUNSETOFFLOAD),
    number(libc::TUNSETQUEUE),
];

/// A request as the kernel reads it, in 32 bits.
const fn number(request: libc::c_ulong) -> u32 {
    request as u32
}

/// Why the queues of a tap can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// It does not answer as one.
    #[error("Queue {queue} is not an open tap")]
    NotATap {
        /// Its place among the open files.
        queue: usize,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// It was opened with other flags.
    #[error("Queue {queue} of the tap was not opened with {missing}")]
    Flags {
        /// Its place among the open files.
        queue: usize,
        /// What is missing.
        missing: &'static str,
    },
    /// It does not take frames as the guest makes them.
    #[error("The tap refuses headers of {HEADER} bytes")]
    Header(#[source] io::Error),
    /// Its descriptor can't be kept from blocking.
    #[error("Queue {queue} of the tap can't be made non-blocking")]
    NonBlocking {
        /// Its place among the open files.
        queue: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a frame was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmoved {
    /// There is none, or no room for it: an edge tells when to try again.
    Later,
    /// The tap does not take this one.
    Refused,
    /// The interface was removed.
    Gone,
}

/// The open queues of one tap.
#[derive(Debug)]
pub struct Taps {
    files: Vec<File>,
    /// How many of them are attached, or soon will be.
    active: AtomicUsize,
}

impl Taps {
    /// Takes queues that were opened with `IFF_TAP`, `IFF_NO_PI`, `IFF_VNET_HDR` and, if they are several,
    /// `IFF_MULTI_QUEUE`. Only the first stays attached. An interface that is gone already is taken too.
    ///
    /// # Errors
    /// They are something else.
    pub fn open(files: Vec<File>) -> Result<Self, TapError> {
        for (queue, file) in files.iter().enumerate() {
            let blocks = |errno: rustix::io::Errno| TapError::NonBlocking {
                queue,
                source: errno.into(),
            };
            let flags = fcntl_getfl(file).map_err(blocks)?;
            fcntl_setfl(file, flags | OFlags::NONBLOCK).map_err(blocks)?;
        }
        let taps = Self::new(files);
        for (queue, file) in taps.files.iter().enumerate() {
            check(queue, file, taps.files.len() > 1)?;
        }
        taps.set_header_size()?;
        // A machine that was reset may have left others attached.
        taps.set_attached(1..taps.files.len(), false);
        Ok(taps)
    }

    /// Takes descriptors as they are: taps, or whatever moves frames as they do.
    pub fn new(files: Vec<File>) -> Self {
        Self {
            files,
            active: AtomicUsize::new(1),
        }
    }

    fn set_header_size(&self) -> Result<(), TapError> {
        const SIZE: libc::c_int = 12;
        const _: () = assert!(SIZE as usize == HEADER);
        let Some(file) = self.files.first() else {
            return Ok(());
        };
        // SAFETY: the kernel reads one int.
        let result = unsafe { ioctl_with_ref(file, libc::TUNSETVNETHDRSZ, &SIZE) };
        match done(result) {
            Err(error) if !is_gone(&error) => Err(TapError::Header(error)),
            _ => Ok(()),
        }
    }

    /// Has the kernel leave undone in frames to the guest what the guest has agreed to do, and nothing else.
    pub fn set_offloads(&self, agreed: Offloads) {
        let Offloads {
            checksum,
            tcp4,
            tcp6,
            ecn,
        } = agreed;
        let bits = [
            (checksum, libc::TUN_F_CSUM),
            (tcp4, libc::TUN_F_TSO4),
            (tcp6, libc::TUN_F_TSO6),
            (ecn, libc::TUN_F_TSO_ECN),
        ];
        let flags = bits
            .iter()
            .filter(|(wanted, _)| *wanted)
            .fold(0, |all, (_, bit)| all | bit);
        if let Some(file) = self.files.first() {
            // A kernel that can't leave something undone does it, and one that does too little has its frames dropped.
            // SAFETY: the argument is a plain number.
            let _ = unsafe { ioctl_with_val(file, libc::TUNSETOFFLOAD, flags.into()) };
        }
    }

    /// From now on the first `count` queues carry frames, and no others. The first is never detached.
    pub fn activate(&self, count: usize) {
        // Before the first frame can come, or its edge would find a queue that is not in use.
        let before = self.active.swap(count, Ordering::AcqRel);
        self.set_attached(before..count, true);
        self.set_attached(count..before, false);
    }

    fn set_attached(&self, queues: Range<usize>, attached: bool) {
        for file in self.files.get(queues).unwrap_or_default() {
            // It fails where it was so already, or the interface is gone.
            let _ = set_attached(file, attached);
        }
    }

    /// How many carry frames.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// The descriptor of `queue`, to be watched.
    pub fn descriptor(&self, queue: usize) -> Option<RawFd> {
        self.files.get(queue).map(AsRawFd::as_raw_fd)
    }

    /// Whether the interface is there.
    pub fn exist(&self) -> bool {
        self.files.first().is_some_and(|file| match flags(file) {
            Err(error) => !is_gone(&error),
            Ok(_) => true,
        })
    }

    /// Reads a frame from `queue` into `pieces`; says how many bytes it has with its header.
    ///
    /// # Errors
    /// There is none.
    ///
    /// # Safety
    /// The pieces are mapped, writable memory that is only accessed through raw pointers meanwhile.
    pub unsafe fn read(&self, queue: usize, pieces: &[libc::iovec]) -> Result<usize, Unmoved> {
        let read = |fd: RawFd, count| {
            // SAFETY: as the caller promised.
            unsafe { libc::readv(fd, pieces.as_ptr(), count) }
        };
        self.move_frame(queue, pieces.len(), read)
    }

    /// Writes the frame in `pieces` to `queue`.
    ///
    /// # Errors
    /// It was not taken.
    ///
    /// # Safety
    /// The pieces are mapped memory that is only accessed through raw pointers meanwhile.
    pub unsafe fn write(&self, queue: usize, pieces: &[libc::iovec]) -> Result<(), Unmoved> {
        let write = |fd: RawFd, count| {
            // SAFETY: as the caller promised.
            unsafe { libc::writev(fd, pieces.as_ptr(), count) }
        };
        self.move_frame(queue, pieces.len(), write).map(drop)
    }

    fn move_frame(
        &self,
        queue: usize,
        pieces: usize,
        call: impl Fn(RawFd, libc::c_int) -> isize,
    ) -> Result<usize, Unmoved> {
        let fd = self.descriptor(queue).ok_or(Unmoved::Refused)?;
        let count = libc::c_int::try_from(pieces).map_err(|_| Unmoved::Refused)?;
        loop {
            let error = match usize::try_from(call(fd, count)) {
                Ok(moved) => return Ok(moved),
                Err(_) => io::Error::last_os_error(),
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Err(Unmoved::Later),
                _ if is_gone(&error) => return Err(Unmoved::Gone),
                _ => return Err(Unmoved::Refused),
            }
        }
    }
}

/// What a queue says whose interface is gone.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV))
}

fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn request() -> libc::ifreq {
    // SAFETY: all zero is a valid value of a plain C structure.
    unsafe { std::mem::zeroed() }
}

/// The flags with which a queue was opened.
fn flags(file: &File) -> io::Result<libc::c_int> {
    let mut request = request();
    // SAFETY: the kernel writes one `ifreq`.
    done(unsafe { ioctl_with_mut_ref(file, libc::TUNGETIFF, &mut request) })?;
    // SAFETY: the kernel has filled in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(flags.into())
}

fn set_attached(file: &File, attached: bool) -> io::Result<()> {
    let mut request = request();
    let flag = match attached {
        true => libc::IFF_ATTACH_QUEUE,
        false => libc::IFF_DETACH_QUEUE,
    };
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flag).unwrap_or_default();
    // SAFETY: the kernel reads one `ifreq`.
    done(unsafe { ioctl_with_ref(file, libc::TUNSETQUEUE, &request) })
}

fn check(queue: usize, file: &File, several: bool) -> Result<(), TapError> {
    let flags = match flags(file) {
        Ok(flags) => flags,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(source) => return Err(TapError::NotATap { queue, source }),
    };
    // Of IFF_NO_PI the kernel says that it is set, set or not.
    let mut wanted = vec![(libc::IFF_TAP, "IFF_TAP"), (libc::IFF_VNET_HDR, "IFF_VNET_HDR")];
    if several {
        wanted.push((libc::IFF_MULTI_QUEUE, "IFF_MULTI_QUEUE"));
    }
    match wanted.iter().find(|(flag, _)| flags & flag == 0) {
        Some((_, missing)) => Err(TapError::Flags { queue, missing }),
        None => Ok(()),
    }
}
