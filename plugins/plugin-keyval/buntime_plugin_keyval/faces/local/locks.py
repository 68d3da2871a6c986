"""Locks for Python callers."""

from __future__ import annotations

from typing import Any

from buntime_keyval import Duration, LockGrant, LockInfo, shared
from buntime_keyval.shared import AsyncLock, LockOrder
from buntime_keyval.wire import decode_value, parse_metadata
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.faces.local.part import NOW_TEXT, LocalPart
from buntime_plugin_keyval.features.locks.locks import Granted, LockDesk, LockState, WantedLock
from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.requests.permissions import ADMIN, LOCK, Permits


class LocalLocks:
    """Locks by name, across all processes and hosts of a store."""

    def __init__(self, locks: LockDesk, clock: Clock, permits: Permits) -> None:
        self._locks = locks
        self._clock = clock
        self._permits = permits

    async def acquire(
        self,
        name: str,
        owner: str,
        *,
        duration: Duration = "30s",
        wait: Duration | None = None,
        metadata: Any = None,
    ) -> LockGrant:
        """Take a lock for `duration`, or prolong the one of the owner, which keeps its token."""
        wanted = self._wanted(shared.lock_order(name, owner, duration, metadata))
        self._permits.need(LOCK, wanted.name)
        return _grant(await self._locks.acquire(wanted, shared.lock_wait_ms(wait)))

    async def renew(
        self, name: str, owner: str, token: str, *, duration: Duration = "30s"
    ) -> LockGrant:
        """Prolong the lock held under this token to `duration` from now. Raises `LockLost`."""
        wanted = self._wanted(shared.lock_order(name, owner, duration))
        self._permits.need(LOCK, wanted.name)
        return _grant(await self._locks.renew(wanted, shared.checked_lock_token(token)))

    async def release(self, name: str, owner: str, *, token: str | None = None) -> bool:
        """Release a lock of an owner (under this token, if given); returns whether it was held."""
        self._permits.need(LOCK, shared.lock_name(name))
        token = None if token is None else shared.checked_lock_token(token)
        return await self._locks.release(name, shared.lock_owner(owner), token)

    async def steal(
        self, name: str, owner: str, *, duration: Duration = "30s", metadata: Any = None
    ) -> LockGrant:
        """Take a lock, whether another owner has it or not; for administrators."""
        wanted = self._wanted(shared.lock_order(name, owner, duration, metadata))
        self._permits.need(ADMIN)
        return _grant(await self._locks.steal(wanted))

    async def get(self, name: str) -> LockInfo | None:
        """A lock, or None if it is not held."""
        self._permits.need(LOCK, shared.lock_name(name))
        lock = await self._locks.get(name)
        return None if lock is None else _info(lock)

    async def list(self, prefix: str = "", *, limit: int = DEFAULT_LIMIT) -> list[LockInfo]:
        """The locks that are held and whose names begin with `prefix`, at most 1000."""
        self._permits.need(LOCK, shared.checked_prefix(prefix) or None)
        size = shared.checked_page(limit)
        return [_info(lock) for lock in await self._locks.list(prefix, size)]

    def _wanted(self, order: LockOrder) -> WantedLock:
        metadata = order.metadata
        if metadata is not None and NOW_TEXT in metadata:
            metadata = parse_metadata(metadata, self._clock.wall())
        return WantedLock(order.name, order.owner, order.duration_ms, metadata)


class LocalLocking(LocalPart):
    """Locks that blocks of code hold."""

    locks: LocalLocks

    def lock(
        self,
        name: str,
        *,
        ttl: Duration = "30s",
        wait: Duration | None = None,
        owner: str | None = None,
        metadata: Any = None,
    ) -> AsyncLock:
        """A lock for a block of code, `async with kv.lock(...) as lock`, which prolongs it."""
        self._permits.need(LOCK, shared.lock_name(name))
        return AsyncLock(self.locks, name, ttl=ttl, wait=wait, owner=owner, metadata=metadata)


def _grant(lock: Granted) -> LockGrant:
    return LockGrant(lock.token, lock.expires_at)


def _info(lock: LockState) -> LockInfo:
    return LockInfo(
        lock.name,
        lock.owner,
        lock.token,
        lock.acquired_at,
        lock.expires_at,
        None if lock.metadata is None else decode_value(lock.metadata),
        lock.waiting,
    )
