# Made by scripts/unasync from _async/kv_search.py: change that one.
"""The client's methods for search indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from buntime_keyval._calls import search as search_calls
from buntime_keyval._calls.search import Marks, Tokenizer
from buntime_keyval._core import consistent
from buntime_keyval._results import SearchHit, SearchIndex, SearchPage
from buntime_keyval._sync.session import Session
from buntime_keyval._where import Where
from buntime_keyval.wire import KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.python_options import Consistency

Indexes = list[SearchIndex]


class KvSearch:
    """Search indexes, and searching by them."""

    _session: Session

    def create_index(
        self,
        prefix: KeyLike,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        idempotency_key: str | None = None,
    ) -> None:
        """Index these fields of all entries below a prefix, replacing an index that is there."""
        self._session.send(search_calls.create_index(prefix, fields, tokenize), idempotency_key)

    def list_indexes(self) -> Indexes:
        """All full-text indexes."""
        return self._session.send(search_calls.list_indexes())

    def remove_index(self, prefix: KeyLike, *, idempotency_key: str | None = None) -> None:
        """Remove an index, if it is there; the entries stay."""
        self._session.send(search_calls.remove_index(prefix), idempotency_key)

    def search(
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
    ) -> Iterator[SearchHit[Any]]:
        """Iterate over the entries that match a query, the most relevant first; all, or the first
        `limit`.

        `prefix` is exactly that of an index; raises `NotFound` without one. Words have to occur
        all, `OR` and `NOT` and parentheses join them otherwise; `"a phrase"`, `begin*` and
        `field:word` narrow them.

        `weights` say how much a hit in a field counts, 1 unless given. `highlight` (True, or the
        two texts around a hit) asks for the fields with their hits marked, `snippet` (True, or a
        number of words up to 64) for extracts around the hits; `{"escape": "html"}` makes both
        HTML. `fuzzy` looks for similar words where nothing is found; `consistency` is as in
        `get`. What the index cannot look for is said by a `SearchWarning`.
        """
        searching = search_calls.Searching(
            prefix,
            query,
            where=where,
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        pager = search_calls.SearchPager(searching, limit)
        while (call := pager.next_call()) is not None:
            yield from pager.take(self._session.send(consistent(call, consistency)))

    def paginate_search(
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
        """Return one page (at most 1000) of the hits of `search`; `cursor` is that of the previous
        page.

        `explain` asks how it was found (`explained`), and how good each hit is (`score`).
        """
        searching = search_calls.Searching(
            prefix,
            query,
            where=where,
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        call = searching.page(limit=limit, cursor=cursor, explain=explain)
        return self._session.send(consistent(call, consistency))
