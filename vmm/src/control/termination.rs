//! SIGTERM as something to wait for: how a host that shuts down asks its guests to do the same.
//!
//! A service manager that ends a monitor's scope sends SIGTERM and waits. The control server presses the power button
//! for it, so that a guest loses nothing when its host goes down in order.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGTERM, held back from this thread and all that it makes, and read from a descriptor instead.
pub struct Termination(OwnedFd);

impl Termination {
    /// Holds SIGTERM back. To be called before any other thread is made.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn hold_back() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set that the other calls read; SIGTERM is a valid signal; no old mask is
        // asked for; -1 asks for a new descriptor.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just made it, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Whether the signal came since the last call.
    pub fn take(&self) -> bool {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        rustix::io::read(&self.0, &mut record).is_ok()
    }
}

impl AsFd for Termination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
