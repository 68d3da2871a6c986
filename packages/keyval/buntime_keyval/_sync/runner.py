# Made by scripts/unasync from _async/runner.py: change that one.
"""The runner of tasks: `kv.runner`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from buntime_keyval._errors import InvalidValue, KvError, TaskLost
from buntime_keyval._messages import checked_concurrency
from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._results import LeasedTask, TaskDone, TaskHeard
from buntime_keyval._retries import seconds
from buntime_keyval._runs import (
    HEARTBEATS,
    LOOK_SECONDS,
    MOST_BEAT_SECONDS,
    CompletedRun,
    TaskContext,
    TaskHandler,
    give_up,
    handler_of,
    lost_task,
    pending_progress,
    result_of,
    runner_name,
)
from buntime_keyval._sync.concurrency import (
    JOIN_SECONDS,
    WAIT_SECONDS,
    Condition,
    SideBySide,
    Task,
    UserCall,
    sleep,
    until_signalled,
)
from buntime_keyval._sync.lanes import Lanes
from buntime_keyval._sync.reports import report
from buntime_keyval.wire import Duration, InvalidInput
from buntime_keyval.wire.failures import error_text

F = TypeVar("F", bound=Callable[..., Any])

_GRACE_SECONDS = 5.0
"""Seconds that a cancelled handler has to end."""

_ARRIVAL_SECONDS = 0.1
"""Seconds to wait for tasks on their way to a runner that stops: they are given back, and not lost
for as long as their lease lasts."""

_MOST_PAUSE_SECONDS = 10.0
"""Seconds between two attempts to get tasks while the server cannot be reached."""

_FIRST_PAUSE_SECONDS = 0.25


class TaskSource(Protocol):
    """The methods of `Tasks` that a runner needs."""

    def lease(
        self,
        runner: str,
        names: Sequence[str] | None = None,
        *,
        limit: int = 1,
        duration: Duration = "30s",
        wait: Duration | None = None,
    ) -> list[LeasedTask]: ...

    def heartbeat(
        self, task: str, token: str, *, duration: Duration | None = None, progress: Any = None
    ) -> TaskHeard: ...

    def complete(self, task: str, token: str, result: Any = None) -> TaskHeard: ...

    def complete_many(self, done: Sequence[TaskDone]) -> list[TaskHeard]: ...

    def fail(self, task: str, token: str, error: str, *, retry: bool = True) -> TaskHeard: ...

    def release(self, task: str, token: str) -> None: ...


class Runner:
    """Runs tasks with functions of yours, several at a time.

        runner = kv.runner(concurrency=8)

        @runner.task("send-email")
        def send_email(email: Email, ctx: TaskContext) -> Receipt: ...

        runner.run()

    The payload is converted to the type of the first parameter, and what the function returns is
    the result. What it raises fails the attempt. A task is kept for as long as its function runs;
    when its time is over or somebody cancels it, the function is cancelled. A function that is no
    coroutine runs in a thread, which cannot be cancelled: it has to look at `ctx.cancelled`.
    """

    def __init__(
        self,
        tasks: TaskSource,
        *,
        concurrency: int = 8,
        name: str | None = None,
        lease: Duration = "30s",
        on_error: ErrorHandler | None = None,
        passing: tuple[type[Exception], ...] = (KvError, OSError),
    ) -> None:
        """`passing` are exceptions of the source after which another attempt is right."""
        self._tasks = tasks
        self._passing = passing
        self._concurrency = checked_concurrency(concurrency)
        self.name = name or runner_name()
        """The owner of its tasks."""
        self._lease = lease
        self._lease_s = seconds(lease)
        if self._lease_s < 1:
            raise InvalidInput("lease must be at least a second")
        self._beat_s = min(MOST_BEAT_SECONDS, self._lease_s / HEARTBEATS)
        self._on_error = on_error
        self._handlers: dict[str, TaskHandler] = {}
        self._free = self._concurrency
        self._running: dict[str, TaskContext] = {}
        self._completing = Lanes(self._complete_together)
        self._changed = Condition()
        self._stopping = False
        self._draining = True
        self._workers: SideBySide | None = None
        self._reader: Task | None = None

    def task(self, name: str) -> Callable[[F], F]:
        """Decorates the function that runs tasks of a name."""

        def register(function: F) -> F:
            self.add(name, function)
            return function

        return register

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Register a function for the tasks of a name. Raises `InvalidInput`."""
        if name in self._handlers:
            raise InvalidInput(f"The runner has a function for {name} already")
        self._handlers[name] = handler_of(function)

    @property
    def names(self) -> Sequence[str]:
        """The names of tasks that it runs."""
        return [*self._handlers]

    @property
    def closed(self) -> bool:
        """Whether it takes no more tasks."""
        return self._stopping

    def start(self) -> None:
        """Take tasks from now on, in the background, until `stop`. Raises `InvalidInput`."""
        if not self._handlers:
            raise InvalidInput("The runner has no functions: decorate some with runner.task(name)")
        if self._reader is None:
            self._workers = SideBySide(self._concurrency, name="kv-task")
            self._reader = Task(self._read, name="kv-runner")

    def run(self, *, drain: Duration = "30s") -> None:
        """Run tasks until SIGTERM or SIGINT comes, or `stop` is called; then as `stop(drain)`."""
        self.start()
        until_signalled(lambda: self._stopping)
        self.stop(seconds(drain))

    def stop(self, timeout: float | None = None) -> None:
        """Take no more tasks, and let those that run come to their end. Idempotent.

        After `timeout` seconds the functions that are left are cancelled, and their tasks go back,
        without losing an attempt.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._reader is None or self._workers is None:
            return
        self._reader.join(_ARRIVAL_SECONDS)
        self._reader.cancel()
        self._reader.join(JOIN_SECONDS)
        self._workers.wait(timeout)
        self._draining = False
        for context in [*self._running.values()]:
            give_up(context)
        self._workers.stop(_GRACE_SECONDS)

    def __enter__(self) -> Runner:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        """Take as many tasks as there is room for, again and again."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._free > 0 or self._stopping)
                free = self._free
            if self._stopping:
                return
            try:
                leased = self._tasks.lease(
                    self.name,
                    self.names,
                    limit=free,
                    duration=self._lease,
                    wait=round(WAIT_SECONDS * 1000),
                )
            except self._passing as error:
                report(error, self._on_error)
                sleep(pause)
                pause = min(_MOST_PAUSE_SECONDS, 2 * pause)
                continue
            pause = _FIRST_PAUSE_SECONDS
            for task in leased:
                self._begin(task)

    def _begin(self, task: LeasedTask) -> None:
        with self._changed:
            self._free -= 1
        if self._workers is not None:
            self._workers.start(self._process, task)

    def _process(self, task: LeasedTask) -> None:
        """Run one task to its end, and say what came of it."""
        context = TaskContext(task)
        self._running[task.id] = context
        try:
            if self._stopping:
                self._tasks.release(task.id, task.token)
            else:
                self._attempt(context)
        except TaskLost as error:
            logger.warning("%s", error)
        except Exception as error:  # noqa: BLE001 - its lease will end, and others get it
            report(error, self._on_error)
        finally:
            self._running.pop(task.id, None)
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _attempt(self, context: TaskContext) -> None:
        task = context.task
        handler = self._handlers[task.name]
        try:
            arguments = handler.arguments(context)
        except InvalidValue as error:
            self._tasks.fail(task.id, task.token, error_text(error), retry=False)
            return
        attempt = UserCall(handler.function, *arguments)
        try:
            is_done = self._watch(attempt, context)
        except BaseException:
            give_up(context)
            attempt.cancel(_GRACE_SECONDS)
            raise
        if not is_done:
            attempt.cancel(_GRACE_SECONDS)
            self._end_early(context, has_ended=attempt.has_ended)
            return
        failure = attempt.error
        if failure is None:
            try:
                result = result_of(attempt.result)
            except InvalidValue as wrong:
                failure = wrong
            else:
                self._complete(TaskDone(task.id, task.token, result))
                return
        self._tasks.fail(task.id, task.token, error_text(failure))
        if isinstance(failure, Exception):
            is_last = task.attempts >= max(1, task.max_retries)
            then = "that was the last attempt" if is_last else "trying again"
            report(failure, self._on_error, then)

    def _complete(self, done: TaskDone) -> None:
        """Report that a task is done, together with others that end at the same time."""
        completion = CompletedRun(done)
        self._completing.go(None, completion)
        if completion.is_left:
            self._tasks.complete(*done)
        if completion.error is not None:
            raise completion.error

    def _complete_together(self, going: Sequence[CompletedRun]) -> None:
        try:
            if len(going) == 1:
                self._tasks.complete(*going[0].done)
                going[0].told()
                return
            heard = self._tasks.complete_many([one.done for one in going])
        except Exception as error:  # noqa: BLE001 - each of them gets it, or makes its own call
            if len(going) == 1:
                going[0].told(error)
            else:
                logger.debug("Tasks are completed one by one: %s", error)
        else:
            for one, it in zip(going, heard, strict=True):
                one.told(lost_task(one.done.task) if it.lost else None)

    def _watch(self, attempt: UserCall, context: TaskContext) -> bool:
        """Keep the task while its function runs; False if its result is no longer wanted."""
        task = context.task
        beat = time.monotonic() + self._beat_s
        while not context.cancelled:
            if attempt.wait(min(LOOK_SECONDS, context.seconds_left)):
                return True
            if not context.seconds_left:
                break
            progress = pending_progress(context)
            if progress is None and time.monotonic() < beat:
                continue
            beat = time.monotonic() + self._beat_s
            try:
                heard = self._tasks.heartbeat(task.id, task.token, progress=progress)
            except TaskLost:
                give_up(context)
                raise
            except self._passing as error:
                logger.warning("The task %s could not be kept: %s", task.id, error)
            else:
                if heard.cancelled:
                    break
        give_up(context)
        return False

    def _end_early(self, context: TaskContext, *, has_ended: bool) -> None:
        """Report that the time of a task is over, or give it back where this runner stops.

        A task that was cancelled gives up its place, unless its function goes on.
        """
        task = context.task
        if not context.seconds_left:
            error = f"It took longer than its timeout of {task.timeout} ms"
            self._tasks.fail(task.id, task.token, error)
        elif has_ended or (self._stopping and not self._draining):
            self._tasks.release(task.id, task.token)
