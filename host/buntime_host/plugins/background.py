"""Background work of a plugin: supervised tasks, and recurring calls.

A task that fails is logged with its traceback and counted. All tasks of a plugin are cancelled
before its `on_shutdown` runs, so that none of them uses what that hook closes.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from buntime_host.options.units import parse_duration
from buntime_host.plugins.task_clock import TaskClock

Work = Callable[[], Awaitable[object]]
"""Makes a coroutine on each call."""

Claim = Callable[[str, float], Awaitable[bool]]
"""`claim(name, seconds)`: whether the caller is the first of all hosts that share a store to claim
the name; no other one can for so many seconds. It may raise whatever that store raises."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Pauses between two starts of a task that fails at once; one that ran for longer begins with the
first again."""

SHORTEST_SHARED_SECONDS = 1.0
"""Shortest interval of a call that runs once over all hosts: each time is a write to their
store."""

LONGEST_CLAIM_SECONDS = 600.0
"""Longest time of a claim: clocks that differ by more are wrong."""

CANCEL_GRACE_SECONDS = 1.0
"""Time for cancelled tasks to clean up before they are left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The host as the background work of one plugin needs it."""

    plugin: str
    logger: logging.Logger
    clock: TaskClock
    count_failure: Callable[[], None]
    claim: Callable[[], Claim | None]
    """Finds the claim over hosts that share a store; None where no plugin has one."""
    is_first_worker: bool


class Background:
    """The tasks of one plugin, from `on_init` until it shuts down."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared_names: set[str] = set()
        self._ended = False
        self.is_used = False
        """Whether the plugin ever began a task."""

    def spawn(
        self,
        work: Coroutine[Any, Any, object] | Work,
        *,
        name: str | None = None,
        restart: bool = False,
    ) -> asyncio.Task[None]:
        """See `PluginContext.spawn`."""
        if inspect.iscoroutine(work):
            if restart:
                work.close()  # it would warn that it was never awaited
                raise TypeError(
                    "a coroutine runs only once: to restart it, give spawn() the function that"
                    " makes it, as in ctx.spawn(self.work, restart=True)"
                )
            return self._spawn_coroutine(work, name or _name_of(work))
        if not callable(work):
            raise TypeError(
                f"spawn() takes a coroutine, or a function that makes one, not {_kind(work)}"
            )
        title = name or _name_of(work)
        return self._start(self._watched(work, title, restart=restart), title)

    def _spawn_coroutine(
        self, coroutine: Coroutine[Any, Any, object], title: str
    ) -> asyncio.Task[None]:
        try:
            task = self._start(self._watched(lambda: coroutine, title, restart=False), title)
        except RuntimeError:
            coroutine.close()
            raise
        # A coroutine that is cancelled before it began would warn that it was never awaited.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def every(
        self,
        interval: object,
        work: Callable[[], object],
        *,
        name: str | None = None,
        once: bool = False,
    ) -> asyncio.Task[None]:
        """See `PluginContext.every`."""
        try:
            seconds = parse_duration(interval)
        except ValueError as error:
            raise ValueError(f"every(): the interval {error}, received {interval!r}") from None
        if seconds <= 0 or (once and seconds < SHORTEST_SHARED_SECONDS):
            least = "1s with once=True" if once else "more than 0"
            raise ValueError(f"every(): the interval must be {least}, received {interval!r}")
        if not callable(work):
            raise TypeError(f"every() takes a function, not {_kind(work)}")
        title = name or _name_of(work)
        if not once:
            return self._start(self._recurring(seconds, work, title), title)
        if title in self._shared_names:
            raise ValueError(
                f"every(): {title} is done once by that name already: give one of them another name"
            )
        self._shared_names.add(title)
        return self._start(self._shared(seconds, work, title), title)

    def _start(self, run: Coroutine[Any, Any, None], title: str) -> asyncio.Task[None]:
        if self._ended:
            run.close()
            raise RuntimeError(f"{self._around.plugin} shuts down: nothing begins any more")
        self.is_used = True
        task = asyncio.create_task(run, name=f"{self._around.plugin}: {title}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watched(self, make: Work, title: str, *, restart: bool) -> None:
        clock = self._around.clock
        pause = FIRST_PAUSE_SECONDS
        while True:
            begun = clock.monotonic()
            if await self._attempt(make, title) or not restart:
                return
            if clock.monotonic() - begun > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._around.logger.info("%s starts again in %g s", title, pause)
            await clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _attempt(self, work: Callable[[], object], title: str) -> bool:
        """Run one call; return whether it did not fail."""
        try:
            result = work()
            if inspect.isawaitable(result):
                await result
        except (Exception, SystemExit):  # a SystemExit that leaves a task would end the loop
            self._around.count_failure()
            self._around.logger.exception("%s failed", title)
            return False
        return True

    async def _recurring(self, interval: float, work: Callable[[], object], title: str) -> None:
        clock = self._around.clock
        due = clock.monotonic() + interval
        while True:
            await clock.sleep(due - clock.monotonic())
            await self._attempt(work, title)
            # A call that took longer than the interval leaves out the times that it missed.
            missed = max(0, math.floor((clock.monotonic() - due) / interval))
            due += interval * (missed + 1)

    async def _shared(self, interval: float, work: Callable[[], object], title: str) -> None:
        """At times that all hosts agree on, so that the claim of one of them is for that time
        alone.
        """
        clock = self._around.clock
        last = math.floor(clock.wall() / interval)
        while True:
            left = (last + 1) * interval - clock.wall()
            if left > interval:  # the wall clock went backwards
                last = math.floor(clock.wall() / interval)
            elif left > 0:
                await clock.sleep(left)
            else:
                # Times that passed during a sleep are not made up for.
                last = max(last + 1, math.floor(clock.wall() / interval))
                if await self._is_ours(title, interval):
                    await self._attempt(work, title)

    async def _is_ours(self, title: str, interval: float) -> bool:
        claim = self._around.claim()
        if claim is None:
            return self._around.is_first_worker
        try:
            # Clocks of hosts may differ by that much.
            lasts = min(interval / 2, LONGEST_CLAIM_SECONDS)
            return await claim(f"every:{self._around.plugin}:{title}", lasts)
        except Exception:
            self._around.logger.warning(
                "%s is left out this time: nobody can tell whether another host does it",
                title,
                exc_info=True,
            )
            return False

    async def end(self, timeout: float) -> None:
        """Cancel all tasks, and let them clean up for a moment."""
        self._ended = True
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=min(timeout, CANCEL_GRACE_SECONDS))
            for task in late:
                self._around.logger.warning("%s does not end", task.get_name())


def _name_of(work: object) -> str:
    name = getattr(work, "__qualname__", None) or type(work).__qualname__
    return str(name).replace("<locals>.", "")


def _kind(value: object) -> str:
    return type(value).__name__
