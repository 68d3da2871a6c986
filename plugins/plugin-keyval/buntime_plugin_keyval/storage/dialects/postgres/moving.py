"""Moving a store to another database, or from one, in PostgreSQL.

Rows come as one argument, a JSON array of arrays: one statement for any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from buntime_database import Statement, Value

from buntime_plugin_keyval.storage.dialects import moving
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


def _table(table: moving.MovedTable) -> moving.TableSql:
    name, columns = table.name, table.columns
    key, size = columns[0], VALUE_SIZE if table.has_long else table.size
    given = "decode(given, 'hex')" if key in _BYTES else "given"
    given += "" if key in _BYTES | _TEXTS else "::bigint"
    chosen = (
        f"{key} = ANY (ARRAY(\n"
        f"  SELECT {given} FROM json_array_elements_text($1::json) AS elements (given)))"
    )
    return moving.TableSql(
        marks=f"SELECT {', '.join((key, size, table.marks))} FROM {name} WHERE {key} > $1 "
        f"ORDER BY {key} LIMIT $2",
        rows=f"SELECT {', '.join(columns)} FROM {name} WHERE {chosen}",
        put=_putting(name, columns),
        remove=f"DELETE FROM {name} WHERE {chosen}",
    )


def _putting(
    name: str, columns: Sequence[str]
) -> Callable[[Sequence[moving.MovedRow]], Sequence[Statement]]:
    values = ", ".join(_cast(column, place) for place, column in enumerate(columns))
    over = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    text = f"""
INSERT INTO {name} ({", ".join(columns)})
SELECT {values} FROM json_array_elements($1::json) AS elements (given)
ON CONFLICT ({columns[0]}) DO UPDATE SET {over}"""

    def put(rows: Sequence[moving.MovedRow]) -> Sequence[Statement]:
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


MOVING = moving.MovingSql(
    tables=moving.moved_tables(_table),
    log=f"SELECT {moving.LOG_COLUMNS} FROM kv_changes WHERE seq > $1 ORDER BY seq LIMIT $2",
    counts=moving.COUNTS,
    notes=moving.NOTES,
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
    clear=moving.CLEAR,
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
        f"CREATE TRIGGER {moving.CLOSED} BEFORE {' OR '.join(events)} ON {table}\n"
        "FOR EACH STATEMENT EXECUTE FUNCTION kv_refuse()"
        for table, events in moving.CLOSED_TABLES.items()
    ),
    open=tuple(
        f"DROP TRIGGER IF EXISTS {moving.CLOSED} ON {table}" for table in moving.CLOSED_TABLES
    ),
)
