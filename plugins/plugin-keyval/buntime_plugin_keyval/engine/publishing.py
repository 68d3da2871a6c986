"""Publishes commits: first to the followers of the changes, then to the caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from buntime_database import DatabaseError, ResultSet

from buntime_plugin_keyval.engine.decisions import Settled
from buntime_plugin_keyval.engine.jobs import WriteJob
from buntime_plugin_keyval.model.changes import Change, Subscriber
from buntime_plugin_keyval.storage.changelog import read_appended
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.effects import EntryEffect, Put


class Publisher:
    """The subscribers of one store."""

    def __init__(self, db: Database, logger: logging.Logger) -> None:
        self._db = db
        self._logger = logger
        self.subscribers: list[Subscriber] = []
        self._settling: set[asyncio.Task[None]] = set()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with the changes of every commit; returns what ends that."""
        self.subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self.subscribers:
                self.subscribers.remove(subscriber)

        return unsubscribe

    async def close(self) -> None:
        """Wait until the subscribers have processed their changes."""
        while self._settling:
            await asyncio.wait(self._settling)

    async def publish(
        self, job: WriteJob, results: list[ResultSet], settled: Settled, now_ms: int
    ) -> None:
        """Tell the subscribers, then the caller."""
        waits: list[Awaitable[None]] = []
        changes, before = await self._changes(job, results, settled, now_ms)
        if changes:
            for subscriber in tuple(self.subscribers):
                wait = subscriber(changes, before)
                if wait is not None:
                    waits.append(wait)
        if waits:
            # Not awaited here: a subscriber may write, and its write needs this very loop.
            task = asyncio.create_task(self._settle(job, results, settled, waits))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        else:
            job.conclude(results, settled)

    async def _settle(
        self,
        job: WriteJob,
        results: list[ResultSet],
        settled: Settled,
        waits: list[Awaitable[None]],
    ) -> None:
        for outcome in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(outcome, BaseException):
                self._logger.error("A subscriber failed after a commit", exc_info=outcome)
        job.conclude(results, settled)

    async def _changes(
        self, job: WriteJob, results: list[ResultSet], settled: Settled, now_ms: int
    ) -> tuple[list[Change], int | None]:
        """The changes of the commit; keys that only the database knows are read from its log.

        All of them, or none: a follower gets the whole of a commit. With them, the place that the
        commit directly follows, if that is known.
        """
        log = self._db.sql.log
        made = job.versionstamp
        stamp = settled.get(made, made)
        effects = job.decision.effects if job.decision is not None else ()
        changes: list[Change] = []
        before: int | None = None
        for effect, result in zip(effects, results, strict=True):
            appended = log.appended(result) if isinstance(effect, EntryEffect) else None
            if appended is None:
                continue
            if not changes:
                before = appended.before
            if isinstance(effect, Put):
                key = effect.key
                if effect.is_stamped and stamp != made:
                    key = key.replace(made.encode(), stamp.encode())
                changes.append(Change(appended.last, key, "set", stamp, now_ms, effect.value))
            else:
                try:
                    changes += await read_appended(self._db, appended)
                except DatabaseError:
                    # The commit stands. Followers of the log find its changes there.
                    self._logger.exception("Committed changes could not be read back")
                    return [], None
        return changes, before
