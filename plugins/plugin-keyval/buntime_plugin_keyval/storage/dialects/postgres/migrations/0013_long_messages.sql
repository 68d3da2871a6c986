-- The same for values of messages and dead letters, and for results that are kept.
ALTER TABLE kv_queue ALTER COLUMN value SET STORAGE EXTENDED;

ALTER TABLE kv_dlq ALTER COLUMN value SET STORAGE EXTENDED;

ALTER TABLE kv_replays ALTER COLUMN told SET STORAGE EXTENDED;
