-- Launch templates. The last number is the greatest that a version ever had: none is given twice. The data are EC2's
-- RequestLaunchTemplateData as JSON.
CREATE TABLE launch_templates (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    default_version INTEGER NOT NULL,
    last_number     INTEGER NOT NULL,
    client_token    TEXT UNIQUE,
    request_digest  TEXT,
    created         INTEGER NOT NULL,
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT;

CREATE TABLE launch_template_versions (
    template       TEXT NOT NULL REFERENCES launch_templates (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL CHECK (number > 0),
    description    TEXT,
    data           TEXT NOT NULL,
    client_token   TEXT UNIQUE,
    request_digest TEXT,
    created        INTEGER NOT NULL,
    PRIMARY KEY (template, number),
    CHECK ((client_token IS NULL) = (request_digest IS NULL))
) STRICT;
