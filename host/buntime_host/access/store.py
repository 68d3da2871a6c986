"""Where keys are kept, whoever keeps them."""

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
    """A key as it is kept."""

    key: ApiKey
    last_used_at: int | None


class KeyStore(Protocol):
    """Keeps keys for all workers and hosts. Every method raises `KeysUnavailable`."""

    @property
    def where(self) -> str:
        """Where they are, for people."""
        ...

    async def changed(self) -> Mapping[str, KeptKey] | None:
        """All keys by id, or None if nothing has changed since they were last asked for."""
        ...

    async def add(self, key: ApiKey) -> bool:
        """Keep a new key; False if there is one with its id."""
        ...

    async def replace(self, old: ApiKey, new: ApiKey) -> bool:
        """Keep another state of a key; False if somebody else has changed it meanwhile."""
        ...

    async def check(self) -> None:
        """See whether they can be read and written, and change nothing."""
        ...

    async def used(self, times: Mapping[str, int]) -> None:
        """Note when keys were used last."""
        ...


def encoded(key: ApiKey) -> str:
    """The text of a key in a store; the same for the same key."""
    return _ENCODER.encode(key).decode()


def decoded(text: str | bytes) -> ApiKey:
    """The key of such a text. Raises `KeysUnavailable`."""
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise KeysUnavailable(f"a key is not as it was written: {error}") from None
