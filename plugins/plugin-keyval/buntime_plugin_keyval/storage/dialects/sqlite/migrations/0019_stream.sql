-- What readers of the log are told of a change beside its key: how often the entry was written by
-- then, what kind of entry it is, and its value where the options want that. NULL in changes of
-- before this, and the value of all others.
ALTER TABLE kv_changes ADD COLUMN revision INTEGER;

ALTER TABLE kv_changes ADD COLUMN type TEXT;

ALTER TABLE kv_changes ADD COLUMN value TEXT;
