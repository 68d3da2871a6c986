"""A database in which some values are sealed.

Values are sealed and opened only here, so that the rest of the store need not know: statements that
write an entry seal its value, and each reading operation declares where its rows have values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, cast

from buntime_database import Adapter, Session, SessionLimits, SessionResult, Statement, Value
from msgspec import structs

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import ReadSql, Short
from buntime_plugin_keyval.storage.dialects.writes import Logging, NewEntry
from buntime_plugin_keyval.storage.sealing import Sealing, is_marked

P = ParamSpec("P")
_Row = tuple[Value, ...]

OPENED_INLINE = 256 * 1024
"""Bytes of rows from which values are opened in a thread."""

OF_ARGUMENT = None
"""In place of the key's column: the key is the first argument."""


class Columns(NamedTuple):
    """The columns of a read that have values."""

    key: int | None = OF_ARGUMENT
    """The column of an entry's key, to which its value is bound."""
    value: int | None = None
    entry: int | None = None
    """The column with the JSON of the key's entry."""
    entries: int | None = None
    """The column with the inside of a JSON array of entries, each with its key."""


class _Reading(str):
    """The SQL of a read, and the columns of its values."""

    __slots__ = ("columns", "sql")

    columns: Columns
    sql: str


def _reading(sql: str, columns: Columns) -> str:
    made = _Reading(sql)
    made.sql, made.columns = sql, columns
    return made


def _making(operation: Callable[P, Statement], columns: Columns) -> Callable[P, Statement]:
    @wraps(operation)
    def making(*args: P.args, **kwargs: P.kwargs) -> Statement:
        statement = operation(*args, **kwargs)
        return statement._replace(sql=_reading(statement.sql, columns))

    return making


class _OpeningSession:
    """A session that opens values in its rows; it has only the methods that the store uses."""

    def __init__(self, session: Session, sealing: Sealing) -> None:
        self._session = session
        self._sealing = sealing

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> SessionResult:
        if not isinstance(sql, _Reading):
            return await self._session.execute(sql, args)
        result = await self._session.execute(sql.sql, args)
        return result._replace(rows=await _opened(self._sealing, sql.columns, result.rows, args))

    async def close(self) -> None:
        await self._session.close()


class _OpeningAdapter:
    """An adapter that opens values in its rows; the rest is that of the adapter beneath."""

    def __init__(self, adapter: Adapter, sealing: Sealing) -> None:
        self._adapter = adapter
        self._sealing = sealing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def query(self, sql: str, args: Sequence[Value] = (), **options: Any) -> list[_Row]:
        if not isinstance(sql, _Reading):
            return await self._adapter.query(sql, args, **options)
        rows = await self._adapter.query(sql.sql, args, **options)
        return await _opened(self._sealing, sql.columns, rows, args)

    async def open_session(self, limits: SessionLimits | None = None) -> Session:
        session = await self._adapter.open_session(limits)
        return cast(Session, _OpeningSession(session, self._sealing))


async def _opened(
    sealing: Sealing, columns: Columns, rows: list[_Row], args: Sequence[Value]
) -> list[_Row]:
    """The rows with their values opened, in a thread if they are large."""
    size = sum(sum(map(_marked_size, row)) for row in rows)
    if not size:
        return rows
    if size > OPENED_INLINE:
        return await asyncio.to_thread(_open_rows, sealing, columns, rows, args)
    return _open_rows(sealing, columns, rows, args)


def _marked_size(cell: Value) -> int:
    return len(cell) if isinstance(cell, str | bytes) and is_marked(cell) else 0


def _open_rows(
    sealing: Sealing, columns: Columns, rows: list[_Row], args: Sequence[Value]
) -> list[_Row]:
    return [_open_row(sealing, columns, row, args) if any(map(is_marked, row)) else row
            for row in rows]  # fmt: skip


def _open_row(sealing: Sealing, columns: Columns, row: _Row, args: Sequence[Value]) -> _Row:
    found = list(row)
    key = args[0] if columns.key is OF_ARGUMENT else row[columns.key]
    place = key if isinstance(key, bytes) else b""
    for column, open_text in (
        (columns.value, lambda text: sealing.open(text, place)),
        (columns.entry, lambda text: sealing.open_entry(text, place)),
        (columns.entries, sealing.open_entries),
    ):
        cell = None if column is None else row[column]
        if column is None or not is_marked(cell):
            continue
        if isinstance(cell, bytes):
            found[column] = open_text(cell.decode()).encode()
        else:
            found[column] = open_text(str(cell))
    return tuple(found)


def sealed(db: Database, sealing: Sealing) -> Database:
    """The same database, with values sealed when written and opened when read."""
    adapter = cast(Adapter, _OpeningAdapter(db.adapter, sealing))

    async def get_short(key: bytes, now_ms: int) -> Short:
        found = await db.get_short(key, now_ms)
        if found is None or not is_marked(found[0]):
            return found
        return sealing.open(str(found[0]), key), found[1]

    return Database(adapter, _dialect(db.sql, sealing), get_short)


def _dialect(sql: Dialect, sealing: Sealing) -> Dialect:
    watch, snapshots = sql.watch, sql.snapshots
    return sql._replace(
        reads=_reads(sql.reads),
        writes=sql.writes._replace(put=_putting(sql, sealing)),
        watch=watch._replace(
            states=_reading(watch.states, Columns(key=-4, value=-3)),
            news=_reading(watch.news, Columns(key=-7, value=-3)),
            poll=_reading(watch.poll, Columns(key=0, value=2)),
        ),
        snapshots=snapshots._replace(
            changed_entries=_making(snapshots.changed_entries, Columns(key=1, entry=2, value=3))
        ),
        log=sql.log._replace(values=_reading(sql.log.values, Columns(key=1, value=2))),
        consumers=sql.consumers._replace(
            letter_values=_reading(sql.consumers.letter_values, Columns(key=1, value=2))
        ),
        replays=sql.replays._replace(
            seal_told=sealing.seal,
            open_told=lambda fingerprint, text: sealing.open(text, fingerprint),
        ),
    )


def _reads(reads: ReadSql) -> ReadSql:
    values = Columns(key=0, value=1)
    entries = Columns(entries=0)
    of_key = Columns(value=0)
    return reads._replace(
        get=_reading(reads.get, of_key),
        get_short=_reading(reads.get_short, of_key),
        get_many=_making(reads.get_many, values),
        get_many_short=_making(reads.get_many_short, values),
        get_many_json={
            shape: _making(one, Columns(key=0, entry=1))
            for shape, one in reads.get_many_json.items()
        },
        get_many_entries={
            shape: _making(one, Columns(key=0, entry=2))
            for shape, one in reads.get_many_entries.items()
        },
        get_joined={},  # values are opened row by row, so joined texts cannot be read
        get_many_within=_making(reads.get_many_within, Columns(key=0, entry=2)),
        rows=_making(reads.rows, values),
        short_rows=_making(reads.short_rows, values),
        entries=_making(reads.entries, Columns(key=0, value=1, entry=2)),
        list_json=_making(reads.list_json, entries),
        list_within=_making(reads.list_within, entries),
        page_json=_making(reads.page_json, entries),
        page_within=_making(reads.page_within, entries),
        page_rows=_making(reads.page_rows, Columns(key=0, entry=1)),
        page_rows_within=_making(reads.page_rows_within, Columns(key=0, entry=1)),
    )


def _putting(sql: Dialect, sealing: Sealing) -> Callable[[NewEntry, str, Moment, bool], Logging]:
    put = sql.writes.put

    def put_sealed(entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool) -> Logging:
        if sealing.covers(entry.key):
            value = sealing.seal(entry.key, entry.value, is_stamped=entry.is_stamped)
            entry = structs.replace(entry, value=value)
        return put(entry, versionstamp, at, is_firm)

    return put_sealed
