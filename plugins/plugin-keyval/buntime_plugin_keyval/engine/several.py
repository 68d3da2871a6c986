"""Reads of several ranges, and behind their first entries, made of reads of one range.

Ranges are disjoint and in order. Each is read by itself, so a concurrent write may be in the part
of one and not yet in that of another, as between two pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.engine.cursors import continue_at
from buntime_plugin_keyval.engine.store_reads import StoreReads
from buntime_plugin_keyval.model.where import OfPattern, OfType, Wanted, Where
from buntime_plugin_keyval.storage.ranges import KeyRange, joined
from buntime_plugin_keyval.storage.within import JoinedPage, Page, Text, refuse_long_list


def snapshot_of(
    ranges: Sequence[KeyRange], offset: int, where: Wanted | None
) -> tuple[KeyRange, Where | OfType | None]:
    """The one range of a snapshot's pages, and the condition on its entries.

    Raises `InvalidInput` for any other selection.
    """
    if offset or len(ranges) > 1 or isinstance(where, OfPattern):
        raise InvalidInput(
            "A snapshot is of one range from its first entry on: leave out snapshot, or pattern,"
            " offset and all prefixes but one"
        )
    return ranges[0], where


async def behind(
    store: StoreReads,
    ranges: Sequence[KeyRange],
    offset: int,
    *,
    reverse: bool = False,
    where: Wanted | None = None,
) -> list[KeyRange]:
    """The parts of ranges behind their first entries."""
    if not offset:
        return list(ranges)
    rest = list(reversed(ranges)) if reverse else list(ranges)
    while offset and rest:
        first = await store.behind(rest[0], offset, reverse=reverse, where=where)
        if first is not None:
            rest[0] = first
            break
        # A range that is passed over, unless entries came meanwhile: then by as many more.
        offset -= min(offset, await store.count(rest[0], where=where))
        del rest[0]
    return joined(rest)


def continue_behind(ranges: Sequence[KeyRange], key: bytes, *, reverse: bool) -> list[KeyRange]:
    """The parts of ranges that follow a key."""
    return joined([it.before(key) if reverse else it.after(key) for it in ranges])


async def list_several(
    store: StoreReads,
    ranges: Sequence[KeyRange],
    *,
    limit: int,
    offset: int = 0,
    reverse: bool = False,
    where: Wanted | None = None,
    shape: Shape = PLAIN,
) -> Text:
    """The first entries as the inside of a JSON array. Raises `LimitExceeded`."""
    page = await page_of_several(
        store, ranges, limit=limit, offset=offset, reverse=reverse, where=where, shape=shape
    )
    if page.has_more and page.number < limit:
        refuse_long_list(store.limits.answer_bytes)
    return page.entries


async def page_of_several(
    store: StoreReads,
    ranges: Sequence[KeyRange],
    *,
    limit: int,
    cursor: str | None = None,
    offset: int = 0,
    reverse: bool = False,
    where: Wanted | None = None,
    shape: Shape = PLAIN,
) -> Page:
    """The page of the entries that starts at the cursor, or behind so many entries.

    It ends before the limit where an answer has no room for more.
    """
    rest = joined([continue_at(keys, cursor, reverse=reverse) for keys in ranges])
    rest = await behind(store, rest, offset, reverse=reverse, where=where)
    whole = JoinedPage(limit, store.limits.answer_bytes)
    for keys in reversed(rest) if reverse else rest:
        if whole.is_full:
            if await store.has_any(keys, where=where):
                return whole.page(has_more=True)
            continue
        options: dict[str, Any] = {"reverse": reverse, "where": where, "shape": shape}
        page = await store.page_within(keys, limit=whole.left, **options)
        if not whole.take(page):
            return whole.page(has_more=True)
    return whole.page(has_more=False)


async def count_several(
    store: StoreReads,
    ranges: Sequence[KeyRange],
    *,
    offset: int = 0,
    limit: int | None = None,
    where: Wanted | None = None,
) -> int:
    """Number of entries behind the first ones, up to a limit."""
    found = sum([await store.count(keys, where=where) for keys in ranges]) - offset
    return max(0, found if limit is None else min(found, limit))
