//! Network namespaces of a test's own, which go with it.

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

/// A network namespace with nothing in it but what a test puts there. Sockets that were opened in it stay in it.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// A new one; none, and a word about it, where we may not make any.
    #[must_use]
    pub fn new() -> Option<Self> {
        let made = thread::spawn(|| {
            // SAFETY: only the network namespace of this thread changes, which has no socket yet; no file descriptor
            // becomes another.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            io::Result::Ok(File::open("/proc/thread-self/ns/net")?.into())
        });
        match made.join().expect("The thread does not panic") {
            Ok(namespace) => Some(Self(namespace)),
            Err(error) => {
                eprintln!("NO NETWORK WAS MADE: namespaces can't be made here ({error})");
                None
            }
        }
    }

    /// The one that a process is in.
    ///
    /// # Panics
    /// There is no such process.
    #[track_caller]
    #[must_use]
    pub fn of_process(pid: u32) -> Self {
        let opened = File::open(format!("/proc/{pid}/ns/net"));
        Self(opened.unwrap_or_else(|error| panic!("Process {pid}: {error}")).into())
    }

    /// A path by which other programs find it, as long as this is there.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Has a command run in it.
    pub fn put<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let namespace = self.0.try_clone().expect("A descriptor can be duplicated");
        // SAFETY: the closure makes one system call on a descriptor that it owns, and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(())
            })
        }
    }

    /// What there is in it that a daemon may have made: links, addresses, routes and rules, as `ip` and `nft` list them.
    ///
    /// # Panics
    /// They can't be listed.
    #[track_caller]
    #[must_use]
    pub fn census(&self) -> String {
        let lists = [
            &["ip", "-o", "link"][..],
            &["ip", "-o", "address"],
            &["ip", "route", "show", "table", "all"],
            &["nft", "list", "ruleset"],
        ];
        lists.map(|words| self.ask(words)).concat()
    }

    /// What a command says that is run in it; it must succeed.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self
            .put(Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()))
            .output();
        let output = output.unwrap_or_else(|error| panic!("{words:?} can't be run: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words:?} failed: {out}{err}");
        out
    }

    /// Does something in a thread that is in this namespace.
    ///
    /// # Panics
    /// `work` does.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).expect("It can be entered");
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Carries out commands of `ip`, one a line.
    ///
    /// # Panics
    /// One fails.
    #[track_caller]
    pub fn ip(&self, commands: &str) {
        self.feed(Command::new("ip").args(["-batch", "-"]), commands.as_bytes());
    }

    /// Runs a program in this namespace with that on its standard input.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn feed(&self, command: &mut Command, input: &[u8]) {
        let output = self.run(|| {
            let piped = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = piped.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input)?;
            }
            child.wait_with_output()
        });
        let output = output.expect("The program can be run");
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }

    /// Sets a value below `/proc/sys/net`.
    ///
    /// # Panics
    /// It can't be set.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| std::fs::write(&path, value))
            .expect("The setting can be written");
    }
}
