"""Keys in a file of their own, where no database is loaded.

A writer takes a lock, reads the file, writes another one beside it and renames that. Readers need
no lock: they see the file before or after, never a half of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from buntime_host.access.keys import ApiKey
from buntime_host.access.store import KeptKey, KeysUnavailable

NAME = "api-keys.json"
VERSION = 1
MAX_BYTES = 16 * 1024**2
_PRIVATE = 0o600


class _KeyInFile(ApiKey, kw_only=True, frozen=True, rename="camel", omit_defaults=True):
    last_used_at: int | None = None


class _File(msgspec.Struct):
    keys: list[_KeyInFile]
    version: int = VERSION


_DECODER = msgspec.json.Decoder(_File)
_FIELDS = ApiKey.__struct_fields__


class FileKeys:
    """The `KeyStore` in `<folder>/api-keys.json`, which only its owner may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._seen: object = None

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    async def changed(self) -> Mapping[str, KeptKey] | None:
        state = self._state()
        if state == self._seen:
            return None
        found = await asyncio.to_thread(self._read)
        self._seen = state
        return found

    async def add(self, key: ApiKey) -> bool:
        def change(keys: dict[str, KeptKey]) -> bool:
            if key.id in keys:
                return False
            keys[key.id] = KeptKey(key, None)
            return True

        return await asyncio.to_thread(self._change, change)

    async def replace(self, old: ApiKey, new: ApiKey) -> bool:
        def change(keys: dict[str, KeptKey]) -> bool:
            stored = keys.get(old.id)
            if stored is None or stored.key != old:
                return False
            keys[old.id] = stored._replace(key=new)
            return True

        return await asyncio.to_thread(self._change, change)

    async def check(self) -> None:
        await asyncio.to_thread(self._change, lambda _: False)

    async def used(self, times: Mapping[str, int]) -> None:
        def change(keys: dict[str, KeptKey]) -> bool:
            for key_id, time in times.items():
                if key_id in keys:
                    last = max(time, keys[key_id].last_used_at or 0)
                    keys[key_id] = keys[key_id]._replace(last_used_at=last)
            return True

        await asyncio.to_thread(self._change, change)

    def _state(self) -> object:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unavailable(error) from None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> dict[str, KeptKey]:
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise KeysUnavailable(f"{self._path} has more than {MAX_BYTES} bytes")
            content = _DECODER.decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unavailable(error) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise KeysUnavailable(f"{self._path} is not as it was written: {error}") from None
        if content.version != VERSION:
            raise KeysUnavailable(f"{self._path} has version {content.version}, not {VERSION}")
        return {key.id: KeptKey(ApiKey(**_members(key)), key.last_used_at) for key in content.keys}

    def _change(self, change: Callable[[dict[str, KeptKey]], bool]) -> bool:
        try:
            with self._locked():
                keys = self._read()
                if not change(keys):
                    return False
                self._write(keys)
        except OSError as error:
            raise self._unavailable(error) from None
        return True

    def _write(self, keys: Mapping[str, KeptKey]) -> None:
        rows = [
            _KeyInFile(**_members(key), last_used_at=last_used_at)
            for key, last_used_at in keys.values()
        ]
        text = msgspec.json.format(msgspec.json.encode(_File(rows)), indent=2)
        beside = self._path.with_name(f"{NAME}.{os.getpid()}.new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _PRIVATE)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Create the folder if needed, and be its only writer."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f"{NAME}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # which unlocks

    def _unavailable(self, error: OSError) -> KeysUnavailable:
        return KeysUnavailable(f"{self._path}: {error.strerror}")


def _members(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _FIELDS}


def _lock(descriptor: int) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
