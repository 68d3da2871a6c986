-- How much is stored, kept by triggers so that asking costs one row.
CREATE TABLE kv_totals (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  entries INTEGER NOT NULL,
  bytes INTEGER NOT NULL
);

INSERT INTO kv_totals (id, entries, bytes)
SELECT 1, count(*), coalesce(sum(length(key) + octet_length(value)), 0) FROM kv_entries;

CREATE TRIGGER kv_totals_insert AFTER INSERT ON kv_entries BEGIN
  UPDATE kv_totals
  SET entries = entries + 1, bytes = bytes + length(NEW.key) + octet_length(NEW.value);
END;

CREATE TRIGGER kv_totals_update AFTER UPDATE ON kv_entries
WHEN octet_length(NEW.value) <> octet_length(OLD.value) BEGIN
  UPDATE kv_totals SET bytes = bytes + octet_length(NEW.value) - octet_length(OLD.value);
END;

CREATE TRIGGER kv_totals_delete AFTER DELETE ON kv_entries BEGIN
  UPDATE kv_totals
  SET entries = entries - 1, bytes = bytes - length(OLD.key) - octet_length(OLD.value);
END;

-- What was measured, summed over processes and restarts. `buckets` is a JSON array.
CREATE TABLE kv_metrics (
  operation TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  latency_sum REAL NOT NULL,
  buckets TEXT NOT NULL,
  updated_at INTEGER NOT NULL
);
