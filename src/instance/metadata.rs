//! What an instance's guest is told of itself by the metadata service: the leaves below `meta-data/` and `dynamic/`, made
//! of what is on record. The monitor serves them; listings it makes of the leaves' paths.
//!
//! Called at each launch, and again whenever something that a guest is told has changed.

use super::instance_store;
use super::surroundings::Surroundings;
use crate::config::Place;
use crate::model::{
    Attachment, Instance, InstanceId, InstanceStoreMapping, NetworkInterface, ResourceId, SecurityGroup, Subnet, Tag,
    Volume, Vpc,
};
use crate::store::{self, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use time::format_description::well_known::Rfc3339;

/// Leaves by path.
pub type Leaves = BTreeMap<String, String>;

/// The leaves of the identity document and of its signature, which is not made here.
pub(super) const DOCUMENT: &str = "dynamic/instance-identity/document";
pub(super) const SIGNATURE: &str = "dynamic/instance-identity/signature";

/// The version of the identity document, as EC2 writes it.
const DOCUMENT_VERSION: &str = "2017-09-30";

/// What is on record of an instance that its guest may know.
#[derive(Debug)]
pub struct Facts {
    /// The instance.
    pub instance: Instance,
    /// Its interfaces, by place.
    pub interfaces: Vec<InterfaceFacts>,
    volumes: Vec<(Volume, Attachment)>,
    instance_store: Vec<InstanceStoreMapping>,
    tags: Vec<Tag>,
}

/// An interface and where it is.
#[derive(Debug)]
pub struct InterfaceFacts {
    /// The interface.
    pub interface: NetworkInterface,
    /// Its subnet.
    pub subnet: Subnet,
    /// Its VPC.
    pub vpc: Vpc,
    /// The groups that it is in.
    pub groups: Vec<SecurityGroup>,
}

impl Facts {
    /// Reads them; none if the instance is gone.
    ///
    /// # Errors
    /// The database's.
    pub fn read(connection: &Connection, id: InstanceId) -> Result<Option<Self>, StoreError> {
        let Some(instance) = store::instances::get(connection, id)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            interfaces: InterfaceFacts::of_instance(connection, id)?,
            volumes: store::volumes::of_instance(connection, id)?,
            instance_store: instance_store::mapped(connection, &instance)?,
            tags: store::tags::of(connection, ResourceId::Instance(id))?,
            instance,
        }))
    }

    /// All leaves.
    pub fn leaves(&self, place: &Place) -> Leaves {
        let mut leaves = Leaves::new();
        self.tell_instance(&mut leaves);
        self.tell_place(&mut leaves, place);
        self.tell_volumes(&mut leaves);
        self.tell_key(&mut leaves);
        self.tell_tags(&mut leaves);
        self.tell_networks(&mut leaves, place);
        leaves.insert(DOCUMENT.into(), self.document(place));
        let monitoring = if self.instance.attributes.monitoring {
            "enabled"
        } else {
            "disabled"
        };
        leaves.insert("dynamic/fws/instance-monitoring".into(), monitoring.into());
        leaves
    }

    /// What an interface is called: the primary one as the instance is.
    pub(super) fn name(&self, one: &InterfaceFacts, place: &Place) -> String {
        let address = one.interface.address;
        match self.interfaces.first() {
            Some(primary) if primary.interface.id == one.interface.id => place.instance_name(&self.instance, address),
            _ => place.private_name(address),
        }
    }

    fn tell_instance(&self, leaves: &mut Leaves) {
        let instance = &self.instance;
        tell(leaves, "ami-id", instance.image);
        tell(leaves, "ami-launch-index", instance.launch_index);
        tell(leaves, "ami-manifest-path", "(unknown)");
        tell(leaves, "hibernation/configured", false);
        tell(leaves, "events/maintenance/history", "[]");
        tell(leaves, "events/maintenance/scheduled", "[]");
        tell(leaves, "instance-action", "none");
        tell(leaves, "instance-id", instance.id);
        tell(leaves, "instance-life-cycle", "on-demand");
        tell(leaves, "instance-type", &instance.instance_type.name);
        tell(leaves, "profile", "default-hvm");
        tell(leaves, "reservation-id", instance.reservation);
        tell(leaves, "system", "nitro");
        if let Some(kernel) = instance.kernel {
            tell(leaves, "kernel-id", kernel);
        }
        if let Some(ramdisk) = instance.ramdisk {
            tell(leaves, "ramdisk-id", ramdisk);
        }
    }

    fn tell_place(&self, leaves: &mut Leaves, place: &Place) {
        tell(leaves, "placement/availability-zone", place.zone());
        tell(leaves, "placement/region", place.region());
        tell(leaves, "services/domain", "amazonaws.com");
        tell(leaves, "services/partition", "aws");
    }

    fn tell_volumes(&self, leaves: &mut Leaves) {
        let root = &self.instance.root_device_name;
        tell(leaves, "block-device-mapping/ami", root);
        tell(leaves, "block-device-mapping/root", root);
        let others = self
            .volumes
            .iter()
            .filter(|(_, attachment)| attachment.device_name != *root);
        let mut mapped = |what: String, device: &str| {
            let short = device.strip_prefix("/dev/").unwrap_or(device);
            tell(leaves, &format!("block-device-mapping/{what}"), short);
        };
        for (number, (_, attachment)) in (1..).zip(others) {
            mapped(format!("ebs{number}"), &attachment.device_name);
        }
        for disk in &self.instance_store {
            mapped(disk.virtual_name.to_string(), &disk.device_name);
        }
    }

    fn tell_key(&self, leaves: &mut Leaves) {
        if let Some(key) = &self.instance.key {
            tell(
                leaves,
                &format!("public-keys/0={}/openssh-key", key.name),
                &key.public_key,
            );
        }
    }

    /// EC2 has a tag whose key is no path's part refused where tags are told; here it is just not told.
    fn tell_tags(&self, leaves: &mut Leaves) {
        if !self.instance.metadata_options.tags {
            return;
        }
        let told = |tag: &&Tag| !tag.key.contains(['/', ' ']) && !matches!(tag.key.as_str(), "." | ".." | "_index");
        for tag in self.tags.iter().filter(told) {
            tell(leaves, &format!("tags/instance/{}", tag.key), &tag.value);
        }
    }

    fn tell_networks(&self, leaves: &mut Leaves, place: &Place) {
        if let Some(primary) = self.interfaces.first() {
            let name = self.name(primary, place);
            tell(leaves, "hostname", &name);
            tell(leaves, "local-hostname", &name);
            tell(leaves, "local-ipv4", primary.interface.address);
            tell(leaves, "mac", primary.interface.mac);
            tell(leaves, "security-groups", primary.group_names());
            if let Some(public) = primary.interface.public {
                tell(leaves, "public-ipv4", public.address);
            }
        }
        for one in &self.interfaces {
            one.tell(leaves, place);
        }
    }

    /// The identity document, as EC2 lays it out.
    fn document(&self, place: &Place) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            account_id: &'a str,
            architecture: &'a str,
            availability_zone: &'a str,
            billing_products: Option<()>,
            devpay_product_codes: Option<()>,
            marketplace_product_codes: Option<()>,
            image_id: String,
            instance_id: String,
            instance_type: &'a str,
            kernel_id: Option<String>,
            pending_time: String,
            private_ip: Option<Ipv4Addr>,
            ramdisk_id: Option<String>,
            region: &'a str,
            version: &'a str,
        }
        let instance = &self.instance;
        let pending = instance.launched.replace_nanosecond(0).unwrap_or(instance.launched);
        let document = Document {
            account_id: place.account(),
            architecture: instance.architecture.name(),
            availability_zone: place.zone(),
            billing_products: None,
            devpay_product_codes: None,
            marketplace_product_codes: None,
            image_id: instance.image.to_string(),
            instance_id: instance.id.to_string(),
            instance_type: &instance.instance_type.name,
            kernel_id: instance.kernel.map(|id| id.to_string()),
            pending_time: pending.format(&Rfc3339).unwrap_or_default(),
            private_ip: self.interfaces.first().map(|primary| primary.interface.address),
            ramdisk_id: instance.ramdisk.map(|id| id.to_string()),
            region: place.region(),
            version: DOCUMENT_VERSION,
        };
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

impl InterfaceFacts {
    /// The interfaces of an instance, by place.
    ///
    /// # Errors
    /// The database's.
    pub fn of_instance(connection: &Connection, id: InstanceId) -> Result<Vec<Self>, StoreError> {
        Ok(Self::of_instances(connection, &[id])?.remove(&id).unwrap_or_default())
    }

    /// The interfaces of each of these instances that has any, by place.
    ///
    /// # Errors
    /// The database's.
    pub fn of_instances(
        connection: &Connection,
        ids: &[InstanceId],
    ) -> Result<HashMap<InstanceId, Vec<Self>>, StoreError> {
        let mut surroundings = Surroundings::default();
        let mut all: HashMap<InstanceId, Vec<Self>> = HashMap::with_capacity(ids.len());
        for interface in store::network_interfaces::of_instances(connection, ids)? {
            let instance = interface.attachment.as_ref().map(|attachment| attachment.instance);
            if let (Some(instance), Some(facts)) = (instance, surroundings.of(connection, interface)?) {
                all.entry(instance).or_default().push(facts);
            }
        }
        Ok(all)
    }

    fn group_names(&self) -> String {
        lines(self.groups.iter().map(|group| &group.name))
    }

    fn tell(&self, leaves: &mut Leaves, place: &Place) {
        let interface = &self.interface;
        let index = interface
            .attachment
            .as_ref()
            .map_or(0, |attachment| attachment.device_index);
        let name = place.private_name(interface.address);
        let told: [(&str, String); 14] = [
            ("device-number", index.to_string()),
            ("interface-id", interface.id.to_string()),
            ("local-hostname", name),
            ("local-ipv4s", lines(interface.addresses())),
            ("mac", interface.mac.to_string()),
            ("network-card", "0".into()),
            ("owner-id", place.account().to_owned()),
            ("security-group-ids", lines(&interface.groups)),
            ("security-groups", self.group_names()),
            ("subnet-id", self.subnet.id.to_string()),
            ("subnet-ipv4-cidr-block", self.subnet.block.to_string()),
            ("vpc-id", self.vpc.id.to_string()),
            ("vpc-ipv4-cidr-block", self.vpc.block.to_string()),
            ("vpc-ipv4-cidr-blocks", self.vpc.block.to_string()),
        ];
        let folder = format!("network/interfaces/macs/{}", interface.mac);
        for (leaf, text) in told {
            tell(leaves, &format!("{folder}/{leaf}"), text);
        }
        if let Some(public) = interface.public {
            tell(leaves, &format!("{folder}/public-ipv4s"), public.address);
            tell(
                leaves,
                &format!("{folder}/ipv4-associations/{}", public.address),
                interface.address,
            );
        }
    }
}

fn tell(leaves: &mut Leaves, path: &str, text: impl ToString) {
    leaves.insert(format!("meta-data/{path}"), text.to_string());
}

fn lines(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join("\n")
}
