-- Exports of images to files of clients. The image and its snapshot may be gone before the task is.
CREATE TABLE export_tasks (
    id             TEXT PRIMARY KEY,
    client_token   TEXT UNIQUE,
    request_digest TEXT NOT NULL,
    state          TEXT NOT NULL,
    progress       INTEGER NOT NULL,
    message        TEXT,
    description    TEXT,
    format         TEXT NOT NULL,
    image          TEXT NOT NULL,
    snapshot       TEXT NOT NULL,
    created        INTEGER NOT NULL
) STRICT;
