-- A group is statements of its own in SQLite, so nothing changes here.
UPDATE kv_entries SET value = value WHERE FALSE;
