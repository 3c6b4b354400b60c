-- VPCs and what is in them. Blocks and addresses are text as people write them; ports and numbers are integers.

CREATE TABLE dhcp_options (
    id         TEXT PRIMARY KEY,
    is_default INTEGER NOT NULL,
    created    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX dhcp_options_one_default ON dhcp_options (is_default) WHERE is_default;

-- A configuration has one or several values, in order.
CREATE TABLE dhcp_configurations (
    options TEXT NOT NULL REFERENCES dhcp_options (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    place   INTEGER NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (options, key, place)
) STRICT;

-- Without a set of options the guests of a VPC are told no domain and no servers. The number is what a VPC's host objects
-- are named by, where the kernel allows 15 characters; it is used again when its VPC is gone.
CREATE TABLE vpcs (
    id            TEXT PRIMARY KEY,
    number        INTEGER NOT NULL UNIQUE,
    cidr          TEXT NOT NULL,
    dhcp_options  TEXT REFERENCES dhcp_options (id),
    is_default    INTEGER NOT NULL,
    dns_support   INTEGER NOT NULL,
    dns_hostnames INTEGER NOT NULL,
    created       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vpcs_one_default ON vpcs (is_default) WHERE is_default;

CREATE TABLE subnets (
    id            TEXT PRIMARY KEY,
    vpc           TEXT NOT NULL REFERENCES vpcs (id),
    cidr          TEXT NOT NULL,
    is_default    INTEGER NOT NULL,
    map_public_ip INTEGER NOT NULL,
    created       INTEGER NOT NULL
) STRICT;
CREATE INDEX subnets_by_vpc ON subnets (vpc);
CREATE UNIQUE INDEX subnets_one_default ON subnets (is_default) WHERE is_default;

CREATE TABLE internet_gateways (
    id      TEXT PRIMARY KEY,
    vpc     TEXT UNIQUE REFERENCES vpcs (id),
    created INTEGER NOT NULL
) STRICT;

-- The main table of a VPC serves every subnet that is associated with no other.
CREATE TABLE route_tables (
    id               TEXT PRIMARY KEY,
    vpc              TEXT NOT NULL REFERENCES vpcs (id),
    main_association TEXT UNIQUE,
    client_token     TEXT UNIQUE,
    request_digest   TEXT,
    created          INTEGER NOT NULL,
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT;
CREATE INDEX route_tables_by_vpc ON route_tables (vpc);
CREATE UNIQUE INDEX route_tables_one_main ON route_tables (vpc) WHERE main_association IS NOT NULL;

-- The route to the VPC's own block is in every table and is not stored. A route stays when its gateway is gone.
CREATE TABLE routes (
    route_table TEXT NOT NULL REFERENCES route_tables (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    gateway     TEXT NOT NULL,
    PRIMARY KEY (route_table, destination)
) STRICT;

CREATE TABLE route_table_associations (
    id          TEXT PRIMARY KEY,
    route_table TEXT NOT NULL REFERENCES route_tables (id),
    subnet      TEXT NOT NULL UNIQUE REFERENCES subnets (id)
) STRICT;

CREATE TABLE network_acls (
    id             TEXT PRIMARY KEY,
    vpc            TEXT NOT NULL REFERENCES vpcs (id),
    is_default     INTEGER NOT NULL,
    client_token   TEXT UNIQUE,
    request_digest TEXT,
    created        INTEGER NOT NULL,
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT;
CREATE INDEX network_acls_by_vpc ON network_acls (vpc);
CREATE UNIQUE INDEX network_acls_one_default ON network_acls (vpc) WHERE is_default;

-- Protocols are IANA's numbers, -1 for all. For ICMP the ports are type and code; none means all.
CREATE TABLE network_acl_entries (
    acl       TEXT NOT NULL REFERENCES network_acls (id) ON DELETE CASCADE,
    direction TEXT NOT NULL,
    number    INTEGER NOT NULL,
    protocol  INTEGER NOT NULL,
    from_port INTEGER,
    to_port   INTEGER,
    cidr      TEXT NOT NULL,
    allow     INTEGER NOT NULL,
    PRIMARY KEY (acl, direction, number)
) STRICT;

CREATE TABLE network_acl_associations (
    id     TEXT PRIMARY KEY,
    acl    TEXT NOT NULL REFERENCES network_acls (id),
    subnet TEXT NOT NULL UNIQUE REFERENCES subnets (id)
) STRICT;

CREATE TABLE prefix_lists (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    family         TEXT NOT NULL,
    max_entries    INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    client_token   TEXT UNIQUE,
    request_digest TEXT,
    created        INTEGER NOT NULL,
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT;

-- An entry is in the versions of its list from the first one to the last, which a current entry has none of.
CREATE TABLE prefix_list_entries (
    prefix_list   TEXT NOT NULL REFERENCES prefix_lists (id) ON DELETE CASCADE,
    cidr          TEXT NOT NULL,
    description   TEXT,
    first_version INTEGER NOT NULL,
    last_version  INTEGER,
    PRIMARY KEY (prefix_list, cidr, first_version)
) STRICT;

CREATE TABLE security_groups (
    id          TEXT PRIMARY KEY,
    vpc         TEXT NOT NULL REFERENCES vpcs (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    created     INTEGER NOT NULL,
    UNIQUE (vpc, name)
) STRICT;

-- Protocol and ports as in network_acl_entries. Exactly one peer: a block, a group or a prefix list.
CREATE TABLE security_group_rules (
    id             TEXT PRIMARY KEY,
    security_group TEXT NOT NULL REFERENCES security_groups (id) ON DELETE CASCADE,
    direction      TEXT NOT NULL,
    protocol       INTEGER NOT NULL,
    from_port      INTEGER,
    to_port        INTEGER,
    peer_cidr      TEXT,
    peer_group     TEXT REFERENCES security_groups (id),
    peer_list      TEXT REFERENCES prefix_lists (id),
    description    TEXT,
    CHECK ((peer_cidr IS NOT NULL) + (peer_group IS NOT NULL) + (peer_list IS NOT NULL) = 1)
) STRICT;
CREATE INDEX security_group_rules_by_group ON security_group_rules (security_group);
CREATE INDEX security_group_rules_by_peer ON security_group_rules (peer_group);
CREATE INDEX security_group_rules_by_list ON security_group_rules (peer_list);

-- The number is what an interface's host objects are named by, as a VPC's.
CREATE TABLE network_interfaces (
    id                TEXT PRIMARY KEY,
    number            INTEGER NOT NULL UNIQUE,
    subnet            TEXT NOT NULL REFERENCES subnets (id),
    mac               TEXT NOT NULL UNIQUE,
    address           TEXT NOT NULL,
    description       TEXT NOT NULL,
    source_dest_check INTEGER NOT NULL,
    created           INTEGER NOT NULL,
    UNIQUE (subnet, address)
) STRICT;

CREATE TABLE network_interface_groups (
    interface      TEXT NOT NULL REFERENCES network_interfaces (id) ON DELETE CASCADE,
    security_group TEXT NOT NULL REFERENCES security_groups (id),
    PRIMARY KEY (interface, security_group)
) STRICT, WITHOUT ROWID;
CREATE INDEX network_interface_groups_by_group ON network_interface_groups (security_group);

-- An interface is in one instance at most.
CREATE TABLE network_interface_attachments (
    id                    TEXT PRIMARY KEY,
    interface             TEXT NOT NULL UNIQUE REFERENCES network_interfaces (id) ON DELETE CASCADE,
    instance              TEXT NOT NULL REFERENCES instances (id),
    device_index          INTEGER NOT NULL,
    delete_on_termination INTEGER NOT NULL,
    attached              INTEGER NOT NULL,
    UNIQUE (instance, device_index)
) STRICT;

-- The key pair's name and line as they were at the launch: the guest keeps them when the pair is deleted.
ALTER TABLE instances ADD COLUMN key_name TEXT;
ALTER TABLE instances ADD COLUMN public_key TEXT;
ALTER TABLE instances ADD COLUMN metadata_endpoint INTEGER NOT NULL DEFAULT 1;
ALTER TABLE instances ADD COLUMN metadata_tokens_required INTEGER NOT NULL DEFAULT 1;
ALTER TABLE instances ADD COLUMN metadata_hop_limit INTEGER NOT NULL DEFAULT 2;
ALTER TABLE instances ADD COLUMN metadata_tags INTEGER NOT NULL DEFAULT 0;
