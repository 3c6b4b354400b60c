-- Elastic addresses. One is associated with one interface at most, and an interface with one address.
CREATE TABLE addresses (
    id          TEXT PRIMARY KEY,
    address     TEXT NOT NULL UNIQUE,
    association TEXT UNIQUE,
    interface   TEXT UNIQUE REFERENCES network_interfaces (id),
    created     INTEGER NOT NULL,
    CHECK ((association IS NULL) = (interface IS NULL))
) STRICT;
