"""Moving a store to another database, or from one, in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects import moving
from buntime_plugin_keyval.storage.dialects.sqlite import values

TOGETHER = 50
"""Rows that one statement writes: more of them hardly save anything, and are long to prepare."""


def _table(table: moving.MovedTable) -> moving.TableSql:
    name, columns, has_long = table.name, table.columns, table.has_long
    key, size = columns[0], values.VALUE_SIZE if has_long else table.size
    given = "unhex(value)" if key == "key" else "value"
    chosen = f"{key} IN (SELECT {given} FROM json_each(?))"
    told = (values.VALUE if has_long and column == "value" else column for column in columns)
    return moving.TableSql(
        marks=f"SELECT {', '.join((key, size, table.marks))} FROM {name} WHERE {key} > ? "
        f"ORDER BY {key} LIMIT ?",
        rows=f"SELECT {', '.join(told)} FROM {name} WHERE {chosen}",
        put=_putting(name, columns, has_long=has_long),
        remove=f"DELETE FROM {name} WHERE {chosen}",
    )


def _putting(
    name: str, columns: Sequence[str], *, has_long: bool
) -> Callable[[Sequence[moving.MovedRow]], Sequence[Statement]]:
    written = (*columns, "long_id", "long_size") if has_long else tuple(columns)
    head = f"INSERT INTO {name} ({', '.join(written)}) VALUES "
    over = ", ".join(f"{column} = excluded.{column}" for column in written[1:])
    tail = f" ON CONFLICT ({columns[0]}) DO UPDATE SET {over}"
    inline = f"({', '.join('?' * len(columns))}{', NULL, 0' if has_long else ''})"
    place = columns.index("value") if has_long else 0
    beside = ["''" if column == "value" else "?" for column in columns]
    put_long = f"{head}({', '.join(beside)}, {values.ADDED}, ?){tail}"

    @cache
    def text(number: int) -> str:
        return head + ", ".join([inline] * number) + tail

    def put(rows: Sequence[moving.MovedRow]) -> Iterator[Statement]:
        short = [row for row in rows if not has_long or not values.long_size(str(row[place]))]
        for start in range(0, len(short), TOGETHER):
            some = short[start : start + TOGETHER]
            yield Statement(text(len(some)), [value for row in some for value in row])
        if len(short) < len(rows):
            for row in rows:
                value = str(row[place])
                if size := values.long_size(value):
                    yield Statement(values.ADD_LONG_VALUE, (value,))
                    yield Statement(put_long, (*row[:place], *row[place + 1 :], size))

    return lambda rows: list(put(rows))


def _trigger(table: str, event: str) -> str:
    return f"{moving.CLOSED}_{table}_{event.lower()}"


_LAST_INDEX = (
    "DELETE FROM sqlite_sequence WHERE name = 'kv_indexes'",
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('kv_indexes', ?)",
)

MOVING = moving.MovingSql(
    tables=moving.moved_tables(_table),
    log=f"SELECT {moving.LOG_COLUMNS} FROM kv_changes WHERE seq > ? ORDER BY seq LIMIT ?",
    counts=moving.COUNTS,
    notes=moving.NOTES,
    set_log="UPDATE kv_log SET epoch = ?, trimmed_seq = ?, trimmed_stamp = ?",
    set_stamp="UPDATE kv_stamps SET newest = ?",
    set_last_index=lambda number: [Statement(_LAST_INDEX[0]), Statement(_LAST_INDEX[1], (number,))],
    finish=(),
    clear=moving.CLEAR,
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
        f"  SELECT RAISE(ABORT, '{moving.CLOSED}');\nEND"
        for table, events in moving.CLOSED_TABLES.items()
        for event in events
    ),
    open=tuple(
        f"DROP TRIGGER IF EXISTS {_trigger(table, event)}"
        for table, events in moving.CLOSED_TABLES.items()
        for event in events
    ),
)
