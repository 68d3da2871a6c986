-- Long values of messages and dead letters, and long results that are kept, are beside their rows as
-- those of entries are: whatever becomes of a message would write its value once more. A dead letter
-- takes over the value of its message, and the other way round. Rows of before this stay as they are
-- until they are gone.
ALTER TABLE kv_queue ADD COLUMN long_id INTEGER;

ALTER TABLE kv_queue ADD COLUMN long_size INTEGER NOT NULL DEFAULT 0;

ALTER TABLE kv_dlq ADD COLUMN long_id INTEGER;

ALTER TABLE kv_dlq ADD COLUMN long_size INTEGER NOT NULL DEFAULT 0;

ALTER TABLE kv_replays ADD COLUMN long_id INTEGER;

CREATE INDEX kv_queue_long ON kv_queue (long_id) WHERE long_id IS NOT NULL;

CREATE INDEX kv_dlq_long ON kv_dlq (long_id) WHERE long_id IS NOT NULL;

CREATE TRIGGER kv_queue_delete AFTER DELETE ON kv_queue WHEN OLD.long_id IS NOT NULL BEGIN
  DELETE FROM kv_long_values
  WHERE id = OLD.long_id AND NOT EXISTS (SELECT 1 FROM kv_dlq WHERE long_id = OLD.long_id);
END;

CREATE TRIGGER kv_dlq_delete AFTER DELETE ON kv_dlq WHEN OLD.long_id IS NOT NULL BEGIN
  DELETE FROM kv_long_values
  WHERE id = OLD.long_id AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE long_id = OLD.long_id);
END;

CREATE TRIGGER kv_replays_delete AFTER DELETE ON kv_replays WHEN OLD.long_id IS NOT NULL BEGIN
  DELETE FROM kv_long_values WHERE id = OLD.long_id;
END;
