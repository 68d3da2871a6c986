"""When a request is sent again: bounded, spread out, and only where that is safe."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from buntime_keyval._core import Call
from buntime_keyval._errors import (
    AnswerLost,
    ClientClosed,
    ConnectionLost,
    InvalidResponse,
    KvError,
    OutcomeUnknown,
    PoolExhausted,
    RateLimited,
    RequestUnderWay,
    ServerFailure,
    ServerUnreachable,
    StatusError,
)
from buntime_keyval.wire import Duration, InvalidInput, parse_duration

_NOT_BEGUN = (ServerUnreachable, RateLimited, RequestUnderWay)
# By these the server says that nothing of the request was done.
_NOTHING_DONE = {"KEYVAL_UNAVAILABLE", "KEYVAL_DB_DOWN", "KEYVAL_TOO_MANY_STREAMS"}
_PASSING = {408, 425, 429, 502, 503, 504}
_UNDECIDED = {401, 403, *_PASSING}
_LONGEST_WAIT_S = 30.0
_LEAST_ATTEMPT_S = 0.01
"""With less time left, no attempt is begun."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how long, a client keeps trying.

    Reads and writes are repeated after every failure that may be temporary. A write carries an
    idempotency key for that, so that the server does it once, however often it gets it.
    """

    times: int = 4
    """Further attempts after the first; 0 for none."""
    first_delay: Duration = "100ms"
    """Pause before the second attempt; it doubles with each one and half of it is random."""
    max_delay: Duration = "2s"
    """Longest pause."""


class Attempts:
    """The attempts at one call."""

    def __init__(
        self, call: Call[Any], retries: Retries, uniform: Callable[[float, float], float]
    ) -> None:
        self._call = call
        self._backoff = Backoff(
            seconds(retries.first_delay), seconds(retries.max_delay), uniform=uniform
        )
        self._left = retries.times
        self._unknown: OutcomeUnknown | None = None

    def pause_after(self, error: KvError, most: float | None = None) -> float:
        """Seconds to wait before the next attempt. Raises the error if there is none.

        There is none if nothing would be left of `most` seconds. If an earlier attempt had an
        `OutcomeUnknown`, raises that: it stays true even if a later attempt was certainly not
        carried out.
        """
        if self._unknown is None and isinstance(error, OutcomeUnknown):
            self._unknown = error
        wait = error.retry_after or 0.0
        pause = max(self._backoff.next(), wait)
        is_over = most is not None and pause + _LEAST_ATTEMPT_S > most
        is_last = is_over or self._left <= 0 or wait > _LONGEST_WAIT_S
        if is_last or not _may_repeat(self._call, error):
            if self._unknown is None or _is_decided(error):
                raise error
            raise self._unknown from (None if error is self._unknown else error)
        self._left -= 1
        return pause


class Backoff:
    """Growing pauses, each between a half and the whole of twice the one before."""

    def __init__(
        self,
        first: float,
        most: float,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._most = most
        self._uniform = uniform
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait now."""
        pause = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self._uniform(pause / 2, pause)

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0


def is_passing(error: KvError) -> bool:
    """Whether the same request may well succeed later."""
    if isinstance(error, StatusError):
        return error.status in _PASSING
    return not isinstance(error, (InvalidResponse, ClientClosed))


def _is_decided(error: KvError) -> bool:
    """Whether this is the answer to the write, and not one about the attempt."""
    return isinstance(error, AnswerLost) or (
        isinstance(error, StatusError)
        and error.status not in _UNDECIDED
        and not isinstance(error, (RequestUnderWay, ServerFailure))
    )


def _may_repeat(call: Call[Any], error: KvError) -> bool:
    if isinstance(error, (PoolExhausted, ClientClosed)):
        return False
    if isinstance(error, _NOT_BEGUN) or error.code in _NOTHING_DONE:
        return True
    if not call.repeatable and call.idempotency_key is None:
        return False
    return isinstance(error, (ConnectionLost, OutcomeUnknown)) or (
        isinstance(error, StatusError) and is_passing(error)
    )


def seconds(duration: Duration) -> float:
    """A duration (milliseconds or text) in seconds. Raises `InvalidInput` for negative ones."""
    milliseconds = parse_duration(duration)
    if milliseconds < 0:
        raise InvalidInput(f"A duration must not be negative, received {duration!r}")
    return milliseconds / 1000
