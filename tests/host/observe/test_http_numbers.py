"""The numbers of requests that all workers of a host keep together."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

from buntime_host.observe.http_numbers import (
    MOST_ROWS,
    HttpNumbers,
    ended,
    http_families,
    withdrawn,
)
from buntime_host.routes.metrics import metrics_text
from buntime_host.workers import Group, Workers


def counted(numbers: HttpNumbers) -> dict[tuple[str, str], list[float]]:
    return {(item.method, item.route): item.row for item in numbers.totals()}


def test_workers_count_together_and_a_new_one_goes_on() -> None:
    group = Group(2)
    first, second = (HttpNumbers(Workers(number, group)) for number in range(2))
    ended(first.begun("GET", "/a"), 200, 0.003)
    first.begun("GET", "/a")
    ended(second.begun("GET", "/a"), 404, 20.0)
    withdrawn(second.begun("PUT", "/a"))
    text = metrics_text(http_families(second))
    labels = 'method="GET",route="/a"'
    for line in (
        f'buntime_http_requests_total{{{labels},status="2xx"}} 1',
        f'buntime_http_requests_total{{{labels},status="4xx"}} 1',
        f'buntime_http_request_duration_seconds_bucket{{le="0.0025",{labels}}} 0',
        f'buntime_http_request_duration_seconds_bucket{{le="0.005",{labels}}} 1',
        f'buntime_http_request_duration_seconds_bucket{{le="10",{labels}}} 1',
        f'buntime_http_request_duration_seconds_bucket{{le="+Inf",{labels}}} 2',
        f"buntime_http_request_duration_seconds_sum{{{labels}}} 20.003",
        f"buntime_http_requests_in_flight{{{labels}}} 1",
    ):
        assert line in text.splitlines()
    assert 'method="PUT"' not in text
    # The first worker dies with a request; the next one in its place has none.
    again = HttpNumbers(Workers(0, group))
    assert "buntime_http_requests_in_flight{" + labels + "} 0" in metrics_text(http_families(again))
    group.close()


def test_there_is_an_end_to_the_rows() -> None:
    numbers = HttpNumbers(Workers.alone())
    for number in range(MOST_ROWS + 50):
        ended(numbers.begun("GET", f"/{number}"), 200, 0.1)
    rows = counted(numbers)
    assert len(rows) == MOST_ROWS + 1
    assert rows["OTHER", "(other)"][3] == 50


def test_a_long_template_is_cut_at_a_segment() -> None:
    numbers = HttpNumbers(Workers.alone())
    long = "/base/api/" + "/".join(["segment"] * 8)
    ended(numbers.begun("GET", long), 200, 0.1)
    ((_, route),) = counted(numbers)
    assert route == "/base/api/segment/segment/segment/segment/segment/*"


def test_shared_memory_that_is_full_is_no_error() -> None:
    workers = Workers.alone()
    numbers = HttpNumbers(workers)
    with suppress(MemoryError):
        for number in count():
            workers.numbers(f"plugin.{number}", 10)
    ended(numbers.begun("GET", "/a"), 200, 0.1)
    assert list(counted(numbers)) == [("OTHER", "(other)")]
