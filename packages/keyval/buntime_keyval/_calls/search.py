"""Calls of full-text search, its indexes, and the metrics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from buntime_keyval._calls.keys import checked_limit, raw_where
from buntime_keyval._core import Call, json_body, read_nothing
from buntime_keyval._entries import raw_key, read_hits
from buntime_keyval._results import SearchExplained, SearchHit, SearchIndex, SearchPage
from buntime_keyval._where import Where
from buntime_keyval.wire import InvalidInput, KeyLike, check_key, format_key_text
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_prefix
from buntime_keyval.wire.searching import parse_marks, parse_snippet, parse_weights, raw_marks

Tokenizer = Literal["unicode61", "porter", "ascii", "trigram", "cjk"]

Marks = bool | tuple[str, str] | Mapping[str, Any]
"""True for `<mark>` and `</mark>`, or the texts before and after a hit.

Or both in an object: `{"marks": ("[", "]"), "escape": "html"}`, whose texts are HTML."""


class SearchWarning(UserWarning):
    """The index cannot look for a part of a query."""


_PAGE = 250
"""Hits that one request fetches if there is no limit."""


class _Index(msgspec.Struct, rename="camel"):
    prefix: list[Any]
    fields: list[str]
    tokenize: str
    table_name: str = ""
    documents: int = 0
    entries: int = 0
    ready: bool = True


class _Page(msgspec.Struct, rename="camel"):
    entries: msgspec.Raw
    has_more: bool
    cursor: str | None = None
    warnings: tuple[str, ...] = ()
    searched_for: str | None = None
    explained: SearchExplained | None = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_indexes = msgspec.json.Decoder(list[_Index]).decode


def create_index(prefix: KeyLike, fields: Sequence[str], tokenize: Tokenizer) -> Call[None]:
    """Create or replace an index; repeatable."""
    if isinstance(fields, str) or not fields:
        raise InvalidInput("fields must be a list of at least one field path")
    key = raw_key(checked_key(prefix))
    options = {"fields": list(fields), "tokenize": tokenize}
    body = json_body(prefix=key, options=options)
    return Call("POST", "/indexes", read_nothing, body, repeatable=True)


def list_indexes() -> Call[list[SearchIndex]]:
    """All indexes."""
    return Call("GET", "/indexes", _read_indexes, repeatable=True)


def remove_index(prefix: KeyLike) -> Call[None]:
    """Remove an index; the entries stay."""
    query = urlencode({"prefix": format_key_text(checked_key(prefix))})
    return Call("DELETE", f"/indexes?{query}", read_nothing, repeatable=True)


class Searching:
    """A search with its checked options."""

    def __init__(
        self,
        prefix: KeyLike,
        query: str,
        *,
        where: Where | None,
        start: KeyLike | None,
        end: KeyLike | None,
        reverse: bool,
        weights: Mapping[str, float] | None,
        highlight: Marks,
        snippet: bool | int,
        fuzzy: bool,
    ) -> None:
        if not isinstance(query, str):
            raise InvalidInput("query must be a text")
        self._prefix = raw_key(checked_key(prefix))
        self._query = query
        self._options: dict[str, Any] = {
            "where": raw_where(where),
            "start": None if start is None else raw_key(checked_prefix(start)),
            "end": None if end is None else raw_key(checked_prefix(end)),
            "reverse": True if reverse else None,
            "weights": parse_weights(weights, as_written) or None,
            "highlight": raw_marks(parse_marks(highlight, as_written)),
            "snippet": parse_snippet(snippet, as_written),
            "fuzzy": True if fuzzy else None,
        }

    def page(
        self, *, limit: int, cursor: str | None, explain: bool = False
    ) -> Call[SearchPage[Any]]:
        """The request for one page."""
        options = {**self._options, "limit": checked_limit(limit), "cursor": cursor}
        options["explain"] = True if explain else None
        given = {name: option for name, option in options.items() if option is not None}
        body = json_body(prefix=self._prefix, query=self._query, options=given)
        return Call("POST", "/search/paginate", _read_search_page, body, repeatable=True)


class SearchPager:
    """All hits, or the first `limit`, a page at a time: the most relevant first."""

    def __init__(self, searching: Searching, limit: int | None) -> None:
        self._searching = searching
        self._left = None if limit is None else checked_limit(limit)
        self._cursor: str | None = None
        self._done = False

    def next_call(self) -> Call[SearchPage[Any]] | None:
        """The request for the next page, None behind the last one."""
        if self._done or self._left == 0:
            return None
        size = _PAGE if self._left is None else min(self._left, MAX_LIMIT)
        return self._searching.page(limit=size, cursor=self._cursor)

    def take(self, page: SearchPage[Any]) -> list[SearchHit[Any]]:
        """The hits of a page."""
        if self._cursor is None:
            warn_of_search(page.warnings)
        self._cursor = page.cursor
        self._done = not page.has_more
        if self._left is not None:
            self._left -= len(page.entries)
        return page.entries


def warn_of_search(texts: Sequence[str]) -> None:
    """Warn about words that an index could not look for, with Python's warnings."""
    for text in texts:
        warnings.warn(text, SearchWarning, stacklevel=3)


def metrics_json() -> Call[dict[str, Any]]:
    """Counters and sizes."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return Call("GET", "/metrics", decode, repeatable=True)


def metrics_text() -> Call[str]:
    """The same for Prometheus."""
    return Call("GET", "/metrics/prometheus", _read_text, repeatable=True)


def _read_indexes(content: bytes) -> list[SearchIndex]:
    return [
        SearchIndex(
            check_key(raw.prefix),
            raw.fields,
            raw.tokenize,
            raw.table_name,
            raw.documents,
            raw.entries,
            raw.ready,
        )
        for raw in _decode_indexes(content)
    ]


def _read_search_page(content: bytes) -> SearchPage[Any]:
    page = _decode_page(content)
    hits = read_hits(bytes(page.entries))
    return SearchPage(
        hits, page.cursor, page.has_more, page.warnings, page.searched_for, page.explained
    )


def _read_text(content: bytes) -> str:
    return content.decode()
