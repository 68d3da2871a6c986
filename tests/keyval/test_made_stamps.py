"""Versionstamps as one process makes them, without a database."""

from __future__ import annotations

import re
import uuid

import pytest
from buntime_plugin_keyval.model.versionstamps import Stamps, milliseconds_of, tail_of

NOW_MS = 1_700_000_000_000
ANOTHER = "-8000-000000000001"


def test_stamps_of_one_moment_grow_into_the_next_milliseconds() -> None:
    stamps = Stamps()
    made = [stamps.make(NOW_MS) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert made[0].startswith("018bcfe5-6800-7000-")
    assert made[4095].startswith("018bcfe5-6800-7fff-")
    assert made[4096].startswith("018bcfe5-6801-7000-")
    assert stamps.newest_ms == NOW_MS + 2


def test_the_random_parts_of_stamps_are_those_of_uuids_and_all_differ() -> None:
    stamps = Stamps()
    made = [uuid.UUID(stamps.make(NOW_MS + number)) for number in range(5_000)]
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    tails = [tail_of(str(one)) for one in made]
    assert len(set(tails)) == len(tails)
    assert all(re.fullmatch("[89ab][0-9a-f]{3}-[0-9a-f]{12}", tail) for tail in tails)
    # Each digit takes all of its values, the first one but the four of the variant.
    assert [len(set(digits)) for digits in zip(*tails, strict=True)] == [
        4,
        *[16] * 3,
        1,
        *[16] * 12,
    ]


def test_a_clock_that_was_set_back_makes_greater_stamps_all_the_same() -> None:
    stamps = Stamps()
    before = stamps.make(NOW_MS)
    after = stamps.make(NOW_MS - 5_000)
    assert before < after
    assert milliseconds_of(after) == NOW_MS


@pytest.mark.parametrize("count", ["000", "0ff", "7fe", "fff"])
def test_stamps_follow_one_that_was_learned(count: str) -> None:
    stamps = Stamps()
    stamps.make(NOW_MS)
    learned = f"018bcfe5-6900-7{count}{ANOTHER}"
    stamps.learn(learned)
    assert stamps.newest_ms == NOW_MS + 256
    following = stamps.make(NOW_MS)
    assert following > learned
    number = int(f"018bcfe56900{count}", 16) + 1
    assert int(following.replace("-7", "").replace("-", "")[:15], 16) == number


@pytest.mark.parametrize(
    "ignored",
    [f"018bcfe5-67ff-7fff{ANOTHER}", f"ffffffff-ffff-7fff{ANOTHER}", "018bcfe5-6900", ""],
    ids=["older", "the far future", "another form", "none"],
)
def test_what_is_no_newer_stamp_is_not_learned(ignored: str) -> None:
    stamps = Stamps()
    stamps.make(NOW_MS)
    stamps.learn(ignored)
    assert stamps.newest_ms == NOW_MS
    assert stamps.make(NOW_MS).startswith("018bcfe5-6800-7001-")
