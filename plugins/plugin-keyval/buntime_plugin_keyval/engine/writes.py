"""The writes of the store, each as one decision for the commit path."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from buntime_database import Guard, ResultSet
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import encode_key
from buntime_keyval.wire.commits import LIVES, MERGING, Mutation
from buntime_keyval.wire.stamps import may_hold_stamp, stamped_text
from msgspec.structs import replace

from buntime_plugin_keyval.engine.additions import Addition, Requirement
from buntime_plugin_keyval.engine.decisions import (
    Decision,
    PlainWrite,
    Settled,
    SetValue,
    View,
    Write,
)
from buntime_plugin_keyval.engine.drafts import Draft, draft_key
from buntime_plugin_keyval.model.conditions import Conditions
from buntime_plugin_keyval.model.errors import LimitExceeded, PreconditionFailed
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits, check_key
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.effects import Effect, Expire, NoteStamp, Put, Remove
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, single, subtree
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.replays import Kept
from buntime_plugin_keyval.storage.selection import EVERYTHING, POINT_LIMIT, RowCondition
from buntime_plugin_keyval.storage.within import check_answer, size_of

_RESULTS = "results"
"""A key for the kept parts of a commit, which are base64: it has too few letters to be one of
these."""
LONG_NUMBER_BITS = 3000
"""Bits from which a number takes more than a moment to be written as decimal."""


Required = Sequence[tuple[bytes, Conditions]]
"""Keys, and the conditions on their entries."""


def of_effects(
    effects: Sequence[Effect], *, guards: Sequence[Guard] = (), bounded: bool = True, size: int = 0
) -> Write[Sequence[ResultSet]]:
    """The write of what depends on nothing but guards; it concludes with the results.

    Where it was done before under the same key, these have counts and no rows.
    """
    decision = Decision[Sequence[ResultSet]](effects, lambda results, _: results)
    return Write(
        lambda _: decision,
        guards=guards,
        bounded=bounded,
        size=size,
        recall=lambda kept: [ResultSet((), [], count) for count in kept.counts],
        has_counts=True,
    )


def set_stamped(value: SetValue) -> Write[str]:
    """The write of one value that may hold its versionstamp, which is its conclusion."""

    def decide(view: View) -> Decision[str]:
        put = value.put(view.at)
        put = replace(put, value=stamped_text(put.value, view.versionstamp))
        return Decision((put,), lambda *_: view.versionstamp)

    return Write(
        decide,
        size=value.size,
        is_long=value.size > LONG_VALUE,
        recall=value.recall,
        holds_stamp=True,
    )


def remove(
    ranges: Sequence[KeyRange],
    *,
    condition: RowCondition = EVERYTHING,
    bounded: bool,
    required: Required = (),
) -> Write[int]:
    """Remove what lives in the ranges; concludes with the number of removed entries.

    `bounded` says that few rows are in them. Raises `PreconditionFailed` unless all is so that is
    `required`.
    """
    decision = Decision([Remove(keys, condition) for keys in ranges], _total)

    def decide(view: View) -> Decision[int]:
        _require(required, view)
        return decision

    return Write(
        decide,
        stamps=[key for key, _ in required],
        bounded=bounded,
        recall=lambda kept: sum(kept.counts),
        has_counts=True,
    )


def remove_key(key: bytes) -> PlainWrite[int]:
    """The same for one key, whose caller does not repeat it."""
    return PlainWrite(Decision((Remove(single(key)),), _count))


def _require(required: Required, view: View) -> None:
    """Raise `PreconditionFailed` unless that is so."""
    for key, conditions in required:
        row = view.get(key)
        stamp, revision = (None, 0) if row is None else (row.versionstamp, row.revision)
        if not conditions.hold(stamp, revision):
            raise PreconditionFailed(stamp)


def remove_rows(parts: Sequence[tuple[KeyRange, RowCondition]], number: int) -> Write[int]:
    """Remove what meets the conditions, each in its range, which are `number` entries at most;
    concludes with their number.
    """
    decision = Decision([Remove(keys, condition) for keys, condition in parts], _total)
    return Write(
        lambda _: decision,
        bounded=number <= POINT_LIMIT,
        recall=lambda kept: sum(kept.counts),
        has_counts=True,
    )


def expire(limit: int) -> Write[int]:
    """Remove at most `limit` expired entries; concludes with their number."""
    decision = Decision((Expire(limit),), _total)
    return Write(lambda _: decision)


def _count(results: Sequence[ResultSet], _: Settled) -> int:
    return results[0].rowcount


def _total(results: Sequence[ResultSet], _: Settled) -> int:
    return sum(result.rowcount for result in results)


def told_keys(mutations: Iterable[Mutation | Addition]) -> list[bytes]:
    """The keys whose values the results of mutations contain."""
    return [
        it.encoded
        for it in mutations
        if isinstance(it, Mutation)
        and it.encoded is not None
        and it.type in MERGING
        and it.type not in LIVES
    ]


def placeholder_range(mutation: Mutation) -> KeyRange:
    """The place of a mutation's key that is known only at its commit."""
    prefix = encode_key(mutation.known_prefix())
    return subtree(prefix) if prefix else descendants(prefix)


class Committed(msgspec.Struct, frozen=True, gc=False):
    """A commit whose checks held, with the rows that it was asked to read before it."""

    versionstamp: str
    rows: dict[bytes, Row] = {}
    results: Sequence[str | None] = ()
    """The result of each mutation, see `Draft.result`, if requested."""


def commit(
    checks: Sequence[EngineCheck | Requirement],
    mutations: Sequence[Mutation | Addition],
    also_read: Sequence[bytes] = (),
    *,
    limits: Limits = DEFAULT_LIMITS,
    most_key: int | None = None,
    committed: Callable[[], None] | None = None,
    required: Required = (),
    has_results: bool = False,
) -> Write[Committed | None]:
    """All mutations, in order, if all checks hold; concludes with None if they do not.

    `committed` is called when it is done.

    Raises `LimitExceeded` for a write of more than `commit_bytes`, and for an answer of more than
    `answer_bytes`. The answer has the values of `also_read`, each as often as it is there, and with
    `has_results` the results of mutations. Raises `InvalidInput` for a key of more than `most_key`
    bytes, and `PreconditionFailed` unless everything `required` holds.
    """
    number = len(checks) + len(mutations)
    guards = [check.guard for check in checks if isinstance(check, Requirement)]
    compared = [check for check in checks if isinstance(check, EngineCheck)]
    is_long = number > POINT_LIMIT
    targets: list[Mutation] = []
    added: list[Effect] = []
    reads = [*also_read]
    written = 0
    holds_stamp = False
    for mutation in mutations:
        if isinstance(mutation, Addition):
            added.append(mutation.effect)
            guards += mutation.guards
            written += mutation.size
            for key in mutation.writes:
                check_key(key, most_key)
            continue
        targets.append(mutation)
        operand = mutation.operand
        if isinstance(operand, str):
            written += len(operand)
            if may_hold_stamp(operand):
                holds_stamp = True
                is_long = is_long or len(operand) > LONG_VALUE
            if mutation.type == "patch" and len(operand) > LONG_VALUE:
                is_long = True
        elif operand is not None and operand.bit_length() > LONG_NUMBER_BITS:
            is_long = True
        if mutation.type in MERGING and mutation.encoded is not None:
            reads.append(mutation.encoded)

    def decide(view: View) -> Decision[Committed | None]:
        _require(required, view)
        rows = {key: row for key in also_read if (row := view.get(key))}
        answered = 0
        if rows:
            sizes = {key: size_of(row.value) for key, row in rows.items()}
            answered = sum(sizes.get(key, 0) for key in also_read)
            check_answer(answered, limits.answer_bytes)
        for check in compared:
            if view.stamp(check.key) != check.versionstamp:
                return Decision((), lambda *_: None, told=False)
        versionstamp = view.versionstamp
        # The combined effects under each key so far: several mutations of one key see each other.
        drafts: dict[bytes, Draft] = {}
        made: list[str | None] = []
        for mutation in targets:
            key = draft_key(mutation, versionstamp)
            draft = drafts.get(key)
            if draft is None:
                draft = drafts[key] = Draft(key, view)
            if holds_stamp and isinstance(mutation.operand, str):
                operand = stamped_text(mutation.operand, versionstamp)
                mutation = replace(mutation, operand=operand)
            draft.apply(mutation)
            if has_results:
                made.append(result := draft.result(mutation))
                answered += 0 if result is None else size_of(result)
                check_answer(answered, limits.answer_bytes)
        results = _placed(made, mutations) if has_results else ()
        size = sum(draft.size for draft in drafts.values())
        if size > limits.commit_bytes:
            what = f"Values to write too large: {size} bytes"
            raise LimitExceeded(what, "commitBytes", limits.commit_bytes)

        def conclude(_: Sequence[ResultSet], settled: Settled) -> Committed:
            if committed is not None:
                committed()
            if not settled:
                return Committed(versionstamp, rows, results)
            found = {
                key: replace(row, versionstamp=settled.get(row.versionstamp, row.versionstamp))
                for key, row in rows.items()
            }
            return Committed(settled.get(versionstamp, versionstamp), found, results)

        effects: list[Effect] = [draft.effect() for draft in drafts.values()]
        if most_key is not None:
            for effect in effects:
                if isinstance(effect, Put):
                    check_key(effect.key, most_key)
        effects += added
        if effects and not any(isinstance(effect, Put) for effect in effects):
            effects.append(NoteStamp())
        told: dict[Any, Any] = {**rows, _RESULTS: results} if results else rows
        return Decision(effects, conclude, told=told or None)

    return Write(
        decide,
        reads=reads,
        stamps=[*(check.key for check in compared), *(key for key, _ in required)],
        guards=guards,
        bounded=number <= POINT_LIMIT,
        size=written,
        is_long=is_long,
        recall=recall_commit,
        may_refuse=True,
        holds_stamp=holds_stamp,
    )


def _placed(
    made: Sequence[str | None], mutations: Sequence[Mutation | Addition]
) -> list[str | None]:
    """The results of the mutations of keys, with nothing in the places of the others."""
    results = iter(made)
    return [None if isinstance(it, Addition) else next(results) for it in mutations]


def recall_commit(kept: Kept) -> Committed | None:
    """The conclusion of a commit that was made before."""
    if kept.told is False:
        return None
    told = kept.told or {}
    results = told.pop(_RESULTS, ())
    rows = {b64decode(key): Row(*row) for key, row in told.items()}
    return Committed(kept.versionstamp, rows, results)
