"""Background work: the same step again and again, each after a pause that the previous one asked
for.

The loops of this plugin differ only in their steps. The committer is not among them: it drains its
queue without a pause, and each of its failures goes to a waiting caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial

from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.rest import Rest

RETRY_SECONDS = 1.0
"""Pause after the database failed."""

BEAT_SECONDS = 0.5
"""Heartbeats come at multiples of this: by default also moments of looks for foreign commits."""

EARLY_SECONDS = 0.002
"""A timer may come so much before its moment, which it must not be set for again."""

_BEATS = 10
"""Shorter pauses end exactly when they should."""

Step = Callable[[], Awaitable[float | None]]
"""Does what there is to do; the seconds until there is more, None for not before `Loop.wake`."""

Sleep = Callable[[asyncio.Event, float | None], Awaitable[None]]
"""Waits until an event is set or so many seconds have passed; without a number until it is set."""


async def until_set(event: asyncio.Event, seconds: float | None) -> None:
    """The pause of a clock on the wall."""
    # Not `wait_for`: in Python 3.11 it swallows a cancellation that meets the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def nothing_is_still() -> bool:
    """Longest pause of steps that have something to do each time."""
    return False


async def until_woken(
    event: asyncio.Event,
    seconds: float | None,
    is_still: Callable[[], bool],
    rest: Rest | None = None,
) -> None:
    """Wait until an event is set, which is done here when the time is over.

    Unless everything is still: then the time begins again. So a store that is watched does next to
    nothing while nothing happens: no task is woken, and none cancelled to wake it. With `rest` the
    times are longer then.
    """
    if seconds is None:
        await event.wait()
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def begin(pause: float) -> None:
        nonlocal timer
        timer = loop.call_later(until_moment(loop.time(), pause), over)

    def disturbed() -> None:
        timer.cancel()
        begin(seconds)

    def over() -> None:
        try:
            still = is_still()
        except DatabaseError:  # as the step will find
            still = False
        if still:
            begin(seconds if rest is None else rest.pause(seconds))
        else:
            event.set()

    timer = loop.call_later(seconds, over)
    if rest is not None:
        rest.disturbed = disturbed
    try:
        await event.wait()
    finally:
        timer.cancel()
        if rest is not None:
            rest.disturbed = None


def until_moment(now: float, seconds: float) -> float:
    """Time until the next of the moments that all loops with this pause share.

    They are woken together then, and an idle process a third as often as if each had its own.
    """
    return (int((now + EARLY_SECONDS) / seconds) + 1) * seconds - now


def until_beat(seconds: float) -> float:
    """At most that long: until a moment at which others are woken, too, if that is shortly before.

    For heartbeats: of a thousand streams several then have theirs in one turn of the event loop,
    where each would wake an idle process by itself.
    """
    if seconds < _BEATS * BEAT_SECONDS:
        return seconds
    ends = asyncio.get_running_loop().time() + seconds
    return seconds - ends % BEAT_SECONDS


class Loop:
    """A background task between `start` and `stop`, after which it may be started again."""

    def __init__(
        self,
        step: Step,
        name: str,
        *,
        logger: logging.Logger,
        complaint: str,
        retry_s: float | None = None,
        finishes_step: bool = False,
        is_still: Callable[[], bool] = nothing_is_still,
        rest: Rest | None = None,
        pause: Sleep | None = None,
    ) -> None:
        """`complaint` has one `%s`, for what the database raised.

        A step that fails so is repeated after `retry_s`, or `RETRY_SECONDS` for None, even if the
        loop is woken earlier. Any other exception ends the loop. When the loop is stopped, a
        running step is cancelled, or with `finishes_step` completed. `is_still` says, without
        waiting, whether a step that is due would find nothing; with `rest`, steps are due less
        often while nothing is written.
        """
        self._step = step
        self._name = name
        self._logger = logger
        self._complaint = complaint
        self._retry_s = retry_s
        self._finishes_step = finishes_step
        self._pause_until_woken = pause or partial(until_woken, is_still=is_still, rest=rest)
        self._pause_until_stopped = pause or until_set
        self._said = ""
        """The database's error that was logged last; none after a step that worked."""
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take the first step soon. Nothing happens if the loop runs, or has ended by itself."""
        if self._task is None or self._stopping.is_set():
            # One pair for each life: the previous one may still be in its last step.
            self._woken, self._stopping = asyncio.Event(), asyncio.Event()
            # It outlives the request that starts it, and that request's demands on reads.
            self._task = asyncio.create_task(
                self._run(self._woken, self._stopping), name=self._name, context=Context()
            )

    def wake(self) -> None:
        """Take another step, which begins after this call."""
        self._woken.set()

    def stop_soon(self) -> None:
        """As `stop`, for callers that cannot wait."""
        self._stopping.set()
        self._woken.set()
        if self._task is not None and not self._finishes_step:
            self._task.cancel()

    async def stop(self) -> None:
        """Take no further step, and wait for the end of the one under way. Idempotent."""
        self.stop_soon()
        if self._task is not None:
            # Not awaited itself: its cancellation could not be told from that of the caller.
            await asyncio.wait({self._task})

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._task is not None and not self._stopping.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether it has ended without being stopped."""
        return self._task is not None and self._task.done() and not self._stopping.is_set()

    async def _run(self, woken: asyncio.Event, stopping: asyncio.Event) -> None:
        try:
            while not stopping.is_set():
                # Before the step: what happens during it may be missed by it.
                woken.clear()
                try:
                    seconds = await self._step()
                except DatabaseError as error:
                    self._complain(error)
                    retry_s = RETRY_SECONDS if self._retry_s is None else self._retry_s
                    await self._pause_until_stopped(stopping, retry_s)
                    continue
                self._said = ""
                if seconds != 0:
                    await self._pause_until_woken(woken, seconds)
        except Exception:
            self._logger.exception("The background task %s has ended", self._name)

    def _complain(self, error: DatabaseError) -> None:
        """Log errors, each once while it repeats."""
        if str(error) != self._said:
            self._said = str(error)
            self._logger.warning(self._complaint, error)
