-- Who may make volumes of a snapshot beside its owner: an account's number, or all.
CREATE TABLE snapshot_permissions (
    snapshot TEXT NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    grantee  TEXT NOT NULL,
    PRIMARY KEY (snapshot, grantee)
) STRICT, WITHOUT ROWID;

-- Whether I/O is to go on by itself after it was stopped for a volume that may be inconsistent.
ALTER TABLE volumes ADD COLUMN auto_enable_io INTEGER NOT NULL DEFAULT 1;
