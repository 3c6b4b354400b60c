//! EC2's nouns and their rules: identifiers, states, instances, images, volumes, snapshots, networks, tags.
//!
//! Pure data: no I/O, no async, and no knowledge of the wire. Every other part of the daemon speaks in these types;
//! `store` keeps them, `api` translates them from and to EC2's members.

mod access_key;
mod address;
mod amendment;
mod attachment_state;
mod block;
mod device_name;
mod dhcp_options;
mod export;
mod firewall;
mod grantee;
mod id;
mod image;
mod import;
mod instance;
mod instance_attributes;
mod instance_store;
mod instance_type;
mod key_pair;
mod launch_template;
mod network_acl;
mod network_interface;
mod os_user;
mod prefix_list;
mod replace_root_volume_task;
mod route_table;
mod security_group;
mod stage;
mod tag;
mod task;
mod volume;
mod volume_limits;
mod vpc;

pub use access_key::{AccessKey, AccessKeyId, ParseAccessKeyIdError, Secret};
pub use address::{AddressAssociation, ElasticAddress, PublicAddress};
pub use amendment::{Amendment, AmendmentError, must_be_there};
pub use attachment_state::AttachmentState;
pub use block::{Block, BlockError};
pub use device_name::{DeviceName, ParseDeviceNameError};
pub use dhcp_options::{DhcpOption, DhcpOptionError, DhcpOptions, DomainNameServers};
pub use export::ExportTask;
pub use firewall::{Direction, IcmpMessages, Traffic, TrafficError};
pub use grantee::Grantee;
pub use id::{
    AddressAssociationId, AllocationId, DhcpOptionsId, ExportTaskId, ImageId, ImportImageTaskId, ImportSnapshotTaskId,
    ImportTaskId, InstanceId, InternetGatewayId, KernelId, KeyPairId, LaunchTemplateId, NetworkAclAssociationId,
    NetworkAclId, NetworkInterfaceAttachmentId, NetworkInterfaceId, ParseIdError, PrefixListId, RamdiskId,
    ReplaceRootVolumeTaskId, ReservationId, ResourceId, RouteTableAssociationId, RouteTableId, SecurityGroupId,
    SecurityGroupRuleId, SnapshotId, SubnetId, VolumeId, VpcId,
};
pub use image::{
    AccountId, Architecture, BlockDevice, Image, ImageAttributes, ImageOwner, ImageSource, ImageState, KernelImage,
    ParseAccountIdError, ParseImageOwnerError, ProductCode, ProductCodeKind, RamdiskImage,
};
pub use import::ImportTask;
pub use instance::{
    Attachment, Instance, InstanceState, LaunchKey, MetadataDefaults, MetadataOptions, Milestone, ReasonCode,
    Reservation, ShutdownBehavior, StateReason,
};
pub use instance_attributes::{CpuCredits, HostnameType, InstanceAttributes, PrivateName, Protection, Upkeep};
pub use instance_store::{GB, InstanceStore, InstanceStoreMapping, ParseVirtualNameError, VirtualName};
pub use instance_type::InstanceType;
pub use key_pair::{KeyName, KeyPair, KeyType, ParseKeyNameError};
pub use launch_template::{
    LaunchTemplate, LaunchTemplateName, ParseTemplateNameError, ParseVersionError, TemplateVersion, VersionChoice,
};
pub use network_acl::{LAST_ENTRY, NetworkAcl, NetworkAclAssociation, NetworkAclEntry};
pub use network_interface::{InterfaceAttachment, MacAddress, NetworkInterface, ParseMacError};
pub use os_user::{OsUser, ParseOsUserError};
pub use prefix_list::{AddressFamily, MAX_LIST_ENTRIES, PrefixList, PrefixListEntry};
pub use replace_root_volume_task::{ReplaceRootVolumeTask, ReplaceRootVolumeTaskState};
pub use route_table::{Route, RouteTable, RouteTableAssociation};
pub use security_group::{DEFAULT_GROUP, Peer, SecurityGroup, SecurityGroupRule};
pub use stage::Stage;
pub use tag::{MAX_KEY, MAX_TAGS, MAX_VALUE, RESERVED_KEY, Tag, TaggedResource};
pub use task::TaskState;
pub use volume::{Draft, DraftToken, GIB, Snapshot, SnapshotState, Volume, VolumeModification, VolumeState};
pub use volume_limits::{InvalidLimitsError, VolumeLimits};
pub use vpc::{InternetGateway, Subnet, Vpc};
