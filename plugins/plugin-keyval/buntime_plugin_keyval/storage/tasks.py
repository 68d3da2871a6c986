"""Tasks as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from buntime_database import Value

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.tasks import FINISHED, STATUSES


class StoredTask(NamedTuple):
    """A task, with the columns of `TaskSql`."""

    seq: int
    id: str
    name: str
    status: str
    payload: str
    """Canonical JSON, like result and progress."""
    attempts: int
    max_retries: int
    backoff: str | None
    timeout_ms: int
    priority: int
    unique: str | None
    sequence: str | None
    parent: str | None
    earlier: str | None
    """JSON array of ids."""
    keep_ms: int
    ready_at: int
    """In the store's time, like `visible_at`; all other times are wall-clock times."""
    created_at: int
    started_at: int | None
    completed_at: int | None
    last_error: str | None
    result: str | None
    progress: str | None
    runner: str | None
    """The last runner."""
    last_lease: str | None
    """The lease under which it was or is run."""
    lease_ms: int | None
    lease: str | None
    """The current lease of its message; None once the task is over."""
    visible_at: int | None
    """When its lease ends, or when it can be leased."""

    @property
    def pauses_ms(self) -> tuple[int, ...] | None:
        """Its own pauses after failed attempts."""
        return None if self.backoff is None else tuple(msgspec.json.decode(self.backoff))

    @property
    def is_over(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in FINISHED


class TakenTask(NamedTuple):
    """A task that was leased to a runner."""

    id: str
    payload: str
    attempts: int
    """The number of attempts, this one included."""
    max_retries: int
    timeout_ms: int


class WantedTasks(NamedTuple):
    status: str | None = None
    name: str | None = None
    parent: str | None = None
    before: int | None = None
    """The number of the task before which they are; None for the newest ones."""
    limit: int = 100
    offset: int = 0


_ALL = 2**62


async def read_task(db: Database, task_id: str, now_ms: int) -> StoredTask | None:
    return _first(
        await db.adapter.query(db.sql.tasks.get, (now_ms, task_id), point=True, fresh=True)
    )


async def read_unique(db: Database, name: str, text: str, now_ms: int) -> StoredTask | None:
    """The unfinished task with this name and unique text, or None."""
    args = (now_ms, name, text)
    return _first(await db.adapter.query(db.sql.tasks.by_text, args, point=True, fresh=True))


async def read_several(db: Database, ids: Sequence[str], now_ms: int) -> list[StoredTask]:
    """Tasks by their ids, in any order."""
    args = (now_ms, msgspec.json.encode(ids).decode())
    return [_task(row) for row in await db.adapter.query(db.sql.tasks.get_many, args, fresh=True)]


async def list_tasks(db: Database, wanted: WantedTasks, now_ms: int) -> list[StoredTask]:
    """Tasks, the newest first."""
    asked = STATUSES if wanted.status is None else (wanted.status,)
    args = (
        *(now_ms, wanted.name, wanted.parent, msgspec.json.encode(asked).decode()),
        *(_ALL if wanted.before is None else wanted.before, wanted.limit, wanted.offset),
    )
    return [_task(row) for row in await db.adapter.query(db.sql.tasks.listed, args, fresh=True)]


def _first(rows: Sequence[Sequence[Value]]) -> StoredTask | None:
    return _task(rows[0]) if rows else None


def _task(row: Sequence[Value]) -> StoredTask:
    return StoredTask(*row)  # type: ignore[arg-type] # as the schema says
