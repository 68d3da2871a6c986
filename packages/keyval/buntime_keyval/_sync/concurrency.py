"""What runs beside the caller: threads. `_async` has the same with tasks of the event loop.

Python cannot end a thread, so a task is asked to: what it waits for in `sleep`, in a `Queue` or in
`waking` ends with `Cancelled`.
"""

from __future__ import annotations

import _thread
import inspect
import os
import queue
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Generic, TypeVar

from buntime_keyval.wire import InvalidInput

Condition = threading.Condition
Lock = threading.Lock

T = TypeVar("T")

JOIN_SECONDS = 5.0
"""How long to wait for what was cancelled: it may be busy with something else."""

WAIT_SECONDS = 4.0
"""For how long a request in the background has the server wait: it cannot be cancelled."""

LOOK_SECONDS = 0.2
"""How often it is looked whether a wait is over that nobody ends."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What asks a process to end."""

Place = int
"""What runs in one place may share connections and streams."""


class Cancelled(BaseException):
    """The task that runs is to end."""


class _Current(threading.local):
    """What the thread that asks runs, if it is one of ours."""

    task: Task | None = None
    workers: SideBySide | None = None


_current = _Current()


def here() -> Place:
    """The place of the caller: all threads of a process are in the same."""
    return os.getpid()


def lock() -> AbstractContextManager[object]:
    """Keeps other threads out of a block."""
    return threading.Lock()


def when_dropped(handle: object, stop: Callable[[], None]) -> None:
    """Have something stopped, in the background, when nobody has its handle any more."""
    weakref.finalize(handle, stop_later, stop).atexit = False


def stop_later(stop: Callable[[], None]) -> None:
    """Stop something that is garbage, in the background."""
    # Garbage is found at any moment, also where this thread has a lock that `stop` wants, or one
    # of those that `threading.Thread` has.
    with suppress(RuntimeError):  # the process ends
        _thread.start_new_thread(stop, ())


def call(function: Callable[..., T], *args: Any) -> T:
    """Call what a user gave. Raises `InvalidInput` for a coroutine function, which cannot run."""
    outcome = function(*args)
    if inspect.iscoroutine(outcome):
        outcome.close()
        name = getattr(function, "__name__", repr(function))
        raise InvalidInput(
            f"{name} is a coroutine function, and nothing here awaits it: give a plain function, or"
            " use AsyncKv"
        )
    return outcome


def sleep(seconds: float) -> None:
    """Wait; in a task raises `Cancelled` as soon as it is to end."""
    if _current.task is None:
        time.sleep(seconds)
    else:
        _current.task.sleep(seconds)


@contextmanager
def waking(wake: Callable[[], object]) -> Iterator[None]:
    """A wait that `wake` ends, and that then raises `Cancelled`, when the task is to end."""
    task = _current.task
    if task is None:
        yield
        return
    task.wake_by(wake)
    try:
        yield
    finally:
        task.wake_by(None)


class Turn:
    """Something that one waits for and another gives, once; callers have a lock."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.is_given = False
        """Whether it was, also to who does not wait any more."""

    def give(self) -> bool:
        """Whether there is still somebody who may take it."""
        self.is_given = True
        self._over.set()
        return True

    def wait(self, timeout: float | None) -> None:
        """Until it is given, or so many seconds are over."""
        with waking(self._over.set):
            self._over.wait(timeout)


class Queue(Generic[T]):
    """Items for one task."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()

    def put_nowait(self, item: T) -> None:
        """Add an item, whatever thread has it."""
        self._items.put(item)

    def get(self) -> T:
        """Wait for the next item."""
        with waking(lambda: self._items.put(None)):
            item = self._items.get()
        if item is None:
            raise Cancelled
        return item


class StopSignal:
    """Asks a caller to stop, and ends what he waits for in `sleep`, then or later."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        """Whether it was."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Stop. Idempotent."""
        self._asked.set()

    def wait(self, function: Callable[[], T]) -> T | None:
        """What a function returns: nobody ends what a thread waits for."""
        return function()

    def sleep(self, seconds: float) -> None:
        """Wait, or until a stop is asked for."""
        self._asked.wait(seconds)


class Task:
    """A function that runs in the background."""

    def __init__(self, function: Callable[..., None], *args: Any, name: str) -> None:
        self._function = function
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, args=args, name=name, daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether it is the one that asks."""
        return self._thread is threading.current_thread()

    def cancel(self) -> None:
        """Let it end where it waits, now or next. Idempotent."""
        with self._lock:
            self._cancelled.set()
            if self._wake is not None:
                self._wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds; not for itself."""
        if not self.is_current:
            self._thread.join(timeout)

    def sleep(self, seconds: float) -> None:
        """Wait, in the task itself."""
        if self._cancelled.wait(seconds):
            raise Cancelled

    def wake_by(self, wake: Callable[[], object] | None) -> None:
        """Say, in the task itself, what ends its wait; raises `Cancelled` if it is to end."""
        with self._lock:
            self._wake = wake
            if self._cancelled.is_set():
                raise Cancelled

    def _run(self, *args: Any) -> None:
        _current.task = self
        try:
            self._function(*args)
        except Cancelled:
            return


class SideBySide:
    """Runs functions side by side."""

    def __init__(self, most: int, name: str) -> None:
        """`most` run at a time."""
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._running: set[Future[None]] = set()

    def start(self, function: Callable[..., None], *args: Any) -> None:
        """Run a function as soon as there is a thread for it."""
        future = self._pool.submit(self._run, function, *args)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for those that run, unless one of them asks."""
        if _current.workers is not self:
            wait_for(set(self._running), timeout)

    def stop(self, timeout: float | None) -> None:
        """The same; those that are late go on."""
        self.wait(timeout)
        self._pool.shutdown(wait=False)

    def _run(self, function: Callable[..., None], *args: Any) -> None:
        _current.workers = self
        function(*args)


class UserCall:
    """A function of a user that runs on its own, in a thread."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.result: Any = None
        """What it returned."""
        self.error: BaseException | None = None
        """What it raised, once it is done."""
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(function, *args), name="kv-task-function", daemon=True
        )
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._done.is_set()

    def wait(self, timeout: float) -> bool:
        """Whether it is done, perhaps after so many seconds."""
        return self._done.wait(timeout)

    def cancel(self, grace: float) -> None:
        """Wait so long for its end, which it has to come to by itself."""
        self._done.wait(grace)

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            self.result = function(*args)
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            self.error = error
        finally:
            self._done.set()


def until_signalled(is_over: Callable[[], bool]) -> None:
    """Wait until the process is asked to end, where that can be heard here, or something is."""
    asked = threading.Event()
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, lambda *_: asked.set()) for number in SIGNALS}
    try:
        while not is_over() and not asked.wait(LOOK_SECONDS):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
