"""Moving a store to another database: reads of the one and writes to the other.

Rows are the same in all dialects, so that one writes what another one has read. The long values of
a row are in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import DatabaseError, Statement, Value

MovedRow: TypeAlias = tuple[Value, ...]


class MovedTable(NamedTuple):
    """The moved parts of one table. Its key, which orders its rows, is its first column."""

    name: str
    columns: Sequence[str]
    marks: str
    """An expression that changes whenever a row does, apart from its value."""
    size: str = "0"
    """Bytes of the long part of a row. Where that may be beside it, the dialect has the
    expression."""
    has_long: bool = False
    """Whether its value may be beside it."""

    @property
    def first(self) -> Value:
        """A value before every key."""
        firsts: dict[str, Value] = {"key": b"", "seq": -1}
        return firsts.get(self.columns[0], "")


MOVED = {
    "entries": MovedTable(
        "kv_entries",
        (
            *("key", "key_json", "value", "versionstamp", "expires_at", "metadata"),
            *("created_at", "updated_at", "revision", "type"),
        ),
        "versionstamp, expires_at",
        has_long=True,
    ),
    "changes": MovedTable(
        "kv_changes",
        ("seq", "key", "operation", "versionstamp", "at", "revision", "type", "value"),
        "versionstamp",
        "coalesce(octet_length(value), 0)",
    ),
    "messages": MovedTable(
        "kv_queue",
        (
            *("seq", "id", "value", "ready_at", "visible_at", "attempts", "max_attempts"),
            *("backoff_schedule", "keys_if_undelivered", "lease", "created_at", "counted"),
            *("unsure", "set_at", "queue", "priority"),
        ),
        "id, ready_at, visible_at, attempts, max_attempts, lease, created_at, counted, unsure,"
        " set_at",
        has_long=True,
    ),
    "letters": MovedTable(
        "kv_dlq",
        (
            *("seq", "id", "original_id", "value", "error_message", "attempts", "max_attempts"),
            *("backoff_schedule", "keys_if_undelivered", "original_created_at", "failed_at"),
            *("kept_since", "queue", "priority"),
        ),
        "id, failed_at, kept_since",
        has_long=True,
    ),
    # Results are added, forgotten from the oldest on, and the newest one is emptied.
    "replays": MovedTable(
        "kv_replays",
        ("seq", "at", "keys", "fingerprints", "stamps", "counts", "told"),
        "octet_length(told), at, octet_length(keys), octet_length(stamps), octet_length(counts)",
    ),
    "locks": MovedTable(
        "kv_locks",
        ("name", "owner", "token", "acquired_at", "expires_at", "metadata"),
        "owner, token, expires_at",
    ),
    "queues": MovedTable(
        "kv_queues",
        ("seq", "name", "paused", "lease_ms", "backoff", "max_running", "rate_count", "rate_ms"),
        "name, paused, lease_ms, backoff, max_running, rate_count, rate_ms",
    ),
    "message_ids": MovedTable("kv_message_ids", ("id", "until"), "until"),
    "consumers": MovedTable(
        "kv_consumers",
        ("name", "position", "updated_at", "failed_position", "attempts", "error"),
        "position, updated_at, failed_position, attempts",
    ),
    "rejects": MovedTable(
        "kv_consumer_letters",
        (
            *("seq", "consumer", "position", "key", "action", "versionstamp", "at", "revision"),
            *("type", "value", "error", "attempts", "failed_at", "requeued"),
        ),
        "consumer, position, attempts, failed_at, requeued",
        "coalesce(octet_length(value), 0)",
    ),
    "tasks": MovedTable(
        "kv_tasks",
        (
            *("seq", "id", "name", "status", "priority", "max_retries", "backoff", "timeout_ms"),
            *("unique_text", "sequence", "parent", "earlier", "keep_ms", "ready_at", "set_at"),
            *("created_at", "attempts", "started_at", "completed_at", "forget_at"),
            *("failed_with", "runner", "lease", "lease_ms", "last_error", "progress", "result"),
            "payload",
        ),
        "id, status, ready_at, set_at, started_at, completed_at, failed_with, lease, last_error,"
        " progress",
        "octet_length(payload) + coalesce(octet_length(result), 0)",
    ),
    "task_order": MovedTable("kv_task_order", ("seq", "earlier", "later"), "earlier, later"),
    "schedules": MovedTable(
        "kv_schedules",
        (
            *("name", "timing", "task", "missed", "paused", "next_at", "last_at", "last_task"),
            *("fires", "created_at", "updated_at"),
        ),
        "next_at, last_task, fires, paused, updated_at",
    ),
    "metrics": MovedTable(
        "kv_metrics",
        ("operation", "count", "errors", "latency_sum", "buckets", "updated_at"),
        "count, updated_at",
    ),
}
"""What is moved row by row. Those that wait for locks are not: they belong to processes of the old
store."""

LOG_COLUMNS = ", ".join(MOVED["changes"].columns)

COUNTS = """
SELECT entries, bytes, (SELECT count(*) FROM kv_queue), (SELECT count(*) FROM kv_dlq),
  (SELECT count(*) FROM kv_replays), (SELECT count(*) FROM kv_indexes),
  coalesce((SELECT max(seq) FROM kv_changes), 0)
FROM kv_totals"""
NOTES = "SELECT epoch, trimmed_seq, trimmed_stamp, newest FROM kv_log CROSS JOIN kv_stamps"
CLEAR = tuple(
    f"DELETE FROM {name}" for name in (*(it.name for it in MOVED.values()), "kv_queue_starts")
)
"""What `MovingSql` calls so, where a dialect has it in the words that all understand."""

CLOSED_TABLES = {
    "kv_changes": ("INSERT",),
    "kv_log": ("UPDATE",),
    "kv_stamps": ("UPDATE",),
} | dict.fromkeys(
    (
        *("kv_entries", "kv_queue", "kv_dlq", "kv_replays", "kv_locks", "kv_lock_waiters"),
        *("kv_queues", "kv_message_ids", "kv_consumers", "kv_consumer_letters", "kv_tasks"),
        *("kv_task_order", "kv_schedules", "kv_indexes"),
    ),
    ("INSERT", "UPDATE", "DELETE"),
)
"""Kinds of writes to a table while a store is open."""

CLOSED = "kv_closed"
"""The message of a database that refuses a write to a closed store."""


def is_closed(error: DatabaseError) -> bool:
    """Whether a database has refused something because its store is closed."""
    return CLOSED in str(error)


class TableSql(NamedTuple):
    """One table. Its key, which orders its rows, is the first column of each."""

    marks: str
    """Key, limit: of each row behind that key its own, the bytes of its value, and what is another
    one once the row has changed, but for that value."""
    rows: str
    """JSON array of keys, in hexadecimal digits if they are bytes: these rows, in any order."""
    put: Callable[[Sequence[MovedRow]], Sequence[Statement]]
    """Writes rows, each over what has its key."""
    remove: str
    """JSON array of keys, as `rows` takes it: removes these."""


def moved_tables(sql: Callable[[MovedTable], TableSql]) -> Mapping[str, TableSql]:
    """All of them, as a dialect prints one."""
    return {name: sql(table) for name, table in MOVED.items()}


class MovingSql(NamedTuple):
    """Operations of a move, on the store that is left and on the one that is made."""

    tables: Mapping[str, TableSql]
    """The tables whose rows are moved unchanged, named as in `MOVED`."""
    log: str
    """Place, limit: rows of changes behind it, in their order."""
    counts: str
    """How many entries there are and how many bytes they have, how many messages, dead letters,
    kept results and indexes; and the greatest position of the log, 0 for none."""
    notes: str
    """Identity of the log, position and versionstamp of the last change that was trimmed from it,
    and the noted versionstamp."""
    set_log: str
    """Identity, position, versionstamp: they become those of the log."""
    set_stamp: str
    """Versionstamp: it is the noted one."""
    set_last_index: Callable[[int], Sequence[Statement]]
    """Number: the last one that an index had."""
    finish: Sequence[str]
    """Lets rows of its own follow those that came with a number."""
    clear: Sequence[str]
    """Removes all that was moved there, but for the indexes."""
    mark: str
    """Identity of the move, state, end, the other database and how far it is; no row if none."""
    add_mark: str
    """The same five: makes the mark."""
    set_state: str
    """State, end, identity: changes it."""
    is_at: str
    """Condition of a guard. How far it is, by its mark."""
    set_place: str
    """How far it is."""
    remove_mark: str
    """Identity."""
    is_marked: str
    """Condition of a guard. Identity, state: the mark has both."""
    is_unmarked: str
    """Condition of a guard. There is none."""
    close: Sequence[str]
    """Makes the database refuse every write to the store, of any process, until `open`."""
    open: Sequence[str]
    """Ends that; nothing happens where it is open."""
