"""Keys in the default database, which several hosts may share.

The database belongs to a plugin. This module only relies on its running SQL with `?` for arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from buntime_host.access.keys import ApiKey
from buntime_host.access.store import KeptKey, KeysUnavailable, decoded, encoded

PLUGIN = "@buntime/plugin-database"
"""The name of a service that has databases, whichever plugin provides it."""

TABLE = "buntime_access_keys"
"""SQL from outside may not touch tables that begin with `buntime_access_`."""


logger = logging.getLogger("App")

_SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS {TABLE}"
    " (id TEXT PRIMARY KEY, record TEXT NOT NULL, used_at BIGINT)"
)


class KeyDatabase(Protocol):
    """The part of a database that the store needs."""

    @property
    def type(self) -> str: ...

    async def execute(self, sql: str, args: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one statement, committed when this returns, and return its rows."""

    def data_version(self) -> int | None:
        """A number that differs once anybody has committed; None where that is not known."""


class NoteOfKeys:
    """A file that records that the database has keys.

    Without the database a host would know of none, and would be open.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys-are-in-the-database"
        self._is_made = False

    def is_there(self) -> bool:
        """Whether a host with this folder has ever seen keys in the database."""
        return self._path.exists()

    def make(self) -> None:
        """Record that there are keys. Raises `OSError`."""
        if not self._is_made:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._is_made = True


class DatabaseKeys:
    """A `KeyStore` in a table, which it creates if needed."""

    def __init__(self, database: KeyDatabase, note: NoteOfKeys) -> None:
        self._database = database
        self._note = note
        self._seen_version: int | None = None
        self._texts: dict[str, tuple[str, KeptKey]] = {}
        """The last state that was read, so that only changes are decoded."""
        self._is_new = True
        self._has_table = False

    @property
    def where(self) -> str:
        """The database and the table."""
        return f"{self._database.type}, table {TABLE}"

    async def changed(self) -> Mapping[str, KeptKey] | None:
        # Asked before the read: a commit meanwhile then causes another read.
        try:
            version = self._database.data_version()
        except Exception as error:
            raise _unavailable(error) from error
        if version is not None and version == self._seen_version and not self._is_new:
            return None
        rows = await self._run(f"SELECT id, record, used_at FROM {TABLE}")  # noqa: S608 - no input
        texts: dict[str, tuple[str, KeptKey]] = {}
        for row in rows:
            key_id, text, used_at = row["id"], row["record"], row["used_at"]
            known = self._texts.get(key_id)
            key = known[1].key if known is not None and known[0] == text else decoded(text)
            texts[key_id] = (text, KeptKey(key, used_at))
        same = texts == self._texts
        self._seen_version, self._texts = version, texts
        if same and not self._is_new:
            return None
        self._is_new = False
        if texts:
            self._make_note()
        return {key_id: stored for key_id, (_, stored) in texts.items()}

    async def add(self, key: ApiKey) -> bool:
        rows = await self._run(
            f"INSERT INTO {TABLE} (id, record) VALUES (?, ?)"  # noqa: S608 - no input
            " ON CONFLICT (id) DO NOTHING RETURNING id",
            [key.id, encoded(key)],
        )
        return bool(rows)

    async def replace(self, old: ApiKey, new: ApiKey) -> bool:
        rows = await self._run(
            f"UPDATE {TABLE} SET record = ? WHERE id = ? AND record = ? RETURNING id",  # noqa: S608 - no input
            [encoded(new), old.id, encoded(old)],
        )
        return bool(rows)

    async def check(self) -> None:
        # A read-only database refuses this, although there is nothing to write.
        await self._run(f"UPDATE {TABLE} SET used_at = NULL WHERE 1 = 0")  # noqa: S608 - no input

    async def used(self, times: Mapping[str, int]) -> None:
        for key_id, time in times.items():
            await self._run(
                f"UPDATE {TABLE} SET used_at = ? WHERE id = ? AND COALESCE(used_at, 0) < ?",  # noqa: S608 - no input
                [time, key_id, time],
            )

    def _make_note(self) -> None:
        try:
            self._note.make()
        except OSError as error:
            logger.warning("stateDir cannot be written: %s", error)

    async def _run(self, sql: str, args: Sequence[Any] = ()) -> list[dict[str, Any]]:
        try:
            if not self._has_table:
                await self._database.execute(_SCHEMA)
                self._has_table = True
            return await self._database.execute(sql, args)
        except Exception as error:  # of whatever kind an engine has
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> KeysUnavailable:
    return KeysUnavailable(f"the database does not give the keys: {error}")
