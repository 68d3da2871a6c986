"""Endpoints that commit checks and mutations together."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence, Set
from functools import partial
from typing import Annotated, Any

from buntime_host import Answer
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import Key, encode_keys
from buntime_keyval.wire.commits import MERGING, Mutation
from buntime_keyval.wire.shapes import PLAIN

from buntime_plugin_keyval.engine.additions import Addition, Requirement
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.writes import Committed, placeholder_range, told_keys
from buntime_plugin_keyval.faces.http.keys import commit_json
from buntime_plugin_keyval.faces.http.quick_commits import plain_mutations
from buntime_plugin_keyval.model.mutations import parse_check, parse_mutation
from buntime_plugin_keyval.requests.answers import Text, spliced_beside
from buntime_plugin_keyval.requests.asked import (
    NO_KEYS,
    Access,
    Asked,
    Cost,
    Keys,
    Need,
    Request,
    Route,
)
from buntime_plugin_keyval.requests.kinds import CONSISTENCY, FLAG, ITEMS, READS
from buntime_plugin_keyval.requests.large import LargeMembers, items_frame, value_frame
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.entries import entries_json, found_json
from buntime_plugin_keyval.storage.ranges import KeyRange


class Commit(RequestShape, frozen=True, kw_only=True):
    """What to check, and what to change."""

    checks: Annotated[Sequence[Any], ITEMS] = ()
    mutations: Annotated[Sequence[Any], ITEMS] = ()
    results: Annotated[bool, FLAG] = False
    """Whether to return the result of each mutation."""


class _PlainCommit(Commit, frozen=True, kw_only=True):
    """A commit of nothing but plain mutations, which are read already."""

    mutations: Sequence[Mutation]


class TransactionRequest(Commit, frozen=True, kw_only=True):
    """A commit, and what to read before it."""

    reads: Annotated[Sequence[Key], READS] = ()
    consistency: Annotated[str | None, CONSISTENCY] = None
    """Without effect, since transactions read from the primary."""


def commit_atomic(service: KeyValService, request: Request[Commit]) -> Asked:
    """`POST /atomic`: commit all mutations if all checks hold, or none."""
    given = request.given
    service.store.check_number(len(given.checks) + len(given.mutations))
    if isinstance(given, _PlainCommit):
        return _commit_plain(service, given.mutations, request.once)
    checks, mutations = _contents(service, given)
    has_results = given.results
    told = told_keys(mutations) if has_results else ()
    run = partial(
        service.store.commit, checks, mutations, once=request.once, has_results=has_results
    )
    return Asked(
        "atomic",
        "write",
        run,
        reads=_compared(checks, told),
        writes=_written(mutations),
        extends=partial(_merged, mutations),
        cost=Cost(len(checks) + len(mutations)),
        needs=_needed(checks, mutations),
        answer=_answer_results if has_results else _answer_commit,
    )


def _commit_plain(
    service: KeyValService, mutations: Sequence[Mutation], once: Once | None
) -> Asked:
    """The same for plain mutations, which need no permissions but those on their keys."""
    return Asked(
        "atomic",
        "write",
        partial(service.store.commit, (), mutations, (), once),
        writes=_written(mutations),
        extends=partial(_merged, mutations),
        cost=Cost(len(mutations)),
        needs=(),
        answer=_answer_commit,
    )


def _answer_commit(commit: Future[Committed | None]) -> Answer:
    committed = commit.result()
    return Answer(200, commit_json(None if committed is None else committed.versionstamp))


def _answer_results(commit: Future[Committed | None]) -> Answer:
    committed = commit.result()
    if committed is None:
        return Answer(200, commit_json(None))
    return Answer(200, _told(f'"{committed.versionstamp}"', committed.results) + "}")


def commit_transaction(service: KeyValService, request: Request[TransactionRequest]) -> Asked:
    """`POST /transaction`: reads from one snapshot, a guarded commit, or both at once.

    Entries are read before the mutations. Reads alone are answered with a null versionstamp, since
    nothing was committed.
    """
    reads = request.given.reads
    service.store.check_number(len(request.given.checks) + len(request.given.mutations))
    checks, mutations = _contents(service, request.given)
    encoded = encode_keys(reads)
    access: Access = "write" if checks or mutations else "read"
    has_results = request.given.results
    told = told_keys(mutations) if has_results else ()

    async def run() -> Text:
        if access == "read":
            found = await service.store.get_many_within(encoded)
            results = () if has_results else None
            return await _committed_json("null", found_json(reads, encoded, found, PLAIN), results)
        committed = await service.store.commit(
            checks, mutations, also_read=encoded, once=request.once, has_results=has_results
        )
        if committed is None:
            return '{"ok":false,"error":"conflict"}'
        entries = entries_json(reads, encoded, committed.rows)
        told_results = committed.results if has_results else None
        return await _committed_json(f'"{committed.versionstamp}"', entries, told_results)

    return Asked(
        "transaction",
        access,
        run,
        reads=_compared(checks, [*encoded, *told]),
        writes=_written(mutations),
        extends=partial(_merged, mutations),
        cost=Cost(len(encoded) + len(checks) + len(mutations)),
        needs=_needed(checks, mutations),
    )


def _large(service: KeyValService) -> LargeMembers:
    """How to read a large commit; raises once it has more than is allowed."""
    store = service.store
    now_ms = store.clock.wall()
    number = 0

    def count() -> None:
        nonlocal number
        number += 1
        store.check_number(number)

    def check(index: int, item: Any) -> EngineCheck | Requirement:
        count()
        return parse_check(index, item, service.checks)

    def mutation(index: int, item: Any) -> Mutation | Addition:
        count()
        return parse_mutation(index, item, now_ms, service.mutations)

    return dict(
        [
            items_frame("checks", check, {}),
            items_frame("mutations", mutation, {name: value_frame(now_ms) for name in _VALUES}),
        ]
    )


_VALUES = ("value", "payload")
"""Members of mutations with values to store, which may be large."""


def _plain_commit(content: bytes) -> Commit | None:
    """See `Route.quick`."""
    mutations = plain_mutations(content)
    return None if mutations is None else _PlainCommit(mutations=mutations)


COMMIT = Route(commit_atomic, Commit, MemberPlace.BODY, _large, quick=_plain_commit)
TRANSACTION = Route(commit_transaction, TransactionRequest, MemberPlace.BODY, _large)


def _contents(
    service: KeyValService, given: Commit
) -> tuple[list[EngineCheck | Requirement], list[Mutation | Addition]]:
    """Parse checks and mutations; those of a large body were parsed as it was read."""
    now_ms = service.store.clock.wall()
    checks = [
        item
        if isinstance(item, (EngineCheck, Requirement))
        else parse_check(index, item, service.checks)
        for index, item in enumerate(given.checks)
    ]
    mutations = [
        item
        if isinstance(item, (Mutation, Addition))
        else parse_mutation(index, item, now_ms, service.mutations)
        for index, item in enumerate(given.mutations)
    ]
    return checks, mutations


def _compared(checks: Sequence[EngineCheck | Requirement], also: Sequence[bytes] = ()) -> Keys:
    if not checks and not also:
        return NO_KEYS
    return Keys([*also, *(check.key for check in checks if isinstance(check, EngineCheck))])


def _needed(
    checks: Sequence[EngineCheck | Requirement], mutations: Sequence[Mutation | Addition]
) -> Sequence[Need]:
    """The permissions that a commit needs in addition to those on its keys."""
    needs: list[Need] = [
        (item.scope, item.resource) for item in mutations if isinstance(item, Addition)
    ]
    needs += [(it.scope, it.resource) for it in checks if isinstance(it, Requirement)]
    return needs


def _written(mutations: Sequence[Mutation | Addition]) -> Keys:
    """The keys that mutations may write; for one known only at the commit, its range."""
    keys: list[bytes] = []
    ranges: list[KeyRange] = []
    for mutation in mutations:
        if isinstance(mutation, Addition):
            keys += mutation.writes
        elif mutation.encoded is not None:
            keys.append(mutation.encoded)
        else:
            ranges.append(placeholder_range(mutation))
    return Keys(keys, ranges)


def _merged(mutations: Sequence[Mutation | Addition]) -> Set[bytes]:
    """The keys whose new values are computed from the present ones."""
    return {
        mutation.encoded
        for mutation in mutations
        if isinstance(mutation, Mutation)
        and mutation.type in MERGING
        and mutation.encoded is not None
    }


async def _committed_json(
    versionstamp: str, entries: Sequence[Text], results: Sequence[str | None] | None
) -> Text:
    """The answer to a commit, with entries if some were read, and results if asked for."""
    told = _told(versionstamp, results)
    if not entries:
        return told + "}"
    return await spliced_beside(f'{told},"entries":[', entries, "]}")


def _told(versionstamp: str, results: Sequence[str | None] | None) -> str:
    told = f'{{"ok":true,"versionstamp":{versionstamp}'
    if results is not None:
        texts = ["null" if text is None else text for text in results]
        told = f'{told},"results":[{",".join(texts)}]'
    return told
