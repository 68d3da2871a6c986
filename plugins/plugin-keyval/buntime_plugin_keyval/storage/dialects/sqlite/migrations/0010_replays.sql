-- The first result of each write that came with a key of its caller's (see `once.py`). `told` is
-- JSON, `counts` what statements of the write changed, each with a comma behind it.
CREATE TABLE kv_replays (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  fingerprint BLOB NOT NULL,
  versionstamp TEXT NOT NULL,
  told TEXT NOT NULL,
  counts TEXT NOT NULL,
  at INTEGER NOT NULL
);
