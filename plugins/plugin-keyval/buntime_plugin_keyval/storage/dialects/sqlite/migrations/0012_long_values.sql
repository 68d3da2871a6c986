-- Long values are kept beside their entries: where SQLite compares a key with one of a table without
-- rowids, it reads the whole row, so that a long value slows down all keys around it. The `value` of
-- such an entry is empty, which no JSON is; `long_id` says where the value is, `long_size` how many
-- bytes it has. Values of before this are found where they were, and moved in the background.
CREATE TABLE kv_long_values (id INTEGER PRIMARY KEY, text TEXT NOT NULL);

ALTER TABLE kv_entries ADD COLUMN long_id INTEGER;

ALTER TABLE kv_entries ADD COLUMN long_size INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER kv_totals_insert;

DROP TRIGGER kv_totals_update;

DROP TRIGGER kv_totals_delete;

-- As before, but that they also remove the long value of an entry that has another one now, or is
-- gone: however it comes to that, none is left behind.
CREATE TRIGGER kv_totals_insert AFTER INSERT ON kv_entries BEGIN
  UPDATE kv_totals SET
    entries = entries + 1,
    bytes = bytes + length(NEW.key) + octet_length(NEW.value) + NEW.long_size;
END;

CREATE TRIGGER kv_totals_update AFTER UPDATE ON kv_entries
WHEN octet_length(NEW.value) <> octet_length(OLD.value) OR OLD.long_id IS NOT NULL BEGIN
  UPDATE kv_totals SET
    bytes = bytes + octet_length(NEW.value) + NEW.long_size
      - octet_length(OLD.value) - OLD.long_size;
  DELETE FROM kv_long_values WHERE id = OLD.long_id AND OLD.long_id IS NOT NEW.long_id;
END;

CREATE TRIGGER kv_totals_delete AFTER DELETE ON kv_entries BEGIN
  UPDATE kv_totals SET
    entries = entries - 1,
    bytes = bytes - length(OLD.key) - octet_length(OLD.value) - OLD.long_size;
  DELETE FROM kv_long_values WHERE id = OLD.long_id;
END;

-- Where to go on with moving what is long in entries of before this. No row once that is done.
CREATE TABLE kv_moving (next_key BLOB NOT NULL);

INSERT INTO kv_moving (next_key) SELECT x'' WHERE EXISTS (SELECT 1 FROM kv_entries);
