//! Network namespaces: `network` makes one for each VPC, `machine` starts monitors in it.
//!
//! Nothing names one: it lives as long as a process is in it (the monitors of its VPC are) or a descriptor holds it, and
//! takes everything in it along when it goes. So what the daemon can't clean up, the kernel does.

use rtnetlink::Handle;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

/// A network namespace that is held open; clones are the same one.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one, with nothing in it but a loopback link that is down.
    ///
    /// # Errors
    /// The system's: the daemon needs CAP_SYS_ADMIN.
    pub async fn create() -> io::Result<Self> {
        let file = on_thread(|| {
            // SAFETY: the thread is this closure's alone and shares neither descriptors nor files' state anew; only what
            // it sees of the network changes.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
            File::open("/proc/thread-self/ns/net")
        });
        file.await.map(|file| Self(Arc::new(file)))
    }

    /// The one that a process is in; none if that is the daemon's own.
    ///
    /// # Errors
    /// The process is gone, or the daemon has not CAP_SYS_PTRACE.
    pub fn of_process(pid: i32) -> io::Result<Option<Self>> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let own = File::open("/proc/thread-self/ns/net")?;
        let identity = |file: &File| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
        Ok((identity(&file)? != identity(&own)?).then(|| Self(Arc::new(file))))
    }

    /// Its descriptor, for the kernel's calls that name a namespace by it; open as long as this is.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Does `work` inside, on a thread of its own.
    ///
    /// # Errors
    /// The thread can't be made or can't enter; and what `work` returns.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let file = Arc::clone(&self.0);
        on_thread(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
        .await
    }

    /// A netlink connection inside. It ends when the handle is dropped.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn netlink(&self) -> io::Result<Handle> {
        let runtime = tokio::runtime::Handle::current();
        let made = self.run(move || {
            let _entered = runtime.enter();
            rtnetlink::new_connection()
        });
        let (connection, handle, _) = made.await?;
        tokio::spawn(connection);
        Ok(handle)
    }
}

/// A thread that has entered another namespace must not serve anybody else, so it ends with its work.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (answer, done) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("namespace".into()).spawn(move || {
        // Whoever asked may have given up.
        let _ = answer.send(work());
    })?;
    done.await.unwrap_or_else(|_| Err(io::Error::other("the thread died")))
}
