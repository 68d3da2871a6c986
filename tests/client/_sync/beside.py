"""What a test runs beside itself, and what it waits for: in threads, and in `_async` in tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

SECONDS = 10.0

Event = threading.Event
sleep = time.sleep


class Started:
    """A function that runs beside the test."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._outcome: Future[Any] = Future()
        threading.Thread(target=self._run, args=(function, *args), daemon=True).start()

    @property
    def done(self) -> bool:
        return self._outcome.done()

    def result(self) -> Any:
        return self._outcome.result(60)

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            self._outcome.set_result(function(*args))
        except BaseException as error:  # noqa: BLE001 - whoever asks gets it
            self._outcome.set_exception(error)


def together(*functions: Callable[[], Any]) -> list[Any]:
    """The results of functions that run at once."""
    started = [Started(function) for function in functions]
    return [one.result() for one in started]


def happened(event: Event) -> None:
    """Wait until an event is set."""
    assert event.wait(SECONDS)


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def running(name: str) -> int:
    """How many threads of a name run."""
    return sum(thread.name == name for thread in threading.enumerate())
