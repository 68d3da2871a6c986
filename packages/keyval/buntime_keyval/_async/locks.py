"""Locks: `kv.locks`, and the blocks that hold one: `kv.lock`."""

from __future__ import annotations

import time
import uuid
from typing import Any, Protocol

from buntime_keyval._async.concurrency import JOIN_SECONDS, Task, sleep
from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import locks as calls
from buntime_keyval._errors import KvError, LockHeld, LockLost, StatusError
from buntime_keyval._held import aside, enter, leave, lost
from buntime_keyval._reports import logger
from buntime_keyval._results import LockGrant, LockInfo
from buntime_keyval._retries import seconds
from buntime_keyval.wire import Duration, InvalidInput
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Infos = list[LockInfo]

_RENEWALS = 3
"""How often a lock is prolonged during its lifetime."""

_LAST_WORD_SECONDS = 1.0
"""Seconds that giving up waits for its confirmation: later, the lock ends by itself."""


class AsyncLocking(Protocol):
    """The methods of `AsyncLocks` that a lock needs."""

    async def acquire(
        self,
        name: str,
        owner: str,
        *,
        duration: Duration = "30s",
        wait: Duration | None = None,
        metadata: Any = None,
    ) -> LockGrant: ...

    async def renew(
        self, name: str, owner: str, token: str, *, duration: Duration = "30s"
    ) -> LockGrant: ...

    async def release(self, name: str, owner: str, *, token: str | None = None) -> bool: ...


class AsyncLocks:
    """Locks by name, over all processes and hosts of a store."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def acquire(
        self,
        name: str,
        owner: str,
        *,
        duration: Duration = "30s",
        wait: Duration | None = None,
        metadata: Any = None,
    ) -> LockGrant:
        """Take a lock for `duration`, or prolong the one that the owner has, with its token.

        With `wait`, up to ten minutes, waits in line behind earlier callers. Raises `LockHeld`.
        """
        wanted = calls.order(name, owner, duration, metadata)
        ends = time.monotonic() + calls.wait_ms(wait) / 1000
        longest = self._session.longest_wait
        has_place = False
        try:
            while True:
                left = max(0.0, ends - time.monotonic())
                now = min(left, longest)
                call = calls.acquire(wanted, round(now * 1000), keep_place=left > now)
                try:
                    return await self._session.send(call)
                except LockHeld:
                    has_place = left > now
                    if time.monotonic() >= ends:
                        raise
        except BaseException:
            if has_place:  # or the lock by now, which the owner did not have before
                await _withdraw(self, wanted.name, wanted.owner)
            raise

    async def renew(
        self, name: str, owner: str, token: str, *, duration: Duration = "30s"
    ) -> LockGrant:
        """Prolong a lock that is held under this token, from now on. Raises `LockLost`."""
        return await self._session.send(calls.renew(calls.order(name, owner, duration), token))

    async def release(self, name: str, owner: str, *, token: str | None = None) -> bool:
        """Release a lock of an owner (under this token, if given); returns whether it was held.

        Without a token the owner's place in the line is given up, too.
        """
        return await self._session.send(calls.release(name, owner, token))

    async def steal(
        self, name: str, owner: str, *, duration: Duration = "30s", metadata: Any = None
    ) -> LockGrant:
        """Take a lock away from its owner, without asking; for administrators."""
        return await self._session.send(calls.steal(calls.order(name, owner, duration, metadata)))

    async def get(self, name: str) -> LockInfo | None:
        """Return a lock, or None if it is free."""
        return await self._session.send(calls.get(name))

    async def list(self, prefix: str = "", *, limit: int = DEFAULT_LIMIT) -> Infos:
        """The held locks whose names begin with `prefix`, at most 1000."""
        return await self._session.send(calls.list_locks(prefix, limit))


class AsyncLock:
    """A lock that a block of code holds: `async with kv.lock("report") as lock: ...`

    It is prolonged in the background. When that fails for as long as it lasts, or another owner has
    it, the lock is lost: calls of a store within the block raise `LockLost`. Writes by other means
    check the lock themselves: `kv.atomic().check_lock(lock.name, lock.token)` writes nothing unless
    it is held at that moment.
    """

    def __init__(
        self,
        locks: AsyncLocking,
        name: str,
        *,
        ttl: Duration = "30s",
        wait: Duration | None = None,
        owner: str | None = None,
        metadata: Any = None,
    ) -> None:
        self._locks = locks
        self.name = calls.lock_name(name)
        self._is_known_to_nobody = owner is None
        self.owner = uuid.uuid4().hex if owner is None else calls.lock_owner(owner)
        """The owner: another name for each lock object, unless one is given."""
        self._ttl = ttl
        self._ttl_s = seconds(ttl)
        if not self._ttl_s:
            raise InvalidInput("ttl must be more than 0")
        self._wait = wait
        self._metadata = metadata
        self._token: str | None = None
        self._ends = 0.0
        self._is_lost = False
        self._renewing: Task | None = None

    @property
    def token(self) -> str:
        """Names this holding: it grows from one holder to the next. Raises `LockLost` without."""
        if self._token is None:
            raise lost(self.name)
        return self._token

    @property
    def lost(self) -> bool:
        """Whether another owner may have it by now."""
        return self._is_lost or time.monotonic() >= self._ends

    async def acquire(self) -> None:
        """Take the lock. Raises `LockHeld`.

        A caller that is cancelled meanwhile does not have it, and has left the line.
        """
        asked = time.monotonic()
        granted: LockGrant | None = None
        try:
            granted = await self._locks.acquire(
                self.name, self.owner, duration=self._ttl, wait=self._wait, metadata=self._metadata
            )
            if self._wait is not None:
                # It may have been given at any time since: the rest of its life is known once it is
                # prolonged.
                asked = time.monotonic()
                granted = await self._locks.renew(
                    self.name, self.owner, granted.token, duration=self._ttl
                )
        except (StatusError, InvalidInput):
            raise  # it was refused
        except BaseException:
            if granted is not None:
                await _withdraw(self._locks, self.name, self.owner, granted.token)
            elif self._is_known_to_nobody:  # so whatever the owner has was asked for here
                await _withdraw(self._locks, self.name, self.owner)
            raise
        self._token, self._ends, self._is_lost = granted.token, asked + self._ttl_s, False
        self._renewing = Task(self._renew, granted.token, name="kv-lock")

    async def release(self) -> bool:
        """Release the lock; returns whether it was still held. Idempotent."""
        renewing, self._renewing = self._renewing, None
        token, self._token = self._token, None
        if renewing is None or token is None:
            return False
        renewing.cancel()
        await renewing.join(JOIN_SECONDS)
        with aside():
            return await self._locks.release(self.name, self.owner, token=token)

    async def __aenter__(self) -> AsyncLock:
        await self.acquire()
        enter(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        leave(self)
        was_lost = self.lost
        try:
            await self.release()
        except KvError as error:
            # It ends by itself; the exception of the block is worth more.
            logger.warning("The lock %s could not be released: %s", self.name, error)
        if was_lost and kind is None:
            raise lost(self.name)

    async def _renew(self, token: str) -> None:
        while not self.lost:
            await sleep(self._ttl_s / _RENEWALS)
            asked = time.monotonic()
            try:
                with aside():
                    await self._locks.renew(self.name, self.owner, token, duration=self._ttl)
            except LockLost:
                self._is_lost = True
            except Exception as error:  # noqa: BLE001 - tried again, until the lock has ended
                logger.warning("The lock %s could not be prolonged: %s", self.name, error)
            else:
                self._ends = asked + self._ttl_s
        self._is_lost = True


async def _withdraw(locks: AsyncLocking, name: str, owner: str, token: str | None = None) -> None:
    """Give up a lock, or the place in its line, before an exception is raised; if possible."""

    async def release() -> None:
        try:
            with aside():
                await locks.release(name, owner, token=token)
        except Exception as error:  # noqa: BLE001 - what is raised is worth more, and it ends by itself
            logger.warning("The lock %s could not be given up: %s", name, error)

    await Task(release, name="kv-lock-withdrawal").join(_LAST_WORD_SECONDS)
