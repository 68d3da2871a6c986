# Made by scripts/unasync from _async/handle.py: change that one.
"""What the handles of watches and of listeners have in common."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Flow(Protocol):
    """The engine behind a handle."""

    closed: bool
    error: Exception | None

    def wait(self, timeout: float | None) -> None:
        """Wait until it ends, at most `timeout` seconds."""


F = TypeVar("F", bound=Flow)


class Handle(Generic[F]):
    """Something that runs until it is stopped."""

    _flow: F

    @property
    def closed(self) -> bool:
        """Whether it was stopped, or ended by an error."""
        return self._flow.closed

    @property
    def error(self) -> Exception | None:
        """The error that ended it, if it was not `stop`."""
        return self._flow.error

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds. Raises the error that ended it."""
        self._flow.wait(timeout)
        self._raise()

    def _raise(self) -> None:
        if self._flow.error is not None:
            raise self._flow.error
