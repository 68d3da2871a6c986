"""The store as bytes, for plugins that put another API on top of it. No I/O here.

`ctx.get_plugin("@buntime/plugin-keyval").engine` is a `KeyValEngine`. Keys are encoded as
`buntime_keyval.wire.encode_key` does it, so that their order is that of the keys. A value is what
its encoding says: JSON text, or any bytes. HTTP, clients and `LocalKv` see the same entries; what
was written as bytes is there what `bytes` are in a value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, NamedTuple, Protocol

from buntime_keyval.wire import Key, encode_key
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Encoding = Literal["json", "bytes"]
"""`json`: canonical JSON as UTF-8, with tagged bigints. `bytes`: nothing is known of them."""


class EngineRange(NamedTuple):
    """Which entries to read, in the order of their keys."""

    start: bytes
    """The first key."""
    end: bytes
    """Behind the last one."""
    limit: int = DEFAULT_LIMIT
    reverse: bool = False
    """Whether the last ones come first."""


class EngineEntry(NamedTuple):
    """An entry."""

    key: bytes
    value: bytes
    encoding: Encoding
    versionstamp: str


class EngineCheck(NamedTuple):
    """Holds while the key has this versionstamp; None requires that it is missing."""

    key: bytes
    versionstamp: str | None


class EngineWrite(NamedTuple):
    """What is to be under a key; a `value` of None deletes it."""

    key: bytes
    value: bytes | None
    encoding: Encoding = "bytes"
    expires_in: int | None = None
    """Milliseconds from the commit on; None for ever."""


class EngineChange(NamedTuple):
    """One changed key of one commit. Who wants the value reads it."""

    key: bytes
    operation: Literal["set", "delete", "expire"]
    versionstamp: str
    at: int
    """When it was committed, epoch milliseconds."""
    position: str
    """Where to go on behind it: see `KeyValEngine.follow`."""


class PositionGone(Exception):
    """The log does not reach back to a position any more, or is another one: read anew."""


class KeyValEngine(Protocol):
    """Everything raises `InvalidInput` for what breaks the contract, before anything is done."""

    async def get(self, keys: Sequence[bytes]) -> list[EngineEntry | None]:
        """The entries of keys, in their order and of one moment; None for those that miss."""

    async def read(self, *ranges: EngineRange) -> list[list[EngineEntry]]:
        """The entries of each range. Those of one are of one moment."""

    async def commit(
        self, checks: Sequence[EngineCheck], writes: Sequence[EngineWrite]
    ) -> str | None:
        """Write all of it if all checks hold; the versionstamp, or None if one did not.

        It is durable then. Raises `OutcomeUnknown` where nobody can say whether it was done.
        """

    async def position(self) -> str:
        """Behind the newest change."""

    def follow(self, after: str, within: EngineRange | None = None) -> AsyncIterator[EngineChange]:
        """Every change behind a position, in the order of the commits, as they come.

        Those of other processes are among them. `within` leaves out keys that are not in the range.
        Ends when the store does. Raises `PositionGone`.
        """


def range_below(prefix: Key, limit: int = DEFAULT_LIMIT) -> EngineRange:
    """What extends a prefix, without the prefix itself; all entries for an empty one."""
    encoded = encode_key(prefix)
    return EngineRange(encoded + b"\x00", encoded + b"\xff", limit)
