"""Lists that go on while what is before, at and after their place is deleted and inserted."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from buntime_keyval import AsyncKv

COUNT = 60
PAGE = 7


def even(number: int) -> list[Any]:
    return ["c", number * 2]


@pytest.fixture
async def filled(api: str) -> AsyncIterator[AsyncKv]:
    async with AsyncKv(api) as kv:
        await fill(kv)
        yield kv


async def fill(kv: AsyncKv) -> None:
    builder = kv.atomic()
    for number in range(COUNT):
        builder.set(even(number), number * 2)
    await builder.commit()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_twice_and_nothing_lost(filled: AsyncKv, reverse: bool, seed: int) -> None:
    """What stays all the time is seen once; what comes or goes meanwhile at most once."""
    kv, dice = filled, random.Random(seed)
    stays = {number * 2 for number in range(COUNT)}
    seen: list[int] = []
    async for entry in kv.list(["c"], page_size=PAGE, reverse=reverse):
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
        await builder.commit()
    assert len(seen) == len(set(seen)), "something came twice"
    assert stays <= set(seen), "something that was there all the time is missing"
    assert seen == sorted(seen, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_cursor_whose_entry_is_gone_goes_on_behind_it(
    filled: AsyncKv, reverse: bool
) -> None:
    kv = filled
    page = await kv.paginate(["c"], limit=PAGE, reverse=reverse)
    last = page.entries[-1].key
    before = [int(entry.key[1]) for entry in page.entries]
    await kv.delete(last, exact=True)
    await kv.delete(["c", before[0]], exact=True)
    await kv.set(["c", before[0] + (1 if reverse else -1)], "before")  # where the list has been
    rest: list[Any] = []
    cursor: str | None = page.cursor
    while cursor is not None:
        page = await kv.paginate(["c"], limit=PAGE, cursor=cursor, reverse=reverse)
        rest += [entry.key[1] for entry in page.entries]
        cursor = page.cursor
    everything = sorted((number * 2 for number in range(COUNT)), reverse=reverse)
    assert before + rest == everything


async def test_everything_behind_the_cursor_goes(filled: AsyncKv) -> None:
    kv = filled
    page = await kv.paginate(["c"], limit=PAGE)
    await kv.delete(["c"])
    page = await kv.paginate(["c"], limit=PAGE, cursor=page.cursor)
    assert (page.entries, page.cursor, page.has_more) == ([], None, False)
    await kv.set(["c", 10**6], 1)
    assert [entry.key async for entry in kv.list(["c"])] == [("c", 10**6)]


async def test_a_list_that_deletes_what_it_shows(filled: AsyncKv) -> None:
    kv = filled
    seen = []
    async for entry in kv.list(["c"], page_size=PAGE):
        seen.append(entry.value)
        await kv.delete(entry.key)
    assert seen == [number * 2 for number in range(COUNT)]
    assert await kv.count() == 0


async def test_a_list_that_feeds_itself_ends(filled: AsyncKv) -> None:
    """Each entry brings one behind all others: the list sees them, up to its limit."""
    kv = filled
    seen = 0
    async for entry in kv.list(["c"], page_size=PAGE, limit=COUNT * 3):
        seen += 1
        await kv.set(["c", 10**6 + seen], entry.value)
    assert seen == COUNT * 3


async def test_a_snapshot_shows_what_was_there_at_its_beginning(filled: AsyncKv) -> None:
    kv = filled
    seen = []
    async for entry in kv.list(["c"], page_size=PAGE, snapshot=True):
        seen.append(entry.value)
        if len(seen) == 1:
            await kv.delete(["c"])
            await kv.set(["c", 1], "new")
    assert seen == [number * 2 for number in range(COUNT)]
