-- Operations and MiB a second; as many as the host can where there is nothing.
ALTER TABLE volumes ADD COLUMN iops INTEGER;
ALTER TABLE volumes ADD COLUMN throughput INTEGER;
ALTER TABLE volume_modifications ADD COLUMN original_iops INTEGER;
ALTER TABLE volume_modifications ADD COLUMN original_throughput INTEGER;
ALTER TABLE volume_modifications ADD COLUMN target_iops INTEGER;
ALTER TABLE volume_modifications ADD COLUMN target_throughput INTEGER;
