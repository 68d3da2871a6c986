"""Showing the progress of a move: as a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from buntime_plugin_keyval.features.moving.mover import MoveStep

LINE_SECONDS = 5.0
"""Pause between two lines about the same step."""

_TEXTS = {
    "entries": "copying entries",
    "changes": "following changes",
    "compared": "comparing",
    "closing": "closing the store",
    "closed": "copying the rest",
    "complete": "opening the new store",
}

_COUNTED = {"entries", "compared"}
"""Steps whose total is known; of changes only the position of the last one is."""


class ProgressShown(AbstractContextManager["ProgressShown"]):
    """Shows steps on stderr."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said = ("", 0.0)
        if sys.stderr is not None and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> ProgressShown:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: MoveStep) -> None:
        text = _TEXTS.get(step.what, step.what)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text, completed=step.done, total=step.total)
            return
        said, at = self._said
        if said != step.what or monotonic() - at >= LINE_SECONDS:
            self._said = (step.what, monotonic())
            far = f": {step.done} of {step.total}" if step.what in _COUNTED else ""
            click.echo(text + far, err=True)
