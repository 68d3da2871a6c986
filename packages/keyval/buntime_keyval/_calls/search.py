"""Calls of full-text search, its indexes, and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from buntime_keyval._calls.keys import Entry, checked_limit, raw_where, read_page
from buntime_keyval._core import Call, json_body
from buntime_keyval._entries import raw_key
from buntime_keyval._results import KvPage, SearchIndex
from buntime_keyval._where import Where
from buntime_keyval.wire import InvalidInput, KeyLike, check_key, format_key_text
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_prefix

Tokenizer = Literal["unicode61", "porter", "ascii"]


_PAGE = 250
"""Hits that one request fetches where there is no limit."""


class _Index(msgspec.Struct, rename="camel"):
    prefix: list[Any]
    fields: list[str]
    tokenize: str
    table_name: str = ""
    documents: int = 0
    entries: int = 0
    ready: bool = True


_decode_indexes = msgspec.json.Decoder(list[_Index]).decode


def create_index(prefix: KeyLike, fields: Sequence[str], tokenize: Tokenizer) -> Call[None]:
    """Create or replace an index; once more leaves the same index."""
    if isinstance(fields, str) or not fields:
        raise InvalidInput("fields must be a list of at least one field path")
    key = raw_key(checked_key(prefix))
    options = {"fields": list(fields), "tokenize": tokenize}
    body = json_body(prefix=key, options=options)
    return Call("POST", "/indexes", _read_nothing, body, repeatable=True)


def list_indexes() -> Call[list[SearchIndex]]:
    """All indexes."""
    return Call("GET", "/indexes", _read_indexes, repeatable=True)


def remove_index(prefix: KeyLike) -> Call[None]:
    """Remove an index; the entries stay."""
    query = urlencode({"prefix": format_key_text(checked_key(prefix))})
    return Call("DELETE", f"/indexes?{query}", _read_nothing, repeatable=True)


class SearchPager:
    """All hits, or the first `limit`, a page at a time: the most relevant first."""

    def __init__(
        self,
        prefix: KeyLike,
        query: str,
        *,
        limit: int | None,
        where: Where | None,
        start: KeyLike | None,
        end: KeyLike | None,
        reverse: bool,
    ) -> None:
        if not isinstance(query, str) or not query:
            raise InvalidInput("query must be a text, and not empty")
        self._prefix = raw_key(checked_key(prefix))
        self._query = query
        self._left = None if limit is None else checked_limit(limit)
        self._options: dict[str, Any] = {
            "where": raw_where(where),
            "start": None if start is None else raw_key(checked_prefix(start)),
            "end": None if end is None else raw_key(checked_prefix(end)),
            "reverse": True if reverse else None,
        }
        self._cursor: str | None = None
        self._done = False

    def next_call(self) -> Call[KvPage[Any]] | None:
        """The request for the next page, None behind the last one."""
        if self._done or self._left == 0:
            return None
        size = _PAGE if self._left is None else min(self._left, MAX_LIMIT)
        options = {**self._options, "limit": size, "cursor": self._cursor}
        given = {name: option for name, option in options.items() if option is not None}
        body = json_body(prefix=self._prefix, query=self._query, options=given)
        return Call("POST", "/search/paginate", read_page, body, repeatable=True)

    def take(self, page: KvPage[Any]) -> list[Entry]:
        """The hits of a page."""
        self._cursor = page.cursor
        self._done = not page.has_more
        if self._left is not None:
            self._left -= len(page.entries)
        return page.entries


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


def _read_text(content: bytes) -> str:
    return content.decode()


def _read_nothing(content: bytes) -> None:
    msgspec.json.decode(content)
