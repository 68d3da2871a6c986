# Made by scripts/unasync from _async/test_cursors.py: change that one.
"""Lists that go on while what is before, at and after their place is deleted and inserted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from buntime_keyval import Kv

COUNT = 60
PAGE = 7


def even(number: int) -> list[Any]:
    return ["c", number * 2]


@pytest.fixture
def filled(api: str) -> Iterator[Kv]:
    with Kv(api) as kv:
        fill(kv)
        yield kv


def fill(kv: Kv) -> None:
    builder = kv.atomic()
    for number in range(COUNT):
        builder.set(even(number), number * 2)
    builder.commit()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_twice_and_nothing_lost(filled: Kv, reverse: bool, seed: int) -> None:
    """What stays all the time is seen once; what comes or goes meanwhile at most once."""
    kv, dice = filled, random.Random(seed)
    stays = {number * 2 for number in range(COUNT)}
    seen: list[int] = []
    for entry in kv.list(["c"], page_size=PAGE, reverse=reverse):
        place = int(entry.key[1])
        seen.append(place)
        builder = kv.atomic()
        # The entry itself, those beside it, and others anywhere.
        victims = {place, place - 2, place + 2, dice.randrange(COUNT) * 2}
        for victim in victims & stays:
            builder.delete(["c", victim])
        stays -= victims
        for new in (place - 1, place + 1, dice.randrange(COUNT) * 2 + 1):
            if new > 0:
                builder.set(["c", new], new)
        builder.commit()
    assert len(seen) == len(set(seen)), "something came twice"
    assert stays <= set(seen), "something that was there all the time is missing"
    assert seen == sorted(seen, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cursor_whose_entry_is_gone_goes_on_behind_it(filled: Kv, reverse: bool) -> None:
    kv = filled
    page = kv.paginate(["c"], limit=PAGE, reverse=reverse)
    last = page.entries[-1].key
    before = [int(entry.key[1]) for entry in page.entries]
    kv.delete(last, exact=True)
    kv.delete(["c", before[0]], exact=True)
    kv.set(["c", before[0] + (1 if reverse else -1)], "before")  # where the list has been
    rest: list[Any] = []
    cursor: str | None = page.cursor
    while cursor is not None:
        page = kv.paginate(["c"], limit=PAGE, cursor=cursor, reverse=reverse)
        rest += [entry.key[1] for entry in page.entries]
        cursor = page.cursor
    everything = sorted((number * 2 for number in range(COUNT)), reverse=reverse)
    assert before + rest == everything


def test_everything_behind_the_cursor_goes(filled: Kv) -> None:
    kv = filled
    page = kv.paginate(["c"], limit=PAGE)
    kv.delete(["c"])
    page = kv.paginate(["c"], limit=PAGE, cursor=page.cursor)
    assert (page.entries, page.cursor, page.has_more) == ([], None, False)
    kv.set(["c", 10**6], 1)
    assert [entry.key for entry in kv.list(["c"])] == [("c", 10**6)]


def test_a_list_that_deletes_what_it_shows(filled: Kv) -> None:
    kv = filled
    seen = []
    for entry in kv.list(["c"], page_size=PAGE):
        seen.append(entry.value)
        kv.delete(entry.key)
    assert seen == [number * 2 for number in range(COUNT)]
    assert kv.count() == 0


def test_a_list_that_feeds_itself_ends(filled: Kv) -> None:
    """Each entry brings one behind all others: the list sees them, up to its limit."""
    kv = filled
    seen = 0
    for entry in kv.list(["c"], page_size=PAGE, limit=COUNT * 3):
        seen += 1
        kv.set(["c", 10**6 + seen], entry.value)
    assert seen == COUNT * 3


def test_a_snapshot_shows_what_was_there_at_its_beginning(filled: Kv) -> None:
    kv = filled
    seen = []
    for entry in kv.list(["c"], page_size=PAGE, snapshot=True):
        seen.append(entry.value)
        if len(seen) == 1:
            kv.delete(["c"])
            kv.set(["c", 1], "new")
    assert seen == [number * 2 for number in range(COUNT)]
