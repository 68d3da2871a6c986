-- Tasks: named work of which state and result are kept. One that may run has a message in `kv_queue`,
-- without a value: id and queue are those of the task behind a character that no name has. That
-- message has its time, its lease and its attempts. A task without one waits for others, or is over.
CREATE TABLE kv_tasks (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  priority INTEGER NOT NULL,
  max_retries INTEGER NOT NULL,
  backoff TEXT,
  timeout_ms INTEGER NOT NULL,
  unique_text TEXT,
  sequence TEXT,
  parent TEXT,
  earlier TEXT,
  keep_ms INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,
  set_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  completed_at INTEGER,
  forget_at INTEGER,
  failed_with TEXT,
  runner TEXT,
  lease TEXT,
  lease_ms INTEGER,
  last_error TEXT,
  progress TEXT,
  result TEXT,
  payload TEXT NOT NULL
);

CREATE UNIQUE INDEX kv_tasks_unique ON kv_tasks (name, unique_text)
WHERE unique_text IS NOT NULL AND completed_at IS NULL;

CREATE INDEX kv_tasks_sequence ON kv_tasks (name, sequence, seq)
WHERE sequence IS NOT NULL AND completed_at IS NULL;

CREATE INDEX kv_tasks_name ON kv_tasks (name, status, seq);

CREATE INDEX kv_tasks_status ON kv_tasks (status, seq);

CREATE INDEX kv_tasks_parent ON kv_tasks (parent, seq) WHERE parent IS NOT NULL;

CREATE INDEX kv_tasks_forget ON kv_tasks (forget_at) WHERE forget_at IS NOT NULL;

-- Which tasks others wait for that are not over.
CREATE TABLE kv_task_order (
  seq INTEGER PRIMARY KEY,
  earlier TEXT NOT NULL,
  later TEXT NOT NULL,
  UNIQUE (earlier, later)
);

CREATE INDEX kv_task_order_later ON kv_task_order (later);

-- What follows when a task is over, however it ends: its message is gone.
CREATE TRIGGER kv_task_over AFTER UPDATE OF completed_at ON kv_tasks
WHEN OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM kv_move WHERE state = 'arriving') BEGIN
  DELETE FROM kv_queue WHERE id = char(1) || NEW.id;
END;

-- And those that come after it fail, unless it was completed, and those after them; the next one of
-- its sequence, and what waited for nothing but it, may run.
CREATE TRIGGER kv_task_followed AFTER UPDATE OF completed_at ON kv_tasks
WHEN OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL AND NEW.failed_with IS NULL
  AND (NEW.sequence IS NOT NULL OR EXISTS (SELECT 1 FROM kv_task_order WHERE earlier = NEW.id))
  AND NOT EXISTS (SELECT 1 FROM kv_move WHERE state = 'arriving') BEGIN
  UPDATE kv_tasks SET
    status = 'failed', failed_with = NEW.id, completed_at = NEW.completed_at, set_at = NEW.set_at,
    forget_at = NEW.set_at + keep_ms,
    last_error = 'the task ' || NEW.id || ', which comes before it, is ' || NEW.status
  WHERE NEW.status <> 'completed' AND completed_at IS NULL AND id IN (
    WITH RECURSIVE behind (id) AS (
      SELECT later FROM kv_task_order WHERE earlier = NEW.id
      UNION SELECT later FROM kv_task_order JOIN behind ON earlier = behind.id)
    SELECT id FROM behind);
  INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts, backoff_schedule,
                        keys_if_undelivered, created_at, set_at, queue, priority)
  SELECT char(1) || id, 'null', ready_at, ready_at, 0, max(1, max_retries), '[]', '[]', created_at,
    NEW.set_at, char(1) || name, priority
  FROM kv_tasks AS task
  WHERE completed_at IS NULL
    AND (id IN (SELECT later FROM kv_task_order WHERE earlier = NEW.id) OR seq IN (
      SELECT (
        SELECT min(seq) FROM kv_tasks AS next
        WHERE next.name = over.name AND next.sequence = over.sequence AND next.completed_at IS NULL)
      FROM kv_tasks AS over
      WHERE over.sequence IS NOT NULL AND over.completed_at IS NOT NULL AND over.id IN (
        WITH RECURSIVE behind (id) AS (
          SELECT NEW.id
          UNION SELECT later FROM kv_task_order JOIN behind ON earlier = behind.id)
        SELECT id FROM behind)))
    AND NOT EXISTS (
      SELECT 1 FROM kv_task_order WHERE later = task.id AND earlier <> NEW.id)
    AND NOT EXISTS (
      SELECT 1 FROM kv_tasks AS before
      WHERE before.name = task.name AND before.sequence = task.sequence
        AND before.completed_at IS NULL AND before.seq < task.seq)
  ON CONFLICT (id) DO NOTHING;
  DELETE FROM kv_task_order
  WHERE earlier = NEW.id OR NEW.status <> 'completed' AND earlier IN (
    WITH RECURSIVE behind (id) AS (
      SELECT later FROM kv_task_order WHERE earlier = NEW.id
      UNION SELECT later FROM kv_task_order JOIN behind ON earlier = behind.id)
    SELECT id FROM behind);
END;
