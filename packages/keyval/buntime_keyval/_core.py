"""Requests and answers as plain data, without I/O, so that all transports share it.

A `Call` says what to send and how to read the answer. `answer_of` is the one place where a reply
becomes a result or an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from buntime_keyval._errors import (
    AnswerLost,
    ConsumerLocked,
    InvalidResponse,
    KvError,
    PreconditionFailed,
    StreamTrimmed,
    answered_error,
)
from buntime_keyval.wire import InvalidInput, Key
from buntime_keyval.wire.python_options import Consistency, is_strong

R = TypeVar("R")
T = TypeVar("T")

REQUEST_ID = "x-request-id"
JSON_CONTENT = "application/json"
IDEMPOTENCY_KEY = "idempotency-key"
EVENT_STREAM = "text/event-stream"
_SHOWN = 200
_NO_ROUTE = ("", "Not found")
"""Messages for unknown paths: of another server, or of a KeyVal API above the path."""
_OF_THE_HOST = ("NOT_FOUND", "METHOD_NOT_ALLOWED")
"""Codes of answers of the host itself, where no plugin answers."""
_NO_ROOM = "TOO_MANY_ANSWERS"
"""Code of the host for an answer that exists and is too large."""


class Item(NamedTuple):
    """A call within a request of several: the get or the set of one key."""

    key: Key
    value: bytes | None = None
    """JSON to set; None for a get."""
    options: Mapping[str, msgspec.Raw] = {}
    """Members beside it."""
    strong: bool = False


class Call(msgspec.Struct, Generic[R], frozen=True):
    """One request of the contract, and the reading of its answer."""

    method: str
    target: str
    """Path and query below the base URL, percent-encoded."""
    parse: Callable[[bytes], R]
    """Reads the body of a success; may raise `msgspec.MsgspecError` or `InvalidInput`."""
    body: bytes | None = None
    repeatable: bool = False
    """Whether sending it twice does no more than sending it once."""
    idempotency_key: str | None = None
    """Under which the server does it once, however often it gets it."""
    absent: tuple[str, R] | None = None
    """The message of a 404 that is no error, and the result that it stands for."""
    item: Item | None = None
    """None for a call that always travels alone."""


def consistent(call: Call[R], consistency: Consistency) -> Call[R]:
    """A call that reads, as one that sees so much. Raises `InvalidInput`."""
    if not is_strong(consistency):
        return call
    if call.body is None:
        joint = "&" if "?" in call.target else "?"
        item = None if call.item is None else call.item._replace(strong=True)
        return replace(call, target=f"{call.target}{joint}consistency=strong", item=item)
    joint_of_body = b"" if call.body == b"{}" else b","
    item = None if call.item is None else call.item._replace(strong=True)
    return replace(call, body=b'{"consistency":"strong"' + joint_of_body + call.body[1:], item=item)


class StreamCall(NamedTuple):
    """A request for an event stream."""

    target: str
    last_event_id: str | None = None


class Reply(NamedTuple):
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    base_url: str = ""
    """Address of the API."""


class _ErrorBody(msgspec.Struct):
    error: str
    code: str | None = None
    versionstamp: str | None = None
    first: int | None = None
    owner: str | None = None
    until: int | None = None


_decode_error = msgspec.json.Decoder(_ErrorBody).decode


_DONE = (200, 201)


def answer_of(call: Call[R], reply: Reply) -> R:
    """The result of a call. Raises `StatusError` or `InvalidResponse`."""
    if reply.status in _DONE:
        try:
            return call.parse(reply.content)
        except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError, RecursionError) as error:
            raise invalid_response(reply, str(error)) from error
    if reply.status == 404 and call.absent is not None:
        message, result = call.absent
        # A 404 of another server, such as for a wrong base URL, must not look like a missing key.
        if _error_body(reply.content).error == message:
            return result
    raise error_of(reply)


def error_of(reply: Reply) -> KvError:
    """The exception that a reply without success stands for."""
    body = _error_body(reply.content)
    message = body.error or f"The server answered {reply.status}"
    if reply.status in (404, 405) and (body.error in _NO_ROUTE or body.code in _OF_THE_HOST):
        message = (
            f"There is no KeyVal API at {reply.base_url or 'the base URL'}: a base URL looks like"
            " http://127.0.0.1:8000/keyval/api"
        )
    retry_after = reply.headers.get("retry-after")
    kind = answered_error(reply.status, body.code)
    if body.code == _NO_ROOM and retry_after is None:  # else it may come again: it changes nothing
        kind = AnswerLost
    error = kind(
        message,
        status=reply.status,
        code=body.code,
        request_id=reply.headers.get(REQUEST_ID),
        retry_after=_seconds(retry_after),
    )
    if isinstance(error, PreconditionFailed):
        error.versionstamp = body.versionstamp
    if isinstance(error, StreamTrimmed):
        error.first = body.first
    if isinstance(error, ConsumerLocked):
        error.owner, error.until = body.owner, body.until
    return error


def invalid_response(reply: Reply, reason: str) -> InvalidResponse:
    """The exception for an answer that cannot be read."""
    shown = reply.content[:_SHOWN].decode("utf-8", "replace")
    return InvalidResponse(
        f"The answer is not one of a KeyVal server: {reason}: {shown!r}",
        status=reply.status,
        request_id=reply.headers.get(REQUEST_ID),
    )


def json_body(**members: Any) -> bytes:
    """A JSON object of the members that are not None; `msgspec.Raw` ones are spliced in."""
    return msgspec.json.encode({name: it for name, it in members.items() if it is not None})


def member(name: str, kind: type[T]) -> Callable[[bytes], T]:
    """The reading of an answer of which one member is of interest."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Answer", [(name, kind)])).decode
    return lambda content: getattr(decode(content), name)


def read_nothing(content: bytes) -> None:
    """Read an answer that says no more than that it was done; it has to be JSON all the same."""
    msgspec.json.decode(content)


def _error_body(content: bytes) -> _ErrorBody:
    try:
        return _decode_error(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _ErrorBody("")


def _seconds(text: str | None) -> float | None:
    """`Retry-After` as seconds; its other form, a date, is not understood."""
    return float(text) if text is not None and text.isdecimal() else None
