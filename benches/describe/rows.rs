//! Stopped instances with all that real ones have, written to a daemon's database while it does not run.

use kiln::model::{
    Architecture, Attachment, AttachmentState, GIB, ImageId, Instance, InstanceAttributes, InstanceId, InstanceState,
    InstanceType, InterfaceAttachment, LaunchKey, MacAddress, MetadataOptions, NetworkInterface,
    NetworkInterfaceAttachmentId, NetworkInterfaceId, ReasonCode, Reservation, ReservationId, ResourceId,
    SecurityGroupId, ShutdownBehavior, StateReason, SubnetId, Tag, Volume, VolumeId, VolumeLimits, VolumeState,
};
use kiln::store::layout::Layout;
use kiln::store::{self, Store, StoreError, random_bits};
use kiln_harness::Api;
use rusqlite::Connection;
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::Path;
use time::OffsetDateTime;

/// The tag that one instance has.
pub const RARE_TAG: (&str, &str) = ("Role", "database");
/// How many instances one launch has made.
const LAUNCH: u32 = 4;
/// How many rows are written at once.
const BATCH: u32 = 500;

/// The rows that were made so far, and the network that they are in.
pub struct Rows {
    subnet: SubnetId,
    group: SecurityGroupId,
    count: u32,
    reservation: ReservationId,
    one: InstanceId,
}

impl Rows {
    /// None yet. They will be in a VPC with room for all of them.
    pub fn new(api: &Api) -> Self {
        let vpc = api.call("CreateVpc", &json!({"CidrBlock": "10.0.0.0/16"}));
        let vpc = &vpc["Vpc"]["VpcId"];
        let subnet = api.call("CreateSubnet", &json!({"VpcId": vpc, "CidrBlock": "10.0.0.0/16"}));
        let of_vpc = json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}]});
        let groups = api.call("DescribeSecurityGroups", &of_vpc);
        let subnet = subnet["Subnet"]["SubnetId"].as_str();
        let group = groups["SecurityGroups"][0]["GroupId"].as_str();
        Self {
            subnet: subnet.and_then(|id| id.parse().ok()).expect("A subnet has an id"),
            group: group.and_then(|id| id.parse().ok()).expect("A VPC has a group"),
            count: 0,
            reservation: ReservationId::from_random(0),
            one: InstanceId::from_random(0),
        }
    }

    /// One of the instances: the one that has the rare tag.
    pub const fn instance(&self) -> InstanceId {
        self.one
    }

    /// Makes as many more as are missing to `count`, in the database of a daemon that does not run.
    pub fn grow(&mut self, state: &Path, count: u32) {
        let store = Store::open(&Layout::new(state, state).database()).expect("The database can be opened");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("There can be a runtime");
        while self.count < count {
            let end = count.min(self.count + BATCH);
            let made: Vec<Row> = (self.count..end).map(|number| self.row(number)).collect();
            let written = store.write(move |tx| made.iter().try_for_each(|row| row.add(tx)));
            runtime.block_on(written).expect("The rows can be written");
            self.count = end;
        }
    }

    fn row(&mut self, number: u32) -> Row {
        let now = OffsetDateTime::now_utc();
        let begins = number.is_multiple_of(LAUNCH);
        if begins {
            self.reservation = ReservationId::from_random(random_bits());
        }
        let instance = stopped(self.reservation, number % LAUNCH, now);
        let mut tags = [("Name", format!("web-{number}")), ("Stage", "production".into())]
            .map(|(key, value)| tag(key, value))
            .to_vec();
        if number == 0 {
            self.one = instance.id;
            tags.push(tag(RARE_TAG.0, RARE_TAG.1.into()));
        }
        let reservation = Reservation {
            id: self.reservation,
            client_token: Some(format!("launch-{number}")),
            request_digest: format!("{number:016x}"),
            created: now,
        };
        let (volume, attachment) = root_volume(&instance);
        Row {
            reservation: Some(reservation).filter(|_| begins),
            interface: self.interface(instance.id, number),
            volume,
            attachment,
            tags,
            instance,
        }
    }

    fn interface(&self, instance: InstanceId, number: u32) -> NetworkInterface {
        let now = OffsetDateTime::now_utc();
        // The first addresses of a subnet are nobody's.
        let address = u32::from(Ipv4Addr::new(10, 0, 1, 0)) + number;
        let [_, _, _, _, _, _, _, _, _, _, _, bits @ ..] = random_bits().to_be_bytes();
        NetworkInterface {
            id: NetworkInterfaceId::from_random(random_bits()),
            number: 1_000 + number,
            subnet: self.subnet,
            mac: MacAddress::from_random(bits),
            address: address.into(),
            secondary: Vec::new(),
            description: String::new(),
            source_dest_check: true,
            groups: vec![self.group],
            public_at_start: false,
            public: None,
            attachment: Some(InterfaceAttachment {
                id: NetworkInterfaceAttachmentId::from_random(random_bits()),
                instance,
                device_index: 0,
                delete_on_termination: true,
                attached: now,
                state: AttachmentState::Attached,
            }),
            created: now,
        }
    }
}

/// An instance with what hangs on it.
struct Row {
    /// With the first instance of a launch.
    reservation: Option<Reservation>,
    instance: Instance,
    volume: Volume,
    attachment: Attachment,
    interface: NetworkInterface,
    tags: Vec<Tag>,
}

impl Row {
    fn add(&self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(reservation) = &self.reservation {
            store::reservations::add(connection, reservation)?;
        }
        store::instances::add(connection, &self.instance)?;
        store::volumes::add(connection, &self.volume)?;
        store::volumes::attach(connection, &self.attachment)?;
        store::network_interfaces::add(connection, &self.interface)?;
        let id = ResourceId::Instance(self.instance.id);
        self.tags
            .iter()
            .try_for_each(|tag| store::tags::put(connection, id, tag))
    }
}

fn tag(key: &str, value: String) -> Tag {
    Tag { key: key.into(), value }
}

/// An instance that a user stopped.
fn stopped(reservation: ReservationId, launch_index: u32, now: OffsetDateTime) -> Instance {
    let key = LaunchKey {
        name: "admin".parse().expect("That is a name"),
        public_key: format!("ssh-ed25519 {} admin", "A".repeat(68)),
    };
    Instance {
        id: InstanceId::from_random(random_bits()),
        reservation,
        client_token: None,
        launch_index,
        image: ImageId::from_random(1),
        instance_type: InstanceType {
            name: "t3.micro".into(),
            vcpus: 2,
            threads_per_core: 2,
            memory: 1 << 30,
            network_mbps: None,
            instance_store: None,
        },
        architecture: Architecture::X86_64,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/xvda".into(),
        state: InstanceState::Stopped,
        reason: Some(StateReason {
            code: ReasonCode::UserInitiatedShutdown,
            detail: "User initiated shutdown".into(),
            at: now,
        }),
        ran: true,
        rebooting: false,
        launched: now,
        terminated: None,
        shutdown_behavior: ShutdownBehavior::Stop,
        // As long as a short cloud-config.
        user_data: Some(b"#cloud-config\n".repeat(64)),
        key: Some(key),
        metadata_options: MetadataOptions::default(),
        attributes: InstanceAttributes::default(),
    }
}

fn root_volume(instance: &Instance) -> (Volume, Attachment) {
    let volume = Volume {
        id: VolumeId::from_random(random_bits()),
        size: 8 * GIB,
        snapshot: None,
        state: VolumeState::InUse,
        limits: VolumeLimits::default(),
        created: instance.launched,
    };
    let attachment = Attachment {
        volume: volume.id,
        instance: instance.id,
        device_name: instance.root_device_name.clone(),
        delete_on_termination: true,
        attached: instance.launched,
        state: AttachmentState::Attached,
    };
    (volume, attachment)
}
