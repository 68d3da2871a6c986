"""Calls that travel together: gets of single keys in one request, and sets in another.

Each has the same result or error as if it travelled alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from buntime_keyval._calls.keys import get_checked
from buntime_keyval._core import Call, Item, consistent, json_body
from buntime_keyval._entries import raw_key
from buntime_keyval._errors import InvalidResponse, KvError, StatusError, answered_error
from buntime_keyval._http import no_answer
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import is_passing
from buntime_keyval._transport import Failure
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.limits import MAX_KEYS_PER_BATCH

R = TypeVar("R")

MOST_BYTES = 256 * 1024
"""Most bytes of values in one request: a server reads that much at once."""
LONGEST = 32 * 1024
"""Bytes of a value that is worth its own request."""
_NOT_TAKEN = {400, 401, 403, 404, 405, 413, 414, 431}
"""Statuses which say that nothing of the whole request was done."""
_NO_ROUTE = {404, 405}


class Lane(NamedTuple):
    """Kinds of calls that may travel together."""

    sets: bool
    strong: bool


class AskedTogether(Generic[R]):
    """One call that may travel with others, over all its attempts."""

    def __init__(self, call: Call[R], item: Item, ends: float | None) -> None:
        self.call = call
        self.item = item
        self.ends = ends
        """When it is over, by the monotonic clock."""
        self.lane = Lane(item.value is not None, item.strong)
        self.alone = item.value is not None and len(item.value) > LONGEST
        """Whether it always travels alone: a write is repeated the way it was first sent, or it
        would be another one under the same idempotency key."""
        self.together = False
        """Whether it was sent with others, in which case it is repeated that way."""
        self.apart = False
        """Whether this attempt has to be made alone, and was not yet."""
        self._results: list[R] = []
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Begin one more attempt."""
        self._results, self._error = [], None
        self.apart = False

    def brought(self, result: R) -> None:
        """This is what came of it."""
        self._results = [result]

    def failed(self, error: BaseException) -> None:
        """Or this."""
        self._error = error

    def outcome(self) -> R:
        """The result. Raises the error."""
        if self._results:
            return self._results[0]
        if self._error is None:  # its sender was stopped midway
            raise no_answer(Failure("given up"), self.call)
        raise self._error


def asked_of(call: Call[R], *, own_key: bool, ends: float | None) -> AskedTogether[R] | None:
    """A call that may travel with others; None for one that travels alone.

    A call with an idempotency key of its caller does, since the key may be used again elsewhere.
    """
    return None if call.item is None or own_key else AskedTogether(call, call.item, ends)


def divided(asked: Sequence[AskedTogether[Any]]) -> Iterator[list[AskedTogether[Any]]]:
    """Parts that each fit into a request, in the same order."""
    part: list[AskedTogether[Any]] = []
    size = 0
    for one in asked:
        own = len(one.item.value or b"")
        if part and (len(part) == MAX_KEYS_PER_BATCH or size + own > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += own
    yield part


def joined(asked: Sequence[AskedTogether[Any]]) -> Call[list[Any]]:
    """One request for calls of one lane; its result is a list of their results or exceptions."""
    for one in asked:
        one.together = True
    lane = asked[0].lane
    if not lane.sets:
        keys = [one.item.key for one in asked]
        return consistent(get_checked(keys), "strong" if lane.strong else "eventual")
    sets = [
        {
            "key": raw_key(one.item.key),
            "value": msgspec.Raw(one.item.value or b""),
            "idempotencyKey": one.call.idempotency_key,
            **one.item.options,
        }
        for one in asked
    ]

    def parse(content: bytes) -> list[CommitResult | KvError]:
        results = [_result(made) for made in _decode_all(content)]
        if len(results) != len(asked):
            raise InvalidInput(f"{len(results)} results for {len(asked)} sets")
        return results

    return Call("POST", "/keys/set-batch", parse, json_body(sets=sets))


def deliver(
    asked: Sequence[AskedTogether[Any]], results: Sequence[Any], request_id: str | None
) -> None:
    """Give each call its result of the joint request."""
    for one, result in zip(asked, results, strict=True):
        if isinstance(result, KvError):
            result.request_id = request_id
            one.failed(result)
        else:
            one.brought(result)


def deliver_error(
    asked: Sequence[AskedTogether[Any]], error: Exception, request_id: str | None, via: str
) -> bool:
    """Give each call the consequence of the joint request's failure.

    If one of them may have caused it, and certainly nothing was done, each has to travel alone.
    Returns whether the server does not know such requests.
    """
    status = error.status if isinstance(error, StatusError) else None
    if asked[0].lane.sets:
        is_apart = status in _NOT_TAKEN
    else:
        answered = isinstance(error, (StatusError, InvalidResponse))
        is_apart = answered and isinstance(error, KvError) and not is_passing(error)
    for one in asked:
        if is_apart:
            one.apart, one.together = True, False
        elif isinstance(error.__cause__, Failure):
            lost = no_answer(error.__cause__, one.call, request_id, via=via)
            lost.__cause__ = error.__cause__
            one.failed(lost)
        else:
            own = copy.copy(error)
            own.__cause__ = error
            one.failed(own)
    return is_apart and status in _NO_ROUTE


class _Made(msgspec.Struct):
    ok: bool | None = None
    versionstamp: str | None = None
    error: str | None = None
    code: str | None = None
    status: int = 500


_decode_all = msgspec.json.Decoder(list[_Made]).decode


def _result(made: _Made) -> CommitResult | KvError:
    if made.ok is not None:
        return CommitResult(made.ok, made.versionstamp)
    error = answered_error(made.status, made.code)
    return error(
        made.error or f"The server answered {made.status}", status=made.status, code=made.code
    )
