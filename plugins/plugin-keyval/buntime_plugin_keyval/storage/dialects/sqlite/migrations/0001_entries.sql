-- The store itself. `key` is the order-preserving encoding, `key_json` the same key as JSON text,
-- so that answers are spliced together inside SQLite and people can read the table.
CREATE TABLE kv_entries (
  key BLOB PRIMARY KEY,
  key_json TEXT NOT NULL,
  value TEXT NOT NULL,
  versionstamp TEXT NOT NULL,
  expires_at INTEGER
) WITHOUT ROWID;

-- For counting: a scan of the entries would read all the values on its way.
CREATE INDEX kv_entries_key ON kv_entries (key);

CREATE INDEX kv_entries_expiry ON kv_entries (expires_at) WHERE expires_at IS NOT NULL;

-- What happened, in commit order. The newest row is never trimmed, so `seq` only ever grows.
CREATE TABLE kv_changes (
  seq INTEGER PRIMARY KEY,
  key BLOB NOT NULL,
  versionstamp TEXT NOT NULL,
  operation TEXT NOT NULL,
  at INTEGER NOT NULL
);
