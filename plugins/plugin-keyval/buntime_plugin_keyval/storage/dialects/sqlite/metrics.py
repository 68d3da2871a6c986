"""Measurements in SQLite."""

from buntime_plugin_keyval.storage.dialects.metrics import MetricsSql

METRICS = MetricsSql(
    load="SELECT operation, count, errors, latency_sum, buckets FROM kv_metrics",
    # Array element by array element: several processes save to one row.
    save="""
INSERT INTO kv_metrics (operation, count, errors, latency_sum, buckets, updated_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (operation) DO UPDATE SET
  count = count + excluded.count,
  errors = errors + excluded.errors,
  latency_sum = latency_sum + excluded.latency_sum,
  buckets = (
    SELECT json_group_array(total) FROM (
      SELECT old.value + new.value AS total
      FROM json_each(kv_metrics.buckets) AS old
      JOIN json_each(excluded.buckets) AS new ON new.key = old.key
      ORDER BY old.key)),
  updated_at = excluded.updated_at""",
    forget="DELETE FROM kv_metrics",
)
