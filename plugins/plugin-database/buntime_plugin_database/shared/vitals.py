"""Whether an engine serves, judging by its last answers; and the log lines about it.

An operator has to be told of a failing engine, once and not at every request, and of the end of the
failure. Readiness has to fail meanwhile, even if no request uses the engine: so while it fails,
each check of its health tries it.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Literal

from buntime_database import (
    DatabaseBusy,
    DatabaseClosed,
    DatabaseDamaged,
    DatabaseError,
    DatabaseLost,
    DatabaseUnavailable,
    OutcomeUnknown,
)

QUIET_SECONDS = 30.0
"""Seconds that further reasons for the same failure are kept out of the log."""

Kind = Literal["reads", "writes"]

logger = logging.getLogger("plugin:@buntime/plugin-database")


class _Failure:
    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.count = 1
        self.since = self.told_at = monotonic()


class Vitals:
    """The known state of one engine. Errors caused by callers do not count."""

    def __init__(self, name: str) -> None:
        """`name` is that of the engine in log lines."""
        self._name = name
        self._failures: dict[Kind, _Failure] = {}
        self.answered_at = monotonic()
        """When it last answered anything."""

    @property
    def failing(self) -> bool:
        """Whether its last answers of some kind were failures."""
        return bool(self._failures)

    def problem(self) -> str | None:
        """Why it is unusable, or None."""
        return "; ".join(f"{kind} fail: {it.reason}" for kind, it in self._failures.items()) or None

    def worked(self, kind: Kind) -> None:
        """A request of this kind was served."""
        self.answered_at = monotonic()
        failure = self._failures.pop(kind, None)
        if failure is not None:
            logger.warning(
                "%s: %s work again, after %d failures in %.1f s",
                self._name,
                kind,
                failure.count,
                monotonic() - failure.since,
            )

    def failed(self, kind: Kind, error: DatabaseError) -> None:
        """A request of this kind failed; remembered if the engine is at fault."""
        if not is_engines_fault(error):
            return
        reason = str(error)
        failure = self._failures.get(kind)
        if failure is None:
            self._failures[kind] = _Failure(reason)
            logger.error("%s: %s fail: %s", self._name, kind, reason)
            return
        failure.count += 1
        if reason != failure.reason and monotonic() - failure.told_at > QUIET_SECONDS:
            failure.told_at = monotonic()
            logger.error("%s: %s still fail: %s", self._name, kind, reason)
        failure.reason = reason


def is_engines_fault(error: DatabaseError) -> bool:
    """Whether an error says that the engine does not serve.

    Not a lock that others keep, which passes, nor that it was closed, nor a permanent state: a lost
    or damaged file.
    """
    if isinstance(error, (DatabaseBusy, DatabaseClosed, DatabaseDamaged, DatabaseLost)):
        return False
    return isinstance(error, (DatabaseUnavailable, OutcomeUnknown))
