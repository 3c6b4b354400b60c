//! Drives the real `kiln-vmm` program over its control socket, with guests that are assembled for the occasion.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod tap;

use kiln_vmm::protocol::{
    Answer, Boot, DeviceSpec, Event, FileIndex, GuestServices, InterfaceService, Lease, MachineSpec, Metadata,
    MetadataOptions, Report, Request, Response, Smbios, Told,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// No answer takes longer, even on an emulated processor.
const PATIENCE: Duration = Duration::from_secs(60);

/// `/dev/kvm`, or none with a word about it.
pub fn kvm() -> Option<File> {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(file) => Some(file),
        Err(error) => {
            eprintln!("NO GUEST WAS RUN: /dev/kvm can't be opened here ({error})");
            None
        }
    }
}

/// Builds `guests/<name>.s`, with `guests/<name>.c` if there is one, into an ELF file with a PVH note.
pub fn guest(name: &str, directory: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let (c, output) = (sources.join(format!("{name}.c")), directory.join(name));
    let mut objects = vec![sources.join(format!("{name}.s"))];
    if c.exists() {
        objects.push(compile(&c, &directory.join(format!("{name}-c.s"))));
    }
    let mut link = Command::new("cc");
    link.args([
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-n",
        "-Wl,--no-warn-rwx-segments,-z,noexecstack",
    ])
    .arg(format!("-Wa,-I{}", sources.display()))
    .arg("-T")
    .arg(sources.join("guest.ld"))
    .args(objects)
    .arg("-o")
    .arg(&output);
    assert!(link.status().unwrap().success(), "cc could not build {name}");
    output
}

/// Compiles 32-bit C into assembly that a 64-bit ELF file may hold.
fn compile(source: &Path, output: &Path) -> PathBuf {
    let mut compile = Command::new("cc");
    compile
        .args([
            "-m32",
            "-march=i686",
            "-ffreestanding",
            "-fno-pic",
            "-fno-stack-protector",
            "-O1",
            "-Wall",
            "-Werror",
        ])
        .args([
            "-fno-asynchronous-unwind-tables",
            "-mno-sse",
            "-mno-mmx",
            "-fcf-protection=none",
            "-S",
        ])
        .arg(source)
        .arg("-o")
        .arg(output);
    assert!(
        compile.status().unwrap().success(),
        "cc could not compile {}",
        source.display()
    );
    let assembly = std::fs::read_to_string(output).unwrap();
    std::fs::write(output, format!(".code32\n{assembly}")).unwrap();
    output.to_owned()
}

/// A running monitor.
pub struct Monitor {
    child: Child,
    directory: TempDir,
}

impl Monitor {
    /// Starts one, locked in as the daemon's are (as far as the tests' user may).
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("control.sock")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln-vmm"));
        let own_uid = rustix::process::getuid();
        command.args([
            "--uid",
            "64999",
            "--gid",
            "64999",
            "--owner-uid",
            &own_uid.as_raw().to_string(),
        ]);
        if !own_uid.is_root() {
            command.arg("--sandbox=partial");
        }
        let fd = listener.as_raw_fd();
        // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                if libc::dup2(fd, kiln_vmm::CONTROL_FD) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // Where both are one number, dup2 leaves the close-on-exec flag set.
                libc::fcntl(kiln_vmm::CONTROL_FD, libc::F_SETFD, 0);
                Ok(())
            });
        }
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { child, directory }
    }

    /// Where its files lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to it.
    pub fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.path("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            lines: BufReader::new(stream),
        }
    }

    /// Launches `machine`.
    pub fn launch(&self, kvm: File, machine: Machine<'_>) -> Response {
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .unwrap()
        };
        let mut files = vec![kvm, open(&self.path("console.log")), open(&self.path("report.json"))];
        files.push(File::open(machine.kernel).unwrap());
        let devices = machine.devices.into_iter().map(|mut device| {
            for file in device.files {
                device.spec.files.push(FileIndex(u8::try_from(files.len()).unwrap()));
                files.push(file);
            }
            device.spec
        });
        let mut devices: Vec<DeviceSpec> = devices.collect();
        let guest = machine.interface.map(|Interface { told, dhcp, metadata }| {
            let mut add = |file| {
                files.push(file);
                FileIndex(u8::try_from(files.len() - 1).unwrap())
            };
            let service = InterfaceService {
                mac: MAC.into(),
                dhcp: add(dhcp),
                metadata: add(metadata),
                dns: Vec::new(),
            };
            devices.push(DeviceSpec {
                service: Some(service),
                ..rng("served").spec
            });
            GuestServices {
                name_servers: Vec::new(),
                told,
            }
        });
        let spec = MachineSpec {
            instance_id: "i-0123456789abcdef0".into(),
            vcpus: machine.vcpus,
            memory: machine.memory,
            smbios: Smbios {
                uuid: "ec2a0000-0000-4000-8000-000000000001".into(),
                product: "t3.micro".into(),
                oem_strings: Vec::new(),
            },
            devices,
            boot: Boot::Kernel {
                kernel: FileIndex(3),
                ramdisk: None,
                command_line: machine.command_line.into(),
            },
            guest,
            kvm: FileIndex(0),
            console_log: FileIndex(1),
            report: FileIndex(2),
        };
        self.connect().request_with(&Request::Launch(Box::new(spec)), &files)
    }

    /// Waits for the process to end and reads its report.
    pub fn wait(&mut self) -> Report {
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "kiln-vmm ended with {status}; console: {}",
            self.console()
        );
        let text = std::fs::read(self.path("report.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Waits for the process to end, however it does.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What is in the console log.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("console.log")).unwrap()).into_owned()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What to launch.
pub struct Machine<'a> {
    /// The kernel's file.
    pub kernel: &'a Path,
    /// CPUs.
    pub vcpus: u8,
    /// Bytes.
    pub memory: u64,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Devices with their files.
    pub devices: Vec<Device>,
    /// Its interface that is served, and what it is told. It takes part as a device of another kind: what is answered does
    /// not hang on the kind.
    pub interface: Option<Interface>,
}

/// The sockets behind an interface to launch with.
pub struct Interface {
    /// What the guest is told.
    pub told: Told,
    /// UDP.
    pub dhcp: File,
    /// TCP, listening.
    pub metadata: File,
}

/// The hardware address of the interface that is served.
const MAC: &str = "02:00:5e:10:00:01";

/// What a guest is told that is the instance i-1.
pub fn told() -> Told {
    let lease = Lease {
        address: [10, 0, 1, 5].into(),
        prefix: 24,
        router: [10, 0, 1, 1].into(),
        name_servers: Vec::new(),
        ntp_servers: Vec::new(),
        host_name: None,
        domain_name: None,
        mtu: 1500,
        seconds: 3600,
    };
    Told {
        leases: [(MAC.into(), lease)].into(),
        metadata: Metadata {
            leaves: [("meta-data/instance-id".into(), "i-1".into())].into(),
            user_data: None,
            options: MetadataOptions {
                endpoint: true,
                tokens_required: false,
                hop_limit: 1,
            },
        },
        resolver: None,
    }
}

/// The device `rng` of that name.
pub fn rng(id: &str) -> Device {
    let spec = DeviceSpec {
        kind: "rng".into(),
        id: id.into(),
        config: serde_json::json!({}),
        files: Vec::new(),
        slot: 1,
        service: None,
    };
    let files = Vec::new();
    Device { spec, files }
}

/// A device to launch with.
pub struct Device {
    /// What it is; its files are filled in.
    pub spec: DeviceSpec,
    /// Its files.
    pub files: Vec<File>,
}

impl<'a> Machine<'a> {
    /// One CPU, 16 MiB, no devices.
    pub fn small(kernel: &'a Path) -> Self {
        Self {
            kernel,
            vcpus: 1,
            memory: 16 << 20,
            command_line: "",
            devices: Vec::new(),
            interface: None,
        }
    }
}

/// A connection to a monitor.
pub struct Client {
    lines: BufReader<UnixStream>,
}

impl Client {
    /// Sends a request and waits for its answer.
    pub fn request(&mut self, request: &Request) -> Response {
        self.request_with(request, &[])
    }

    /// Sends a request with open files and waits for its answer.
    pub fn request_with(&mut self, request: &Request, files: &[File]) -> Response {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let socket = self.lines.get_ref();
        let sent = sendmsg(socket, &[IoSlice::new(&line)], &mut ancillary, SendFlags::empty()).unwrap();
        assert_eq!(sent, line.len());
        self.read()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.lines.get_mut().write_all(bytes).unwrap();
    }

    /// Sends `line` again and again until the socket takes no more.
    pub fn send_while_it_is_taken(&mut self, line: &[u8]) {
        let socket = self.lines.get_mut();
        socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while socket.write_all(line).is_ok() {}
    }

    /// Reads one line.
    pub fn read<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// Reads raw bytes until `mark` has come.
    pub fn read_until(&mut self, mark: &str) -> String {
        let mut text = String::new();
        while !text.contains(mark) {
            let bytes = self.lines.fill_buf().unwrap();
            assert!(!bytes.is_empty(), "the console ended at {text:?}");
            text += &String::from_utf8_lossy(bytes);
            let count = bytes.len();
            self.lines.consume(count);
        }
        text
    }

    /// Subscribes; then reads events until one is `wanted`.
    pub fn await_event(&mut self, mut wanted: impl FnMut(&Event) -> bool) {
        let answer = self.request(&Request::Subscribe);
        assert!(matches!(answer, Response::Ok(Answer::Done)), "{answer:?}");
        while !wanted(&self.read()) {}
    }
}
