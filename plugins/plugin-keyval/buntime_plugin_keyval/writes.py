"""The writes of the store, each as one decision for the commit path."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import NamedTuple

from buntime_database import ResultSet
from buntime_keyval.wire import canonical_text, encode_key, key_to_json

from buntime_plugin_keyval.decisions import Decision, Settled, View, Write
from buntime_plugin_keyval.mutations import (
    LISTS,
    NUMERIC,
    Check,
    Mutation,
    NewMessage,
    apply_mutation,
)
from buntime_plugin_keyval.options import EntryOptions
from buntime_plugin_keyval.queue.effects import Enqueue
from buntime_plugin_keyval.storage.effects import Effect, Expire, Put, Remove
from buntime_plugin_keyval.storage.ranges import KeyRange, single
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.replays import Kept
from buntime_plugin_keyval.storage.selection import EVERYTHING, POINT_LIMIT, Condition


def set_value(key: bytes, key_json: str, value: str, options: EntryOptions) -> Write[str]:
    """Store a canonical value under a key; concludes with the versionstamp."""

    def decide(view: View) -> Decision[str]:
        versionstamp = view.versionstamp
        put = Put(key, key_json, value, options.expiry(view.at), options.metadata)
        return Decision((put,), lambda _, settled: settled.get(versionstamp, versionstamp))

    return Write(decide, recall=lambda kept: kept.versionstamp)


def remove(
    ranges: Sequence[KeyRange], *, condition: Condition = EVERYTHING, bounded: bool
) -> Write[int]:
    """Remove what lives in the ranges; concludes with the number of removed entries.

    `bounded` says that few rows are in them.
    """
    decision = Decision([Remove(keys, condition) for keys in ranges], _total)
    return Write(
        lambda _: decision,
        whole_ranges=True,
        bounded=bounded,
        recall=lambda kept: sum(kept.counts),
        has_counts=True,
    )


def remove_rows(rows: Sequence[tuple[bytes, str]]) -> Write[int]:
    """Remove entries that still have these versionstamps; concludes with their number."""
    effects = [Remove(single(key), Condition("versionstamp = ?", (stamp,))) for key, stamp in rows]
    decision = Decision(effects, _total)
    return Write(
        lambda _: decision,
        whole_ranges=True,
        bounded=len(rows) <= POINT_LIMIT,
        recall=lambda kept: sum(kept.counts),
        has_counts=True,
    )


def expire(limit: int) -> Write[int]:
    """Remove at most `limit` expired entries; concludes with their number."""
    decision = Decision((Expire(limit),), _total)
    return Write(lambda _: decision, whole_ranges=True)


def _total(results: Sequence[ResultSet], _: Settled) -> int:
    return sum(result.rowcount for result in results)


class Committed(NamedTuple):
    """A commit whose checks held, with the rows that it was asked to read before it."""

    versionstamp: str
    rows: dict[bytes, Row]


def commit(
    checks: Sequence[Check],
    mutations: Sequence[Mutation | NewMessage],
    also_read: Sequence[bytes] = (),
) -> Write[Committed | None]:
    """All mutations, in order, if all checks hold; concludes with None if they do not."""
    targets = [mutation for mutation in mutations if isinstance(mutation, Mutation)]
    messages = [mutation for mutation in mutations if isinstance(mutation, NewMessage)]
    reads = [*also_read, *(check.key for check in checks)]
    reads += [
        mutation.encoded
        for mutation in targets
        if mutation.encoded and mutation.type in (*NUMERIC, *LISTS)
    ]

    def decide(view: View) -> Decision[Committed | None]:
        rows = {key: row for key in also_read if (row := view.get(key))}
        for check in checks:
            row = view.get(check.key)
            if (row.versionstamp if row else None) != check.versionstamp:
                return Decision((), lambda *_: None, told=False)
        versionstamp = view.versionstamp
        # What the mutations so far leave under each key: several of one key see each other.
        effects: dict[bytes, Effect] = {}
        for mutation in targets:
            key = mutation.encoded or encode_key(mutation.resolved_key(versionstamp))
            effects[key] = _mutate(mutation, key, effects.get(key), view)

        def conclude(_: Sequence[ResultSet], settled: Settled) -> Committed:
            if not settled:
                return Committed(versionstamp, rows)
            told = {
                key: row._replace(versionstamp=settled.get(row.versionstamp, row.versionstamp))
                for key, row in rows.items()
            }
            return Committed(settled.get(versionstamp, versionstamp), told)

        enqueued = [
            Enqueue(message.id, canonical_text(message.operand, view.at.wall_ms), message.options)
            for message in messages
        ]
        return Decision((*effects.values(), *enqueued), conclude, told=rows or None)

    return Write(decide, reads=reads, bounded=len(mutations) <= POINT_LIMIT, recall=_recall_commit)


def _recall_commit(kept: Kept) -> Committed | None:
    if kept.told is False:
        return None
    rows = {b64decode(key): Row(*row) for key, row in (kept.told or {}).items()}
    return Committed(kept.versionstamp, rows)


def _mutate(mutation: Mutation, key: bytes, pending: Effect | None, view: View) -> Effect:
    if mutation.type == "delete":
        return Remove(single(key))
    current: Row | Put | None = None
    if mutation.type != "set":
        if isinstance(pending, Put):
            current = pending
        elif pending is None:
            current = view.get(key)
    value = apply_mutation(mutation, current.value if current else None, view.at.wall_ms)
    expires_at = mutation.options.expiry(view.at)
    metadata = mutation.options.metadata
    if current is not None:  # a counter keeps the life and the metadata that it was given
        expires_at = current.expires_at if expires_at is None else expires_at
        metadata = current.metadata if metadata is None else metadata
    key_json = key_to_json(mutation.resolved_key(view.versionstamp))
    is_anew = isinstance(pending, Remove) or (isinstance(pending, Put) and pending.is_anew)
    is_stamped = mutation.encoded is None  # its key holds the versionstamp
    return Put(key, key_json, value, expires_at, metadata, is_anew, is_stamped)
