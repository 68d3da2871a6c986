"""The interface of stores of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import msgspec

from buntime_host.access.keys import ApiKey
from buntime_host.errors import BuntimeError

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(ApiKey)


class KeysUnavailable(BuntimeError):
    """The keys cannot be read or written; the text says why."""


class KeptKey(NamedTuple):
    """The stored form of a key."""

    key: ApiKey
    last_used_at: int | None


class KeyStore(Protocol):
    """Keeps keys for all workers and hosts. Every method raises `KeysUnavailable`."""

    @property
    def where(self) -> str:
        """Where the keys are, for people."""

    async def changed(self) -> Mapping[str, KeptKey] | None:
        """All keys by id, or None if nothing has changed since the last call."""

    async def add(self, key: ApiKey) -> bool:
        """Store a new key; False if there is one with its id."""

    async def replace(self, old: ApiKey, new: ApiKey) -> bool:
        """Store a new state of a key; False if it was changed elsewhere meanwhile."""

    async def check(self) -> None:
        """Check that keys can be read and written, without changing any."""

    async def used(self, times: Mapping[str, int]) -> None:
        """Note when keys were used last."""


def encoded(key: ApiKey) -> str:
    """The text of a key in a store; the same for the same key."""
    return _ENCODER.encode(key).decode()


def decoded(text: str | bytes) -> ApiKey:
    """The key of a stored text. Raises `KeysUnavailable`."""
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise KeysUnavailable(f"a key is not as it was written: {error}") from None
