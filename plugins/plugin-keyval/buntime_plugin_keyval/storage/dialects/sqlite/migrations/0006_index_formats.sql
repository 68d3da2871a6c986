-- How an index was built; older ones are built anew in the background, see `search/indexes.py`.
ALTER TABLE kv_indexes ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
