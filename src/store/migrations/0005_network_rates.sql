-- What an interface of an instance carries each way, in Mbit a second; as much as it can, if NULL.
ALTER TABLE instances ADD COLUMN network_mbps INTEGER;
