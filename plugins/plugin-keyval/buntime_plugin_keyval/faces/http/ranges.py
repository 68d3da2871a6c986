"""Endpoints for ranges of keys: listing, counting, pages, and deletions."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any

from buntime_keyval.shared import EVERY_TEXT
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.engine.cursors import make_cursor
from buntime_plugin_keyval.engine.several import (
    behind,
    count_several,
    list_several,
    page_of_several,
    snapshot_of,
)
from buntime_plugin_keyval.faces.http.keys import Deletion, deleted, deletion
from buntime_plugin_keyval.model.where import OfType, Wanted, Where, count_conditions, wanted_of
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import (
    Elsewhere,
    Text,
    are_long,
    spliced,
    spliced_beside,
)
from buntime_plugin_keyval.requests.asked import NO_KEYS, Asked, Cost, Keys, Request, Route
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.ranges import KeyRange, Selectors, listing_range
from buntime_plugin_keyval.storage.within import Page

DELETE_LIMIT = kinds.count_up_to(MAX_LIMIT)
"""Not clamped like other limits: a deletion of fewer entries than asked would go unnoticed."""


_EVERY_TEXT = encode_key(("",))


class SelectedEntries(RequestShape, frozen=True, kw_only=True):
    """The entries in question."""

    prefix: Annotated[bytes, kinds.PREFIX] = b""
    prefixes: Annotated[list[bytes] | None, kinds.PREFIXES] = None
    starts_with: Annotated[bytes | None, kinds.BEGINNING] = None
    pattern: Annotated[tuple[bytes, ...] | None, kinds.PATTERN] = None
    start: Annotated[bytes | None, kinds.BOUND] = None
    end: Annotated[bytes | None, kinds.BOUND] = None
    type: Annotated[str | None, kinds.TYPE] = None
    offset: Annotated[int, kinds.OFFSET] = 0
    """The number of entries to skip."""
    where: Annotated[Where | None, kinds.FILTER] = None

    @property
    def selectors(self) -> Selectors:
        """The selectors of the keys."""
        return Selectors(
            self.prefix, self.prefixes, self.starts_with, self.start, self.end, self.pattern
        )

    @property
    def wanted(self) -> Wanted | None:
        """What is wanted of the entries there; None if all of them are."""
        return wanted_of(self.where, self.type, self.pattern)

    @property
    def is_in_one_range(self) -> bool:
        """Whether the entries are those below one prefix, from the first one on."""
        others = (self.prefixes, self.starts_with, self.pattern)
        return all(it is None for it in others) and not self.offset


class DeletionBelow(SelectedEntries, frozen=True, kw_only=True):
    exact: Annotated[bool, kinds.FLAG] = False
    limit: Annotated[int | None, DELETE_LIMIT] = None

    @property
    def is_prefix_alone(self) -> bool:
        """Whether it has only a prefix, and perhaps a filter."""
        others = (self.start, self.end, self.type, self.limit)
        return self.is_in_one_range and all(it is None for it in others)


class Ranged(SelectedEntries, frozen=True, kw_only=True):
    """The entries to read, their order, and what to return of each."""

    values: Annotated[bool, kinds.FLAG] = True
    details: Annotated[bool, kinds.FLAG] = False
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """`strong` reads from the primary."""
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT
    reverse: Annotated[bool, kinds.FLAG] = False

    @property
    def entry_shape(self) -> Shape:
        """What to return of each entry."""
        return Shape(self.values, self.details)


class Listing(Ranged, frozen=True, kw_only=True):
    snapshot: Annotated[bool, kinds.FLAG] = False
    """Without effect: a list is one read."""


class PageRequest(Ranged, frozen=True, kw_only=True):
    cursor: Annotated[str | None, kinds.TEXT] = None
    snapshot: Annotated[bool, kinds.FLAG] = False
    """Whether all pages are to show one state of the store."""


class Counting(SelectedEntries, frozen=True, kw_only=True):
    limit: Annotated[int | None, kinds.UP_TO] = None
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """`strong` counts on the primary."""


def delete_prefix(service: KeyValService, request: Request[DeletionBelow]) -> Asked:
    """`DELETE /keys`: delete the entries below a prefix, like `DELETE /keys/<path>`.

    Never deletes the whole store by accident.
    """
    given = request.given
    if given.prefix and given.is_prefix_alone:
        below = Deletion(exact=given.exact, where=given.where)
        return deletion(service, [given.prefix], below, request.once)
    selects = given.prefix or given.prefixes or given.starts_with or given.pattern or given.type
    if not selects and (given.start is None or given.end is None):
        raise InvalidInput(
            "Missing 'prefix' query parameter: name what to delete, by prefix, prefixes,"
            " startsWith, pattern or type, or by start and end"
        )
    if given.starts_with == _EVERY_TEXT:
        raise InvalidInput(EVERY_TEXT)
    if given.exact:
        raise InvalidInput("exact is for keys, and not for ranges of them: leave it out")
    ranges, wanted = given.selectors.at_and_below(), given.wanted

    async def run() -> str:
        rest = await behind(service.store, ranges, given.offset, where=wanted)
        return await deleted(
            service.store.delete_ranges(rest, limit=given.limit, where=wanted, once=request.once)
        )

    writes = Keys(ranges=ranges)
    cost = Cost(given.limit, count_conditions(wanted), given.offset)
    # Entries left before an offset reveal keys, and those that a filter leaves reveal values.
    tells = wanted is not None or given.offset or given.limit is not None
    return Asked("delete", "write", run, writes if tells else NO_KEYS, writes, cost)


def list_keys(service: KeyValService, request: Request[Listing]) -> Asked:
    """`GET /keys`, `POST /keys/list`: list entries in the order of their keys."""
    given = request.given
    if not given.is_in_one_range:
        return _list_several(service, given)
    keys = listing_range(given.prefix, given.start, given.end)
    wanted = given.wanted

    def run() -> Text | Coroutine[Any, Any, Text]:
        limit, reverse, shape = given.limit, given.reverse, given.entry_shape
        if wanted is None:
            entries = service.store.list_soon(keys, limit=limit, reverse=reverse, shape=shape)
            if isinstance(entries, str | bytes):
                return spliced("[", (entries,), "]")
            return _listed(entries)
        filtered = service.store.list_within(
            keys, limit=limit, reverse=reverse, where=wanted, shape=shape
        )
        return _listed(filtered)

    return Asked("list", "read", run, reads=Keys(ranges=(keys,)), cost=_cost(given.limit, wanted))


def _list_several(service: KeyValService, given: Listing) -> Asked:
    ranges, wanted = given.selectors.below(), given.wanted

    async def run() -> Text:
        entries = await list_several(
            service.store,
            ranges,
            limit=given.limit,
            offset=given.offset,
            reverse=given.reverse,
            where=wanted,
            shape=given.entry_shape,
        )
        return await spliced_beside("[", (entries,), "]")

    cost = _cost(given.limit, wanted, given.offset)
    return Asked("list", "read", run, reads=Keys(ranges=ranges), cost=cost)


def count_keys(service: KeyValService, request: Request[Counting]) -> Asked:
    """`GET /keys/count`, `POST /keys/count`: count entries, all or those of a prefix."""
    given = request.given
    ranges, wanted = given.selectors.below(), given.wanted

    async def run() -> str:
        number = await count_several(
            service.store, ranges, offset=given.offset, limit=given.limit, where=wanted
        )
        return count_json(number)

    cost = Cost(None, count_conditions(wanted))
    return Asked("count", "read", run, reads=Keys(ranges=ranges), cost=cost)


def paginate_keys(service: KeyValService, request: Request[PageRequest]) -> Asked:
    """`GET /keys/paginate`, `POST /keys/paginate`: list entries, a page at a time."""
    given = request.given
    if given.offset and given.cursor:
        raise InvalidInput("offset is for the first page: leave it out with a cursor")
    if given.snapshot:
        return _snapshot_page(service, given)
    if not given.is_in_one_range:
        return _page_of_several(service, given)
    keys = listing_range(given.prefix, given.start, given.end)
    wanted = given.wanted

    def run() -> Text | Coroutine[Any, Any, Text]:
        limit, cursor, reverse = given.limit, given.cursor, given.reverse
        shape = given.entry_shape
        if wanted is None:
            page = service.store.page_soon(
                keys, limit=limit, cursor=cursor, reverse=reverse, shape=shape
            )
            if not isinstance(page, Page):
                return _paged(page)
            if are_long((page.entries,)):
                return page_json(page)
            return spliced(_PAGE_HEAD, (page.entries,), _page_tail(_cursor_behind(page)))
        filtered = service.store.page_within(
            keys, limit=limit, cursor=cursor, reverse=reverse, where=wanted, shape=shape
        )
        return _paged(filtered)

    cost = _cost(given.limit, wanted)
    return Asked("paginate", "read", run, reads=Keys(ranges=(keys,)), cost=cost)


def _snapshot_page(service: KeyValService, given: PageRequest) -> Asked:
    keys, condition = snapshot_of(given.selectors.below(), given.offset, given.wanted)
    cost = _cost(given.limit, condition)
    if not (given.cursor or service.store.adapter.capabilities.embedded):
        cost = Cost(None, cost.conditions)  # the first page may collect the entries of all pages
    run = partial(_page_of_snapshot, service, keys, condition, given)
    return Asked("paginate", "read", run, reads=Keys(ranges=(keys,)), cost=cost)


def _page_of_several(service: KeyValService, given: PageRequest) -> Asked:
    ranges, wanted = given.selectors.below(), given.wanted

    async def run() -> Text:
        page = await page_of_several(
            service.store,
            ranges,
            limit=given.limit,
            cursor=given.cursor,
            offset=given.offset,
            reverse=given.reverse,
            where=wanted,
            shape=given.entry_shape,
        )
        return await page_json(page)

    cost = _cost(given.limit, wanted, given.offset)
    return Asked("paginate", "read", run, reads=Keys(ranges=ranges), cost=cost)


async def _page_of_snapshot(
    service: KeyValService, keys: KeyRange, where: Where | OfType | None, given: PageRequest
) -> Text:
    snapshots = service.snapshots

    async def here() -> Text:
        page = await snapshots.page(
            keys,
            limit=given.limit,
            cursor=given.cursor,
            reverse=given.reverse,
            where=where,
            shape=given.entry_shape,
        )
        return await _page_json(page.entries, page.cursor)

    worker = snapshots.worker_of(given.cursor)
    if worker is not None:
        raise Elsewhere(worker, here)
    return await here()


DELETE_BELOW = Route(delete_prefix, DeletionBelow, MemberPlace.EITHER)
LIST = Route(list_keys, Listing)
LIST_BY_BODY = Route(list_keys, Listing, MemberPlace.BODY)
COUNT = Route(count_keys, Counting)
COUNT_BY_BODY = Route(count_keys, Counting, MemberPlace.BODY)
PAGINATE = Route(paginate_keys, PageRequest)
PAGINATE_BY_BODY = Route(paginate_keys, PageRequest, MemberPlace.BODY)


async def _listed(finding: Awaitable[Text]) -> Text:
    return await spliced_beside("[", (await finding,), "]")


def _cost(limit: int, where: Wanted | None, offset: int = 0) -> Cost:
    """The cost of finding entries: with a filter it is unknown how many have to be tested."""
    if where is None:
        return Cost(limit, passed=offset)
    return Cost(None, count_conditions(where), offset)


def count_json(count: int) -> str:
    return f'{{"count":{count}}}'


async def page_json(page: Page) -> Text:
    return await _page_json((page.entries,), _cursor_behind(page))


async def _paged(finding: Awaitable[Page]) -> Text:
    return await page_json(await finding)


async def _page_json(entries: Sequence[Text], cursor: str | None) -> Text:
    return await spliced_beside(_PAGE_HEAD, entries, _page_tail(cursor))


_PAGE_HEAD = '{"entries":['


def _page_tail(cursor: str | None) -> str:
    if cursor is None:
        return '],"cursor":null,"hasMore":false}'
    return f'],"cursor":"{cursor}","hasMore":true}}'


def _cursor_behind(page: Page) -> str | None:
    return make_cursor(page.last) if page.has_more and page.last is not None else None
