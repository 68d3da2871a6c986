"""The lines of the logger `audit` as entries of the store, which only administrators may read.

They are kept in memory for a moment and written many at a time. If the database cannot take them,
the newest ones are dropped and their number is logged; the lines themselves are in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from buntime_database import DatabaseError
from buntime_keyval.wire import encode_key, encode_value
from buntime_keyval.wire.commits import EntryOptions, Mutation
from uuid_utils import uuid7

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part
from buntime_plugin_keyval.storage.reserved import RESERVED_KEY

LOGGER = "audit"
AUDIT_KEY = (*RESERVED_KEY, "audit")

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

MOST_WAITING = 10_000
"""The most lines that wait to be written."""

PAGE = 200
"""The most lines that one commit writes."""

PAUSE_SECONDS = 0.2
"""Pause between the first line and the commit that writes it and the lines after it."""


class AuditPart(Part):
    """Writes audit lines to the store."""

    def __init__(self, store: Store, keep_ms: int) -> None:
        self._store = store
        self._options = EntryOptions(expires_in=keep_ms)
        self._waiting: deque[tuple[str, str]] = deque()
        self._dropped = 0
        self._handler = _Handler(self._heard)
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._loop = Loop(
            self._step,
            "keyval-audit",
            logger=store.logger,
            complaint="Lines of the audit could not be kept: %s",
        )

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"audit": self._loop}

    def start(self) -> None:
        self._event_loop = asyncio.get_running_loop()
        logging.getLogger(LOGGER).addHandler(self._handler)
        super().start()

    async def close(self) -> None:
        """Write the lines that wait, and stop listening. Idempotent."""
        logging.getLogger(LOGGER).removeHandler(self._handler)
        await super().close()
        try:
            while self._waiting:
                await self._write()
        except DatabaseError as error:
            self._store.logger.warning("Lines of the audit could not be kept: %s", error)

    def _heard(self, line: str) -> None:
        """Take a line; may be called on any thread."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append((str(uuid7()), line))
        if self._event_loop is not None and len(self._waiting) == 1:
            self._event_loop.call_soon_threadsafe(self._loop.wake)

    async def _step(self) -> float | None:
        if not self._waiting:
            return None
        await asyncio.sleep(PAUSE_SECONDS)
        while self._waiting:
            await self._write()
        return None

    async def _write(self) -> None:
        lines = [self._waiting[place] for place in range(min(PAGE, len(self._waiting)))]
        await self._store.commit([], [self._mutation(*line) for line in lines])
        for _ in lines:
            self._waiting.popleft()
        if self._dropped:
            self._store.logger.warning("%d lines of the audit were not kept", self._dropped)
            self._dropped = 0

    def _mutation(self, name: str, line: str) -> Mutation:
        key = (*AUDIT_KEY, name)
        return Mutation("set", key, line, self._options, encode_key(key))


class _Handler(logging.Handler):
    """Passes each line on as JSON, with the fields of its record."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._hand_on = heard

    def emit(self, record: logging.LogRecord) -> None:
        more = {
            name: value
            for name, value in vars(record).items()
            if name not in _OF_EVERY_RECORD and isinstance(value, str | int | float | None)
        }
        self._hand_on(encode_value({"message": record.getMessage(), **more}, None))
