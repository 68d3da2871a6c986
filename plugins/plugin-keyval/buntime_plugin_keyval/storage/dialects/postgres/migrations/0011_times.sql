-- When it was decided until when a message waits, and since when a dead letter is kept, in the
-- store's own time (see `clock.py`): `created_at` and `failed_at` are what clocks showed.
ALTER TABLE kv_queue ADD COLUMN set_at bigint NOT NULL DEFAULT 0;

ALTER TABLE kv_dlq ADD COLUMN kept_since bigint NOT NULL DEFAULT 0;

CREATE INDEX kv_dlq_kept ON kv_dlq (kept_since, seq);
