"""Bringing all values of a store in line with the encryption options, in the background.

New values are encrypted as they are written, with the first key. Values from before, those
encrypted with another key, and those that are not to be encrypted any more are rewritten, with the
same versionstamp and without telling watchers, since they mean the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from buntime_database import Batch, DatabaseDamaged, DatabaseError, Guard, GuardFailed, Statement
from buntime_host import OptionError
from buntime_keyval.wire import decode_key, key_to_json

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.encryption.state import EncryptionState, read_state, write_state
from buntime_plugin_keyval.features.feature import Part
from buntime_plugin_keyval.model.errors import ValueDamaged
from buntime_plugin_keyval.storage.changelog import forget_values
from buntime_plugin_keyval.storage.consumers import forget_letter_values
from buntime_plugin_keyval.storage.database import database_of
from buntime_plugin_keyval.storage.effects import unchanged
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.searching import index_of_row
from buntime_plugin_keyval.storage.selection import Selection

PAGE = 100
"""The most entries that one step looks at."""

PAUSE_SECONDS = 0.01
"""Pause between two steps, to leave room for other writes."""

MAX_ATTEMPTS = 20

_PROOF = b"key"
"""The associated data of the text by which a key is checked."""


class EncryptionPart(Part):
    """The encryption of one store, also if it has none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sealing = store.sealing
        self._plain = database_of(store.adapter)
        """The database, with values as they are stored."""
        self._left: list[KeyRange] = []
        self._loop = Loop(
            self._step,
            "keyval-encryption",
            logger=store.logger,
            complaint="Values could not be encrypted anew: %s",
        )

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {} if self._sealing is None else {"encryption": self._loop}

    async def begin(self) -> None:
        """Check the keys against those that values are encrypted with.

        Raises `OptionError` if a key is missing or a different one, or if an index covers values
        that are to be encrypted.
        """
        for _ in range(MAX_ATTEMPTS):
            try:
                read = await read_state(self._store)
            except DatabaseDamaged as error:
                if self._sealing is not None:
                    raise
                # The store starts all the same: requests report the damage, as they would later.
                self._store.logger.warning("Whether values are encrypted is not known: %s", error)
                return
            self._check_keys(read.state or EncryptionState())
            if self._sealing is None:
                return
            state = self._wanted(read.state or EncryptionState())
            if state is None:
                return
            if await write_state(self._store, state, read.versionstamp):
                break
        await self._check_indexes()

    def start(self) -> None:
        """Go on where an earlier process stopped; the first worker does so for all."""
        workers = self._store.peers.workers
        if self._left and (workers.number == 0 or workers.took_over):
            self._loop.start()

    def _check_keys(self, state: EncryptionState) -> None:
        sealing = self._sealing
        for name, proof in state.keys.items():
            if sealing is None or name not in sealing.names:
                raise OptionError(
                    f"encryption: the key {name!r} is missing, with which values of this store"
                    " are encrypted"
                )
            try:
                sealing.open(proof, _PROOF)
            except ValueDamaged as error:
                raise OptionError(
                    f"encryption: the key {name!r} is not the one that values of this store are"
                    " encrypted with"
                ) from error

    def _wanted(self, state: EncryptionState) -> EncryptionState | None:
        """The state to store before anything is encrypted; None if all values are right."""
        sealing = self._sealing
        if sealing is None or state.settled == self._settled:
            return None
        ranges = [*sealing.ranges, *_ranges(state.ranges)]
        sealing.widen(ranges)
        self._left = [*sealing.unreadable]
        keys = {**state.keys, sealing.current: sealing.seal(_PROOF, "buntime")}
        return EncryptionState(keys=keys, ranges=_told(ranges), settled="")

    @property
    def _settled(self) -> str:
        """The configuration as text."""
        sealing = self._sealing
        if sealing is None:
            return ""
        return ";".join([sealing.current, *(start for start, _ in _told(sealing.ranges))])

    async def _check_indexes(self) -> None:
        sealing = self._sealing
        if sealing is None:
            return
        for *row, _, _ in await self._store.adapter.query(self._store.sql.search.catalogue.all):
            index = index_of_row(row)
            if sealing.is_unreadable([index.keys]):
                raise OptionError(
                    "encryption.prefixes: values cannot be encrypted that are indexed: remove the"
                    f" index of {key_to_json(decode_key(index.prefix))} first"
                )

    async def _step(self) -> float | None:
        sealing = self._sealing
        if sealing is None or not self._left:
            return None
        keys = self._left[0]
        now_ms = self._store.clock.now()
        statement = self._plain.sql.reads.rows(Selection(keys, PAGE), now_ms)
        rows = await self._plain.adapter.query(*statement, fresh=True)
        batches = []
        for key, value, versionstamp in rows:
            steps = self._anew(bytes(key), str(value))  # type: ignore[arg-type] # a BLOB
            if steps:
                guard = unchanged(self._plain.sql, bytes(key), str(versionstamp), now_ms)  # type: ignore[arg-type] # a BLOB
                batches.append(Batch([guard, *steps], patient=True))
        if batches:
            for outcome in await self._plain.adapter.batch_each(batches):
                if isinstance(outcome, DatabaseError):
                    with suppress(
                        GuardFailed
                    ):  # a write has replaced and so encrypted it meanwhile
                        raise outcome
        if len(rows) == PAGE:
            self._left[0] = keys.after(bytes(rows[-1][0]))  # type: ignore[arg-type] # as above
            return PAUSE_SECONDS
        self._left.pop(0)
        if self._left:
            return PAUSE_SECONDS
        await self._settle()
        return None

    def _anew(self, key: bytes, value: str) -> list[Statement | Guard]:
        """Steps that make a value what it should be; none if it is."""
        sealing = self._sealing
        if sealing is None:
            return []
        name = sealing.name_of(value)
        wanted = sealing.current if sealing.covers(key) else None
        if name == wanted:
            return []
        plain = value if name is None else sealing.open(value, key)
        text = plain if wanted is None else sealing.seal(key, plain)
        return [*self._plain.sql.writes.recode(key, text)]

    async def _settle(self) -> None:
        """Store that all values are as the options say."""
        sealing = self._sealing
        if sealing is None:
            return
        # Values in the log from before could be read by none any more, or by anyone.
        for one in sealing.unreadable:
            await forget_values(self._plain, one, sealing.marks)
            await forget_letter_values(self._plain, one, sealing.marks)
        read = await read_state(self._store)
        state = None
        if read.state is not None and list(sealing.ranges):
            keys = {sealing.current: read.state.keys[sealing.current]}
            state = EncryptionState(keys=keys, ranges=_told(sealing.ranges), settled=self._settled)
        if await write_state(self._store, state, read.versionstamp):
            sealing.narrow()
            self._store.logger.info(
                "All values are encrypted as the options say, with the key %s", sealing.current
            )


def _told(ranges: Iterable[KeyRange]) -> tuple[tuple[str, str], ...]:
    return tuple((keys.start.hex(), keys.end.hex()) for keys in ranges)


def _ranges(told: Iterable[tuple[str, str]]) -> list[KeyRange]:
    return [KeyRange(bytes.fromhex(start), bytes.fromhex(end)) for start, end in told]
