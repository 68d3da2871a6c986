"""Durations and the rules of `expiresIn`."""

from __future__ import annotations

import pytest
from buntime_keyval.wire import BigInt, InvalidInput, parse_duration, parse_expires_in

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
YEAR = 365.25 * DAY


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("100", 100),
        ("0", 0),
        ("-3", -3),
        (".5s", 500),
        ("-.5h", -HOUR / 2),
        ("1.5h", 5_400_000),
        ("500ms", 500),
        ("1 ms", 1),
        ("2   s", 2 * SECOND),
        ("-10 m", -10 * MINUTE),
        *[(f"2{unit}", 2) for unit in ("ms", "msec", "msecs", "millisecond", "milliseconds")],
        *[(f"2{unit}", 2 * SECOND) for unit in ("s", "sec", "secs", "second", "seconds")],
        *[(f"2{unit}", 2 * MINUTE) for unit in ("m", "min", "mins", "minute", "minutes")],
        *[(f"2{unit}", 2 * HOUR) for unit in ("h", "hr", "hrs", "hour", "hours")],
        *[(f"2{unit}", 2 * DAY) for unit in ("d", "day", "days")],
        *[(f"2{unit}", 14 * DAY) for unit in ("w", "week", "weeks")],
        *[(f"2{unit}", 2 * YEAR) for unit in ("y", "yr", "yrs", "year", "years")],
        ("3H", 3 * HOUR),
        ("3 DAYS", 3 * DAY),
        ("1" + "0" * 97 + "ms", 1e97),
    ],
)
def test_text(text: str, milliseconds: float) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("number", [0, 1, -5, 1.5, 2**60])
def test_numbers_are_milliseconds(number: float) -> None:
    assert parse_duration(number) == number


@pytest.mark.parametrize(
    "junk",
    [
        "", " ", "s", "1 fortnight", "1h30m", " 1s", "1s ", "1\ts", "--1s", "1.s", "1..5s", "1,5s",
        "0x10", "1e3", "∞", "١s", "ms1", "+1s", "1" + "0" * 100,
    ],
)  # fmt: skip
def test_junk_is_refused_with_the_text(junk: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid duration format: ") as caught:
        parse_duration(junk)
    assert junk[:90] in str(caught.value)


@pytest.mark.parametrize("junk", [None, True, [], {}])
def test_other_types_are_refused(junk: object) -> None:
    with pytest.raises(InvalidInput, match="Invalid duration format"):
        parse_duration(junk)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_numbers_that_are_no_duration(number: float) -> None:
    with pytest.raises(InvalidInput, match="Invalid duration"):
        parse_duration(number)
    with pytest.raises(InvalidInput, match="expiresIn must be a number"):
        parse_expires_in(number)


@pytest.mark.parametrize(
    ("raw", "milliseconds"),
    [
        (None, None),
        (1, 1),
        (1.2, 2),
        ("0.001s", 1),
        (0.1, 1),
        ("1h", HOUR),
        ("500", 500),
        (BigInt(5), 5),
        (2**31, 2**31),
        (1e300, 2**53 - 1),
        ("1000000 years", 2**53 - 1),
    ],
)
def test_expires_in(raw: object, milliseconds: int | None) -> None:
    assert parse_expires_in(raw) == milliseconds


@pytest.mark.parametrize("raw", [0, -1, "0", "-1s", -0.0, "0ms"])
def test_expires_in_must_be_positive(raw: object) -> None:
    with pytest.raises(InvalidInput, match=r"^expiresIn must be a positive number \(millisec"):
        parse_expires_in(raw)


@pytest.mark.parametrize("raw", ["", "soon", "1h30m", True, [], {"ms": 5}])
def test_expires_in_must_be_a_duration(raw: object) -> None:
    with pytest.raises(InvalidInput, match=r"^expiresIn must be a number \(milliseconds\)"):
        parse_expires_in(raw)
