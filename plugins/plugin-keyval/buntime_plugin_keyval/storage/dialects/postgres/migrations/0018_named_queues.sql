-- Queues with names, and priorities. The queue without a name, whose messages have no priority unless
-- somebody says so, keeps an index of its own: what came before this is as quick as it was.
ALTER TABLE kv_queue ADD COLUMN queue text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE kv_queue ADD COLUMN priority bigint NOT NULL DEFAULT 0;

ALTER TABLE kv_dlq ADD COLUMN queue text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE kv_dlq ADD COLUMN priority bigint NOT NULL DEFAULT 0;

DROP INDEX kv_queue_visible;

CREATE INDEX kv_queue_visible ON kv_queue (visible_at, seq) WHERE queue = '' AND priority = 0;

CREATE INDEX kv_queue_levels ON kv_queue (queue, priority, visible_at, seq)
WHERE queue <> '' OR priority <> 0;

DROP INDEX kv_queue_leased;

CREATE INDEX kv_queue_leased ON kv_queue (queue, visible_at) WHERE lease IS NOT NULL;

DROP INDEX kv_dlq_failed;

CREATE INDEX kv_dlq_failed ON kv_dlq (queue, failed_at, seq);
