"""The options of a client, and its translation of calls into requests and exceptions."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from buntime_keyval._core import (
    EVENT_STREAM,
    IDEMPOTENCY_KEY,
    JSON_CONTENT,
    REQUEST_ID,
    Call,
    Reply,
    StreamCall,
    error_of,
    invalid_response,
)
from buntime_keyval._destination import destination
from buntime_keyval._errors import (
    ConnectionLost,
    KvError,
    OutcomeUnknown,
    PoolExhausted,
    ServerUnreachable,
)
from buntime_keyval._exchange import Observer
from buntime_keyval._network import VERIFIED, Tls, of_environment
from buntime_keyval._positions import POSITION, LastPosition
from buntime_keyval._retries import Retries, seconds
from buntime_keyval._tokens import AUTHORIZATION, AsyncTokenSource, GivenToken, checked_token
from buntime_keyval._transport import Failure, NoneFree, NotSent, OutgoingRequest, Timeouts
from buntime_keyval.wire import Duration, InvalidInput
from buntime_keyval.wire.idempotency import checked_idempotency_key
from buntime_keyval.wire.python_options import SECONDS_PERHAPS

R = TypeVar("R")

USER_AGENT = "buntime-keyval"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_OF_THE_FRAME = {"content-length", "transfer-encoding"}


class Settings:
    """The checked options of a client, and its knowledge of the store."""

    def __init__(
        self,
        base_url: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | AsyncTokenSource | None = None,
        timeout: Duration | None = "10s",
        connect_timeout: Duration | None = "5s",
        idle_timeout: Duration | None = "95s",
        deadline: Duration | None = None,
        retries: Retries | int = 4,
        max_connections: int | None = 100,
        tls: Tls = VERIFIED,
        proxy: str | None = None,
        unix_socket: str | None = None,
        on_exchange: Observer | None = None,
        loses_answers: bool = True,
    ) -> None:
        base_url, token = of_environment(base_url, token)
        self.server = destination(base_url, tls=tls, proxy=proxy, unix_socket=unix_socket)
        self.given_token = GivenToken(token) if callable(token) else None
        """The source of a token that a function gives; any other is one of the headers."""
        self.headers = {
            "accept": JSON_CONTENT,
            "user-agent": USER_AGENT,
            **checked_headers(headers or {}),
        }
        if token is not None and not callable(token):
            self.headers[AUTHORIZATION] = checked_token(token)
        elif token is None and self.server.basic:
            self.headers.setdefault(AUTHORIZATION, self.server.basic)
        connect, pause = (
            _seconds_or_none("connect_timeout", connect_timeout),
            _seconds_or_none("timeout", timeout),
        )
        self.timeouts = Timeouts(connect, pause, _seconds_or_none("idle_timeout", idle_timeout))
        self._deadline = _seconds_or_none("deadline", deadline)
        self.retries = Retries(times=retries) if isinstance(retries, int) else retries
        if max_connections is not None and max_connections < 1:
            raise InvalidInput(f"max_connections must be 1 or more, received {max_connections}")
        self.max_connections = max_connections
        self.on_exchange = on_exchange
        self._loses_answers = loses_answers
        """Whether there is a network on the way."""
        self._position = LastPosition()

    def keyed(self, call: Call[R], key: str | None) -> Call[R]:
        """The call with its idempotency key: the caller's, or a new one if it may be repeated.

        Raises `InvalidInput`.
        """
        if key is not None:
            return replace(call, idempotency_key=checked_idempotency_key(key))
        if call.repeatable or call.method == "GET" or not self.retries.times:
            return call
        if not self._loses_answers:
            return call
        return replace(call, idempotency_key=_fresh())

    def end_of_call(self) -> float | None:
        """When a call that begins now ends, by the monotonic clock; None for no limit."""
        return None if self._deadline is None else time.monotonic() + self._deadline

    def request(self, call: Call[Any], ends: float | None) -> OutgoingRequest:
        """The request of a call, which is over at `ends`."""
        headers = {}
        if call.body is not None:
            headers["content-type"] = JSON_CONTENT
        if not call.repeatable:
            # If the answer is lost, the log of the server can be searched for this.
            headers[REQUEST_ID] = _fresh()
        if call.idempotency_key is not None:
            headers[IDEMPOTENCY_KEY] = call.idempotency_key
        if self._position.newest is not None:
            headers[POSITION] = str(self._position.newest)
        target = self.server.base_path + call.target
        return OutgoingRequest(call.method, target, headers, call.body, ends)

    def heard(self, request: OutgoingRequest, headers: Mapping[str, str]) -> None:
        """Remember how far the store was that answered, for the next requests."""
        told = headers.get(POSITION)
        if told is not None:
            self._position.heard(request.headers.get(POSITION), told)

    def heard_of(self, position: str | None) -> None:
        """The same for an event that has a position."""
        self._position.heard(None, position)

    def stream_request(self, call: StreamCall) -> OutgoingRequest:
        """The request for an event stream."""
        headers = {"accept": EVENT_STREAM, "accept-encoding": "identity"}
        if call.last_event_id is not None and _HEADER_VALUE.fullmatch(call.last_event_id):
            headers["last-event-id"] = call.last_event_id
        return OutgoingRequest("GET", self.server.base_path + call.target, headers)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers for every request, with names in small letters. Raises `InvalidInput`."""
    checked = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidInput(f"headers: {name!r} is not the name of a header")
        if name.lower() in _OF_THE_FRAME:
            raise InvalidInput(f"headers: {name} is up to the client")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            # Without the value in the message: it may be a secret.
            raise InvalidInput(f"headers: the value of {name} must be printable ASCII, in one line")
        checked[name.lower()] = value
    return checked


def refused_stream(reply: Reply) -> KvError | None:
    """Why an answer is no event stream, or None if it is one; all but a 200 with its content."""
    if reply.status != 200:
        return error_of(reply)
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != EVENT_STREAM:
        return invalid_response(reply, f"content type {kind!r} is not an event stream")
    return None


def no_answer(
    failure: Failure, call: Call[Any] | None, request_id: str | None = None, *, via: str = ""
) -> KvError:
    """The exception for a request without a complete answer; `call` None stands for a stream.

    `via` says which server that is, and how it is reached.
    """
    reason = str(failure)
    shown = "event stream" if call is None else f"{call.method} {call.target.partition('?')[0]}"
    if isinstance(failure, NoneFree):
        return PoolExhausted(
            f"{shown}: no connection became free in time: raise max_connections, or send less at"
            " once"
        )
    if isinstance(failure, NotSent):
        return ServerUnreachable(f"{shown}: could not connect{via}: {reason}")
    if call is None or call.repeatable:
        return ConnectionLost(f"{shown}: no complete answer: {reason}")
    return OutcomeUnknown(
        f"{shown}: no answer, so it may have been applied or not: {reason}", request_id=request_id
    )


def _fresh() -> str:
    """A unique text that sorts behind earlier ones: neighbours in an index.

    Made in a quarter of the time of a UUID.
    """
    return f"{time.time_ns():016x}{os.urandom(8).hex()}"


def _seconds_or_none(name: str, duration: Duration | None) -> float | None:
    """Raises `InvalidInput` also for a number so small that seconds are meant, most likely."""
    if duration is None:
        return None
    if isinstance(duration, (int, float)) and 0 < duration < SECONDS_PERHAPS:
        raise InvalidInput(
            f'{name}={duration} would be {duration} milliseconds: write "{duration}s" or'
            f' "{duration}ms", or give a timedelta'
        )
    return seconds(duration)
