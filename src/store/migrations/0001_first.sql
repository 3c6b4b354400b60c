-- The first schema. Times are microseconds since 1970 (UTC), sizes are bytes, states are EC2's names.

CREATE TABLE snapshots (
    id            TEXT PRIMARY KEY,
    size          INTEGER NOT NULL CHECK (size >= 0),
    state         TEXT NOT NULL,
    state_message TEXT,
    description   TEXT,
    digest        TEXT,
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE kernels (
    id            TEXT PRIMARY KEY,
    description   TEXT,
    command_line  TEXT NOT NULL,
    digest        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE ramdisks (
    id            TEXT PRIMARY KEY,
    description   TEXT,
    digest        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE images (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    description      TEXT,
    owner            TEXT NOT NULL,
    state            TEXT NOT NULL,
    state_reason     TEXT,
    architecture     TEXT NOT NULL,
    root_device_name TEXT NOT NULL,
    kernel           TEXT REFERENCES kernels (id),
    ramdisk          TEXT REFERENCES ramdisks (id),
    created          INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT;

CREATE TABLE image_devices (
    image                 TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    place                 INTEGER NOT NULL,
    device_name           TEXT NOT NULL,
    snapshot              TEXT NOT NULL REFERENCES snapshots (id),
    size                  INTEGER NOT NULL,
    delete_on_termination INTEGER NOT NULL,
    PRIMARY KEY (image, place),
    UNIQUE (image, device_name)
) STRICT;
CREATE INDEX image_devices_by_snapshot ON image_devices (snapshot);

CREATE TABLE import_tasks (
    id             TEXT PRIMARY KEY,
    client_token   TEXT UNIQUE,
    request_digest TEXT NOT NULL,
    state          TEXT NOT NULL,
    progress       INTEGER NOT NULL,
    message        TEXT,
    description    TEXT,
    format         TEXT NOT NULL,
    snapshot       TEXT NOT NULL,
    image          TEXT,
    created        INTEGER NOT NULL
) STRICT;

CREATE TABLE reservations (
    id             TEXT PRIMARY KEY,
    client_token   TEXT UNIQUE,
    request_digest TEXT NOT NULL,
    created        INTEGER NOT NULL
) STRICT;

-- An instance keeps the id of its image even when the image is gone, so that is no foreign key. Its kernel and RAM
-- disk it needs at every start.
CREATE TABLE instances (
    id                TEXT PRIMARY KEY,
    reservation       TEXT NOT NULL REFERENCES reservations (id),
    launch_index      INTEGER NOT NULL,
    image             TEXT NOT NULL,
    type_name         TEXT NOT NULL,
    vcpus             INTEGER NOT NULL,
    threads_per_core  INTEGER NOT NULL,
    memory            INTEGER NOT NULL,
    architecture      TEXT NOT NULL,
    kernel            TEXT REFERENCES kernels (id),
    ramdisk           TEXT REFERENCES ramdisks (id),
    root_device_name  TEXT NOT NULL,
    state             TEXT NOT NULL,
    reason_code       TEXT,
    reason_detail     TEXT,
    reason_at         INTEGER,
    ran               INTEGER NOT NULL,
    rebooting         INTEGER NOT NULL,
    launched          INTEGER NOT NULL,
    terminated        INTEGER,
    shutdown_behavior TEXT NOT NULL,
    user_data         BLOB,
    CHECK ((reason_code IS NULL) = (reason_at IS NULL) AND (reason_code IS NULL) = (reason_detail IS NULL))
) STRICT;
CREATE INDEX instances_by_reservation ON instances (reservation);

CREATE TABLE volumes (
    id       TEXT PRIMARY KEY,
    size     INTEGER NOT NULL CHECK (size > 0),
    snapshot TEXT,
    state    TEXT NOT NULL,
    created  INTEGER NOT NULL
) STRICT;

-- A volume is in one instance at most.
CREATE TABLE attachments (
    volume                TEXT PRIMARY KEY REFERENCES volumes (id),
    instance              TEXT NOT NULL REFERENCES instances (id),
    device_name           TEXT NOT NULL,
    delete_on_termination INTEGER NOT NULL,
    attached              INTEGER NOT NULL,
    UNIQUE (instance, device_name)
) STRICT;

CREATE TABLE milestones (
    instance TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    stage    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (instance, stage)
) STRICT;

CREATE TABLE tags (
    resource TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (resource, key)
) STRICT, WITHOUT ROWID;

-- Host objects: a row before the thing is made, none after it is gone.
CREATE TABLE ledger (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_by_owner ON ledger (owner);

-- The ledger of monitor processes: the row, with the user id, before the start; who it is, right after.
CREATE TABLE machines (
    instance   TEXT PRIMARY KEY REFERENCES instances (id),
    uid        INTEGER NOT NULL UNIQUE,
    boot_id    TEXT NOT NULL,
    pid        INTEGER,
    start_time INTEGER,
    CHECK ((pid IS NULL) = (start_time IS NULL))
) STRICT;
