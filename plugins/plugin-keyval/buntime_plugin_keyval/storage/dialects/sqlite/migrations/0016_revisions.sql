-- How often an entry was written since it was created, and what kind of entry its writers say it is.
-- What is there from before this counts as written once.
ALTER TABLE kv_entries ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

ALTER TABLE kv_entries ADD COLUMN type TEXT;

CREATE INDEX kv_entries_type ON kv_entries (type, key) WHERE type IS NOT NULL;
