# Made by scripts/unasync from _async/consumers.py: change that one.
"""Consumers of the stream: `kv.consumers` to administer them, `kv.consumer` to process records."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from buntime_keyval._calls import consumers as calls
from buntime_keyval._calls.consumers import CommitMode
from buntime_keyval._calls.stream import stream_wait_ms
from buntime_keyval._errors import ConsumerLocked, StaleConsumer
from buntime_keyval._held import aside
from buntime_keyval._messages import checked_concurrency
from buntime_keyval._reports import logger
from buntime_keyval._results import (
    ConsumerBatch,
    ConsumerFailure,
    ConsumerInfo,
    ConsumerLetter,
    StreamRecord,
)
from buntime_keyval._retries import seconds
from buntime_keyval._sync.concurrency import (
    JOIN_SECONDS,
    WAIT_SECONDS,
    SideBySide,
    StopSignal,
    Task,
    call,
    sleep,
)
from buntime_keyval._sync.session import Session
from buntime_keyval.wire import Duration, KeyLike
from buntime_keyval.wire.failures import error_text
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Infos = list[ConsumerInfo]
Letters = list[ConsumerLetter]
Records = list[StreamRecord]
RecordHandler = Callable[[StreamRecord], Any]
"""Processes one record, a function or a coroutine function."""

_RENEWALS = 3
"""How often a lock is prolonged during its lifetime."""

MAX_ATTEMPTS = 5
_LONGEST_PAUSE = 30.0
"""Seconds between two attempts at a record, which are longer from one to the next."""


class Consuming(Protocol):
    """The methods of `Consumers` that a consumer needs."""

    def fetch(
        self,
        name: str,
        owner: str,
        *,
        limit: int = DEFAULT_LIMIT,
        lock_duration: Duration = "30s",
        prefix: KeyLike = (),
        type: str | None = None,
        after: int = 0,
        wait: Duration | None = None,
    ) -> ConsumerBatch: ...

    def commit(self, name: str, token: str, up_to: int) -> int: ...

    def nack(
        self,
        name: str,
        token: str,
        seq: int,
        *,
        error: str | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> ConsumerFailure: ...

    def release(self, name: str, owner: str, *, token: str | None = None) -> bool: ...


class Consumers:
    """Named positions in the stream, each held by one owner at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def fetch(
        self,
        name: str,
        owner: str,
        *,
        limit: int = DEFAULT_LIMIT,
        lock_duration: Duration = "30s",
        prefix: KeyLike = (),
        type: str | None = None,
        after: int = 0,
        wait: Duration | None = None,
    ) -> ConsumerBatch:
        """Take the consumer for `lock_duration`, with the first records that it has not done.

        These are at most 1000, and the same ones again until they are committed.

        Waits up to a minute for the first record, and for another owner to leave. With `after` only
        records behind that one are returned. Raises `ConsumerLocked`, and `StreamTrimmed` if
        records behind the position were removed.
        """
        wanted = calls.order(name, owner, limit, lock_duration, prefix, type, after)
        ends = time.monotonic() + stream_wait_ms(wait) / 1000
        longest = self._session.longest_wait
        while True:
            left = max(0.0, ends - time.monotonic())
            call = calls.fetch(wanted, round(min(left, longest) * 1000))
            try:
                batch = self._session.send(call)
            except ConsumerLocked:
                if time.monotonic() >= ends:
                    raise
                continue
            if batch.records or time.monotonic() >= ends:
                return batch

    def commit(self, name: str, token: str, up_to: int) -> int:
        """Commit all records up to `up_to` as done; return the position, which never goes back.

        Raises `StaleConsumer` if the consumer is no longer held under this token.
        """
        return self._session.send(calls.commit(name, token, up_to))

    def nack(
        self,
        name: str,
        token: str,
        seq: int,
        *,
        error: str | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> ConsumerFailure:
        """Report that a record could not be processed, and commit all before it as done.

        It is given out again, and after `max_attempts` kept as a dead letter. Raises
        `StaleConsumer`.
        """
        return self._session.send(calls.nack(name, token, seq, error, max_attempts))

    def release(self, name: str, owner: str, *, token: str | None = None) -> bool:
        """Let another owner go on at once.

        Returns whether this one held the consumer, under the token if one is given.
        """
        return self._session.send(calls.release(name, owner, token))

    def get(self, name: str) -> ConsumerInfo | None:
        """The position of a consumer; None if there is no consumer of that name."""
        return self._session.send(calls.get(name))

    def list(self, prefix: str = "", *, limit: int = DEFAULT_LIMIT) -> Infos:
        """The consumers whose names begin with `prefix`, at most 1000."""
        return self._session.send(calls.list_consumers(prefix, limit))

    def peek(
        self,
        name: str,
        *,
        limit: int = DEFAULT_LIMIT,
        prefix: KeyLike = (),
        type: str | None = None,
        after: int = 0,
    ) -> Records:
        """The records that come next, without taking the consumer."""
        return self._session.send(calls.peek(name, limit, prefix, type, after))

    def set_position(self, name: str, seq: int) -> ConsumerInfo:
        """Let a consumer go on behind a record, a new one too; its holder has to fetch again.

        Raises `StreamTrimmed`, and `PositionAhead` where no record has that position yet.
        """
        return self._session.send(calls.set_position(name, seq))

    def delete(self, name: str) -> bool:
        """Delete a consumer and its dead letters; returns whether there was one."""
        return self._session.send(calls.delete(name))

    def dead_letters(self, name: str, *, after: int = 0, limit: int = DEFAULT_LIMIT) -> Letters:
        """The records behind a position that a consumer could not process, at most 1000."""
        return self._session.send(calls.letters(name, after, limit))

    def requeue(self, name: str, seq: int | None = None) -> int:
        """Deliver one dead letter again, or all of them; returns how many."""
        return self._session.send(calls.requeue(name, seq))

    def delete_dead_letters(self, name: str, seq: int | None = None) -> int:
        """Delete one dead letter, or all of them; returns how many."""
        return self._session.send(calls.delete_letters(name, seq))


class Consumer:
    """Works through the stream under a name: `for record in kv.consumer("mailer").records()`.

    Of all instances with the same name one is at work, and the others stand by. It continues where
    the last one stopped: records that were not committed come again.
    """

    def __init__(
        self,
        consumers: Consuming,
        name: str,
        *,
        prefix: KeyLike = (),
        type: str | None = None,
        owner: str | None = None,
        lock_duration: Duration = "30s",
        batch: int = DEFAULT_LIMIT,
        max_attempts: int = MAX_ATTEMPTS,
        retry: Duration = "1s",
    ) -> None:
        owner = uuid.uuid4().hex if owner is None else owner
        order = calls.order(name, owner, batch, lock_duration, prefix, type)
        self._consumers = consumers
        self.name = order.name
        self.owner = order.owner
        """Which instance this is: another name for each, unless one is given."""
        self._choice: dict[str, Any] = {
            "prefix": prefix,
            "type": type,
            "lock_duration": lock_duration,
        }
        self._limit = order.limit
        self._lock_s = seconds(lock_duration)
        self._max_attempts = calls.checked_attempts(max_attempts)
        self._retry_s = seconds(retry)
        self._token = ""
        self._asked = 0.0
        self._stop = StopSignal()

    @property
    def token(self) -> str:
        """Under which it holds the consumer: for `kv.atomic().commit_consumer(consumer.name,
        consumer.token, record.seq)`. Empty before the first record."""
        return self._token

    def records(self, *, commit: CommitMode = "batch") -> Iterator[StreamRecord]:
        """Iterate over the records, and then over each new one as it comes, until `stop`.

        Asking for the next record marks the previous one as done: with "each" it is committed then,
        with "batch" those of a batch together, and with "none" not at all, which leaves that to
        `commit`, or to an atomic commit. An exception, or the end of the loop, commits nothing.
        Raises `StreamTrimmed`.
        """
        mode = calls.checked_mode(commit)
        keeping = Task(self._keep, name="kv-consumer")
        after = 0
        try:
            while self._goes_on():
                batch = self._fetch(after)
                if batch is None:
                    after = 0  # another instance was at work, or has set the position
                    continue
                for record in batch.records:
                    yield record
                    if mode == "each" and not self._commit(record.seq):
                        break
                    if not self._goes_on():
                        break
                else:
                    if mode == "batch" and batch.records:
                        self._commit(batch.records[-1].seq)
                    elif mode == "none" and batch.records:
                        after = max(after, batch.records[-1].seq)
        finally:
            self._leave(keeping)

    def run(self, handler: RecordHandler, *, concurrency: int = 1) -> None:
        """Have a handler process the records, until `stop`.

        Up to `concurrency` at a time, but those of one key one after the other, and with a
        `concurrency` of 1 all of them. A record whose handler raises comes again, after a pause,
        and becomes a dead letter after `max_attempts`. Raises `StreamTrimmed`.
        """
        most = checked_concurrency(concurrency)
        keeping = Task(self._keep, name="kv-consumer")
        done: set[int] = set()
        try:
            while self._goes_on():
                batch = self._fetch()
                if batch is None:
                    done.clear()
                    continue
                done = {seq for seq in done if seq > batch.position}
                todo = [it for it in batch.records if it.seq not in done]
                failed = _process(todo, handler, most, done, self._goes_on)
                self._conclude(batch.records, done, failed)
        finally:
            self._leave(keeping)

    def commit(self, up_to: int) -> int:
        """Commit all records up to `up_to` as done; return the position.

        Raises `StaleConsumer`.
        """
        return self._consumers.commit(self.name, self._token, up_to)

    def stop(self) -> None:
        """Let `records` and `run` end after their present record; their waits end at once (those of
        a thread within four seconds). Idempotent.
        """
        self._stop.ask()

    def _goes_on(self) -> bool:
        return not self._stop.is_asked

    def _fetch(self, after: int = 0) -> ConsumerBatch | None:
        """The next records, perhaps none; None if other instances were at work since the last ones,
        or it has to stop.
        """
        fetching = partial(
            self._consumers.fetch,
            self.name,
            self.owner,
            limit=self._limit,
            after=after,
            wait=round(WAIT_SECONDS * 1000),
            **self._choice,
        )
        try:
            batch = self._stop.wait(fetching)
        except ConsumerLocked:
            return None  # it stands by
        if batch is None:
            return None
        self._asked = time.monotonic()
        before, self._token = self._token, batch.token
        return None if before and before != batch.token else batch

    def _commit(self, up_to: int) -> bool:
        """Whether it was still this instance's to commit; the records come again if not."""
        try:
            self.commit(up_to)
        except StaleConsumer as error:
            logger.warning("The consumer %s goes on from where it was: %s", self.name, error)
            return False
        return True

    def _conclude(self, records: Records, done: set[int], failed: dict[int, Exception]) -> None:
        """Commit the records up to the first one that failed, and report why that one failed."""
        up_to = 0
        for record in records:
            if record.seq not in done:
                break
            up_to = record.seq
        if up_to and not self._commit(up_to):
            return
        if not failed:
            return
        first = min(failed)
        if any(it.seq < first and it.seq not in done for it in records):
            return  # it stops before it has come there
        try:
            failure = self._consumers.nack(
                self.name,
                self._token,
                first,
                error=error_text(failed[first]),
                max_attempts=self._max_attempts,
            )
        except StaleConsumer as error:
            logger.warning("The consumer %s goes on from where it was: %s", self.name, error)
            return
        if not failure.dead and self._goes_on():
            pause = min(self._retry_s * 2 ** (failure.attempts - 1), _LONGEST_PAUSE)
            self._stop.sleep(pause)

    def _keep(self) -> None:
        """Prolong the lock while records are at work."""
        pause = self._lock_s / _RENEWALS
        while True:
            sleep(pause)
            if not self._token or time.monotonic() - self._asked < pause:
                continue
            try:
                with aside():
                    self._consumers.fetch(self.name, self.owner, limit=1, **self._choice)
            except Exception as error:  # noqa: BLE001 - tried again; a commit finds out what it means
                logger.warning("The consumer %s could not be kept: %s", self.name, error)

    def _leave(self, keeping: Task) -> None:
        """Let other instances go on, if possible."""
        keeping.cancel()
        keeping.join(JOIN_SECONDS)
        token, self._token = self._token, ""
        if not (token or self._stop.is_asked):  # who stops may be given it in that moment
            return
        try:
            with aside():
                self._consumers.release(self.name, self.owner, token=token or None)
        except Exception as error:  # noqa: BLE001 - what is raised is worth more, and it ends by itself
            logger.warning("The consumer %s could not be released: %s", self.name, error)


def _process(
    records: Records,
    handler: RecordHandler,
    concurrency: int,
    done: set[int],
    goes_on: Callable[[], bool],
) -> dict[int, Exception]:
    """Process records, those of one key in order; return the exceptions, by position."""
    lanes: dict[object, Records] = {}
    for record in records:
        lanes.setdefault(None if concurrency == 1 else record.key, []).append(record)
    left = deque(lanes.values())
    failed: dict[int, Exception] = {}

    def work() -> None:
        while left and goes_on():
            try:
                lane = left.popleft()
            except IndexError:  # another thread took it
                return
            for record in lane:
                if not goes_on():
                    return
                try:
                    call(handler, record)
                except Exception as error:  # noqa: BLE001 - it is said, and comes again
                    logger.warning("The handler of record %d failed", record.seq, exc_info=error)
                    failed[record.seq] = error
                    break
                done.add(record.seq)

    if concurrency == 1 or len(lanes) < 2:
        work()
        return failed
    workers = SideBySide(concurrency, name="kv-consumer-handler")
    try:
        for _ in range(min(concurrency, len(lanes))):
            workers.start(work)
        workers.wait()
    finally:
        workers.stop(0)
    return failed
