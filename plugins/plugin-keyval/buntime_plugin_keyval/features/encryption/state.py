"""The stored state of encryption, in an entry that is never encrypted itself."""

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
    """The keys with which values may be encrypted."""

    keys: dict[str, str] = {}
    """By name, each with a text that it decrypts, so that a wrong key is noticed at the start."""
    ranges: tuple[tuple[str, str], ...] = ()
    """The ranges in which values may be encrypted, in hexadecimal."""
    settled: str = ""
    """The configuration that all values conform to; empty while they are being rewritten."""


class ReadState(msgspec.Struct, frozen=True):
    state: EncryptionState | None
    versionstamp: str | None


async def read_state(store: Store) -> ReadState:
    """Read the state; None if nothing was ever encrypted. Raises `DatabaseError`."""
    # Not measured, since no client has asked for it.
    rows = await reads.get_many(
        store.db, [_ENCODED], store.clock.now(), store.long_reads, fresh=True
    )
    row = rows.get(_ENCODED)
    if row is None:
        return ReadState(None, None)
    return ReadState(msgspec.json.decode(row.value, type=EncryptionState), row.versionstamp)


async def write_state(store: Store, state: EncryptionState | None, known: str | None) -> bool:
    """Replace the state if it is still the one known; whether it was."""
    if state is None:
        mutation = Mutation("delete", STATE_KEY, encoded=_ENCODED)
    else:
        text = msgspec.json.encode(state).decode()
        mutation = Mutation("set", STATE_KEY, text, encoded=_ENCODED)
    return await store.commit([EngineCheck(_ENCODED, known)], [mutation]) is not None
