-- Locks by name: who has one, until when, and under which token, which is the stamp of the commit that
-- gave it. One whose time is over is as good as none.
CREATE TABLE kv_locks (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  token TEXT NOT NULL,
  acquired_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  metadata TEXT
) WITHOUT ROWID;

CREATE INDEX kv_locks_expires_at ON kv_locks (expires_at);

-- Who waits for one, in the order of arrival. The process that looks after a place lets it last.
CREATE TABLE kv_lock_waiters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  metadata TEXT,
  duration INTEGER NOT NULL,
  process TEXT NOT NULL,
  until INTEGER NOT NULL,
  UNIQUE (name, owner)
);

CREATE INDEX kv_lock_waiters_process ON kv_lock_waiters (process);

CREATE INDEX kv_lock_waiters_until ON kv_lock_waiters (until);
