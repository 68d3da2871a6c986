"""When schedules are due."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.features.schedules.schedules import times_to_meet
from buntime_plugin_keyval.features.schedules.timing import (
    MOST_CRON,
    Timing,
    checked_cron,
    checked_timezone,
)

LISBON = ZoneInfo("Europe/Lisbon")
"""An hour is missing on 29 March 2026 from 1:00 on, and there twice on 25 October from 1:00 on."""
MINUTE = 60_000
HOUR = 60 * MINUTE


def at(text: str, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=LISBON, fold=fold)
    return round(moment.timestamp() * 1000)


def following(cron: str, after: int, number: int) -> list[str]:
    timing = Timing(cron=cron, timezone="Europe/Lisbon")
    times = islice(timing.following(after, after), number)
    return [datetime.fromtimestamp(ms / 1000, LISBON).isoformat()[5:] for ms in times]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # A time that is not there is the next one that is.
        ("30 1 * * *", "2026-03-28T12:00", ["03-29T02:00:00+01:00", "03-30T01:30:00+01:00"]),
        ("0 1 29 3 *", "2026-03-28T12:00", ["03-29T02:00:00+01:00"]),
        # One that is there twice is due once.
        ("30 1 * * *", "2026-10-24T12:00", ["10-25T01:30:00+01:00", "10-26T01:30:00+00:00"]),
        ("0,30 1 * * *", "2026-10-25T01:10", ["10-25T01:30:00+01:00", "10-26T01:00:00+00:00"]),
        # Those of each hour go on, in the hour that is there twice as well.
        (
            "*/30 * * * *",
            "2026-10-25T00:45",
            [
                *("10-25T01:00:00+01:00", "10-25T01:30:00+01:00"),
                *("10-25T01:00:00+00:00", "10-25T01:30:00+00:00", "10-25T02:00:00+00:00"),
            ],
        ),
        ("*/30 * * * *", "2026-03-29T00:45", ["03-29T02:00:00+01:00", "03-29T02:30:00+01:00"]),
        ("15 * * * *", "2026-10-25T00:30", ["10-25T01:15:00+01:00", "10-25T01:15:00+00:00"]),
        ("@daily", "2026-10-24T12:00", ["10-25T00:00:00+01:00", "10-26T00:00:00+00:00"]),
        ("0 9 * * mon-fri", "2026-11-27T09:00", ["11-30T09:00:00+00:00"]),
        ("0 0 13 * fri", "2026-11-01T12:00", ["11-06T00:00:00+00:00", "11-13T00:00:00+00:00"]),
        ("0 0 29 2 *", "2026-03-01T12:00", ["02-29T00:00:00+00:00"]),
    ],
)
def test_expressions(cron: str, after: str, expected: list[str]) -> None:
    assert following(checked_cron(cron), at(after), len(expected)) == expected


def test_in_the_second_of_two_equal_hours_the_first_is_over() -> None:
    in_second = at("2026-10-25T01:45", fold=1)
    assert following("50 1 * * *", in_second, 1) == ["10-26T01:50:00+00:00"]
    assert following("50 1 * * *", at("2026-10-25T01:45"), 1) == ["10-25T01:50:00+01:00"]


def test_pauses_count_from_the_last_time() -> None:
    timing = Timing(every=10 * MINUTE)
    assert list(islice(timing.following(0, 0), 2)) == [10 * MINUTE, 20 * MINUTE]
    assert timing.next(35 * MINUTE, 7 * MINUTE) == 37 * MINUTE
    assert timing.next(37 * MINUTE, 7 * MINUTE) == 47 * MINUTE
    assert timing.next(0, 7 * MINUTE) == 17 * MINUTE  # a clock that was set back


@pytest.mark.parametrize(
    ("missed", "late", "expected"),
    [
        ("skip", 0, [0]),
        ("skip", MINUTE, [0]),
        ("skip", MINUTE + 1, []),
        ("skip", HOUR, [HOUR]),
        ("skip", 3 * HOUR + 2 * MINUTE, []),
        ("skip", 3 * HOUR + MINUTE, [3 * HOUR]),
        ("once", 0, [0]),
        ("once", 2 * MINUTE, [0]),
        ("once", 3 * HOUR + 2 * MINUTE, [0]),
        ("once", 3 * HOUR, [3 * HOUR]),
        ("all", 0, [0]),
        ("all", 3 * HOUR, [0, HOUR, 2 * HOUR, 3 * HOUR]),
        ("all", 1000 * HOUR, [number * HOUR for number in range(100)]),
    ],
)
@pytest.mark.parametrize("timing", [Timing(cron="0 * * * *"), Timing(every=HOUR)])
def test_missed_times(timing: Timing, missed: str, late: int, expected: list[int]) -> None:
    due = at("2026-11-27T12:00")
    met = times_to_meet(timing, missed, due, due + late)
    assert [ms - due for ms in met] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "must be a text of five fields"),
        ("", "must be a text of five fields"),
        ("* * * *", "received 4"),
        ("* * * * * *", r"must have five fields \(minute, hour.*received 6"),
        ("61 * * * *", "bad minute"),
        ("* * * * mon-xyz", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("@reboot", "must be an expression or one of @hourly"),
        ("1," * MOST_CRON + "1 * * * *", "too long: 521 characters"),
    ],
)
def test_what_is_no_expression_is_refused(value: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"cron.*{reason}"):
        checked_cron(value)


@pytest.mark.parametrize("value", ["", None, "Mars/Base", "../etc/passwd", "/etc/localtime", 7])
def test_what_is_no_time_zone_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="timezone must be the name of a time zone"):
        checked_timezone(value)


def test_spaces_do_not_matter() -> None:
    assert checked_cron("  0   9 * * 1 ") == "0 9 * * 1"
    assert checked_timezone("America/Sao_Paulo") == "America/Sao_Paulo"
