"""Full-text search for Python callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from buntime_keyval import InvalidInput, KeyLike, SearchHit
from buntime_keyval.shared import Marks
from buntime_keyval.wire import decode_value, encode_key
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.searching import parse_marks, parse_snippet, parse_weights

from buntime_plugin_keyval.features.search.search_sql import SearchOptions
from buntime_plugin_keyval.model.where import Where
from buntime_plugin_keyval.storage.within import Text


class _Row(msgspec.Struct):
    key: Any
    value: msgspec.Raw
    versionstamp: str
    highlight: dict[str, str] | None = None
    snippet: dict[str, str] | None = None


_decode_rows = msgspec.json.Decoder(list[_Row]).decode


def make_options(
    query: str,
    *,
    limit: int,
    offset: int = 0,
    where: Where | None,
    start: KeyLike | None,
    end: KeyLike | None,
    reverse: bool,
    weights: Mapping[str, float] | None,
    highlight: Marks,
    snippet: bool | int,
    fuzzy: bool,
) -> SearchOptions:
    """Checked options, as over HTTP. Raises `InvalidInput`."""
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
    """What was found, of the inside of a JSON array."""
    return [
        SearchHit(
            checked_key(row.key),
            decode_value(bytes(row.value).decode()),
            row.versionstamp,
            highlight=row.highlight,
            snippet=row.snippet,
        )
        for row in _decode_rows(f"[{entries}]" if isinstance(entries, str) else b"[%b]" % entries)
    ]
