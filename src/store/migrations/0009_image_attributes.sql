-- From when on an image is deprecated, and whether it must not be deregistered.
ALTER TABLE images ADD COLUMN deprecated INTEGER;
ALTER TABLE images ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;

-- Who may launch an image beside its owner: an account's number, or all.
CREATE TABLE image_permissions (
    image   TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    grantee TEXT NOT NULL,
    PRIMARY KEY (image, grantee)
) STRICT, WITHOUT ROWID;
