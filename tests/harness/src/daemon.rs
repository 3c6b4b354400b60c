//! A `kilnd` of a test's own: its state, socket and range of uids are nobody else's, so tests run side by side.

use crate::api::Api;
use crate::console::tail;
use crate::leftovers;
use crate::namespace::Namespace;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the daemon may take to be ready, and to end.
const START_TIME: Duration = Duration::from_secs(60);
/// The uids that one daemon's monitors may have.
const UIDS: u32 = 64;
/// Tests take their ranges from here on, apart from the daemon's default.
const FIRST_UID: u32 = 0x5000_0000;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    programs: PathBuf,
    place: PathBuf,
    config: String,
    stop_time_limit: &'static str,
    terminated_retention: &'static str,
    loopback: bool,
}

impl Setup {
    /// With the `kilnd` of this build; `kilnd` is what `env!("CARGO_BIN_EXE_kilnd")` says.
    #[must_use]
    pub fn new(kilnd: &str) -> Self {
        let programs = Path::new(kilnd)
            .parent()
            .expect("The daemon lies in a folder")
            .to_owned();
        // /scratch is the lab's XFS disk: volumes are clones there.
        let place = match Path::new("/scratch") {
            scratch if std::env::var_os("KILN_IN_LAB").is_some() => scratch.to_owned(),
            _ => std::env::temp_dir(),
        };
        Self {
            programs,
            place,
            config: String::new(),
            stop_time_limit: "2m",
            terminated_retention: "5s",
            loopback: false,
        }
    }

    /// With more lines in `kiln.toml`.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self
    }

    /// With another time after which a guest that does not power itself off is forced.
    #[must_use]
    pub fn stop_time_limit(mut self, span: &'static str) -> Self {
        self.stop_time_limit = span;
        self
    }

    /// With another time for which terminated instances are still described.
    #[must_use]
    pub fn terminated_retention(mut self, span: &'static str) -> Self {
        self.terminated_retention = span;
        self
    }

    /// With a loopback that works in what it takes for the host's network, as hosts have it.
    #[must_use]
    pub fn loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// With its state on another file system.
    #[must_use]
    pub fn place(mut self, folder: &Path) -> Self {
        self.place = folder.into();
        self
    }

    /// Starts it, and waits until it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Daemon {
        static DAEMONS: AtomicU32 = AtomicU32::new(0);
        for program in ["kilnd", "kiln", "kiln-vmm"] {
            let path = self.programs.join(program);
            assert!(
                path.exists(),
                "{} is missing: build the workspace first",
                path.display()
            );
        }
        let folder = TempDir::with_prefix_in("kiln-", &self.place).expect("The tests' folder can be written to");
        // Tests in other processes count from their own process id.
        let number = DAEMONS.fetch_add(1, Ordering::Relaxed);
        let uid = FIRST_UID + (std::process::id() % 65536) * 16 * UIDS + number * UIDS;
        let config = format!(
            "{}\n[lifecycle]\nstop_time_limit = \"{}\"\nterminated_retention = \"{}\"\n\
             [vmm]\nuids = {{ first = {uid}, count = {UIDS} }}\n",
            self.config, self.stop_time_limit, self.terminated_retention
        );
        fs::write(folder.path().join("kiln.toml"), config).expect("The configuration can be written");
        let mut daemon = Daemon {
            programs: self.programs,
            folder,
            uid,
            network: network(self.loopback),
            loopback: self.loopback,
            child: None,
            notify: None,
            finished: false,
        };
        daemon.start();
        daemon
    }
}

/// What a daemon takes for the host's network, before it has done anything.
#[track_caller]
fn network(loopback: bool) -> Option<Namespace> {
    let namespace = Namespace::new()?;
    if loopback {
        namespace.ip("link set lo up");
    }
    Some(namespace)
}

/// A running daemon. When it is dropped everything of it is ended, and after a panic its last words are printed.
#[derive(Debug)]
pub struct Daemon {
    programs: PathBuf,
    folder: TempDir,
    uid: u32,
    /// What it takes for the host's network: nobody else's, so that tests can't meet.
    network: Option<Namespace>,
    loopback: bool,
    child: Option<Child>,
    /// What the daemon tells its service manager, which we are.
    notify: Option<UnixDatagram>,
    finished: bool,
}

impl Daemon {
    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/kiln.sock")
    }

    /// A client of its socket.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(&self.socket())
    }

    /// What it takes for the host's network; none where we may not make any.
    #[must_use]
    pub fn network(&self) -> Option<&Namespace> {
        self.network.as_ref()
    }

    /// The process ids of its guests' monitors.
    #[must_use]
    pub fn monitors(&self) -> Vec<u32> {
        leftovers::processes_of(self.uid..self.uid + UIDS)
    }

    /// The process id of the daemon.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("The daemon runs").id()
    }

    /// The command `kiln`, told where this daemon is.
    #[must_use]
    pub fn kiln(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("kiln"));
        command
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the command `kiln`, which must succeed; returns its standard output.
    #[track_caller]
    pub fn run_kiln(&self, arguments: &[&str]) -> String {
        self.kiln_with_input(arguments, b"")
    }

    /// The same with something to read on its standard input.
    #[track_caller]
    pub fn kiln_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.kiln(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("kiln can be started");
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading it.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().expect("kiln can be waited for");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "kiln {arguments:?} ended with {}:\n{out}{err}",
            output.status
        );
        out
    }

    /// Starts it (again) with the same state, and waits until it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "The daemon runs already");
        let path = |name: &str| self.folder.path().join(name);
        let _ = fs::remove_file(path("notify"));
        let notify = UnixDatagram::bind(path("notify")).expect("The tests' folder can hold a socket");
        let log = File::options()
            .create(true)
            .append(true)
            .open(path("kilnd.log"))
            .expect("A log can be written");
        let mut kilnd = Command::new(self.programs.join("kilnd"));
        kilnd
            .arg("--config")
            .arg(path("kiln.toml"))
            .arg("--state-dir")
            .arg(self.state())
            .arg("--run-dir")
            .arg(path("run"))
            .arg("--socket")
            .arg(self.socket())
            .env("NOTIFY_SOCKET", path("notify"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("A descriptor can be duplicated"))
            .stderr(log);
        if let Some(network) = &self.network {
            network.put(&mut kilnd);
        }
        let child = kilnd.spawn().expect("kilnd can be started");
        self.child = Some(child);
        self.wait_until_ready(&notify);
        self.notify = Some(notify);
    }

    #[track_caller]
    fn wait_until_ready(&mut self, notify: &UnixDatagram) {
        // A daemon that ends says nothing, so a look at it now and then is needed beside the wait.
        notify
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("The time is not zero");
        let deadline = Instant::now() + START_TIME;
        let mut message = [0; 4096];
        loop {
            match notify.recv(&mut message) {
                Ok(count) if message[..count].split(|b| *b == b'\n').any(|line| line == b"READY=1") => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("The daemon's messages can't be read: {error}"),
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(
                ended.is_none(),
                "kilnd ended at its start: {ended:?}\n{}",
                self.log_tail()
            );
            assert!(
                Instant::now() < deadline,
                "kilnd was not ready in {START_TIME:?}\n{}",
                self.log_tail()
            );
        }
    }

    /// Kills the daemon outright; its guests run on.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("The daemon runs");
        child.kill().expect("The daemon is ours to kill");
        child.wait().expect("The daemon is our child");
    }

    /// Ends the test: the daemon stops when asked to, and nothing of it is left on the host. Instances, images and their
    /// snapshots must have been done away with.
    #[track_caller]
    pub fn finish(mut self) {
        self.wait_until_forgotten();
        self.stop();
        leftovers::assert_none(&self.state(), self.uid..self.uid + UIDS, &self.log());
        if let (Some(network), Some(empty)) = (&self.network, network(self.loopback)) {
            assert_eq!(network.census(), empty.census(), "This is left on the host's network");
        }
        self.finished = true;
    }

    /// Terminated instances are described for a while yet, and nothing tells when that is over.
    #[track_caller]
    fn wait_until_forgotten(&self) {
        let deadline = Instant::now() + START_TIME;
        loop {
            let answer = self.api().call("DescribeInstances", &json!({}));
            if answer["Reservations"].as_array().is_some_and(Vec::is_empty) {
                return;
            }
            assert!(Instant::now() < deadline, "There are still instances: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks the daemon to end, and waits for it; its guests run on.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("The daemon runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("The daemon is our child");
        let status = child.wait().expect("The daemon is our child");
        assert!(
            status.success(),
            "kilnd ended with {status} when asked to stop\n{}",
            self.log_tail()
        );
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("kilnd.log")).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        format!("The end of kilnd's log:\n{}", tail(&self.log(), 8000))
    }

    fn last_words(&self) {
        eprintln!("{}", self.log_tail());
        for entry in fs::read_dir(self.state().join("instances"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let console = fs::read(entry.path().join("console.log")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let report = fs::read_to_string(entry.path().join("report.json")).unwrap_or_default();
            eprintln!(
                "The end of {}'s console:\n{}\n{report}",
                entry.path().display(),
                tail(&console, 4000)
            );
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if std::thread::panicking() {
            self.last_words();
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        leftovers::kill(self.uid..self.uid + UIDS);
    }
}
