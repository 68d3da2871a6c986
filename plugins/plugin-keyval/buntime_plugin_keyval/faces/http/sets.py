"""`POST /keys/set-batch`: many sets in one request, each as if it was a request of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from buntime_keyval.wire import InvalidInput, Key, encode_key, key_to_json
from buntime_keyval.wire.canonical import text_of
from buntime_keyval.wire.commits import EntryOptions
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import MAX_KEYS_PER_BATCH

from buntime_plugin_keyval.engine.once import Once, keyed
from buntime_plugin_keyval.faces.http.errors import error_json, told_error
from buntime_plugin_keyval.faces.http.keys import ValueOptions, commit_json, entry_options
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request, Route
from buntime_plugin_keyval.requests.kinds import ITEMS, KEY, TEXT, VALUE
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape, read_shape
from buntime_plugin_keyval.service import KeyValService


class SetBatch(RequestShape, frozen=True, kw_only=True):
    """The sets, in the order in which they are carried out."""

    sets: Annotated[Sequence[Any], ITEMS]


class OneSet(ValueOptions, frozen=True, kw_only=True):
    """One set: a key, a value, and what `PUT /keys/<path>` takes."""

    key: Annotated[Key, KEY]
    value: Annotated[Any, VALUE]
    idempotency_key: Annotated[str | None, TEXT] = None


class _Ready(msgspec.Struct, frozen=True, gc=False):
    """A set that is checked and can be carried out."""

    key: bytes
    key_json: str
    value: str
    options: EntryOptions
    once: Once | None


def set_batch(service: KeyValService, request: Request[SetBatch]) -> Asked:
    """`POST /keys/set-batch`: set many keys.

    Each is committed or refused on its own, but they share group commits.
    """
    items = request.given.sets
    if len(items) > MAX_KEYS_PER_BATCH:
        raise InvalidInput(f"Too many sets: {len(items)} (max {MAX_KEYS_PER_BATCH})")
    now_ms = service.store.clock.wall()
    whole = request.once
    owner = request.source.principal.id
    ready = [_ready(index, item, now_ms, whole, owner) for index, item in enumerate(items)]

    async def make(one: _Ready | InvalidInput) -> str:
        try:
            if isinstance(one, InvalidInput):
                raise one
            stamp = await service.store.set(one.key, one.key_json, one.value, one.options, one.once)
        except Exception as error:  # noqa: BLE001 - every error is told, see `told_error`
            return _refused(service, error)
        return commit_json(stamp)

    async def make_all() -> str:
        return f"[{','.join(await asyncio.gather(*map(make, ready)))}]"

    async def run() -> str:
        # If the request is repeated while some sets are under way, the kept results are returned.
        return await service.store.replays.run(
            whole, make_all, keep=lambda made: made, recall=lambda kept: str(kept.told)
        )

    writes = Keys([one.key for one in ready if isinstance(one, _Ready)])
    return Asked("set", "write", run, writes=writes, cost=Cost(len(items)), needs=())


def _ready(
    index: int, item: Any, now_ms: int, whole: Once | None, owner: str
) -> _Ready | InvalidInput:
    try:
        if not isinstance(item, dict):
            raise InvalidInput(f"A set must be an object, received {describe(item)}")
        given = read_shape(OneSet, MemberPlace.BODY, b"", b"", item)
        return _Ready(
            encode_key(given.key),
            key_to_json(given.key),
            text_of(given.value, now_ms, placeholders=True),
            entry_options(given, now_ms),
            _once(index, item, given.idempotency_key, whole, owner),
        )
    except InvalidInput as error:
        return error


def _once(index: int, item: Any, key: str | None, whole: Once | None, owner: str) -> Once | None:
    """The `Once` of one set: its own, or derived from that of the request."""
    if key is None:
        if whole is None:
            return None
        key = f"{whole.fingerprint.hex()}:{index}:{whole.given}"[:_LONGEST]
    return keyed(key, b"set-batch " + msgspec.json.encode(item), owner)


_LONGEST = 255


def _refused(service: KeyValService, error: Exception) -> str:
    told = told_error(error)
    if isinstance(told, InvalidInput):
        return error_json(str(told), None, 400)
    if told is not None:
        return error_json(told.message, told.CODE, told.STATUS)
    service.store.logger.error("A set of a batch failed", exc_info=error)
    return error_json("Internal server error", None, 500)


SET_BATCH = Route(set_batch, SetBatch, MemberPlace.BODY)
