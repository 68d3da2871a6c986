-- When an entry was created and last written, in epoch milliseconds, and its free metadata as
-- canonical JSON. The times of rows from before this are NULL: their versionstamps say them (see
-- `statements.py`). Filling them in would write every row, and every full-text index, anew.
ALTER TABLE kv_entries ADD COLUMN created_at INTEGER;

ALTER TABLE kv_entries ADD COLUMN updated_at INTEGER;

ALTER TABLE kv_entries ADD COLUMN metadata TEXT;
