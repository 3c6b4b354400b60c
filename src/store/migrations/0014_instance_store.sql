-- The disks of an instance's type, which live from a start to the next stop: how many, and the bytes of each. None, if NULL.
ALTER TABLE instances ADD COLUMN instance_store_disks INTEGER;
ALTER TABLE instances ADD COLUMN instance_store_disk_size INTEGER;

-- The device names that images and instances give to such disks.
CREATE TABLE instance_store_mappings (
    resource     TEXT NOT NULL,
    virtual_name TEXT NOT NULL,
    device_name  TEXT NOT NULL,
    PRIMARY KEY (resource, virtual_name),
    UNIQUE (resource, device_name)
) STRICT, WITHOUT ROWID;
