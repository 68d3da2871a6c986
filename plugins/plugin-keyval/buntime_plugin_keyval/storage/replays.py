"""Results of writes with idempotency keys: keeping, finding and forgetting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from buntime_database import Batch, DatabaseError, Guard, Statement

from buntime_plugin_keyval.model.versionstamps import tail_of
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.replays import place_of

FINGERPRINT_BYTES = 16
FORGET_BATCH = 500
NEWS_BATCH = 100
_decode_texts = msgspec.json.Decoder(list[msgspec.Raw]).decode
NO_STAMP = ""
"""The versionstamp of a result that is of several commits, or of none."""


class Kept(NamedTuple):
    """The kept result of a write."""

    versionstamp: str
    """The versionstamp of its commit."""
    told: Any
    """What its decision added: decoded JSON."""
    counts: list[int]
    """The number of rows or entries that each of its effects concerned, if wanted."""


Keeping: TypeAlias = tuple[str, bytes, str, str]
"""A result to keep: the key of the write, its fingerprint, the versionstamp of its commit, and what
its decision added as JSON, empty for null."""


def told_text(told: object) -> str:
    """What a decision added, in the form of `Keeping`."""
    return "" if told is None else msgspec.json.encode(told).decode()


def keep_all(
    sql: Dialect, keepings: Sequence[Keeping], after: int, now_ms: int
) -> tuple[Guard, Statement]:
    """Steps that keep results, at the beginning of a commit.

    Up to the place `after` nothing is kept under the keys. The guard fails if another process has
    kept something under one of them after that; the result of the statement has the new place.
    """
    keys, fingerprints, stamps, tolds = zip(*keepings, strict=True)
    seal = sql.replays.seal_told
    if seal is not None:
        tolds = tuple(
            seal(fingerprint, told) if told.startswith("{") else told
            for fingerprint, told in zip(fingerprints, tolds, strict=True)
        )
    told = f"[{','.join([text or 'null' for text in tolds])}]" if any(tolds) else ""
    row = (
        len(keys),
        now_ms,
        "\n{}\n".format("\n".join(keys)),
        b"".join(fingerprints),
        ",".join(stamps),
        told,
    )
    texts = sql.replays
    guard = Guard(texts.none_since, (after, msgspec.json.encode(keys).decode()))
    return guard, Statement(texts.keep, row)


def keep_count(sql: Dialect, versionstamp: str) -> Statement:
    """Keep the number of rows changed by the statement before it, for the write with this stamp."""
    return Statement(sql.replays.keep_count, (f"{tail_of(versionstamp)}:",))


def keep_stamp(sql: Dialect, versionstamp: str) -> Statement:
    """Keep the final stamp of the commit; comes after all effects of a write."""
    return Statement(sql.replays.keep_stamp, (versionstamp,))


async def keep(db: Database, keeping: Keeping, after: int, now_ms: int) -> int | None:
    """Keep one result in a commit of its own, as `keep_all` does; its place, if known.

    Raises `GuardFailed`, and `DatabaseError`.
    """
    steps = keep_all(db.sql, [keeping], after, now_ms)
    # Not all engines return rows of a statement that writes.
    batch = Batch(steps, recalls={len(steps) - 1: db.sql.replays.kept_place})
    (outcome,) = await db.adapter.batch_each([batch])
    if isinstance(outcome, DatabaseError):
        raise outcome
    return place_of(outcome[-1])


async def find(db: Database, place: int, key: str) -> tuple[bytes, Kept] | None:
    """Fingerprint and result that were kept under a key at this place; None if forgotten."""
    rows = await db.adapter.query(db.sql.replays.find, (place,), point=True, fresh=True)
    if not rows:
        return None
    keys, fingerprints, stamps, counts, told = rows[0]
    all_keys = _separate(str(keys))
    if key not in all_keys:
        return None
    number = all_keys.index(key)
    stamp = str(stamps).split(",")[number]
    begins = FINGERPRINT_BYTES * number
    all_fingerprints = bytes(fingerprints)  # type: ignore[arg-type] # as the schema says
    fingerprint = all_fingerprints[begins : begins + FINGERPRINT_BYTES]
    text = bytes(_decode_texts(str(told))[number]).decode() if told else "null"
    if db.sql.replays.open_told is not None:
        text = db.sql.replays.open_told(fingerprint, text)
    kept = Kept(stamp, msgspec.json.decode(text), [*_counts_of(stamp, str(counts))])
    return fingerprint, kept


def _separate(keys: str) -> list[str]:
    return keys[1:-1].split("\n") if keys else []


def _counts_of(versionstamp: str, counts: str) -> Iterator[int]:
    tail = tail_of(versionstamp)
    for one in counts.split(",")[:-1]:
        whose, _, count = one.partition(":")
        if whose == tail:
            yield int(count)


async def bounds(db: Database) -> tuple[int, int]:
    """The places of the oldest and the newest row; 0 if there are none."""
    ((oldest, newest),) = await db.adapter.query(db.sql.replays.bounds, point=True, fresh=True)
    return oldest, newest  # type: ignore[return-value] # integers


async def news(db: Database, after: int) -> list[tuple[int, list[str]]]:
    """Place and keys of the next rows after a place; empty if there are no more."""
    args = (after, NEWS_BATCH)
    rows = await db.adapter.query(db.sql.replays.news, args, point=True, fresh=True)
    return [(place, _separate(str(keys))) for place, keys in rows]  # type: ignore[misc] # an integer


async def forget(db: Database, *, keep: int, since_ms: int) -> int:
    """Remove some results from before `since_ms` or beyond the newest `keep`; how many rows."""
    sql = db.sql.replays
    removed, emptied = await db.adapter.batch(
        [
            Statement(sql.forget, (since_ms, keep, FORGET_BATCH)),
            Statement(sql.forget_newest, (since_ms,)),
        ]
    )
    return removed.rowcount + emptied.rowcount
