"""First segments of paths that the shell leaves to others, kept in plugin-keyval: one key each.

Every process has them in memory and watches the keys. A change takes effect at once in the process
that has answered it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence

from buntime_host import BadRequest, Followed

from buntime_plugin_gateway.keyval import KeyValStore

PREFIX = ("gateway", "shell", "excludes")
MOST = 1_000
_BASENAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def is_basename(text: str) -> bool:
    """Whether a text can be the first segment of a path here."""
    return _BASENAME.fullmatch(text) is not None


class StoredExcludes:
    """The excludes of the store, in memory."""

    def __init__(self, kv: KeyValStore, logger: logging.Logger) -> None:
        self._kv = kv
        self.added_at: Mapping[str, int] = {}
        """When each was added, in milliseconds since the epoch; 0 if unknown."""
        self._followed = Followed(
            kv, PREFIX, self._read, what="The excludes of the shell", logger=logger
        )

    async def start(self) -> None:
        """Read the excludes, and watch them from now on. Raises what the store does."""
        await self._followed.start()
        await self._migrate()
        await self.read()

    async def stop(self) -> None:
        """Stop watching."""
        await self._followed.stop()

    async def read(self) -> None:
        """Read the excludes that the store has now."""
        await self._followed.read()

    async def add(self, basename: str) -> bool:
        """Add one; False if it was there. Raises `BadRequest` if there are too many."""
        if basename not in self.added_at and len(self.added_at) >= MOST:
            raise BadRequest(f"There may be at most {MOST} excludes")
        key = (*PREFIX, basename)
        value = {"addedAt": int(time.time() * 1000)}
        result = await self._kv.atomic().check((key, None)).set(key, value).commit()
        await self.read()
        return bool(result.ok)

    async def remove(self, basename: str) -> bool:
        """Remove one; False if it was not there."""
        result = await self._kv.delete((*PREFIX, basename), exact=True)
        await self.read()
        return bool(result.deleted_count)

    async def _read(self) -> None:
        found: dict[str, int] = {}
        async for entry in self._kv.list(PREFIX):
            basename = entry.key[-1]
            is_below = len(entry.key) == len(PREFIX) + 1 and isinstance(basename, str)
            if is_below and is_basename(basename) and len(found) < MOST:
                found[basename] = _time_of(entry.value)
        self.added_at = found

    async def _migrate(self) -> None:
        """Give each of an older version, which kept one list, a key of its own."""
        entry = await self._kv.get(PREFIX)
        if not isinstance(entry.value, Sequence) or isinstance(entry.value, str):
            return
        commit = self._kv.atomic().check(entry).delete(PREFIX)
        for basename in {it for it in entry.value[:MOST] if isinstance(it, str)}:
            if is_basename(basename):
                commit = commit.set((*PREFIX, basename), {"addedAt": 0})
        await commit.commit()  # a failed check means that another process has just done the same


def _time_of(value: object) -> int:
    moment = value.get("addedAt") if isinstance(value, Mapping) else None
    return moment if type(moment) is int else 0
