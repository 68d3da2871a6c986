-- Long values are kept beside their rows. The server does that by itself; this says so.
ALTER TABLE kv_entries ALTER COLUMN value SET STORAGE EXTENDED;
