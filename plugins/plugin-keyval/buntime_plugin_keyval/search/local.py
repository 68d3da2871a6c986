"""Full-text search for Python callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from buntime_keyval import InvalidInput, KeyPart, KvEntry
from buntime_keyval.wire import decode_value, encode_key
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.python_keys import checked_key

from buntime_plugin_keyval.search.asking import (
    EVERYTHING,
    SearchOptions,
    parse_marks,
    parse_snippet,
    parse_weights,
)
from buntime_plugin_keyval.search.indexes import IndexInfo, parse_options
from buntime_plugin_keyval.search.search import Search
from buntime_plugin_keyval.where import InvalidWhere, parse_where

Marks = bool | tuple[str, str]
"""True for `<mark>` and `</mark>`, or the texts in front of a hit and behind it."""


class SearchHit(KvEntry[Any], frozen=True):
    """An entry that a search found."""

    highlight: dict[str, str] | None = None
    """The text of each field with its hits marked, where that was asked for."""
    snippet: dict[str, str] | None = None
    """An extract of each field around its hits, where that was asked for."""


class _Row(msgspec.Struct):
    key: Any
    value: msgspec.Raw
    versionstamp: str
    highlight: dict[str, str] | None = None
    snippet: dict[str, str] | None = None


_decode_rows = msgspec.json.Decoder(list[_Row]).decode


class LocalSearch:
    """What `Kv` offers of full-text search; input is checked as over HTTP."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def create_index(
        self, prefix: Sequence[KeyPart], fields: Sequence[str], tokenize: str
    ) -> None:
        """See `Kv.create_index`."""
        await self._search.create_index(checked_key(prefix), parse_options(fields, tokenize))

    async def list_indexes(self) -> list[IndexInfo]:
        """See `Kv.list_indexes`."""
        return await self._search.list_indexes()

    async def remove_index(self, prefix: Sequence[KeyPart]) -> bool:
        """See `Kv.remove_index`."""
        return await self._search.remove_index(checked_key(prefix))

    async def search(
        self,
        prefix: Sequence[KeyPart],
        query: str,
        *,
        limit: int | None,
        where: dict[str, Any] | None,
        start: Sequence[KeyPart] | None,
        end: Sequence[KeyPart] | None,
        reverse: bool,
        weights: Mapping[str, float] | None,
        highlight: Marks,
        snippet: bool | int,
    ) -> AsyncIterator[SearchHit]:
        """See `Kv.search`."""
        if not isinstance(query, str) or not query:
            raise InvalidInput("query is required")
        if limit is not None and (isinstance(limit, bool) or limit < 1):
            raise InvalidInput(f"limit must be a positive number, received {describe(limit)}")
        try:
            condition = None if where is None else parse_where(where)
        except InvalidWhere as error:
            raise InvalidInput(str(error)) from None
        options = SearchOptions(
            limit=EVERYTHING if limit is None else limit,
            reverse=reverse,
            where=condition,
            start=encode_key(checked_key(start)) if start else None,
            end=encode_key(checked_key(end)) if end else None,
            weights=parse_weights(weights),
            highlight=parse_marks(highlight),
            snippet_words=parse_snippet(snippet),
        )
        page = await self._search.search(checked_key(prefix), query, options)
        for row in _decode_rows(f"[{page.entries}]"):
            yield _hit(row)


def _hit(row: _Row) -> SearchHit:
    return SearchHit(
        key=checked_key(row.key),
        value=decode_value(bytes(row.value).decode()),
        versionstamp=row.versionstamp,
        highlight=row.highlight,
        snippet=row.snippet,
    )
