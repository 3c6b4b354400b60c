//! What the tests and fuzzers look into: the parsers behind the sockets, and a guest's story as the tests tell it.

pub use super::dhcp::answer as answer_dhcp;
pub use super::dns::{Reply, answer as answer_dns};
pub use super::facts::Facts;
pub use super::http::Head;
pub use super::service::answer as answer_metadata;
pub use super::tokens::Tokens;

use crate::protocol::{Lease, Metadata, MetadataOptions, Resolver, Told};

/// The hardware address of the interface.
pub const MAC: &str = "02:00:5e:10:00:01";

/// The lease of an interface with 10.0.1.5/24.
pub fn lease() -> Lease {
    Lease {
        address: [10, 0, 1, 5].into(),
        prefix: 24,
        router: [10, 0, 1, 1].into(),
        name_servers: vec![[10, 0, 0, 2].into()],
        ntp_servers: vec![[169, 254, 169, 123].into()],
        host_name: Some("ip-10-0-1-5".into()),
        domain_name: Some("ec2.internal".into()),
        mtu: 9001,
        seconds: 3600,
    }
}

/// What a guest with one interface is told.
pub fn told() -> Told {
    let leaves = [
        ("meta-data/ami-id", "ami-1"),
        ("meta-data/instance-id", "i-1"),
        ("meta-data/public-keys/0=my key/openssh-key", "ssh-ed25519 AAAA my key"),
        ("meta-data/placement/region", "us-east-1"),
        ("dynamic/instance-identity/document", "{}"),
    ];
    Told {
        leases: [(MAC.into(), lease())].into(),
        metadata: Metadata {
            leaves: leaves.map(|(path, value)| (path.to_owned(), value.to_owned())).into(),
            // `#!/bin/sh` and a newline.
            user_data: Some("IyEvYmluL3NoCg==".into()),
            options: MetadataOptions {
                endpoint: true,
                tokens_required: false,
                hop_limit: 2,
            },
        },
        resolver: Some(Resolver {
            domain: "ec2.internal".into(),
            block: [10, 0, 0, 0].into(),
            prefix: 16,
        }),
    }
}
