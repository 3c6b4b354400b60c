-- Whether a volume is still coming to a running machine, or going from it.
ALTER TABLE attachments ADD COLUMN state TEXT NOT NULL DEFAULT 'attached'
    CHECK (state IN ('attaching', 'attached', 'detaching'));

-- What made the volume, so that a request that comes again makes no other.
ALTER TABLE volumes ADD COLUMN client_token TEXT;
ALTER TABLE volumes ADD COLUMN request_digest TEXT;
CREATE UNIQUE INDEX volumes_by_token ON volumes (client_token) WHERE client_token IS NOT NULL;

-- What a snapshot was made of; which may be gone by now.
ALTER TABLE snapshots ADD COLUMN volume TEXT;

-- The last time that a volume grew. Without an end it is still to be done.
CREATE TABLE volume_modifications (
    volume        TEXT PRIMARY KEY REFERENCES volumes (id) ON DELETE CASCADE,
    original_size INTEGER NOT NULL,
    target_size   INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER
) STRICT, WITHOUT ROWID;
