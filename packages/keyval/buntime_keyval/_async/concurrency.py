"""Concurrency: work beside the caller, as tasks of the event loop. `_sync` has the same with
threads.

Cancelling a task ends whatever it waits for with `Cancelled`.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import signal
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

Condition = asyncio.Condition
Lock = asyncio.Lock
Queue = asyncio.Queue
Cancelled = asyncio.CancelledError
sleep = asyncio.sleep

T = TypeVar("T")

LOOK_SECONDS = 0.2
"""Seconds between two checks whether a wait is over, where nothing wakes it."""

JOIN_SECONDS = None
"""Seconds to wait for cancelled work to end."""

WAIT_SECONDS = 20.0
"""Seconds that a request in the background has the server wait: cancelled, it ends at once."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Exceptions that ask a process to end."""

Place = asyncio.AbstractEventLoop
"""Identifies a place whose code may share connections and streams."""


def here() -> Place:
    """The place of the caller."""
    return asyncio.get_running_loop()


def lock() -> AbstractContextManager[object]:
    """Keeps other threads out of a block that awaits nothing: there are none."""
    return nullcontext()


_ending: set[asyncio.Future[None]] = set()


def when_dropped(handle: object, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have an object stopped, in the background, when its handle is no longer referenced."""
    weakref.finalize(handle, stop_later, asyncio.get_running_loop(), stop).atexit = False


def stop_later(loop: Place, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Stop something of a loop that is garbage."""
    # The garbage of a loop may be found in any thread.
    with suppress(RuntimeError):  # it is closed, and nothing runs there any more
        loop.call_soon_threadsafe(_stop_now, stop)


def _stop_now(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.ensure_future(stop())
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def call(function: Callable[..., T | Awaitable[T]], *args: Any) -> T:
    """Call a user's function or coroutine function."""
    outcome = function(*args)
    return await outcome if inspect.isawaitable(outcome) else outcome


def waking(wake: Callable[[], None]) -> AbstractContextManager[object]:  # noqa: ARG001 - as `_sync` has it
    """A wait that `wake` ends when the task is to end: cancelling does that."""
    return nullcontext()


class Turn:
    """A value that one task waits for and another gives, once."""

    def __init__(self) -> None:
        self._given = asyncio.get_running_loop().create_future()

    @property
    def is_given(self) -> bool:
        """Whether the value was given, also if the waiter has left."""
        return self._given.done() and not self._given.cancelled()

    def give(self) -> bool:
        """Whether the waiter is still there."""
        if self._given.done():
            return False
        self._given.set_result(None)
        return True

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is given, or so many seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._given


class StopSignal:
    """Asks a caller to stop, and ends its present or next wait here."""

    def __init__(self) -> None:
        self.is_asked = False
        self._ends: set[asyncio.Timeout] = set()

    def ask(self) -> None:
        """Stop. Idempotent."""
        if not self.is_asked:
            self.is_asked = True
            for end in self._ends:
                end.reschedule(0)

    async def wait(self, function: Callable[[], Awaitable[T]]) -> T | None:
        """Return a function's result; None as soon as a stop is requested, which cancels the
        function.
        """
        end = asyncio.timeout(0 if self.is_asked else None)
        try:
            async with end:
                self._ends.add(end)
                try:
                    return await function()
                finally:
                    self._ends.discard(end)
        except TimeoutError:
            if not end.expired():
                raise
        return None

    async def sleep(self, seconds: float) -> None:
        """Wait, or until a stop is asked for."""
        await self.wait(partial(asyncio.sleep, seconds))


class Task:
    """A function that runs in the background."""

    def __init__(self, function: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        async def run() -> None:
            await function(*args)

        self._task = asyncio.create_task(run(), name=name)

    @property
    def is_current(self) -> bool:
        """Whether it is the one that asks."""
        return self._task is asyncio.current_task()

    def cancel(self) -> None:
        """Let it end where it waits, now or next. Idempotent."""
        self._task.cancel()

    async def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds; not for itself."""
        if not self.is_current:
            await asyncio.wait({self._task}, timeout=timeout)


class SideBySide:
    """Runs any number of functions side by side."""

    def __init__(self, most: int, name: str) -> None:  # noqa: ARG002 - threads have to know
        """`most` is how many the caller begins at a time."""
        self._name = name
        self._running: set[asyncio.Task[None]] = set()

    def start(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a function, beginning now."""

        async def run() -> None:
            await function(*args)

        task = asyncio.create_task(run(), name=self._name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def wait(self, timeout: float | None = None) -> None:
        """Wait for those that run, but for the caller."""
        others = self._running - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=timeout)

    async def stop(self, timeout: float | None) -> None:
        """Wait that long for the running tasks, the caller excepted, and cancel the rest."""
        await self.wait(timeout)
        for task in self._running - {asyncio.current_task()}:
            task.cancel()
        await self.wait()


class UserCall:
    """A function of a user that runs on its own: a coroutine, or in a thread."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.result: Any = None
        """The function's result."""
        self._thread: asyncio.Future[Any] | None = None

        async def run() -> None:
            if inspect.iscoroutinefunction(function):
                self.result = await function(*args)
                return
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            self._thread = loop.run_in_executor(None, partial(context.run, function, *args))
            self._thread.add_done_callback(lambda it: it.exception())  # possibly unwaited
            outcome = await asyncio.shield(self._thread)
            self.result = await outcome if inspect.isawaitable(outcome) else outcome

        self._task = asyncio.create_task(run(), name="kv-task-function")

    @property
    def error(self) -> BaseException | None:
        """The exception that it raised, once it is done."""
        return asyncio.CancelledError() if self._task.cancelled() else self._task.exception()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more: an abandoned thread goes on."""
        return self._task.done() and (self._thread is None or self._thread.done())

    async def wait(self, timeout: float) -> bool:
        """Whether it is done, perhaps after so many seconds."""
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        return bool(done)

    async def cancel(self, grace: float) -> None:
        """Let it end where it waits, and wait so long for that; a thread goes on."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=grace)
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # nobody wants it


async def until_signalled(is_over: Callable[[], bool]) -> None:
    """Wait until the process is asked to end, where that can be heard here, or something is."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    hears = threading.current_thread() is threading.main_thread()
    if hears:
        for number in SIGNALS:
            loop.add_signal_handler(number, asked.set)
    try:
        while not is_over() and not asked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await asked.wait()
    finally:
        if hears:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
