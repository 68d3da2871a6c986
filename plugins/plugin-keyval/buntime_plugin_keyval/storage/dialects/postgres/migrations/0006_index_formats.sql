-- How an index was built; older ones are built anew in the background.
ALTER TABLE kv_indexes ADD COLUMN format bigint NOT NULL DEFAULT 1;
