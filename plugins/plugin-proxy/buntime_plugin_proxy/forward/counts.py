"""Outcomes of requests through rules, counted for all workers of the host."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_host import BadRequest, HttpError, MethodNotAllowed, Workers

from buntime_plugin_proxy.upstream.errors import (
    BadGateway,
    GatewayTimeout,
    LoopDetected,
    TargetBusy,
    TargetRefused,
)

CLASSES = ("2xx", "3xx", "4xx", "5xx")
FAILURES = (
    BadRequest.code,
    MethodNotAllowed.code,
    BadGateway.code,
    TargetRefused.code,
    TargetBusy.code,
    GatewayTimeout.code,
    LoopDetected.code,
)
"""Codes of errors that clients get instead of an answer."""
_FIRST_FAILURE = len(CLASSES)
_PLACES: Mapping[str, int] = {code: _FIRST_FAILURE + at for at, code in enumerate(FAILURES)}
_BROKEN_OFF = _FIRST_FAILURE + len(FAILURES)
_WEBSOCKETS = _BROKEN_OFF + 1
_OPEN_WEBSOCKETS = _WEBSOCKETS + 1
_SIZE = _OPEN_WEBSOCKETS + 1


class ForwardCounts:
    """Counters that only grow, except for the number of open websockets."""

    def __init__(self, workers: Workers) -> None:
        self._numbers = workers.numbers("proxy", _SIZE)
        self._own = self._numbers.own
        self._own[_OPEN_WEBSOCKETS] = 0  # those of an earlier worker with this number have ended
        self._answers = [int(count) for count in self._own[:_FIRST_FAILURE]]
        """By their classes. They are published once in a second: writing into memory that workers
        share takes several times as long as counting."""

    def answered(self, status: int) -> None:
        """Count an answer by its status; one beyond all classes counts in the last class."""
        self._answers[min(status // 100, 5) - 2] += 1

    def failed(self, error: Exception) -> None:
        """A client gets an error. Not one that has nothing to do with targets."""
        place = _PLACES.get(error.code) if isinstance(error, HttpError) else None
        if place is not None:
            self._own[place] += 1

    def broken_off(self) -> None:
        """Count an answer that a target has not completed."""
        self._own[_BROKEN_OFF] += 1

    def opened_websocket(self) -> None:
        """Count a websocket that was opened."""
        self._own[_WEBSOCKETS] += 1
        self._own[_OPEN_WEBSOCKETS] += 1

    def closed_websocket(self) -> None:
        """One websocket has ended."""
        self._own[_OPEN_WEBSOCKETS] -= 1

    def tell(self) -> None:
        """Share the counts with the other workers. Call it once a second."""
        for place, count in enumerate(self._answers):
            self._own[place] = count

    def totals(self) -> ForwardTotals:
        """The counts of all workers; answers of others may be counted a second late."""
        self.tell()
        return ForwardTotals(self._numbers.totals())


class ForwardTotals:
    """The totals at one moment."""

    def __init__(self, numbers: list[float]) -> None:
        self.answers = dict(zip(CLASSES, numbers, strict=False))
        self.failures = {code: numbers[place] for code, place in _PLACES.items()}
        self.broken_off = numbers[_BROKEN_OFF]
        self.websockets = numbers[_WEBSOCKETS]
        self.open_websockets = numbers[_OPEN_WEBSOCKETS]
