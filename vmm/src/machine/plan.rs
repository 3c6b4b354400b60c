//! A launch, checked: what a [`MachineSpec`] and its open files become before anything is built.
//!
//! The spec is a wire type; from here on its indices are files, each used once, and its sizes are possible.

use crate::guest::{Board, FactsError, Interface, Sockets};
use crate::kvm::memory;
use crate::protocol::{Boot, DeviceSpec, FileIndex, GuestServices, InterfaceService, MachineSpec, Smbios};
use crate::registry::{self, BuildDeviceError};
use crate::virtio::net::{Mac, SettingError};
use crate::x86_64::smbios::Uuid;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The most CPUs of a machine.
pub const VCPUS_MAX: u8 = 32;

/// Why a launch asks for what can't be.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The number of CPUs is impossible.
    #[error("A machine can't have {0} CPUs: 1 to {VCPUS_MAX} are possible")]
    Vcpus(u8),
    /// The memory is impossible.
    #[error("The machine's memory is impossible")]
    Memory(#[source] memory::MemoryError),
    /// The SMBIOS uuid is none.
    #[error("The SMBIOS uuid {0:?} is not a UUID")]
    Uuid(String),
    /// A file was named that did not come along.
    #[error("The launch names file {index} but {given} files came with it")]
    NoSuchFile {
        /// Which.
        index: u8,
        /// How many came.
        given: usize,
    },
    /// A file was named twice.
    #[error("The launch names file {0} twice")]
    FileNamedTwice(u8),
    /// Files came that nothing names.
    #[error("The launch came with {0} files that it does not name")]
    FilesLeft(usize),
    /// Two devices have one name.
    #[error("Two devices are named {0:?}")]
    DeviceNamedTwice(String),
    /// A device is not one of its kind.
    #[error("A device of the launch is not possible")]
    Device(#[source] BuildDeviceError),
    /// The boot volume is not a device with a file.
    #[error("The machine should boot from device {0}, which is no device with a volume")]
    BootDevice(usize),
    /// More sockets of name servers came along than there can be.
    #[error("The launch has {0} sockets of name servers in one place: at most {max} are possible", max = GuestServices::SERVERS_MAX)]
    NameServers(usize),
    /// More interfaces should be served than there can be.
    #[error("The launch serves {0} interfaces: at most {max} are possible", max = GuestServices::INTERFACES_MAX)]
    Interfaces(usize),
    /// A hardware address is none.
    #[error("An interface that the launch serves is not possible")]
    Mac(#[source] SettingError),
    /// What the guest should be told is impossible.
    #[error("What the guest should be told is not possible")]
    Told(#[source] FactsError),
    /// A descriptor could not be duplicated.
    #[error("The boot volume's descriptor can't be duplicated")]
    Duplicate(#[source] io::Error),
}

/// Where the kernel comes from.
pub enum BootSource {
    /// From this volume, as its own boot loader would.
    Volume(File),
    /// From files of their own.
    Kernel {
        /// A bzImage or an ELF file.
        kernel: File,
        /// The initial RAM disk.
        ramdisk: Option<File>,
        /// The command line.
        command_line: String,
    },
}

/// A device and its open files.
pub struct PlannedDevice {
    /// What it is.
    pub spec: DeviceSpec,
    /// Kept open over resets; a device gets duplicates.
    pub files: Vec<File>,
}

impl PlannedDevice {
    /// Its files, for one life of the machine.
    pub fn duplicate_files(&self) -> io::Result<Vec<File>> {
        self.files.iter().map(File::try_clone).collect()
    }
}

/// What one process builds, at its launch and again after each reset.
pub struct Plan {
    /// The instance.
    pub instance_id: String,
    /// How many CPUs.
    pub vcpus: u8,
    /// Guest memory in bytes.
    pub memory: u64,
    /// For the SMBIOS tables.
    pub uuid: Uuid,
    /// For the SMBIOS tables: the instance type.
    pub product: String,
    /// Where the kernel comes from.
    pub boot: BootSource,
    /// In the order of their PCI slots.
    pub devices: Vec<PlannedDevice>,
    /// What the guest is told; none where it has no network.
    pub board: Option<Arc<Board>>,
}

/// The files of a launch that outlive every machine of the process.
pub struct LaunchFiles {
    /// `/dev/kvm`.
    pub kvm: File,
    /// The console log.
    pub console_log: File,
    /// Where the report goes.
    pub report: File,
    /// The sockets by which the guest is answered.
    pub guest: Sockets,
}

impl Plan {
    /// Checks `spec` and gives every file its place.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(spec: MachineSpec, files: Vec<File>) -> Result<(Self, LaunchFiles), PlanError> {
        if !(1..=VCPUS_MAX).contains(&spec.vcpus) {
            return Err(PlanError::Vcpus(spec.vcpus));
        }
        memory::check_size(spec.memory).map_err(PlanError::Memory)?;
        let Smbios { uuid, product } = spec.smbios;
        let uuid = Uuid::parse(&uuid).ok_or(PlanError::Uuid(uuid))?;
        let mut files = Files::new(files);
        let (board, guest) = plan_guest(spec.guest, &mut files)?;
        let launch = LaunchFiles {
            kvm: files.take(spec.kvm)?,
            console_log: files.take(spec.console_log)?,
            report: files.take(spec.report)?,
            guest,
        };
        let devices = plan_devices(spec.devices, &mut files)?;
        let boot = plan_boot(spec.boot, &devices, &mut files)?;
        match files.left() {
            0 => {}
            left => return Err(PlanError::FilesLeft(left)),
        }
        let (instance_id, vcpus, memory) = (spec.instance_id, spec.vcpus, spec.memory);
        Ok((
            Self {
                instance_id,
                vcpus,
                memory,
                uuid,
                product,
                boot,
                devices,
                board,
            },
            launch,
        ))
    }
}

fn plan_guest(guest: Option<GuestServices>, files: &mut Files) -> Result<(Option<Arc<Board>>, Sockets), PlanError> {
    let Some(services) = guest else {
        return Ok((None, Sockets::default()));
    };
    let GuestServices {
        interfaces,
        name_servers,
        told,
    } = services;
    if interfaces.len() > GuestServices::INTERFACES_MAX {
        return Err(PlanError::Interfaces(interfaces.len()));
    }
    let mut take = |service: InterfaceService| {
        Ok(Interface {
            mac: service.mac.parse::<Mac>().map_err(PlanError::Mac)?,
            dhcp: files.take(service.dhcp)?.into(),
            metadata: files.take(service.metadata)?.into(),
            dns: take_all(files, service.dns, InterfaceService::NAME_SERVERS_MAX)?,
        })
    };
    let interfaces = interfaces.into_iter().map(&mut take).collect::<Result<Vec<_>, _>>()?;
    let name_servers = take_all(files, name_servers, GuestServices::SERVERS_MAX)?;
    let board = Board::new(interfaces.len(), told).map_err(PlanError::Told)?;
    let sockets = Sockets {
        interfaces,
        name_servers,
    };
    Ok((Some(Arc::new(board)), sockets))
}

/// Takes sockets, of which there may be so many.
fn take_all(files: &mut Files, indexes: Vec<FileIndex>, most: usize) -> Result<Vec<OwnedFd>, PlanError> {
    if indexes.len() > most {
        return Err(PlanError::NameServers(indexes.len()));
    }
    let taken = indexes.into_iter().map(|index| files.take(index).map(Into::into));
    taken.collect()
}

fn plan_devices(specs: Vec<DeviceSpec>, files: &mut Files) -> Result<Vec<PlannedDevice>, PlanError> {
    let mut devices: Vec<PlannedDevice> = Vec::new();
    for spec in specs {
        if devices.iter().any(|other| other.spec.id == spec.id) {
            return Err(PlanError::DeviceNamedTwice(spec.id));
        }
        registry::check(&spec).map_err(PlanError::Device)?;
        let files = spec
            .files
            .iter()
            .map(|&index| files.take(index))
            .collect::<Result<_, _>>()?;
        devices.push(PlannedDevice { spec, files });
    }
    Ok(devices)
}

fn plan_boot(boot: Boot, devices: &[PlannedDevice], files: &mut Files) -> Result<BootSource, PlanError> {
    match boot {
        Boot::Volume { device } => {
            let disk = devices.get(device).and_then(|planned| planned.files.first());
            let disk = disk.ok_or(PlanError::BootDevice(device))?;
            disk.try_clone().map(BootSource::Volume).map_err(PlanError::Duplicate)
        }
        Boot::Kernel {
            kernel,
            ramdisk,
            command_line,
        } => Ok(BootSource::Kernel {
            kernel: files.take(kernel)?,
            ramdisk: ramdisk.map(|index| files.take(index)).transpose()?,
            command_line,
        }),
    }
}

/// The files of a launch: each is taken once.
struct Files {
    files: Vec<Option<File>>,
}

impl Files {
    fn new(files: Vec<File>) -> Self {
        Self {
            files: files.into_iter().map(Some).collect(),
        }
    }

    fn take(&mut self, FileIndex(index): FileIndex) -> Result<File, PlanError> {
        let given = self.files.len();
        let file = self
            .files
            .get_mut(usize::from(index))
            .ok_or(PlanError::NoSuchFile { index, given })?;
        file.take().ok_or(PlanError::FileNamedTwice(index))
    }

    fn left(&self) -> usize {
        self.files.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::testing::told;

    fn spec() -> MachineSpec {
        MachineSpec {
            instance_id: "i-0".into(),
            vcpus: 1,
            memory: 64 << 20,
            smbios: Smbios {
                uuid: "ec2a0000-0000-4000-8000-000000000001".into(),
                product: "t3.micro".into(),
            },
            boot: Boot::Kernel {
                kernel: FileIndex(3),
                ramdisk: None,
                command_line: String::new(),
            },
            devices: Vec::new(),
            guest: None,
            kvm: FileIndex(0),
            console_log: FileIndex(1),
            report: FileIndex(2),
        }
    }

    fn plan(spec: MachineSpec, files: usize) -> Result<Plan, PlanError> {
        let files = (0..files).map(|_| tempfile::tempfile().unwrap()).collect();
        Plan::new(spec, files).map(|(plan, _)| plan)
    }

    #[test]
    fn a_possible_launch_is_taken() {
        assert_eq!(plan(spec(), 4).unwrap().vcpus, 1);
    }

    #[test]
    fn impossible_launches_are_refused() {
        assert!(matches!(
            plan(MachineSpec { vcpus: 0, ..spec() }, 4),
            Err(PlanError::Vcpus(0))
        ));
        assert!(matches!(
            plan(MachineSpec { vcpus: 33, ..spec() }, 4),
            Err(PlanError::Vcpus(33))
        ));
        assert!(matches!(
            plan(MachineSpec { memory: 1, ..spec() }, 4),
            Err(PlanError::Memory(_))
        ));
        assert!(matches!(
            plan(
                MachineSpec {
                    report: FileIndex(0),
                    ..spec()
                },
                4
            ),
            Err(PlanError::FileNamedTwice(0))
        ));
        assert!(matches!(
            plan(
                MachineSpec {
                    report: FileIndex(9),
                    ..spec()
                },
                4
            ),
            Err(PlanError::NoSuchFile { index: 9, given: 4 })
        ));
        assert!(matches!(plan(spec(), 5), Err(PlanError::FilesLeft(1))));
        let boot = Boot::Volume { device: 0 };
        assert!(matches!(
            plan(MachineSpec { boot, ..spec() }, 4),
            Err(PlanError::BootDevice(0))
        ));
        let smbios = Smbios {
            uuid: "ec2".into(),
            product: String::new(),
        };
        assert!(matches!(
            plan(MachineSpec { smbios, ..spec() }, 4),
            Err(PlanError::Uuid(_))
        ));
    }

    #[test]
    fn the_sockets_of_interfaces_come_along_and_impossible_interfaces_are_refused() {
        let plan = |change: fn(&mut GuestServices)| {
            let interface = InterfaceService {
                mac: "02:00:5e:10:00:01".into(),
                dhcp: FileIndex(4),
                metadata: FileIndex(5),
                dns: vec![FileIndex(6)],
            };
            let mut guest = GuestServices {
                interfaces: vec![interface],
                name_servers: vec![FileIndex(7)],
                told: told(),
            };
            change(&mut guest);
            let files = (0..8).map(|_| tempfile::tempfile().unwrap()).collect();
            let launch = MachineSpec {
                guest: Some(guest),
                ..spec()
            };
            Plan::new(launch, files)
        };
        let (planned, files) = plan(|_| ()).unwrap();
        assert!(planned.board.is_some() && files.guest.interfaces.len() == 1);
        let refused = |change| plan(change).err();
        assert!(matches!(
            refused(|guest| guest.interfaces[0].mac = "01:00:5e:10:00:01".into()),
            Some(PlanError::Mac(_))
        ));
        assert!(matches!(
            refused(|guest| guest.told.leases.clear()),
            Some(PlanError::Told(FactsError::Leases { .. }))
        ));
        assert!(matches!(
            refused(|guest| guest.interfaces[0].dhcp = FileIndex(0)),
            Some(PlanError::FileNamedTwice(0))
        ));
        assert!(matches!(
            refused(|guest| guest.interfaces = vec![guest.interfaces[0].clone(); 16]),
            Some(PlanError::Interfaces(16))
        ));
    }

    #[test]
    fn a_device_that_is_none_is_refused() {
        let device = DeviceSpec {
            kind: "toaster".into(),
            id: "t".into(),
            config: serde_json::Value::Null,
            files: vec![],
        };
        let launch = MachineSpec {
            devices: vec![device],
            ..spec()
        };
        assert!(matches!(
            plan(launch, 4),
            Err(PlanError::Device(BuildDeviceError::UnknownKind { .. }))
        ));
    }
}
