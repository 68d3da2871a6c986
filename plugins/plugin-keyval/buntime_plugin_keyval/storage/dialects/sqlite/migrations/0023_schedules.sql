-- What is started when. `timing` and `task` are JSON, times are those of the clock on the wall. Without
-- `next_at` it is never due: it is paused, or there is no such time.
CREATE TABLE kv_schedules (
  name TEXT NOT NULL PRIMARY KEY,
  timing TEXT NOT NULL,
  task TEXT NOT NULL,
  missed TEXT NOT NULL,
  paused INTEGER NOT NULL,
  next_at INTEGER,
  last_at INTEGER,
  last_task TEXT,
  fires INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE INDEX kv_schedules_next ON kv_schedules (next_at) WHERE next_at IS NOT NULL;
