"""Endpoints of full-text search: `/indexes` and `/search`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec
from buntime_host import Answer
from buntime_keyval import SearchIndex
from buntime_keyval.wire import InvalidInput, Key, encode_key, key_to_json
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.searching import HitMarks

from buntime_plugin_keyval.features.search.indexes import parse_options
from buntime_plugin_keyval.features.search.pages import (
    FoundPage,
    make_search_cursor,
    parse_search_cursor,
)
from buntime_plugin_keyval.features.search.search import Search
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.model.where import Where, count_conditions
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import Text, spliced_beside, truth
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request, Route, Routes
from buntime_plugin_keyval.requests.permissions import INDEX_ADMIN
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.storage.ranges import subtree
from buntime_plugin_keyval.storage.searching import SearchOptions

OK = '{"ok":true}'


class IndexCreation(RequestShape, frozen=True, kw_only=True):
    """The index to make. Clients send its options in `options`, or beside the prefix."""

    OVERRIDES: ClassVar[str] = "options"
    OVERRIDING: ClassVar[frozenset[str]] = frozenset({"fields", "tokenize"})

    prefix: Annotated[Key, kinds.NAMED_PREFIX]
    fields: Annotated[object, kinds.FIELDS] = None
    tokenize: Annotated[object, kinds.TOKENIZER] = None


class IndexRemoval(RequestShape, frozen=True, kw_only=True):
    prefix: Annotated[Key | None, kinds.NAMED_PREFIX] = None


class SearchRequest(RequestShape, frozen=True, kw_only=True):
    """What to search for, with options in `options`, or beside prefix and query."""

    OVERRIDES: ClassVar[str] = "options"
    OVERRIDING: ClassVar[frozenset[str]] = frozenset(
        {
            "limit", "reverse", "where", "start", "end", "weights", "highlight", "snippet", "fuzzy",
            "consistency",
        }
    )  # fmt: skip

    prefix: Annotated[Key, kinds.NAMED_PREFIX]
    query: Annotated[str, kinds.NAMED_TEXT]
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT
    reverse: Annotated[bool, kinds.FLAG] = False
    where: Annotated[Where | None, kinds.FILTER] = None
    start: Annotated[bytes | None, kinds.BOUND] = None
    end: Annotated[bytes | None, kinds.BOUND] = None
    weights: Annotated[Mapping[str, float], kinds.WEIGHTS] = msgspec.field(default_factory=dict)
    highlight: Annotated[HitMarks | None, kinds.MARKS] = None
    snippet: Annotated[int | None, kinds.SNIPPET] = None
    fuzzy: Annotated[bool, kinds.FLAG] = False
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """`strong` searches on the primary."""

    def options(self, cursor: str | None = None) -> SearchOptions:
        """The options for `Search`. Raises `InvalidInput` for a bad cursor."""
        return SearchOptions(
            limit=self.limit,
            offset=parse_search_cursor(cursor),
            reverse=self.reverse,
            where=self.where,
            start=self.start,
            end=self.end,
            weights=self.weights,
            highlight=self.highlight,
            snippet_words=self.snippet,
            fuzzy=self.fuzzy,
        )


class SearchPaging(SearchRequest, frozen=True, kw_only=True):
    OVERRIDING: ClassVar[frozenset[str]] = SearchRequest.OVERRIDING | {"cursor", "explain"}

    cursor: Annotated[str | None, kinds.TEXT] = None
    explain: Annotated[bool, kinds.FLAG] = False
    """Whether to explain how hits were found, and their scores."""


def create_index(part: Search, request: Request[IndexCreation]) -> Asked:
    """`POST /indexes`: make an index of a prefix; options in `options`, or beside the prefix."""
    given = request.given
    options = parse_options(given.fields, given.tokenize)

    async def run() -> str:
        await part.create_index(given.prefix, options, request.once)
        return OK

    reads = Keys(ranges=(subtree(encode_key(given.prefix)),))
    return Asked("index_create", "admin", run, reads=reads, cost=Cost(None), read_scope=INDEX_ADMIN)


def list_indexes(part: Search, request: Request[RequestShape]) -> Asked:
    """`GET /indexes`: list all indexes."""

    async def run() -> str:
        infos = [_info_json(info) for info in await part.list_indexes()]
        return f"[{','.join(infos)}]"

    return Asked("index_list", "read", run, needs=(INDEX_ADMIN,))


def remove_index(part: Search, request: Request[IndexRemoval]) -> Asked:
    """`DELETE /indexes`: remove the index of the prefix in the query or the body."""
    prefix = request.given.prefix
    if prefix is None:
        raise InvalidInput("Missing 'prefix' query parameter")

    async def run() -> str:
        await part.remove_index(prefix, request.once)
        return OK

    reads = Keys(ranges=(subtree(encode_key(prefix)),))
    return Asked("index_remove", "admin", run, reads=reads, read_scope=INDEX_ADMIN)


def search(part: Search, request: Request[SearchRequest]) -> Asked:
    """`GET /search`, `POST /search`: find entries by their words, the best first."""
    given = request.given
    options = given.options()._replace(most_bytes=part.store.limits.answer_bytes)

    async def run() -> Answer:
        page = await part.search(given.prefix, given.query, options)
        if page.has_more and page.limit is not None and page.limit < options.limit:
            what = f"Answer too large: there is room for {page.limit} hits"
            most = part.store.limits.answer_bytes
            raise LimitExceeded(what, "answerBytes", most, _SMALLER_SEARCH)
        return await _answer_hits(page)

    return Asked("search", "read", run, reads=_searched(given), cost=_cost(given))


_SMALLER_SEARCH = "use pages (/search/paginate), or fewer hits with limit"


def paginate_search(part: Search, request: Request[SearchPaging]) -> Asked:
    """`POST /search/paginate`: find entries by their words, a page at a time."""
    given = request.given
    most = part.store.limits.answer_bytes
    options = given.options(given.cursor)._replace(most_bytes=most, explain=given.explain)

    async def run() -> Text:
        page = await part.search(given.prefix, given.query, options)
        if page.limit is not None:
            return await _page_json(page, options._replace(limit=page.limit))
        return await _page_json(page, options)

    return Asked("search", "read", run, reads=_searched(given), cost=_cost(given))


ROUTES: Routes = {
    "/indexes": {
        "POST": Route(create_index, IndexCreation, MemberPlace.BODY),
        "GET": Route(list_indexes, RequestShape),
        "DELETE": Route(remove_index, IndexRemoval, MemberPlace.EITHER),
    },
    "/search": {
        "GET": Route(search, SearchRequest),
        "POST": Route(search, SearchRequest, MemberPlace.BODY),
    },
    "/search/paginate": {"POST": Route(paginate_search, SearchPaging, MemberPlace.BODY)},
}


def _searched(given: SearchRequest) -> Keys:
    """The whole index, wherever the hits are: relevance and similar words reveal how often words
    occur anywhere in it.
    """
    return Keys(ranges=(subtree(encode_key(given.prefix)),))


def _cost(given: SearchRequest) -> Cost:
    return Cost(None, count_conditions(given.where))


async def _page_json(page: FoundPage, options: SearchOptions) -> Text:
    cursor = f'"{make_search_cursor(options)}"' if page.has_more else "null"
    more = truth(page.has_more)
    rest = "".join(
        f',"{name}":{msgspec.json.encode(remark).decode()}'
        for name, remark in _remarks(page).items()
    )
    tail = f'],"cursor":{cursor},"hasMore":{more}{rest}}}'
    return await spliced_beside('{"entries":[', (page.entries,), tail)


async def _answer_hits(page: FoundPage) -> Answer:
    """The hits as an array, which has no room for remarks: these are headers of ASCII JSON."""
    headers = {"warnings": b"x-buntime-warnings", "searchedFor": b"x-buntime-searched-for"}
    found = [(headers[name], json.dumps(it).encode()) for name, it in _remarks(page).items()]
    return Answer(200, await spliced_beside("[", (page.entries,), "]"), headers=tuple(found))


def _remarks(page: FoundPage) -> dict[str, object]:
    """What is to be said beside the hits."""
    remarks: dict[str, object] = {}
    if page.warnings:
        remarks["warnings"] = page.warnings
    if page.searched_for is not None:
        remarks["searchedFor"] = page.searched_for
    if page.explained is not None:
        remarks["explained"] = page.explained
    return remarks


def _info_json(info: SearchIndex) -> str:
    rest = msgspec.json.encode(
        {
            "fields": info.fields,
            "tokenize": info.tokenize,
            "tableName": info.table_name,
            "documents": info.documents,
            "entries": info.entries,
            "ready": info.ready,
        }
    ).decode()
    return f'{{"prefix":{key_to_json(info.prefix)},{rest[1:]}'
