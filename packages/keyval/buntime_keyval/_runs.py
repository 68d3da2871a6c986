"""A runner's knowledge of its handlers, and a handler's of its task. No I/O."""

from __future__ import annotations

import inspect
import os
import socket
import time
import typing
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from buntime_keyval._errors import InvalidValue, TaskLost
from buntime_keyval._results import LeasedTask, TaskDone
from buntime_keyval.wire import InvalidInput

HEARTBEATS = 3
"""How often a runner prolongs a lease during its lifetime."""

MOST_BEAT_SECONDS = 5.0
"""The longest pause from one to the next, however long the lease is: with each one it hears whether
the task was cancelled."""

LOOK_SECONDS = 0.5
"""Seconds between two checks whether a handler has reported its progress."""

_WITH_CONTEXT = 2


class TaskContext:
    """The context of a handler, given as its second parameter beside the payload."""

    def __init__(self, task: LeasedTask) -> None:
        self.task = task
        """The task as it was leased: its id, its attempts."""
        self._progress: Any = None
        self._is_told = True
        self._is_cancelled = False
        self._ends = time.monotonic() + task.timeout / 1000

    @property
    def id(self) -> str:
        """Id of the task."""
        return self.task.id

    @property
    def attempts(self) -> int:
        """The attempts so far, including this one."""
        return self.task.attempts

    @property
    def cancelled(self) -> bool:
        """Whether the result is no longer wanted: the task was cancelled, its time is over, or
        another runner has it. A coroutine is cancelled then; a thread has to check this.
        """
        return self._is_cancelled or not self.seconds_left

    @property
    def seconds_left(self) -> float:
        """The rest of the time of this attempt."""
        return max(0.0, self._ends - time.monotonic())

    def progress(self, value: float, text: str | None = None) -> None:
        """Report the progress, as a number of your choice and a text; sent within a second."""
        self._progress = {"value": value, "text": text}
        self._is_told = False


class CompletedRun:
    """A finished task, on its way to the server, perhaps with others."""

    def __init__(self, done: TaskDone) -> None:
        self.done = done
        self.is_left = True
        """Whether it was not sent: the call for several failed, perhaps because of another one."""
        self.error: Exception | None = None
        """The outcome."""

    def told(self, error: Exception | None = None) -> None:
        """Set when the server has been told."""
        self.is_left, self.error = False, error


class TaskHandler(NamedTuple):
    """The function that runs the tasks of a name."""

    function: Callable[..., Any]
    payload: Any
    """The type that payloads are converted to."""
    takes_context: bool

    def arguments(self, context: TaskContext) -> tuple[Any, ...]:
        """The arguments of the function. Raises `InvalidValue` for another type of payload."""
        payload = context.task.payload
        if self.payload is not Any:
            try:
                payload = msgspec.convert(payload, self.payload, strict=True, str_keys=True)
            except msgspec.ValidationError as error:
                raise InvalidValue(
                    f"The payload is not of type {_name_of(self.payload)}: {error}"
                ) from error
        return (payload, context) if self.takes_context else (payload,)


def handler_of(function: Callable[..., Any]) -> TaskHandler:
    """A function as a handler: of the payload, and of a `TaskContext` if it takes one.

    Raises `InvalidInput`.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= _WITH_CONTEXT:
        raise InvalidInput(
            f"{function.__qualname__} must take the payload, and optionally a TaskContext after it"
        )
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise InvalidInput(
            f"{function.__qualname__}: {error}: types of payloads must be known where the function"
            " is defined"
        ) from None
    payload = hints.get(parameters[0].name, Any)
    return TaskHandler(function, payload, len(parameters) == _WITH_CONTEXT)


def lost_task(task: str) -> TaskLost:
    """The error when another runner has a task."""
    text = f"The task {task} is not run under this token any more"
    return TaskLost(text, status=409, code="TASK_LOST")


def runner_name() -> str:
    """A unique name of a runner that shows where it runs."""
    return f"{socket.gethostname()[:100]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def result_of(value: Any) -> Any:
    """A handler's result in a form for JSON: structs, dataclasses and the like as objects."""
    try:
        return msgspec.to_builtins(value, builtin_types=(int,))
    except (TypeError, msgspec.MsgspecError) as error:
        raise InvalidValue(f"The result of a task has to be JSON: {error}") from error


def pending_progress(context: TaskContext) -> Any:
    """The handler's report since the last call; None for none."""
    if context._is_told:
        return None
    context._is_told = True
    return context._progress


def give_up(context: TaskContext) -> None:
    """Tell a handler that its result is no longer wanted."""
    context._is_cancelled = True


def _name_of(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
