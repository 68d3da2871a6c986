"""What went wrong in the code of a plugin, and where, for the one line that people read."""

from __future__ import annotations

import difflib
import inspect
import traceback
from collections.abc import Collection
from pathlib import Path


def describe(error: BaseException) -> str:
    """One line with the name and the message of the exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of(error: BaseException, folder: Path) -> str | None:
    """Where in the files of a plugin an exception, or its cause, was raised.

    `file:line`, or None where the traceback has no file of the folder.
    """
    inside = folder.resolve()
    cause: BaseException | None = error
    place = None
    while cause is not None:
        for frame in traceback.extract_tb(cause.__traceback__):
            if Path(frame.filename).is_relative_to(inside):
                place = f"{frame.filename}:{frame.lineno}"
        if isinstance(cause, SyntaxError) and cause.filename and cause.lineno:
            place = f"{cause.filename}:{cause.lineno}"
        cause = cause.__cause__
    return place


def place_of_function(function: object) -> str:
    """Where a function is defined, as ` (file:line)`; empty if unknown."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""


def hint_at(name: str, known: Collection[str], least: float = 0.6) -> str:
    """A question with the known name that an unknown one resembles; empty if there is none.

    `least` is how alike the two have to be, up to 1.
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=least)
    return f" (did you mean {close[0]}?)" if close else ""
