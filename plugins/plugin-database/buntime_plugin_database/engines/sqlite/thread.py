"""A thread that does one piece of work after another for an event loop.

What an executor does, at less than half of its cost: handing over and coming back took 40 µs of
processor time with `run_in_executor` and takes 25 µs here, for every commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

WorkResult = tuple[Any, BaseException | None]
"""What the work returned, or what it raised."""


class Working(asyncio.Future[WorkResult]):
    """What is being done. It never raises, and cannot be cancelled.

    A task that is cancelled while it waits for this learns of that when the work has ended. To
    await `asyncio.shield` until it has would mean the same, at the cost of a second future and of
    a turn of the loop for each commit.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, when_cancelled: Callable[[], object] | None
    ) -> None:
        """`when_cancelled` is called when somebody tries."""
        super().__init__(loop=loop)
        self._when_cancelled = when_cancelled

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - as all futures have it
        """Have the work hurry; False, so that whoever waits goes on waiting."""
        if self._when_cancelled is not None and not self.done():
            self._when_cancelled()
        return False


class _Work(NamedTuple):
    do: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    done: Working


class WorkThread:
    """One thread, which ends with `close` or with the process."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        # A daemon, so that an adapter which nobody closed does not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, do: Callable[[], Any], when_cancelled: Callable[[], object] | None = None
    ) -> Working:
        """Have `do` done after what was submitted before."""
        loop = asyncio.get_running_loop()
        done = Working(loop, when_cancelled)
        self._queue.put(_Work(do, loop, done))
        return done

    def close(self) -> None:
        """Wait until everything that was submitted is done, and end the thread. Idempotent."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                outcome: WorkResult = (work.do(), None)
            except BaseException as error:  # noqa: BLE001 - goes to whoever waits
                outcome = (None, error)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                work.loop.call_soon_threadsafe(work.done.set_result, outcome)
            del work, outcome  # or they would live until the next one comes
