-- SQLite looks keys up by itself, and a group is statements of its own, so nothing changes here.
UPDATE kv_entries SET value = value WHERE FALSE;
