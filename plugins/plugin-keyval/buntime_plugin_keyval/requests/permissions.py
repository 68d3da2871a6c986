"""Permissions in the store, and on which keys they are.

Keys are compared in encoded form, so that a grant on a prefix is one span of bytes, and the range
of a list is within it or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from buntime_host import Action, Principal
from buntime_host.access import denied, text_prefix
from buntime_keyval.shared import refuse_lost
from buntime_keyval.wire import check_key, decode_json, decode_key, encode_key, key_to_json

from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.reserved import RESERVED, is_reserved

READ = "keyval:read"
WRITE = "keyval:write"
QUEUE_SEND = "keyval:queue:send"
QUEUE_RECEIVE = "keyval:queue:receive"
QUEUE_ADMIN = "keyval:queue:admin"
INDEX_ADMIN = "keyval:index:admin"
LOCK = "keyval:lock"
CONSUME = "keyval:consume"
TASK_SEND = "keyval:task:send"
TASK_RUN = "keyval:task:run"
TASK_ADMIN = "keyval:task:admin"
SCHEDULE = "keyval:schedule"
METRICS_READ = "keyval:metrics:read"
ADMIN = "keyval:admin"


def key_prefix(text: str) -> bytes:
    """The resource of a grant: a key as a JSON array, which covers itself and all keys below.

    Raises `ValueError` with what would be right.
    """
    try:
        raw = decode_json(text.encode())
        return b"" if raw == [] else encode_key(check_key(raw))
    except ValueError as error:
        reason = str(error)
        raise ValueError(f'the resource has to be a key such as ["users",42]: {reason}') from None


PERMISSIONS: Mapping[str, Action] = MappingProxyType(
    {
        "read": Action(key_prefix, doc="get, list, count, search, watch and check entries"),
        "write": Action(key_prefix, doc="set, change and delete entries"),
        "index:admin": Action(key_prefix, doc="create, list and remove full-text indexes"),
        "queue:send": Action(text_prefix, doc="send messages"),
        "queue:receive": Action(text_prefix, doc="take and settle messages"),
        "queue:admin": Action(
            text_prefix,
            covers=("queue:send", "queue:receive"),
            doc="all of that, numbers of the queue and dead letters",
        ),
        "lock": Action(text_prefix, doc="take, release, list and check locks"),
        "consume": Action(
            text_prefix, doc="be a consumer of the stream, for keys that may be read as well"
        ),
        "task:send": Action(text_prefix, doc="send tasks, and look at them and at their results"),
        "task:run": Action(text_prefix, doc="take tasks and report their results"),
        "task:admin": Action(
            text_prefix,
            covers=("task:send", "task:run"),
            doc="all of that, lists, cancelling, repeating, removing and limiting tasks",
        ),
        "schedule": Action(text_prefix, doc="make, change, list and remove schedules"),
        "metrics:read": Action(doc="read what was measured"),
        "admin": Action(covers=("*",), doc="everything in the store"),
    }
)


class Permits:
    """Checks what a principal may do, before anything is read.

    Each method raises `PermissionDenied`, and `LockLost` in the block of a lock that was lost.
    """

    __slots__ = ("_guarded", "principal")

    def __init__(self, principal: Principal, *, guarded: bool = False) -> None:
        """For `guarded` see `require_ranges`."""
        self.principal = principal
        self._guarded = guarded

    def need(self, scope: str, resource: str | None = None) -> None:
        """Require a scope that is not on keys; on one resource if given."""
        refuse_lost()
        self.principal.require(scope, resource)

    def read(self, *keys: bytes) -> None:
        """Require that these keys may be read."""
        refuse_lost()
        if not self.principal.unlimited:
            require_keys(self.principal, READ, keys)

    def read_range(self, *ranges: KeyRange) -> None:
        """Require that everything in these ranges may be read."""
        refuse_lost()
        if not self.principal.unlimited:
            require_ranges(self.principal, READ, ranges, guarded=self._guarded)

    def write(self, *keys: bytes) -> None:
        """Require that these keys may be written."""
        refuse_lost()
        if not self.principal.unlimited:
            require_keys(self.principal, WRITE, keys)

    def write_range(self, *ranges: KeyRange) -> None:
        """Require that everything in these ranges may be written."""
        refuse_lost()
        if not self.principal.unlimited:
            require_ranges(self.principal, WRITE, ranges)

    def index(self, keys: KeyRange) -> None:
        """Require that the index of a prefix may be created and removed."""
        refuse_lost()
        require_ranges(self.principal, INDEX_ADMIN, [keys])


def require_some(principal: Principal, scope: str) -> None:
    """Raise `PermissionDenied` unless the principal has the scope on at least one resource."""
    if not principal.unlimited and principal.grant.spans(scope) is None:
        raise denied(scope)


def require_keys(principal: Principal, scope: str, keys: Iterable[bytes]) -> None:
    """Raise `PermissionDenied` unless the scope covers each of the keys."""
    for key in keys:
        if not principal.allows(scope, key):
            raise denied(scope, _named(key))
        if is_reserved(key):
            principal.require(ADMIN)


def require_ranges(
    principal: Principal, scope: str, ranges: Iterable[KeyRange], *, guarded: bool = False
) -> None:
    """Raise `PermissionDenied` unless the scope covers everything in these ranges.

    With `guarded` also for a range that has all of the store's own keys among others.
    """
    for keys in ranges:
        if not principal.allows_range(scope, keys.start, keys.end):
            raise denied(scope, _named(_common(keys.start, keys.end)))
        if is_reserved(keys.start) or (
            guarded and keys.start < RESERVED.end and RESERVED.start < keys.end
        ):
            principal.require(ADMIN)


MOST_NAMED = 10


def named_keys(keys: Sequence[bytes], ranges: Sequence[KeyRange]) -> str:
    """The first of the keys, and of the prefixes of ranges, for messages."""
    names = [_named(key) for key in keys[:MOST_NAMED]]
    names += [_named(_common(one.start, one.end)) for one in ranges[:MOST_NAMED]]
    return " ".join([name or "[]" for name in names[:MOST_NAMED]])


def _common(first: bytes, second: bytes) -> bytes:
    """The common prefix of both."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return first[:place]
    return min(first, second, key=len)


def _named(encoded: bytes) -> str | None:
    """The longest key that the bytes begin with, as in a grant; None for all keys."""
    for end in range(len(encoded), 0, -1):
        try:
            return key_to_json(decode_key(encoded[:end]))
        except ValueError:
            continue
    return None
