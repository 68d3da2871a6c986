"""Calls of the routes below `/locks`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from buntime_keyval._calls.keys import checked_page
from buntime_keyval._core import Call, json_body, member
from buntime_keyval._results import LockGrant, LockInfo
from buntime_keyval.wire import Duration, InvalidInput, encode_metadata, untag
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.limits import MOST_LOCK_WAIT_MS
from buntime_keyval.wire.names import checked_name
from buntime_keyval.wire.python_options import milliseconds


class LockOrder(msgspec.Struct, frozen=True):
    """A checked request for a lock."""

    name: str
    owner: str
    duration_ms: int
    metadata: str | None = None
    """Canonical JSON, but for `$now`."""


_read_grant = msgspec.json.Decoder(LockGrant).decode
_decode_info = msgspec.json.Decoder(LockInfo).decode
_listed = member("locks", list[LockInfo])
_read_released = member("released", bool)


def order(name: str, owner: str, duration: Duration, metadata: Any = None) -> LockOrder:
    """Check a request for a lock. Raises `InvalidInput`."""
    length = milliseconds("duration", duration)
    if not length:
        raise InvalidInput("duration must be more than 0")
    stored = None if metadata is None else encode_metadata(metadata, None)
    return LockOrder(lock_name(name), lock_owner(owner), length, stored)


def wait_ms(wait: Duration | None) -> int:
    """The time to wait for a lock. Raises `InvalidInput`."""
    pause = 0 if wait is None else milliseconds("wait", wait)
    if pause > MOST_LOCK_WAIT_MS:
        raise InvalidInput(f"wait must be at most {MOST_LOCK_WAIT_MS} milliseconds")
    return pause


def acquire(wanted: LockOrder, wait: int = 0, *, keep_place: bool = False) -> Call[LockGrant]:
    """Take a lock, or prolong it; the same owner may ask again without harm."""
    body = json_body(
        owner=wanted.owner,
        duration=wanted.duration_ms,
        metadata=_metadata(wanted),
        wait=wait or None,
        keepPlace=keep_place or None,
    )
    target = f"{_target(wanted.name)}/acquire"
    return Call("POST", target, _read_grant, body, repeatable=True)


def renew(wanted: LockOrder, token: str) -> Call[LockGrant]:
    """Prolong a lock that is held under this token."""
    body = json_body(owner=wanted.owner, duration=wanted.duration_ms, token=checked_token(token))
    target = f"{_target(wanted.name)}/acquire"
    return Call("POST", target, _read_grant, body, repeatable=True)


def steal(wanted: LockOrder) -> Call[LockGrant]:
    """Take a lock away from its owner."""
    body = json_body(owner=wanted.owner, duration=wanted.duration_ms, metadata=_metadata(wanted))
    return Call("POST", f"{_target(wanted.name)}/steal", _read_grant, body)


def release(name: str, owner: str, token: str | None) -> Call[bool]:
    """End a lock."""
    token = None if token is None else checked_token(token)
    body = json_body(owner=lock_owner(owner), token=token)
    return Call("POST", f"{_target(name)}/release", _read_released, body)


def get(name: str) -> Call[LockInfo | None]:
    """Return a held lock."""
    absent = (f"Nobody has the lock {name}", None)
    return Call("GET", _target(name), _read_info, repeatable=True, absent=absent)


def list_locks(prefix: str, limit: int) -> Call[list[LockInfo]]:
    """Return held locks, by a prefix of their names."""
    target = f"/locks?limit={checked_page(limit)}"
    if checked_prefix(prefix):
        target += f"&prefix={quote(prefix, safe='')}"
    return Call("GET", target, _read_listed, repeatable=True)


def lock_name(name: object) -> str:
    """The name of a lock. Raises `InvalidInput`."""
    return checked_name("the name of a lock", name, as_written)


def lock_owner(owner: object) -> str:
    """The owner of a lock. Raises `InvalidInput`."""
    return checked_name("owner", owner, as_written)


def checked_token(token: object) -> str:
    """The token of a lock. Raises `InvalidInput`."""
    if not isinstance(token, str) or not token:
        raise InvalidInput(f"token must be the token of a lock, received {as_written(token)}")
    return token


def checked_prefix(prefix: object) -> str:
    """The beginning of names. Raises `InvalidInput`."""
    if not isinstance(prefix, str):
        raise InvalidInput(f"prefix must be a text, received {as_written(prefix)}")
    return prefix


def _target(name: str) -> str:
    return f"/locks/{quote(lock_name(name), safe='')}"


def _metadata(wanted: LockOrder) -> msgspec.Raw | None:
    return None if wanted.metadata is None else msgspec.Raw(wanted.metadata.encode())


def _read_info(content: bytes) -> LockInfo:
    return _untagged(_decode_info(content))


def _read_listed(content: bytes) -> list[LockInfo]:
    return [*map(_untagged, _listed(content))]


def _untagged(info: LockInfo) -> LockInfo:
    return replace(info, metadata=untag(info.metadata))
