"""Counts of requests by route: how many, how they ended, how long they took, how many run.

The counts are in the memory that all workers share, a row for each method and route. Both are from
fixed sets, so requests for unknown paths cannot fill it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from buntime_host.workers import Workers

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from buntime_host.workers import Doubles

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the histogram's buckets in seconds; one more bucket has what takes longer."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
OTHER_METHOD = "OTHER"

MOST_ROWS = 150
"""Beyond so many, requests are counted as those of `OTHER_ROUTE`. Each takes 240 bytes."""
OTHER_ROUTE = "(other)"
NO_ROUTE = "(none)"
"""The route of requests that no plugin serves."""

_PREFIX = "http:"
_MOST_NAME_BYTES = 64
_RUNNING, _SECONDS, _CLASSES = 0, 1, 2
_BUCKETS = _CLASSES + 5
_CLASS_OF = (0, 0, 1, 2, 3, 4, 4, 4, 4, 4)
"""Classes of statuses, by their first digit."""
_SIZE = _BUCKETS + len(BOUNDS) + 1


class HttpNumbers:
    """Counts the requests of this worker."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._rows: dict[str, dict[str, Doubles]] = {method: {} for method in METHODS}
        """Rows by method and route."""
        self._other = self._allocated(OTHER_METHOD, OTHER_ROUTE)
        if workers.took_over:  # requests of the predecessor of this process run no more
            for name in workers.names(_PREFIX):
                workers.numbers(name, _SIZE).own[_RUNNING] = 0

    def begun(self, method: str, route: str) -> Doubles:
        """Count a request that begins; return its row."""
        row = self.row(method, route)
        row[_RUNNING] += 1
        return row

    def row(self, method: str, route: str) -> Doubles:
        """The row of requests with this method and route."""
        try:
            return self._rows[method][route]
        except KeyError:
            return self._new_row(method, route)

    def _new_row(self, method: str, route: str) -> Doubles:
        known = method if method in METHODS else OTHER_METHOD
        if sum(map(len, self._rows.values())) >= MOST_ROWS:
            return self._other
        try:
            row = self._allocated(known, route)
        except MemoryError:  # plugins have taken it
            return self._other
        if known == method:
            self._rows[method][route] = row
        return row

    def _allocated(self, method: str, route: str) -> Doubles:
        return self._workers.numbers(_name(method, route), _SIZE).own

    def totals(self) -> Iterator[Totals]:
        """The counts of all workers, by method and route."""
        for name in self._workers.names(_PREFIX):
            method, _, route = name.removeprefix(_PREFIX).partition(" ")
            row = self._workers.numbers(name, _SIZE).totals()
            if any(row):
                yield Totals(method, route, row)


class Totals(NamedTuple):
    """The counts of a method and route."""

    method: str
    route: str
    row: list[float]

    @property
    def running(self) -> float:
        """Requests that are not answered completely."""
        return self.row[_RUNNING]

    @property
    def seconds(self) -> float:
        """Sum of the times until answers began."""
        return self.row[_SECONDS]

    def classes(self) -> Iterator[tuple[str, float]]:
        """The number of answers of each class of statuses, as `2xx`."""
        for number, count in enumerate(self.row[_CLASSES:_BUCKETS], 1):
            if count:
                yield f"{number}xx", count

    def buckets(self) -> list[tuple[str, float]]:
        """The histogram as Prometheus has it: how many took no longer than each bound."""
        bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        return list(zip(bounds, accumulate(self.row[_BUCKETS:]), strict=True))


def ended(row: Doubles, status: int, seconds: float) -> None:
    """Count a request that has ended; `seconds` passed until its answer began."""
    row[_RUNNING] -= 1
    at_once(row, status, seconds)


def at_once(row: Doubles, status: int, seconds: float) -> None:
    """Count a request that was answered at once, and never seen as running."""
    row[_SECONDS] += seconds
    row[_CLASSES + _CLASS_OF[status // 100]] += 1
    row[_BUCKETS + bisect_left(BOUNDS, seconds)] += 1


def waits(row: Doubles) -> None:
    """Count a request as running; `ended` ends that."""
    row[_RUNNING] += 1


def withdrawn(row: Doubles) -> None:
    """Take back a request that turned out to be none."""
    row[_RUNNING] -= 1


def http_families(numbers: HttpNumbers) -> list[Metric]:
    """The counts as families of metrics."""
    # Only requests for metrics pay for the library.
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    labels = ["method", "route"]
    requests = CounterMetricFamily(
        "buntime_http_requests", "Requests that have ended", labels=[*labels, "status"]
    )
    durations = HistogramMetricFamily(
        "buntime_http_request_duration_seconds", "Time until an answer began", labels=labels
    )
    running = GaugeMetricFamily(
        "buntime_http_requests_in_flight", "Requests that have not ended", labels=labels
    )
    for totals in numbers.totals():
        values = [totals.method, totals.route]
        for name, count in totals.classes():
            requests.add_metric([*values, name], count)
        durations.add_metric(values, totals.buckets(), totals.seconds)
        running.add_metric(values, totals.running)
    return [requests, durations, running]


def _name(method: str, route: str) -> str:
    """The name of a row; of a long template only the segments that fit."""
    most = _MOST_NAME_BYTES - len(_PREFIX) - len(method) - 1
    encoded = route.encode()
    if len(encoded) > most:
        route = encoded[: most - 2].rpartition(b"/")[0].decode("utf-8", "ignore") + "/*"
    return f"{_PREFIX}{method} {route}"
