"""Copying rows of tables to another database, a bounded number of rows and bytes at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
from buntime_database import Guard, Statement, Value

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.moving import MovedRow, TableSql
from buntime_plugin_keyval.storage.maintenance import patient_batch

PAGE = 1_000
"""The most rows that one statement reads."""

PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of values after which a page takes no further row."""

Writing: TypeAlias = Callable[[Sequence[Statement]], Awaitable[None]]
"""Carries out steps in the target, all or nothing, as long as the caller is the one that moves."""


class Sides(NamedTuple):
    """One table in both databases."""

    source: TableSql
    target: TableSql
    first: Value
    """A value before every key."""


class Marks(NamedTuple):
    """Some rows in order of key, without their values."""

    rows: Mapping[Value, MovedRow]
    """By key: the size of the value, and columns that differ once the row has changed."""
    is_last: bool
    """Whether no row follows them."""


async def marks_behind(db: Database, table: TableSql, after: Value) -> Marks:
    """The marks of a page of rows after a key."""
    found = await db.adapter.query(table.marks, (after, PAGE), fresh=True)
    return Marks({row[0]: row[1:] for row in found}, len(found) < PAGE)


async def marks_between(
    db: Database, table: TableSql, after: Value, last: Value
) -> dict[Value, MovedRow]:
    """The marks of all rows after a key, up to and including another one; to the end for None."""
    found: dict[Value, MovedRow] = {}
    while True:
        page = await marks_behind(db, table, after)
        for key, row in page.rows.items():
            if last is not None and key > last:  # type: ignore[operator] # keys of one kind
                return found
            found[key] = row
            after = key
        if page.is_last:
            return found


def pages_of(marks: Mapping[Value, MovedRow]) -> list[list[Value]]:
    """Keys in pages whose values fit into memory."""
    pages: list[list[Value]] = []
    size = PAGE_BYTES + 1
    for key, (length, *_) in marks.items():
        if size > PAGE_BYTES or len(pages[-1]) == PAGE:
            pages.append([])
            size = 0
        pages[-1].append(key)
        size += int(length or 0)
    return pages


async def rows_of(db: Database, table: TableSql, keys: Iterable[Value]) -> dict[Value, MovedRow]:
    """The rows of these keys, as far as they exist."""
    found = await db.adapter.query(table.rows, (_json(keys),), fresh=True)
    return {row[0]: row for row in found}


def removing(table: TableSql, keys: Sequence[Value]) -> list[Statement]:
    """Statements that remove rows; none for no keys."""
    return [Statement(table.remove, (_json(keys),))] if keys else []


async def write(db: Database, steps: Sequence[Statement | Guard]) -> None:
    """Carry out steps, all or nothing. Raises `DatabaseError`."""
    if steps:
        await patient_batch(db.adapter, steps)


async def transferring(source: Database, sides: Sides, keys: Sequence[Value]) -> list[Statement]:
    """Statements that make the rows of these keys in the target equal to those in the source."""
    rows = await rows_of(source, sides.source, keys)
    gone = [key for key in keys if key not in rows]
    return [*removing(sides.target, gone), *sides.target.put([*rows.values()])]


async def equalise(
    source: Database, target: Database, write: Writing, sides: Sides, after: Value = None
) -> int:
    """Make a table in the target equal to that in the source; how many rows differed.

    All of it, or what is after a key. Rows are compared by their marks, so that it takes little if
    little has changed.
    """
    different = 0
    after = sides.first if after is None else after
    while True:
        here = await marks_behind(source, sides.source, after)
        last = None if here.is_last else list(here.rows)[-1]
        there = await marks_between(target, sides.target, after, last)
        gone = [key for key in there if key not in here.rows]
        changed = {key: row for key, row in here.rows.items() if there.get(key) != row}
        different += len(gone) + len(changed)
        # Wrong rows are removed first: their numbers or names may belong to other rows by now.
        await write(removing(sides.target, [*gone, *(k for k in changed if k in there)]))
        for page in pages_of(changed):
            await write(await transferring(source, sides, page))
        if last is None:
            return different
        after = last


async def remove_until(target: Database, write: Writing, sides: Sides, last: Value) -> None:
    """Remove rows from the target up to and including a key."""
    old = await marks_between(target, sides.target, sides.first, last)
    for page in pages_of(old):
        await write(removing(sides.target, page))


async def pages_behind(
    db: Database, table: TableSql, after: Value
) -> AsyncIterator[tuple[list[Value], bool]]:
    """The keys after one, in pages whose values fit into memory; whether a page is the last."""
    while True:
        marks = await marks_behind(db, table, after)
        pages = pages_of(marks.rows)
        for number, page in enumerate(pages, 1):
            after = page[-1]
            yield page, marks.is_last and number == len(pages)
        if marks.is_last:
            return


def _json(keys: Iterable[Value]) -> str:
    return msgspec.json.encode([as_json_value(key) for key in keys]).decode()


def as_json_value(value: Value) -> Value:
    """The value of a column for JSON; bytes as hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else value
