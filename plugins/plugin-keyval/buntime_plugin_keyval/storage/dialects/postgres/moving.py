"""Moving a store to another database, or from one, in PostgreSQL.

Rows come as one argument, a JSON array of arrays: one statement for any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from buntime_database import Statement, Value

from buntime_plugin_keyval.storage.dialects.moving import (
    CHANGE_COLUMNS,
    CLOSED,
    CLOSED_TABLES,
    CONSUMER_COLUMNS,
    CONSUMER_MARKS,
    ENTRY_COLUMNS,
    ID_COLUMNS,
    LETTER_COLUMNS,
    LETTER_MARKS,
    LOCK_COLUMNS,
    LOCK_MARKS,
    MESSAGE_COLUMNS,
    MESSAGE_MARKS,
    METRIC_COLUMNS,
    QUEUE_COLUMNS,
    QUEUE_MARKS,
    REJECT_COLUMNS,
    REJECT_MARKS,
    REPLAY_COLUMNS,
    REPLAY_MARKS,
    SCHEDULE_COLUMNS,
    SCHEDULE_MARKS,
    TASK_COLUMNS,
    TASK_MARKS,
    TASK_ORDER_COLUMNS,
    MovingSql,
    Row,
    TableSql,
)
from buntime_plugin_keyval.storage.dialects.postgres.rows import VALUE_SIZE

_BYTES = {"key", "fingerprints"}
_TEXTS = {
    *("key_json", "value", "versionstamp", "metadata", "operation", "id", "original_id"),
    *("backoff_schedule", "keys_if_undelivered", "lease", "error_message", "keys", "stamps"),
    *("counts", "told", "buckets", "name", "owner", "token", "type", "queue", "backoff"),
    *("consumer", "action", "error"),
    *("status", "unique_text", "sequence", "parent", "earlier", "later", "failed_with", "runner"),
    *("last_error", "progress", "result", "payload"),
}
_DOUBLES = {"latency_sum"}


def _cast(column: str, place: int) -> str:
    text = f"(given->>{place})"
    if column in _BYTES:
        return f"decode({text}, 'hex')"
    if column in _TEXTS:
        return text
    return f"{text}::{'double precision' if column in _DOUBLES else 'bigint'}"


def _table(name: str, columns: Sequence[str], marks: str, *, size: str = "0") -> TableSql:
    key = columns[0]
    given = "decode(given, 'hex')" if key in _BYTES else "given"
    given += "" if key in _BYTES | _TEXTS else "::bigint"
    chosen = (
        f"{key} = ANY (ARRAY(\n"
        f"  SELECT {given} FROM json_array_elements_text($1::json) AS elements (given)))"
    )
    return TableSql(
        marks=f"SELECT {', '.join((key, size, marks))} FROM {name} WHERE {key} > $1 "
        f"ORDER BY {key} LIMIT $2",
        rows=f"SELECT {', '.join(columns)} FROM {name} WHERE {chosen}",
        put=_putting(name, columns),
        remove=f"DELETE FROM {name} WHERE {chosen}",
    )


def _putting(name: str, columns: Sequence[str]) -> Callable[[Sequence[Row]], Sequence[Statement]]:
    values = ", ".join(_cast(column, place) for place, column in enumerate(columns))
    over = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    text = f"""
INSERT INTO {name} ({", ".join(columns)})
SELECT {values} FROM json_array_elements($1::json) AS elements (given)
ON CONFLICT ({columns[0]}) DO UPDATE SET {over}"""

    def put(rows: Sequence[Row]) -> Sequence[Statement]:
        if not rows:
            return ()
        told = [[_told(value) for value in row] for row in rows]
        return (Statement(text, (msgspec.json.encode(told).decode(),)),)

    return put


def _told(value: Value) -> Value:
    if isinstance(value, bytes):
        return value.hex()
    # The server has no NUL in texts. JSON has it in six characters, so only an error message does.
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _following(table: str) -> str:
    return (
        f"SELECT setval(pg_get_serial_sequence('{table}', 'seq'),"
        f" greatest(1, (SELECT max(seq) FROM {table})))"
    )


MOVING = MovingSql(
    entries=_table("kv_entries", ENTRY_COLUMNS, "versionstamp, expires_at", size=VALUE_SIZE),
    changes=_table(
        "kv_changes", CHANGE_COLUMNS, "versionstamp", size="coalesce(octet_length(value), 0)"
    ),
    log=f"SELECT {', '.join(CHANGE_COLUMNS)} FROM kv_changes WHERE seq > $1 ORDER BY seq LIMIT $2",
    messages=_table("kv_queue", MESSAGE_COLUMNS, MESSAGE_MARKS, size=VALUE_SIZE),
    letters=_table("kv_dlq", LETTER_COLUMNS, LETTER_MARKS, size=VALUE_SIZE),
    replays=_table("kv_replays", REPLAY_COLUMNS, f"octet_length(told), {REPLAY_MARKS}"),
    locks=_table("kv_locks", LOCK_COLUMNS, LOCK_MARKS),
    queues=_table("kv_queues", QUEUE_COLUMNS, QUEUE_MARKS),
    message_ids=_table("kv_message_ids", ID_COLUMNS, "until"),
    consumers=_table("kv_consumers", CONSUMER_COLUMNS, CONSUMER_MARKS),
    rejects=_table(
        "kv_consumer_letters", REJECT_COLUMNS, REJECT_MARKS, size="coalesce(octet_length(value), 0)"
    ),
    tasks=_table(
        "kv_tasks",
        TASK_COLUMNS,
        TASK_MARKS,
        size="octet_length(payload) + coalesce(octet_length(result), 0)",
    ),
    task_order=_table("kv_task_order", TASK_ORDER_COLUMNS, "earlier, later"),
    schedules=_table("kv_schedules", SCHEDULE_COLUMNS, SCHEDULE_MARKS),
    metrics=_table("kv_metrics", METRIC_COLUMNS, "count, updated_at"),
    counts="""
SELECT entries, bytes, (SELECT count(*) FROM kv_queue), (SELECT count(*) FROM kv_dlq),
  (SELECT count(*) FROM kv_replays), (SELECT count(*) FROM kv_indexes),
  coalesce((SELECT max(seq) FROM kv_changes), 0)
FROM kv_totals""",
    notes="SELECT epoch, trimmed_seq, trimmed_stamp, newest FROM kv_log CROSS JOIN kv_stamps",
    set_log="UPDATE kv_log SET epoch = $1, trimmed_seq = $2, trimmed_stamp = $3",
    set_stamp="UPDATE kv_stamps SET newest = $1",
    set_last_index=lambda number: [
        Statement(
            "SELECT setval(pg_get_serial_sequence('kv_indexes', 'id'),"
            " greatest(1, $1::bigint), $1::bigint > 0)",
            (number,),
        )
    ],
    finish=tuple(
        map(
            _following,
            ("kv_queue", "kv_dlq", "kv_queues", "kv_consumer_letters", "kv_tasks", "kv_task_order"),
        )
    ),
    clear=(
        "DELETE FROM kv_entries",
        "DELETE FROM kv_changes",
        "DELETE FROM kv_queue",
        "DELETE FROM kv_dlq",
        "DELETE FROM kv_replays",
        "DELETE FROM kv_locks",
        "DELETE FROM kv_queues",
        "DELETE FROM kv_queue_starts",
        "DELETE FROM kv_message_ids",
        "DELETE FROM kv_consumers",
        "DELETE FROM kv_consumer_letters",
        "DELETE FROM kv_tasks",
        "DELETE FROM kv_task_order",
        "DELETE FROM kv_schedules",
        "DELETE FROM kv_metrics",
    ),
    mark="SELECT token, state, ends_at, other, place FROM kv_move",
    add_mark="""
INSERT INTO kv_move (id, token, state, ends_at, other, place) VALUES (1, $1, $2, $3, $4, $5)""",
    set_state="UPDATE kv_move SET state = $1, ends_at = $2 WHERE token = $3",
    is_at="EXISTS (SELECT 1 FROM kv_move WHERE place = $1)",
    set_place="UPDATE kv_move SET place = $1",
    remove_mark="DELETE FROM kv_move WHERE token = $1",
    is_marked="EXISTS (SELECT 1 FROM kv_move WHERE token = $1 AND state = $2)",
    is_unmarked="NOT EXISTS (SELECT 1 FROM kv_move)",
    close=tuple(
        f"CREATE TRIGGER {CLOSED} BEFORE {' OR '.join(events)} ON {table}\n"
        "FOR EACH STATEMENT EXECUTE FUNCTION kv_refuse()"
        for table, events in CLOSED_TABLES.items()
    ),
    open=tuple(f"DROP TRIGGER IF EXISTS {CLOSED} ON {table}" for table in CLOSED_TABLES),
)
