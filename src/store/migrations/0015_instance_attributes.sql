-- What is said of an instance beside what its machine is made of.
ALTER TABLE instances ADD COLUMN termination_protection INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN stop_protection INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN ebs_optimized INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN ena_support INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN sriov_net_support INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN monitoring INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN auto_recovery TEXT NOT NULL DEFAULT 'default';
ALTER TABLE instances ADD COLUMN reboot_migration TEXT NOT NULL DEFAULT 'default';
ALTER TABLE instances ADD COLUMN hostname_type TEXT NOT NULL DEFAULT 'ip-name';
ALTER TABLE instances ADD COLUMN resource_name_a INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN resource_name_aaaa INTEGER NOT NULL DEFAULT 0;
-- That of the type, if NULL.
ALTER TABLE instances ADD COLUMN cpu_credits TEXT;

-- What instances to come get of metadata options where their launch says nothing. There is one row at most.
CREATE TABLE metadata_defaults (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    endpoint        INTEGER,
    tokens_required INTEGER,
    hop_limit       INTEGER,
    tags            INTEGER,
    tokens_enforced INTEGER
) STRICT;
