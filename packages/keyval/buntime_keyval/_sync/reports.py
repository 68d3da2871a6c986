# Made by scripts/unasync from _async/reports.py: change that one.
"""Reports failures that need no help: to the caller's handler, or else to the log."""

from __future__ import annotations

from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._sync.concurrency import call


def report(error: Exception, on_error: ErrorHandler | None, then: str = "trying again") -> None:
    """Tell the caller, or else the log, of a failure; and the log what follows of it."""
    if on_error is None:
        logger.warning("%s; %s", error, then)
        return
    try:
        call(on_error, error)
    except Exception:  # noqa: BLE001 - the fault is the handler's
        logger.exception("on_error failed")
