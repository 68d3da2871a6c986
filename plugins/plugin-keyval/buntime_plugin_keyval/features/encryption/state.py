"""What a store remembers of its encryption, in an entry of its own that is never encrypted."""

from __future__ import annotations

import msgspec
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import encode_key
from buntime_keyval.wire.commits import Mutation

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.storage import reads
from buntime_plugin_keyval.storage.reserved import RESERVED_KEY

STATE_KEY = (*RESERVED_KEY, "encryption")
_ENCODED = encode_key(STATE_KEY)


class EncryptionState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which keys there may be values of."""

    keys: dict[str, str] = {}
    """By name, each with a text that it opens: so that a wrong key is told at the start."""
    ranges: tuple[tuple[str, str], ...] = ()
    """Where values may be encrypted, in hexadecimal."""
    settled: str = ""
    """Which configuration all values have come to; empty while they are on their way."""


class ReadState(msgspec.Struct, frozen=True):
    """The state as it was read."""

    state: EncryptionState | None
    versionstamp: str | None


async def read_state(store: Store) -> ReadState:
    """The state; None if nothing was ever encrypted here. Raises `DatabaseError`."""
    # Past what is measured: nobody has asked for it.
    rows = await reads.get_many(
        store.db, [_ENCODED], store.clock.now(), store.long_reads, fresh=True
    )
    row = rows.get(_ENCODED)
    if row is None:
        return ReadState(None, None)
    return ReadState(msgspec.json.decode(row.value, type=EncryptionState), row.versionstamp)


async def write_state(store: Store, state: EncryptionState | None, known: str | None) -> bool:
    """Keep a state in the place of the one that is known; whether it was still that one."""
    if state is None:
        mutation = Mutation("delete", STATE_KEY, encoded=_ENCODED)
    else:
        text = msgspec.json.encode(state).decode()
        mutation = Mutation("set", STATE_KEY, text, encoded=_ENCODED)
    return await store.commit([EngineCheck(_ENCODED, known)], [mutation]) is not None
