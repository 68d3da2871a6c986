"""Telling of failures that need nobody's help: to the caller's handler, or else to the log."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable

logger = logging.getLogger("buntime_keyval")

ErrorHandler = Callable[[Exception], object]
"""Told of failures that are recovered from without help; may be a coroutine function."""


async def report(error: Exception, on_error: ErrorHandler | None) -> None:
    """Tell the caller, or else the log, of a failure."""
    if on_error is None:
        logger.warning("%s; trying again", error)
        return
    try:
        outcome = on_error(error)
        if inspect.isawaitable(outcome):
            await outcome
    except Exception:
        logger.exception("on_error failed")


def report_blocking(error: Exception, on_error: ErrorHandler | None) -> None:
    """The same for threads."""
    if on_error is None:
        logger.warning("%s; trying again", error)
        return
    try:
        on_error(error)
    except Exception:
        logger.exception("on_error failed")
