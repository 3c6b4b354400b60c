-- Snapshots that clients write block by block. The row stays as long as its snapshot, for the token; the snapshot's state
-- says whether it is still being written. The timeout is in minutes. The blocks are how many were written, once it is completed.
CREATE TABLE snapshot_drafts (
    snapshot       TEXT PRIMARY KEY REFERENCES snapshots (id) ON DELETE CASCADE,
    parent         TEXT,
    timeout        INTEGER NOT NULL,
    blocks         INTEGER,
    client_token   TEXT UNIQUE,
    request_digest TEXT,
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT, WITHOUT ROWID;
