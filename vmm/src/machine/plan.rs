//! A launch, checked: what a [`MachineSpec`] and its open files become before anything is built; and a device that is
//! attached later.
//!
//! The spec is a wire type; from here on its indices are files, each used once, and its sizes are possible.

use crate::guest::{Board, FactsError, Interface, Sockets};
use crate::kvm::memory;
use crate::pci::SLOTS;
use crate::protocol::{Boot, DeviceSpec, FileIndex, GuestServices, InterfaceService, MachineSpec, Smbios};
use crate::registry::{self, BuildDeviceError};
use crate::virtio::net::{Mac, SettingError};
use crate::x86_64::smbios::Uuid;
use std::collections::BTreeMap;
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
    /// There are too many OEM strings.
    #[error("The launch has {0} SMBIOS OEM strings: at most {max} are possible", max = Smbios::OEM_STRINGS_MAX)]
    OemStrings(usize),
    /// An OEM string can't be one.
    #[error(
        "SMBIOS OEM string {0} is not one of 1 to {max} bytes of printable ASCII",
        max = Smbios::OEM_STRING_MAX
    )]
    OemString(usize),
    /// A file was named that did not come along.
    #[error("File {index} is named but {given} files came along")]
    NoSuchFile {
        /// Which.
        index: u8,
        /// How many came.
        given: usize,
    },
    /// A file was named twice.
    #[error("File {0} is named twice")]
    FileNamedTwice(u8),
    /// Files came that nothing names.
    #[error("{0} files came along that nothing names")]
    FilesLeft(usize),
    /// Two devices have one name.
    #[error("Two devices are named {0:?}")]
    DeviceNamedTwice(String),
    /// There are more devices than slots.
    #[error("No PCI slot from {0} on is left for a device: a machine has {SLOTS}")]
    Slots(u8),
    /// The first slot is the host bridge's.
    #[error("A device can't have the PCI slot 0, which is the host bridge's")]
    HostBridge,
    /// A device is not one of its kind.
    #[error("A device is not possible")]
    Device(#[source] BuildDeviceError),
    /// The boot volume is not a device with a file.
    #[error("The machine should boot from device {0}, which is no device with a volume")]
    BootDevice(String),
    /// More sockets of name servers came along than there can be.
    #[error("The launch has {0} sockets of name servers in one place: at most {max} are possible", max = GuestServices::SERVERS_MAX)]
    NameServers(usize),
    /// A guest that is told nothing has sockets to be answered on.
    #[error("Device {0} has sockets to answer a guest on that is told nothing")]
    Untold(String),
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
    /// From a volume, as its own boot loader would.
    Volume {
        /// The volume.
        volume: File,
        /// The slot of its device.
        slot: u8,
    },
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

/// The strings of SMBIOS structure 11: as few, as short and as printable as they must be.
pub struct OemStrings(Vec<String>);

impl OemStrings {
    /// They.
    pub fn get(&self) -> &[String] {
        &self.0
    }
}

/// A device and its open files.
pub struct PlannedDevice {
    /// What it is.
    pub spec: DeviceSpec,
    /// Kept open over resets; a device gets duplicates.
    pub files: Vec<File>,
    /// The hardware address by which the guest thread knows the interface that it is, if that one serves it.
    pub serves: Option<Mac>,
    /// Whether it was asked to be detached: the next reset does it, if the guest does not before.
    pub leaving: bool,
}

impl PlannedDevice {
    /// Checks a device that is attached to a running machine, and gives it the files that came along; the sockets are for
    /// the guest thread.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(spec: DeviceSpec, files: Vec<File>) -> Result<(Self, Option<Interface>), PlanError> {
        let mut files = Files::new(files);
        let planned = plan_device(spec, &mut files)?;
        files.all_taken()?;
        Ok(planned)
    }

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
    /// For the SMBIOS tables.
    pub oem_strings: OemStrings,
    /// Where the kernel comes from.
    pub boot: BootSource,
    /// By their PCI slots.
    pub devices: BTreeMap<u8, PlannedDevice>,
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
        let Smbios {
            uuid,
            product,
            oem_strings,
        } = spec.smbios;
        let uuid = Uuid::parse(&uuid).ok_or(PlanError::Uuid(uuid))?;
        let oem_strings = plan_oem_strings(oem_strings)?;
        let mut files = Files::new(files);
        let (board, name_servers) = match spec.guest.map(|guest| plan_guest(guest, &mut files)).transpose()? {
            Some((board, name_servers)) => (Some(board), name_servers),
            None => (None, Vec::new()),
        };
        let (devices, interfaces) = plan_devices(spec.devices, &mut files)?;
        let served = devices.values().find(|device| device.serves.is_some());
        if let (None, Some(device)) = (&board, served) {
            return Err(PlanError::Untold(device.spec.id.clone()));
        }
        let launch = LaunchFiles {
            kvm: files.take(spec.kvm)?,
            console_log: files.take(spec.console_log)?,
            report: files.take(spec.report)?,
            guest: Sockets {
                interfaces,
                name_servers,
            },
        };
        let boot = plan_boot(spec.boot, &devices, &mut files)?;
        files.all_taken()?;
        let (instance_id, vcpus, memory) = (spec.instance_id, spec.vcpus, spec.memory);
        Ok((
            Self {
                instance_id,
                vcpus,
                memory,
                uuid,
                product,
                oem_strings,
                boot,
                devices,
                board,
            },
            launch,
        ))
    }

    /// The slot of the device that is named `id`.
    pub fn slot_of(&self, id: &str) -> Option<u8> {
        let mut devices = self.devices.iter();
        devices.find(|(_, device)| device.spec.id == id).map(|(slot, _)| *slot)
    }
}

fn plan_oem_strings(strings: Vec<String>) -> Result<OemStrings, PlanError> {
    let count = strings.len();
    if count > Smbios::OEM_STRINGS_MAX {
        return Err(PlanError::OemStrings(count));
    }
    let possible = |string: &String| {
        let printable = string.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        printable && (1..=Smbios::OEM_STRING_MAX).contains(&string.len())
    };
    match strings.iter().position(|string| !possible(string)) {
        Some(place) => Err(PlanError::OemString(place)),
        None => Ok(OemStrings(strings)),
    }
}

fn plan_guest(guest: GuestServices, files: &mut Files) -> Result<(Arc<Board>, Vec<OwnedFd>), PlanError> {
    let GuestServices { name_servers, told } = guest;
    let name_servers = take_all(files, name_servers, GuestServices::SERVERS_MAX)?;
    let board = Board::new(told).map_err(PlanError::Told)?;
    Ok((Arc::new(board), name_servers))
}

fn plan_service(service: InterfaceService, files: &mut Files) -> Result<Interface, PlanError> {
    Ok(Interface {
        mac: service.mac.parse::<Mac>().map_err(PlanError::Mac)?,
        dhcp: files.take(service.dhcp)?.into(),
        metadata: files.take(service.metadata)?.into(),
        dns: take_all(files, service.dns, InterfaceService::NAME_SERVERS_MAX)?,
    })
}

/// Takes sockets, of which there may be so many.
fn take_all(files: &mut Files, indexes: Vec<FileIndex>, most: usize) -> Result<Vec<OwnedFd>, PlanError> {
    if indexes.len() > most {
        return Err(PlanError::NameServers(indexes.len()));
    }
    let taken = indexes.into_iter().map(|index| files.take(index).map(Into::into));
    taken.collect()
}

/// The devices by their slots.
fn plan_devices(
    specs: Vec<DeviceSpec>,
    files: &mut Files,
) -> Result<(BTreeMap<u8, PlannedDevice>, Vec<Interface>), PlanError> {
    let (mut devices, mut interfaces) = (BTreeMap::<u8, PlannedDevice>::new(), Vec::new());
    for spec in specs {
        let free = (spec.slot..=SLOTS).find(|slot| !devices.contains_key(slot));
        let slot = free.ok_or(PlanError::Slots(spec.slot))?;
        if devices.values().any(|other| other.spec.id == spec.id) {
            return Err(PlanError::DeviceNamedTwice(spec.id));
        }
        let (device, interface) = plan_device(spec, files)?;
        devices.insert(slot, device);
        interfaces.extend(interface);
    }
    Ok((devices, interfaces))
}

fn plan_device(mut spec: DeviceSpec, files: &mut Files) -> Result<(PlannedDevice, Option<Interface>), PlanError> {
    registry::check(&spec).map_err(PlanError::Device)?;
    if spec.slot == 0 {
        return Err(PlanError::HostBridge);
    }
    let interface = spec
        .service
        .take()
        .map(|service| plan_service(service, files))
        .transpose()?;
    let own = spec.files.iter().map(|&index| files.take(index));
    let device = PlannedDevice {
        files: own.collect::<Result<_, _>>()?,
        serves: interface.as_ref().map(|interface| interface.mac),
        spec,
        leaving: false,
    };
    Ok((device, interface))
}

fn plan_boot(boot: Boot, devices: &BTreeMap<u8, PlannedDevice>, files: &mut Files) -> Result<BootSource, PlanError> {
    match boot {
        Boot::Volume { device } => {
            let found = devices.iter().find(|(_, planned)| planned.spec.id == device);
            let disk = found.and_then(|(slot, planned)| Some((*slot, planned.files.first()?)));
            let (slot, disk) = disk.ok_or(PlanError::BootDevice(device))?;
            let volume = disk.try_clone().map_err(PlanError::Duplicate)?;
            Ok(BootSource::Volume { volume, slot })
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

/// The files of a launch or a device: each is taken once.
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

    fn all_taken(&self) -> Result<(), PlanError> {
        match self.files.iter().flatten().count() {
            0 => Ok(()),
            left => Err(PlanError::FilesLeft(left)),
        }
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
                oem_strings: Vec::new(),
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
        let boot = Boot::Volume { device: "vol".into() };
        assert!(matches!(
            plan(MachineSpec { boot, ..spec() }, 4),
            Err(PlanError::BootDevice(_))
        ));
        let smbios = Smbios {
            uuid: "ec2".into(),
            product: String::new(),
            oem_strings: Vec::new(),
        };
        assert!(matches!(
            plan(MachineSpec { smbios, ..spec() }, 4),
            Err(PlanError::Uuid(_))
        ));
    }

    #[test]
    fn oem_strings_are_few_short_and_printable() {
        let planned = |oem_strings| {
            let smbios = Smbios {
                oem_strings,
                ..spec().smbios
            };
            plan(MachineSpec { smbios, ..spec() }, 4)
        };
        let whole = |byte: &str| vec![byte.repeat(Smbios::OEM_STRING_MAX); Smbios::OEM_STRINGS_MAX];
        assert_eq!(planned(whole("x")).unwrap().oem_strings.get(), whole("x"));
        assert!(matches!(planned(vec!["x".into(); 33]), Err(PlanError::OemStrings(33))));
        for wrong in ["", "a\nb", "a\0b", "\u{e4}", &"x".repeat(1025)] {
            let strings = vec!["io.systemd.credential:a=b c".into(), wrong.into()];
            assert!(matches!(planned(strings), Err(PlanError::OemString(1))), "{wrong}");
        }
    }

    #[test]
    fn the_sockets_of_interfaces_come_along_and_impossible_interfaces_are_refused() {
        let plan = |change: fn(&mut InterfaceService, &mut Option<GuestServices>)| {
            let mut service = InterfaceService {
                mac: "02:00:5e:10:00:01".into(),
                dhcp: FileIndex(4),
                metadata: FileIndex(5),
                dns: vec![FileIndex(6)],
            };
            let mut guest = Some(GuestServices {
                name_servers: vec![FileIndex(7)],
                told: told(),
            });
            change(&mut service, &mut guest);
            let files = (0..8).map(|_| tempfile::tempfile().unwrap()).collect();
            let device = DeviceSpec {
                service: Some(service),
                ..rng(0)
            };
            let launch = MachineSpec {
                devices: vec![device],
                guest,
                ..spec()
            };
            Plan::new(launch, files)
        };
        let (planned, files) = plan(|_, _| ()).unwrap();
        assert!(planned.board.is_some() && files.guest.interfaces.len() == 1);
        assert_eq!(planned.devices[&1].serves, "02:00:5e:10:00:01".parse().ok());
        let refused = |change| plan(change).err();
        assert!(matches!(
            refused(|service, _| service.mac = "01:00:5e:10:00:01".into()),
            Some(PlanError::Mac(_))
        ));
        assert!(matches!(
            refused(|_, guest| guest.as_mut().unwrap().told.metadata.options.hop_limit = 0),
            Some(PlanError::Told(FactsError::HopLimit(0)))
        ));
        assert!(matches!(
            refused(|service, _| service.dhcp = FileIndex(0)),
            Some(PlanError::FileNamedTwice(0))
        ));
        assert!(matches!(
            refused(|service, _| service.dns = vec![FileIndex(6); 3]),
            Some(PlanError::NameServers(3))
        ));
        assert!(matches!(
            refused(|_, guest| *guest = None),
            Some(PlanError::Untold(device)) if device == "rng0"
        ));
    }

    fn rng(id: usize) -> DeviceSpec {
        DeviceSpec {
            kind: "rng".into(),
            id: format!("rng{id}"),
            config: serde_json::json!({}),
            files: vec![],
            slot: 1,
            service: None,
        }
    }

    #[test]
    fn a_machine_has_as_many_devices_as_slots() {
        let launch = |devices| MachineSpec {
            devices: (0..devices).map(rng).collect(),
            ..spec()
        };
        let planned = plan(launch(31), 4).unwrap();
        assert_eq!((planned.slot_of("rng30"), planned.slot_of("rng31")), (Some(31), None));
        assert!(matches!(plan(launch(32), 4), Err(PlanError::Slots(1))));
        let in_slots = |slots: &[u8]| {
            let device = |(id, &slot): (usize, &u8)| DeviceSpec { slot, ..rng(id) };
            let devices = slots.iter().enumerate().map(device).collect();
            plan(MachineSpec { devices, ..spec() }, 4)
        };
        let planned = in_slots(&[5, 4, 4]).unwrap();
        let slots = ["rng0", "rng1", "rng2"].map(|id| planned.slot_of(id));
        assert_eq!(slots, [Some(5), Some(4), Some(6)]);
        assert!(matches!(in_slots(&[31, 31]), Err(PlanError::Slots(31))));
        assert!(matches!(in_slots(&[0]), Err(PlanError::HostBridge)));
    }

    #[test]
    fn a_device_that_comes_later_names_all_files_that_come_along() {
        let file = || tempfile::tempfile().unwrap();
        assert!(PlannedDevice::new(rng(0), vec![]).is_ok());
        let refused = |spec, files| PlannedDevice::new(spec, files).err();
        assert!(matches!(refused(rng(0), vec![file()]), Some(PlanError::FilesLeft(1))));
        let blk = DeviceSpec {
            kind: "blk".into(),
            id: "vol".into(),
            config: serde_json::json!({ "read_only": false, "queues": 1 }),
            files: vec![FileIndex(0)],
            slot: 1,
            service: None,
        };
        assert!(matches!(
            refused(blk, vec![]),
            Some(PlanError::NoSuchFile { index: 0, given: 0 })
        ));
    }

    #[test]
    fn a_device_that_is_none_is_refused() {
        let device = DeviceSpec {
            kind: "toaster".into(),
            id: "t".into(),
            config: serde_json::Value::Null,
            files: vec![],
            slot: 1,
            service: None,
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
