"""Calls of the routes below `/consumers`."""

from __future__ import annotations

from typing import Literal, get_args
from urllib.parse import quote

import msgspec

from buntime_keyval._calls.keys import checked_page
from buntime_keyval._calls.locks import checked_prefix
from buntime_keyval._calls.stream import RawRecord, checked_text, position, to_record
from buntime_keyval._core import Call, json_body, member
from buntime_keyval._results import (
    ConsumerBatch,
    ConsumerFailure,
    ConsumerInfo,
    ConsumerLetter,
    StreamRecord,
)
from buntime_keyval.wire import Duration, InvalidInput, Key, KeyLike, key_to_json
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.names import checked_name
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import milliseconds

CommitMode = Literal["each", "batch", "none"]
"""When records that were given out count as done: each one when the next is asked for, all of a
batch when its last one is done, or when the caller commits."""


class ConsumerOrder(msgspec.Struct, frozen=True):
    """The checked parameters of an instance of a consumer."""

    name: str
    owner: str
    limit: int
    duration_ms: int
    prefix: Key
    type: str | None
    after: int = 0


class _Batch(msgspec.Struct):
    records: list[RawRecord]
    token: str
    position: int
    lag: int


class _Letter(msgspec.Struct, rename="camel"):
    record: RawRecord
    error: str | None
    attempts: int
    failed_at: int
    requeued: bool


_decode_batch = msgspec.json.Decoder(_Batch).decode
_read_failure = msgspec.json.Decoder(ConsumerFailure).decode
_read_info = msgspec.json.Decoder(ConsumerInfo).decode
_read_listed = member("consumers", list[ConsumerInfo])
_read_committed = member("position", int)
_read_released = member("released", bool)
_read_deleted = member("deleted", bool)
_read_deleted_letters = member("deleted", int)
_read_requeued = member("requeued", int)
_peeked = member("records", list[RawRecord])
_letters = member("letters", list[_Letter])


def order(
    name: str,
    owner: str,
    limit: int,
    lock_duration: Duration,
    prefix: KeyLike,
    type: str | None,
    after: int = 0,
) -> ConsumerOrder:
    """Check the parameters. Raises `InvalidInput`."""
    length = milliseconds("lock_duration", lock_duration)
    if not length:
        raise InvalidInput("lock_duration must be more than 0")
    return ConsumerOrder(
        consumer_name(name),
        consumer_owner(owner),
        checked_page(limit),
        length,
        checked_key(prefix) if prefix else (),
        None if type is None else checked_text("type", type),
        position("after", after),
    )


def fetch(wanted: ConsumerOrder, wait: int = 0) -> Call[ConsumerBatch]:
    """The next records; the same owner may ask again without harm."""
    body = json_body(
        owner=wanted.owner,
        limit=wanted.limit,
        lockDuration=wanted.duration_ms,
        wait=wait or None,
        prefix=msgspec.Raw(key_to_json(wanted.prefix).encode()) if wanted.prefix else None,
        type=wanted.type,
        after=wanted.after or None,
    )
    return Call("POST", f"{_target(wanted.name)}/fetch", _read_batch, body, repeatable=True)


def commit(name: str, token: str, up_to: int) -> Call[int]:
    """All up to there is done; said twice it does no more."""
    body = json_body(token=consumer_token(token), upTo=position("up_to", up_to))
    return Call("POST", f"{_target(name)}/commit", _read_committed, body, repeatable=True)


def nack(
    name: str, token: str, seq: int, error: str | None, max_attempts: int
) -> Call[ConsumerFailure]:
    """A record could not be processed."""
    body = json_body(
        token=consumer_token(token),
        seq=position("seq", seq),
        error=None if error is None else checked_error("error", error, as_written),
        maxAttempts=checked_attempts(max_attempts),
    )
    return Call("POST", f"{_target(name)}/nack", _read_failure, body)


def release(name: str, owner: str, token: str | None) -> Call[bool]:
    """Release the consumer for other instances."""
    token = None if token is None else consumer_token(token)
    body = json_body(owner=consumer_owner(owner), token=token)
    return Call("POST", f"{_target(name)}/release", _read_released, body)


def peek(
    name: str, limit: int, prefix: KeyLike, type: str | None, after: int
) -> Call[list[StreamRecord]]:
    """The next records, without an owner."""
    target = f"{_target(name)}/peek?limit={checked_page(limit)}"
    if prefix:
        target += f"&prefix={quote(key_to_json(checked_key(prefix)), safe='')}"
    if type is not None:
        target += f"&type={quote(checked_text('type', type), safe='')}"
    if position("after", after):
        target += f"&after={after}"
    return Call("GET", target, _read_peeked, repeatable=True)


def get(name: str) -> Call[ConsumerInfo | None]:
    """Return one consumer."""
    absent = (f"There is no consumer {name}: it begins with its first fetch", None)
    return Call("GET", _target(name), _read_info, repeatable=True, absent=absent)


def list_consumers(prefix: str, limit: int) -> Call[list[ConsumerInfo]]:
    """Consumers, by the beginning of their names."""
    target = f"/consumers?limit={checked_page(limit)}"
    if checked_prefix(prefix):
        target += f"&prefix={quote(prefix, safe='')}"
    return Call("GET", target, _read_listed, repeatable=True)


def set_position(name: str, seq: int) -> Call[ConsumerInfo]:
    """Go on behind another record."""
    body = json_body(seq=position("seq", seq))
    return Call("PUT", f"{_target(name)}/position", _read_info, body)


def delete(name: str) -> Call[bool]:
    """Forget a consumer."""
    return Call("DELETE", _target(name), _read_deleted)


def letters(name: str, after: int, limit: int) -> Call[list[ConsumerLetter]]:
    """Records that a consumer could not process."""
    target = f"{_target(name)}/dead?after={position('after', after)}&limit={checked_page(limit)}"
    return Call("GET", target, _read_letters, repeatable=True)


def requeue(name: str, seq: int | None) -> Call[int]:
    """Deliver one letter again, or all of them."""
    body = json_body(seq=None if seq is None else position("seq", seq))
    return Call("POST", f"{_target(name)}/dead", _read_requeued, body)


def delete_letters(name: str, seq: int | None) -> Call[int]:
    """Remove a letter, or all of them."""
    chosen = "" if seq is None else f"?seq={position('seq', seq)}"
    return Call("DELETE", f"{_target(name)}/dead{chosen}", _read_deleted_letters)


def consumer_name(name: object) -> str:
    """The name of a consumer. Raises `InvalidInput`."""
    return checked_name("the name of a consumer", name, as_written)


def consumer_owner(owner: object) -> str:
    """The owner of a consumer. Raises `InvalidInput`."""
    return checked_name("owner", owner, as_written)


def consumer_token(token: object) -> str:
    """The token of a fetch. Raises `InvalidInput`."""
    if not isinstance(token, str) or not token:
        raise InvalidInput(f"token must be the token of a fetch, received {as_written(token)}")
    return token


def checked_attempts(number: object) -> int:
    """The number of attempts at a record. Raises `InvalidInput`."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidInput(f"max_attempts must be 1 or more, received {as_written(number)}")
    return number


def checked_mode(mode: object) -> CommitMode:
    """When records count as done. Raises `InvalidInput`."""
    if mode in get_args(CommitMode):
        return mode  # type: ignore[return-value] # one of them
    raise InvalidInput(f"commit must be each, batch or none, received {as_written(mode)}")


def _target(name: str) -> str:
    return f"/consumers/{quote(consumer_name(name), safe='')}"


def _read_batch(content: bytes) -> ConsumerBatch:
    batch = _decode_batch(content)
    records = [*map(to_record, batch.records)]
    return ConsumerBatch(records, batch.token, batch.position, batch.lag)


def _read_peeked(content: bytes) -> list[StreamRecord]:
    return [*map(to_record, _peeked(content))]


def _read_letters(content: bytes) -> list[ConsumerLetter]:
    return [
        ConsumerLetter(to_record(it.record), it.error, it.attempts, it.failed_at, it.requeued)
        for it in _letters(content)
    ]
