-- What is started when. `timing` and `task` are JSON, times are those of the clock on the wall. Without
-- `next_at` it is never due: it is paused, or there is no such time.
CREATE TABLE kv_schedules (
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  timing text COLLATE "C" NOT NULL,
  task text COLLATE "C" NOT NULL,
  missed text COLLATE "C" NOT NULL,
  paused bigint NOT NULL,
  next_at bigint,
  last_at bigint,
  last_task text COLLATE "C",
  fires bigint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL
);

CREATE INDEX kv_schedules_next ON kv_schedules (next_at) WHERE next_at IS NOT NULL;
