-- Messages on their way. `visible_at` is when a message can be delivered: its ready time, or,
-- while it is leased, the end of the lease. `lease` is the versionstamp of the delivery.
CREATE TABLE kv_queue (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL,
  ready_at INTEGER NOT NULL,
  visible_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  backoff_schedule TEXT NOT NULL,
  keys_if_undelivered TEXT NOT NULL,
  lease TEXT,
  created_at INTEGER NOT NULL
);

CREATE INDEX kv_queue_visible ON kv_queue (visible_at, seq);

CREATE INDEX kv_queue_leased ON kv_queue (visible_at) WHERE lease IS NOT NULL;

CREATE INDEX kv_queue_exhausted ON kv_queue (visible_at) WHERE attempts >= max_attempts;

-- Messages that nobody could process.
CREATE TABLE kv_dlq (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  original_id TEXT NOT NULL,
  value TEXT NOT NULL,
  error_message TEXT,
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  backoff_schedule TEXT NOT NULL,
  keys_if_undelivered TEXT NOT NULL,
  original_created_at INTEGER NOT NULL,
  failed_at INTEGER NOT NULL
);

CREATE INDEX kv_dlq_failed ON kv_dlq (failed_at, seq);
