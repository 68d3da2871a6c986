"""Moving a store to another database, or from one, in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from buntime_database import Statement

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
from buntime_plugin_keyval.storage.dialects.sqlite.values import (
    ADD_LONG_VALUE,
    ADDED,
    VALUE,
    VALUE_SIZE,
    long_size,
)

TOGETHER = 50
"""Rows that one statement writes: more of them hardly save anything, and are long to prepare."""


def _table(
    name: str, columns: Sequence[str], marks: str, *, size: str = "0", is_hex: bool = False
) -> TableSql:
    key = columns[0]
    has_long = size == VALUE_SIZE
    given = "unhex(value)" if is_hex else "value"
    chosen = f"{key} IN (SELECT {given} FROM json_each(?))"
    told = (VALUE if has_long and column == "value" else column for column in columns)
    return TableSql(
        marks=f"SELECT {', '.join((key, size, marks))} FROM {name} WHERE {key} > ? "
        f"ORDER BY {key} LIMIT ?",
        rows=f"SELECT {', '.join(told)} FROM {name} WHERE {chosen}",
        put=_putting(name, columns, has_long=has_long),
        remove=f"DELETE FROM {name} WHERE {chosen}",
    )


def _putting(
    name: str, columns: Sequence[str], *, has_long: bool
) -> Callable[[Sequence[Row]], Sequence[Statement]]:
    written = (*columns, "long_id", "long_size") if has_long else tuple(columns)
    head = f"INSERT INTO {name} ({', '.join(written)}) VALUES "
    over = ", ".join(f"{column} = excluded.{column}" for column in written[1:])
    tail = f" ON CONFLICT ({columns[0]}) DO UPDATE SET {over}"
    inline = f"({', '.join('?' * len(columns))}{', NULL, 0' if has_long else ''})"
    place = columns.index("value") if has_long else 0
    beside = ["''" if column == "value" else "?" for column in columns]
    put_long = f"{head}({', '.join(beside)}, {ADDED}, ?){tail}"

    @cache
    def text(number: int) -> str:
        return head + ", ".join([inline] * number) + tail

    def put(rows: Sequence[Row]) -> Iterator[Statement]:
        short = [row for row in rows if not has_long or not long_size(str(row[place]))]
        for start in range(0, len(short), TOGETHER):
            some = short[start : start + TOGETHER]
            yield Statement(text(len(some)), [value for row in some for value in row])
        if len(short) < len(rows):
            for row in rows:
                value = str(row[place])
                if size := long_size(value):
                    yield Statement(ADD_LONG_VALUE, (value,))
                    yield Statement(put_long, (*row[:place], *row[place + 1 :], size))

    return lambda rows: list(put(rows))


def _trigger(table: str, event: str) -> str:
    return f"{CLOSED}_{table}_{event.lower()}"


_LAST_INDEX = (
    "DELETE FROM sqlite_sequence WHERE name = 'kv_indexes'",
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('kv_indexes', ?)",
)

MOVING = MovingSql(
    entries=_table(
        "kv_entries", ENTRY_COLUMNS, "versionstamp, expires_at", size=VALUE_SIZE, is_hex=True
    ),
    changes=_table(
        "kv_changes", CHANGE_COLUMNS, "versionstamp", size="coalesce(octet_length(value), 0)"
    ),
    log=f"SELECT {', '.join(CHANGE_COLUMNS)} FROM kv_changes WHERE seq > ? ORDER BY seq LIMIT ?",
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
    set_log="UPDATE kv_log SET epoch = ?, trimmed_seq = ?, trimmed_stamp = ?",
    set_stamp="UPDATE kv_stamps SET newest = ?",
    set_last_index=lambda number: [
        Statement(_LAST_INDEX[0]),
        Statement(_LAST_INDEX[1], (number,)),
    ],
    finish=(),
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
INSERT INTO kv_move (id, token, state, ends_at, other, place) VALUES (1, ?, ?, ?, ?, ?)""",
    set_state="UPDATE kv_move SET state = ?, ends_at = ? WHERE token = ?",
    is_at="EXISTS (SELECT 1 FROM kv_move WHERE place = ?)",
    set_place="UPDATE kv_move SET place = ?",
    remove_mark="DELETE FROM kv_move WHERE token = ?",
    is_marked="EXISTS (SELECT 1 FROM kv_move WHERE token = ? AND state = ?)",
    is_unmarked="NOT EXISTS (SELECT 1 FROM kv_move)",
    close=tuple(
        f"CREATE TRIGGER {_trigger(table, event)} BEFORE {event} ON {table} BEGIN\n"
        f"  SELECT RAISE(ABORT, '{CLOSED}');\nEND"
        for table, events in CLOSED_TABLES.items()
        for event in events
    ),
    open=tuple(
        f"DROP TRIGGER IF EXISTS {_trigger(table, event)}"
        for table, events in CLOSED_TABLES.items()
        for event in events
    ),
)
