//! Identifiers as EC2 writes them: a prefix that says what is meant, and 17 hexadecimal digits.
//!
//! Every noun has a type of its own, so a volume can't be passed where an instance is meant. Used everywhere.

use std::fmt;
use std::str::FromStr;

/// How many bits 17 hexadecimal digits hold.
const BITS: u32 = 68;
/// How many digits an identifier has.
const DIGITS: usize = 17;

/// A text that is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Not the identifier of {noun}: \"{text}\" (expecting \"{prefix}\" and 17 hexadecimal digits)")]
pub struct ParseIdError {
    /// What was wanted, with its article.
    pub noun: &'static str,
    /// The prefix that identifiers of that kind have.
    pub prefix: &'static str,
    /// What was given, shortened.
    pub text: String,
}

fn parse(text: &str, prefix: &'static str, noun: &'static str) -> Result<u128, ParseIdError> {
    let digits = text.strip_prefix(prefix).filter(|digits| digits.len() == DIGITS);
    let lower_hex = |digits: &&str| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits
        .filter(lower_hex)
        .and_then(|digits| u128::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ParseIdError {
            noun,
            prefix,
            text: text.chars().take(64).collect(),
        })
}

macro_rules! ids {
    ($($name:ident $prefix:literal $noun:literal;)*) => {$(
        #[doc = concat!("The identifier of ", $noun, ": `", $prefix, "` and 17 hexadecimal digits.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes one of random bits, of which 68 are used.
            pub const fn from_random(bits: u128) -> Self {
                Self(bits & ((1 << BITS) - 1))
            }

            /// Its 68 bits.
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{:017x}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text, $prefix, $noun).map(Self)
            }
        }
    )*};
}

ids! {
    InstanceId "i-" "an instance";
    ReservationId "r-" "a reservation";
    ImageId "ami-" "an image";
    KernelId "aki-" "a kernel image";
    RamdiskId "ari-" "a RAM disk image";
    KeyPairId "key-" "a key pair";
    VolumeId "vol-" "a volume";
    SnapshotId "snap-" "a snapshot";
    ImportImageTaskId "import-ami-" "a task that imports an image";
    ImportSnapshotTaskId "import-snap-" "a task that imports a snapshot";
    ExportTaskId "export-ami-" "a task that exports an image";
    ReplaceRootVolumeTaskId "replacevol-" "a task that replaces a root volume";
    VpcId "vpc-" "a VPC";
    SubnetId "subnet-" "a subnet";
    DhcpOptionsId "dopt-" "a set of DHCP options";
    InternetGatewayId "igw-" "an internet gateway";
    RouteTableId "rtb-" "a route table";
    RouteTableAssociationId "rtbassoc-" "an association of a route table";
    NetworkAclId "acl-" "a network ACL";
    NetworkAclAssociationId "aclassoc-" "an association of a network ACL";
    SecurityGroupId "sg-" "a security group";
    SecurityGroupRuleId "sgr-" "a security group rule";
    PrefixListId "pl-" "a prefix list";
    LaunchTemplateId "lt-" "a launch template";
    NetworkInterfaceId "eni-" "a network interface";
    NetworkInterfaceAttachmentId "eni-attach-" "an attachment of a network interface";
    AllocationId "eipalloc-" "an elastic address";
    AddressAssociationId "eipassoc-" "an association of an elastic address";
}

/// The identifier of an import task of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImportTaskId {
    /// The task makes an image.
    Image(ImportImageTaskId),
    /// The task makes a snapshot.
    Snapshot(ImportSnapshotTaskId),
}

impl fmt::Display for ImportTaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => id.fmt(f),
            Self::Snapshot(id) => id.fmt(f),
        }
    }
}

impl FromStr for ImportTaskId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.starts_with(ImportSnapshotTaskId::PREFIX) {
            true => text.parse().map(Self::Snapshot),
            false => text.parse().map(Self::Image),
        }
    }
}

/// The identifier of anything that carries tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceId {
    /// An instance.
    Instance(InstanceId),
    /// An image.
    Image(ImageId),
    /// A volume.
    Volume(VolumeId),
    /// A snapshot.
    Snapshot(SnapshotId),
    /// An import task.
    ImportTask(ImportTaskId),
    /// An export task.
    ExportTask(ExportTaskId),
    /// A task that replaces a root volume.
    ReplaceRootVolumeTask(ReplaceRootVolumeTaskId),
    /// A kernel image.
    Kernel(KernelId),
    /// A RAM disk image.
    Ramdisk(RamdiskId),
    /// A key pair.
    KeyPair(KeyPairId),
    /// A VPC.
    Vpc(VpcId),
    /// A subnet.
    Subnet(SubnetId),
    /// A set of DHCP options.
    DhcpOptions(DhcpOptionsId),
    /// An internet gateway.
    InternetGateway(InternetGatewayId),
    /// A route table.
    RouteTable(RouteTableId),
    /// A network ACL.
    NetworkAcl(NetworkAclId),
    /// A security group.
    SecurityGroup(SecurityGroupId),
    /// A security group rule.
    SecurityGroupRule(SecurityGroupRuleId),
    /// A prefix list.
    PrefixList(PrefixListId),
    /// A launch template.
    LaunchTemplate(LaunchTemplateId),
    /// A network interface.
    NetworkInterface(NetworkInterfaceId),
    /// An elastic address.
    ElasticIp(AllocationId),
}

impl ResourceId {
    /// EC2's name of the resource type (`ResourceType` of a tag); kernel and RAM disk images are images there.
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::Instance(_) => "instance",
            Self::Image(_) | Self::Kernel(_) | Self::Ramdisk(_) => "image",
            Self::Volume(_) => "volume",
            Self::Snapshot(_) => "snapshot",
            Self::KeyPair(_) => "key-pair",
            Self::Vpc(_) => "vpc",
            Self::Subnet(_) => "subnet",
            Self::DhcpOptions(_) => "dhcp-options",
            Self::InternetGateway(_) => "internet-gateway",
            Self::RouteTable(_) => "route-table",
            Self::NetworkAcl(_) => "network-acl",
            Self::SecurityGroup(_) => "security-group",
            Self::SecurityGroupRule(_) => "security-group-rule",
            Self::PrefixList(_) => "prefix-list",
            Self::LaunchTemplate(_) => "launch-template",
            Self::NetworkInterface(_) => "network-interface",
            Self::ElasticIp(_) => "elastic-ip",
            Self::ExportTask(_) => "export-image-task",
            Self::ReplaceRootVolumeTask(_) => "replace-root-volume-task",
            Self::ImportTask(ImportTaskId::Image(_)) => "import-image-task",
            Self::ImportTask(ImportTaskId::Snapshot(_)) => "import-snapshot-task",
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Image(id) => id.fmt(f),
            Self::Volume(id) => id.fmt(f),
            Self::Snapshot(id) => id.fmt(f),
            Self::ImportTask(id) => id.fmt(f),
            Self::ExportTask(id) => id.fmt(f),
            Self::ReplaceRootVolumeTask(id) => id.fmt(f),
            Self::Kernel(id) => id.fmt(f),
            Self::Ramdisk(id) => id.fmt(f),
            Self::KeyPair(id) => id.fmt(f),
            Self::Vpc(id) => id.fmt(f),
            Self::Subnet(id) => id.fmt(f),
            Self::DhcpOptions(id) => id.fmt(f),
            Self::InternetGateway(id) => id.fmt(f),
            Self::RouteTable(id) => id.fmt(f),
            Self::NetworkAcl(id) => id.fmt(f),
            Self::SecurityGroup(id) => id.fmt(f),
            Self::SecurityGroupRule(id) => id.fmt(f),
            Self::PrefixList(id) => id.fmt(f),
            Self::LaunchTemplate(id) => id.fmt(f),
            Self::NetworkInterface(id) => id.fmt(f),
            Self::ElasticIp(id) => id.fmt(f),
        }
    }
}

impl FromStr for ResourceId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let prefix = text.rfind('-').map_or("", |at| text.get(..=at).unwrap_or(""));
        match prefix {
            InstanceId::PREFIX => text.parse().map(Self::Instance),
            ImageId::PREFIX => text.parse().map(Self::Image),
            VolumeId::PREFIX => text.parse().map(Self::Volume),
            SnapshotId::PREFIX => text.parse().map(Self::Snapshot),
            ImportImageTaskId::PREFIX | ImportSnapshotTaskId::PREFIX => text.parse().map(Self::ImportTask),
            ExportTaskId::PREFIX => text.parse().map(Self::ExportTask),
            ReplaceRootVolumeTaskId::PREFIX => text.parse().map(Self::ReplaceRootVolumeTask),
            KernelId::PREFIX => text.parse().map(Self::Kernel),
            RamdiskId::PREFIX => text.parse().map(Self::Ramdisk),
            KeyPairId::PREFIX => text.parse().map(Self::KeyPair),
            VpcId::PREFIX => text.parse().map(Self::Vpc),
            SubnetId::PREFIX => text.parse().map(Self::Subnet),
            DhcpOptionsId::PREFIX => text.parse().map(Self::DhcpOptions),
            InternetGatewayId::PREFIX => text.parse().map(Self::InternetGateway),
            RouteTableId::PREFIX => text.parse().map(Self::RouteTable),
            NetworkAclId::PREFIX => text.parse().map(Self::NetworkAcl),
            SecurityGroupId::PREFIX => text.parse().map(Self::SecurityGroup),
            SecurityGroupRuleId::PREFIX => text.parse().map(Self::SecurityGroupRule),
            PrefixListId::PREFIX => text.parse().map(Self::PrefixList),
            LaunchTemplateId::PREFIX => text.parse().map(Self::LaunchTemplate),
            NetworkInterfaceId::PREFIX => text.parse().map(Self::NetworkInterface),
            AllocationId::PREFIX => text.parse().map(Self::ElasticIp),
            _ => Err(ParseIdError {
                noun: "a resource",
                prefix: "",
                text: text.chars().take(64).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_it_was_written(bits: u128) {
            let id = InstanceId::from_random(bits);
            prop_assert_eq!(id.to_string().parse::<InstanceId>(), Ok(id));
            prop_assert_eq!(id.to_string().parse::<ResourceId>(), Ok(ResourceId::Instance(id)));
            let task = ImportTaskId::Snapshot(ImportSnapshotTaskId::from_random(bits));
            prop_assert_eq!(task.to_string().parse::<ResourceId>(), Ok(ResourceId::ImportTask(task)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<VolumeId>();
            let _ = text.parse::<ResourceId>();
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "i-",
            "i-0123456789abcdef",
            "i-0123456789ABCDEF0",
            "vol-0123456789abcdef0",
            "i-+123456789abcdef0",
        ] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }
}
