-- With what clients of the query endpoint sign. The secret itself is needed to check a signature.
CREATE TABLE access_keys (
    id      TEXT PRIMARY KEY,
    secret  TEXT NOT NULL,
    uid     INTEGER NOT NULL,
    gid     INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
