-- When an entry was created and last written, in epoch milliseconds, and its free metadata as
-- canonical JSON.
ALTER TABLE kv_entries ADD COLUMN created_at bigint;

ALTER TABLE kv_entries ADD COLUMN updated_at bigint;

ALTER TABLE kv_entries ADD COLUMN metadata text;
