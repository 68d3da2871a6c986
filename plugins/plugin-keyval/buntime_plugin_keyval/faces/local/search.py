"""Full-text search for Python callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from buntime_keyval import InvalidInput, KeyLike, SearchHit, SearchIndex, SearchPage, Where
from buntime_keyval.shared import Marks, Tokenizer, checked_limit, warn_of_search
from buntime_keyval.wire import decode_value, encode_key
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import Consistency
from buntime_keyval.wire.searching import parse_marks, parse_snippet, parse_weights

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.faces.local.part import LocalPart, filter_of, reading
from buntime_plugin_keyval.features.search.indexes import parse_options
from buntime_plugin_keyval.features.search.pages import make_search_cursor, parse_search_cursor
from buntime_plugin_keyval.model.where import Where as Filter
from buntime_plugin_keyval.requests.permissions import INDEX_ADMIN
from buntime_plugin_keyval.storage.ranges import subtree
from buntime_plugin_keyval.storage.searching import EVERYTHING, SearchOptions
from buntime_plugin_keyval.storage.within import Text

Indexes = list[SearchIndex]


class _Row(msgspec.Struct):
    key: Any
    value: msgspec.Raw
    versionstamp: str
    highlight: dict[str, str] | None = None
    snippet: dict[str, str] | None = None
    score: float | None = None


_decode_rows = msgspec.json.Decoder(list[_Row]).decode


def make_options(
    query: str,
    *,
    limit: int,
    offset: int = 0,
    where: Filter | None,
    start: KeyLike | None,
    end: KeyLike | None,
    reverse: bool,
    weights: Mapping[str, float] | None,
    highlight: Marks,
    snippet: bool | int,
    fuzzy: bool,
) -> SearchOptions:
    """The options of a search, checked as over HTTP. Raises `InvalidInput`."""
    if not isinstance(query, str):
        raise InvalidInput("query must be a text")
    return SearchOptions(
        limit=limit,
        offset=offset,
        reverse=reverse,
        where=where,
        start=encode_key(checked_key(start)) if start else None,
        end=encode_key(checked_key(end)) if end else None,
        weights=parse_weights(weights, as_written),
        highlight=parse_marks(highlight, as_written),
        snippet_words=parse_snippet(snippet, as_written),
        fuzzy=bool(fuzzy),
    )


def hits_of(entries: Text) -> list[SearchHit[Any]]:
    """The hits of a page, from the inside of a JSON array."""
    return [
        SearchHit(
            checked_key(row.key),
            decode_value(bytes(row.value).decode()),
            row.versionstamp,
            highlight=row.highlight,
            snippet=row.snippet,
            score=row.score,
        )
        for row in _decode_rows(f"[{entries}]" if isinstance(entries, str) else b"[%b]" % entries)
    ]


class LocalSearch(LocalPart):
    """Full-text indexes, and searches in them."""

    async def create_index(
        self,
        prefix: KeyLike,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        idempotency_key: str | None = None,
    ) -> None:
        """Index fields of values at a prefix and below it, for `search`; replaces an older one."""
        self._permits.index(subtree(encode_key(checked_key(prefix))))
        options = parse_options(fields, tokenize)
        once = once_of(idempotency_key, "create_index", checked_key(prefix), options)
        await self._service.search.create_index(checked_key(prefix), options, once)

    async def list_indexes(self) -> Indexes:
        """All indexes in order of prefix, including those being built."""
        self._permits.need(INDEX_ADMIN)
        return await self._service.search.list_indexes()

    async def remove_index(self, prefix: KeyLike, *, idempotency_key: str | None = None) -> None:
        """Remove an index, if it is there; the entries stay."""
        self._permits.index(subtree(encode_key(checked_key(prefix))))
        once = once_of(idempotency_key, "remove_index", checked_key(prefix))
        await self._service.search.remove_index(checked_key(prefix), once)

    async def search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        limit: int | None = None,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[SearchHit[Any]]:
        """The entries that match a query, the most relevant first; all, or the first `limit`."""
        options = make_options(
            query,
            limit=EVERYTHING if limit is None else checked_limit(limit),
            where=filter_of(where),
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        self._permits.read_range(subtree(encode_key(checked_key(prefix))))
        with reading(consistency):
            page = await self._service.search.search(checked_key(prefix), query, options)
        warn_of_search(page.warnings)
        for hit in hits_of(page.entries):
            yield hit

    async def paginate_search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        explain: bool = False,
        consistency: Consistency = "eventual",
    ) -> SearchPage[Any]:
        """One page (at most 1000) of what `search` finds; `cursor` is of the page before."""
        options = make_options(
            query,
            limit=min(checked_limit(limit), MAX_LIMIT),
            offset=parse_search_cursor(cursor),
            where=filter_of(where),
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )._replace(explain=bool(explain))
        self._permits.read_range(subtree(encode_key(checked_key(prefix))))
        with reading(consistency):
            page = await self._service.search.search(checked_key(prefix), query, options)
        behind = make_search_cursor(options) if page.has_more else None
        hits = hits_of(page.entries)
        return SearchPage(
            hits, behind, page.has_more, page.warnings, page.searched_for, page.explained
        )
