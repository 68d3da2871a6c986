-- What is said of queues; no row for one of which nothing is. `backoff` is a JSON array of pauses, and
-- `rate_count` messages are delivered in any time of `rate_ms`.
CREATE TABLE kv_queues (
  seq INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL,
  lease_ms INTEGER,
  backoff TEXT,
  max_running INTEGER,
  rate_count INTEGER,
  rate_ms INTEGER
);

-- The deliveries of queues that have a rate: how many there were up to each moment, that included,
-- and without it.
CREATE TABLE kv_queue_starts (
  queue TEXT NOT NULL,
  at INTEGER NOT NULL,
  earlier INTEGER NOT NULL,
  total INTEGER NOT NULL,
  PRIMARY KEY (queue, at)
) WITHOUT ROWID;

-- Ids that senders gave, and until when nothing is sent under them once more.
CREATE TABLE kv_message_ids (
  id TEXT NOT NULL PRIMARY KEY,
  until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX kv_message_ids_until ON kv_message_ids (until);
