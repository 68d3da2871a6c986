"""Measurements in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.metrics import MetricsSql

METRICS = MetricsSql(
    load="SELECT operation, count, errors, latency_sum, buckets FROM kv_metrics",
    # Array element by array element: several processes save to one row.
    save="""
INSERT INTO kv_metrics AS kept (operation, count, errors, latency_sum, buckets, updated_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (operation) DO UPDATE SET
  count = kept.count + excluded.count,
  errors = kept.errors + excluded.errors,
  latency_sum = kept.latency_sum + excluded.latency_sum,
  buckets = (
    SELECT json_agg(old.value::bigint + new.value::bigint ORDER BY old.place)::text
    FROM json_array_elements_text(kept.buckets::json) WITH ORDINALITY AS old (value, place)
    JOIN json_array_elements_text(excluded.buckets::json) WITH ORDINALITY AS new (value, place)
      ON new.place = old.place),
  updated_at = excluded.updated_at""",
    forget="DELETE FROM kv_metrics",
)
