-- Whether an interface is still coming to a running machine, or going from it.
ALTER TABLE network_interface_attachments ADD COLUMN state TEXT NOT NULL DEFAULT 'attached'
    CHECK (state IN ('attaching', 'attached', 'detaching'));

-- Private addresses of interfaces beside their first. That no address is given twice in a subnet, whoever adds one sees to.
CREATE TABLE secondary_addresses (
    interface TEXT NOT NULL REFERENCES network_interfaces (id) ON DELETE CASCADE,
    subnet    TEXT NOT NULL REFERENCES subnets (id),
    address   TEXT NOT NULL,
    place     INTEGER NOT NULL,
    PRIMARY KEY (subnet, address),
    UNIQUE (interface, place)
) STRICT, WITHOUT ROWID;

-- What made the interface, so that a request that comes again makes no other.
ALTER TABLE network_interfaces ADD COLUMN client_token TEXT;
ALTER TABLE network_interfaces ADD COLUMN request_digest TEXT;
CREATE UNIQUE INDEX network_interfaces_by_token ON network_interfaces (client_token) WHERE client_token IS NOT NULL;

-- Whether each start of its instance gives the interface a public address.
ALTER TABLE network_interfaces ADD COLUMN public_at_start INTEGER NOT NULL DEFAULT 0;
-- Whether the address is such a one: nobody allocated it, and it goes back to the pool when the instance stops.
ALTER TABLE addresses ADD COLUMN of_start INTEGER NOT NULL DEFAULT 0;
