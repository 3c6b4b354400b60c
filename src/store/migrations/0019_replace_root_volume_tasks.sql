-- Root volumes that are replaced. Image, snapshot and volumes may be gone before the task is; the instance is not.
CREATE TABLE replace_root_volume_tasks (
    id              TEXT PRIMARY KEY,
    client_token    TEXT UNIQUE,
    request_digest  TEXT NOT NULL,
    instance        TEXT NOT NULL REFERENCES instances (id),
    image           TEXT,
    snapshot        TEXT,
    volume          TEXT NOT NULL,
    replaced        TEXT NOT NULL,
    replaced_image  TEXT NOT NULL,
    delete_replaced INTEGER NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'in-progress', 'succeeded', 'failing', 'failed')),
    started         INTEGER NOT NULL,
    completed       INTEGER
) STRICT;

-- One at a time.
CREATE UNIQUE INDEX replace_root_volume_tasks_unfinished ON replace_root_volume_tasks (instance)
    WHERE completed IS NULL;
