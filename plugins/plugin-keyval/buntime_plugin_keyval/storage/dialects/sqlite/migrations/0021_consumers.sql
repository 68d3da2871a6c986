-- Consumers of the stream: each is done with what is up to its position. `updated_at` is when that was
-- said, or found to be all there is. The record that failed last counts as long as it is behind the
-- position.
CREATE TABLE kv_consumers (
  name TEXT NOT NULL PRIMARY KEY,
  position INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  failed_position INTEGER,
  attempts INTEGER NOT NULL,
  error TEXT
) WITHOUT ROWID;

-- Records that a consumer could not process, with what the log had of them. `requeued` is 1 for what
-- is to be delivered once more.
CREATE TABLE kv_consumer_letters (
  seq INTEGER PRIMARY KEY,
  consumer TEXT NOT NULL,
  position INTEGER NOT NULL,
  key BLOB NOT NULL,
  action TEXT NOT NULL,
  versionstamp TEXT NOT NULL,
  at INTEGER NOT NULL,
  revision INTEGER,
  type TEXT,
  value TEXT,
  error TEXT,
  attempts INTEGER NOT NULL,
  failed_at INTEGER NOT NULL,
  requeued INTEGER NOT NULL,
  UNIQUE (consumer, position)
);

CREATE INDEX kv_consumer_letters_requeued ON kv_consumer_letters (consumer, position)
WHERE requeued = 1;
