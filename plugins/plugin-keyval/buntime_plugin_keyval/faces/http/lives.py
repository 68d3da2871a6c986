"""Changing the lifetime of entries without sending their values."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from buntime_host import Answer
from buntime_keyval.wire import InvalidInput, Key, encode_key
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, Mutation

from buntime_plugin_keyval.engine.writes import Committed
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request, Route
from buntime_plugin_keyval.requests.kinds import BATCH_KEYS, EXPIRES_AT, EXPIRES_IN
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.service import KeyValService


class Persistence(RequestShape, frozen=True, kw_only=True):
    """The entries that are to live for ever."""

    keys: Annotated[Sequence[Key], BATCH_KEYS]


class Touch(Persistence, frozen=True, kw_only=True):
    """The entries, and their new lifetime."""

    expires_in: Annotated[int | None, EXPIRES_IN] = None
    expires_at: Annotated[int | None, EXPIRES_AT] = None


def touch(service: KeyValService, request: Request[Touch]) -> Asked:
    """`POST /keys/touch`: change the lifetime of keys."""
    given = request.given
    if given.expires_in is None and given.expires_at is None:
        raise InvalidInput(
            "expiresIn or expiresAt is required: how long they live (for ever: /keys/persist)"
        )
    return _give_life(service, request, "touch", EntryOptions(given.expires_in, given.expires_at))


def persist(service: KeyValService, request: Request[Persistence]) -> Asked:
    """`POST /keys/persist`: let keys that would expire live for ever."""
    return _give_life(service, request, "persist", NO_OPTIONS)


def _give_life(
    service: KeyValService,
    request: Request[Persistence],
    kind: Literal["touch", "persist"],
    options: EntryOptions,
) -> Asked:
    """Change all entries in one commit; the answer is their number."""
    # A key that is given twice is one entry.
    keys = {encode_key(key): key for key in request.given.keys}
    service.store.check_number(len(keys))
    mutations = [Mutation(kind, key, None, options, encoded) for encoded, key in keys.items()]
    written = [*keys]
    return Asked(
        "atomic",
        "write",
        partial(service.store.commit, (), mutations, once=request.once, has_results=True),
        writes=Keys(written),
        extends=partial(frozenset[bytes], written),
        cost=Cost(len(written)),
        needs=(),
        answer=_answer,
    )


def _answer(commit: Future[Committed | None]) -> Answer:
    committed = commit.result()
    count = 0 if committed is None else committed.results.count("true")
    return Answer(200, f'{{"touchedCount":{count}}}')


TOUCH = Route(touch, Touch, MemberPlace.BODY)
PERSIST = Route(persist, Persistence, MemberPlace.BODY)
