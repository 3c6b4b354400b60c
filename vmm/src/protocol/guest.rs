//! What a monitor answers its guest itself, as the daemon tells it: in the launch, and in requests that change it.

#[cfg(doc)]
use super::DeviceSpec;
use super::FileIndex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What the monitor answers its guest over the network: DHCP (RFC 2131) and the instance metadata service.
///
/// The daemon opens the sockets ([`DeviceSpec::service`]) in the network of the guest's VPC, each bound to the tap of one
/// interface: so what comes out of one is this guest's, whatever addresses it wears.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestServices {
    /// UDP sockets that are connected to the host's name servers, in the host's network, the preferred first; at most
    /// [`Self::SERVERS_MAX`].
    #[serde(default)]
    pub name_servers: Vec<FileIndex>,
    /// What the guest is told at first.
    pub told: Told,
}

impl GuestServices {
    /// The most name servers that are asked.
    pub const SERVERS_MAX: usize = 3;
}

/// The sockets behind one interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceService {
    /// The interface's hardware address, as `02:00:5e:10:00:01`: no other is given its lease.
    pub mac: String,
    /// A UDP socket, bound to port 67 of any address and to the tap, that may send broadcasts.
    pub dhcp: FileIndex,
    /// A listening TCP socket, bound to port 80 of 169.254.169.254 and to the tap.
    pub metadata: FileIndex,
    /// UDP sockets, each bound to port 53 of an address of the VPC's name server and to the tap; at most
    /// [`Self::NAME_SERVERS_MAX`].
    #[serde(default)]
    pub dns: Vec<FileIndex>,
}

impl InterfaceService {
    /// EC2's name server has two addresses: the third of the VPC's block, and 169.254.169.253.
    pub const NAME_SERVERS_MAX: usize = 2;
}

/// What a guest is told about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// By the hardware address of their interface, as in [`InterfaceService::mac`]; at most [`Self::LEASES_MAX`]. An
    /// interface without one is given none; one may be told before its interface comes.
    pub leases: BTreeMap<String, Lease>,
    /// What the metadata service answers, over every interface.
    pub metadata: Metadata,
    /// What the name server answers; without it, nothing.
    #[serde(default)]
    pub resolver: Option<Resolver>,
}

impl Told {
    /// The most leases: as many as an EC2 instance can have interfaces.
    pub const LEASES_MAX: usize = 15;
}

/// What the name server of a VPC knows: the names of its addresses. All others it asks the host's name servers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    /// The domain of private names, 1 to 200 bytes of lower-case letters, digits, `-` and `.`.
    pub domain: String,
    /// The VPC's block: its first address.
    pub block: Ipv4Addr,
    /// The length of the block's prefix in bits, 1 to 32.
    pub prefix: u8,
}

/// What an interface is given by DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The interface's primary address.
    pub address: Ipv4Addr,
    /// The length of its subnet's prefix in bits, 1 to 30.
    pub prefix: u8,
    /// The subnet's router; it is the DHCP server, too.
    pub router: Ipv4Addr,
    /// Name servers, the preferred first; at most [`Self::SERVERS_MAX`].
    pub name_servers: Vec<Ipv4Addr>,
    /// NTP servers, the preferred first; at most [`Self::SERVERS_MAX`].
    pub ntp_servers: Vec<Ipv4Addr>,
    /// The name of the host, 1 to 255 bytes of visible ASCII.
    pub host_name: Option<String>,
    /// The domain of names that have none, 1 to 255 bytes of printable ASCII.
    pub domain_name: Option<String>,
    /// The largest IP packet of the interface in bytes, at least 68.
    pub mtu: u16,
    /// For how long the lease is given, in seconds; not 0.
    pub seconds: u32,
}

impl Lease {
    /// The most servers of one kind: EC2's DHCP options sets hold four.
    pub const SERVERS_MAX: usize = 8;
}

/// What the instance metadata service answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The values by their paths below the version, `meta-data/ami-id` for instance. All lie in `meta-data` or
    /// `dynamic`, and none in `meta-data/managed-ssh-keys`, which has what [`ActiveKey`]s there are. A directory `0=name` is listed by that name and found as `0`, as EC2's `public-keys` are; it holds values
    /// only, so that its name may have slashes.
    pub leaves: BTreeMap<String, String>,
    /// `user-data` in base64, at most [`Self::USER_DATA_MAX`] bytes before it was encoded.
    pub user_data: Option<String>,
    /// How the service may be used.
    pub options: MetadataOptions,
}

impl Metadata {
    /// The most leaves.
    pub const LEAVES_MAX: usize = 2048;
    /// The longest path of a leaf, in bytes.
    pub const PATH_MAX: usize = 1024;
    /// The longest value of a leaf, in bytes.
    pub const VALUE_MAX: usize = 32 << 10;
    /// The most user data, in bytes: EC2's own bound.
    pub const USER_DATA_MAX: usize = 16 << 10;
}

/// A public key by which somebody may log in for a while, as EC2 Instance Connect sends them. The guest reads those of a user
/// at `meta-data/managed-ssh-keys/active-keys/` and the user's name, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveKey {
    /// The user in the guest: 1 to [`Self::USER_MAX`] bytes of visible ASCII without a slash or an equal sign.
    pub user: String,
    /// The key, a line of `authorized_keys`: 1 to [`Self::KEY_MAX`] bytes of printable ASCII.
    pub key: String,
}

impl ActiveKey {
    /// For how long the guest is told a key.
    pub const LIFE: Duration = Duration::from_secs(60);
    /// The longest name of a user, in bytes.
    pub const USER_MAX: usize = 32;
    /// The longest key, in bytes; an RSA key of 4096 bits has some 750.
    pub const KEY_MAX: usize = 1024;
    /// The most keys of a user at one time.
    pub const OF_USER_MAX: usize = 8;
    /// The most keys at one time.
    pub const ALL_MAX: usize = 64;
}

/// EC2's metadata options of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataOptions {
    /// `HttpEndpoint`: whether anything is answered but 403.
    pub endpoint: bool,
    /// `HttpTokens` is `required`: without a token nothing is answered but 401.
    pub tokens_required: bool,
    /// `HttpPutResponseHopLimit`: over how many hops a token gets, 1 to 64.
    pub hop_limit: u8,
}
