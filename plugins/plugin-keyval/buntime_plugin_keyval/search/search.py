"""The indexes of one store: listing and asking them, and the way to change them."""

from __future__ import annotations

import asyncio
import contextlib
import re

from buntime_database import DatabaseError
from buntime_keyval.wire import Key, decode_key, encode_key, key_to_json

from buntime_plugin_keyval.errors import IndexNotFound
from buntime_plugin_keyval.metrics.recorder import Recorder, measured
from buntime_plugin_keyval.search.asking import (
    EVERYTHING,
    FEW,
    SearchOptions,
    SearchPage,
    count_statement,
    few_statement,
    page_statement,
    rows_statement,
)
from buntime_plugin_keyval.search.building import IndexBuilder
from buntime_plugin_keyval.search.indexes import (
    INDEX_COLUMNS,
    Index,
    IndexInfo,
    IndexOptions,
    index_of_row,
)
from buntime_plugin_keyval.search.query import to_match
from buntime_plugin_keyval.storage.statements import IN_RANGE
from buntime_plugin_keyval.store import Store

MAX_ATTEMPTS = 5
"""Times that a search is tried while indexes come and go."""

RETRY_SECONDS = 5.0
"""Pause after the database failed while an interrupted index was finished."""

_READY = f"SELECT {INDEX_COLUMNS} FROM kv_indexes WHERE prefix = ? AND ready"
_LIST = f"""
SELECT {INDEX_COLUMNS}, ready, (SELECT count(*) FROM kv_docs WHERE index_id = kv_indexes.id)
FROM kv_indexes ORDER BY prefix, id"""
_ENTRIES = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE}"
_ONE_WORD = re.compile(r'(\{f[0-9]+\} : )?"[0-9A-Za-z]+"')


class Search:
    """The full-text indexes of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._builder = IndexBuilder(store)
        self._resuming: asyncio.Task[None] | None = None

    @property
    def recorder(self) -> Recorder:
        """Where searches are measured."""
        return self._store.recorder

    def start(self) -> None:
        """Finish in the background what an earlier process began to build."""
        if self._resuming is None:
            self._resuming = asyncio.create_task(self._keep_resuming(), name="keyval-indexes")

    async def stop(self) -> None:
        """Leave the rest to the next start. Idempotent."""
        task, self._resuming = self._resuming, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def create_index(self, prefix: Key, options: IndexOptions) -> None:
        """See `IndexBuilder.create`."""
        await self._builder.create(prefix, options)

    async def remove_index(self, prefix: Key) -> bool:
        """See `IndexBuilder.remove`."""
        return await self._builder.remove(prefix)

    async def list_indexes(self) -> list[IndexInfo]:
        """All indexes in the order of their prefixes, those that are being built too."""
        adapter = self._store.adapter
        infos = []
        for *row, ready, documents in await adapter.query(_LIST):
            index = index_of_row(row)
            entries = documents
            if not ready:
                ((entries,),) = await adapter.query(_ENTRIES, index.keys)
            info = IndexInfo(
                decode_key(index.prefix),
                index.options.fields,
                index.options.tokenize,
                index.table,
                int(documents or 0),
                int(entries or 0),
                bool(ready),
            )
            infos.append(info)
        return infos

    @measured("search")
    async def search(self, prefix: Key, query: str, options: SearchOptions) -> SearchPage:
        """What matches, the best first; equally good entries by key.

        Raises `IndexNotFound` unless exactly this prefix has an index.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            index = await self._ready_index(prefix)
            match = to_match(query, index.options.fields, index.options.tokenize)
            if match is None:
                break
            try:
                return await self._page(index, match, options)
            except DatabaseError:
                # Its table may have been dropped since its definition was read, and SQLite opens
                # no FTS5 table at the moment at which another one comes or goes.
                if attempt == MAX_ATTEMPTS:
                    raise
        return SearchPage("", has_more=False)

    async def _page(self, index: Index, match: str, options: SearchOptions) -> SearchPage:
        store = self._store
        now_ms = store.clock()
        condition = store.condition(options.where, now_ms)
        recheck = condition.recheck
        if recheck is None:
            if _may_be_small(index, match, options):
                sql, args = count_statement(index, match)
                ((count,),) = await store.adapter.query(sql, args, point=True)
                if isinstance(count, int) and count < FEW:
                    return await self._small_page(index, match, options)
            sql, args = page_statement(index, match, options, condition, now_ms)
            ((entries, has_more),) = await store.adapter.query(sql, args)
            return SearchPage(str(entries), bool(has_more))
        everything = options._replace(limit=EVERYTHING, offset=0)
        sql, args = rows_statement(index, match, everything, condition, now_ms)
        rows = await store.adapter.query(sql, args)
        kept = [str(entry) for entry, value in rows if recheck(str(value))][options.offset :]
        page = kept if options.limit == EVERYTHING else kept[: options.limit]
        return SearchPage(",".join(page), len(page) < len(kept))

    async def _small_page(self, index: Index, match: str, options: SearchOptions) -> SearchPage:
        sql, args = few_statement(index, match, options, self._store.clock())
        rows = await self._store.adapter.query(sql, args, point=True)
        page = rows if options.limit == EVERYTHING else rows[: options.limit]
        return SearchPage(",".join([str(row[0]) for row in page]), len(page) < len(rows))

    async def _ready_index(self, prefix: Key) -> Index:
        rows = await self._store.adapter.query(_READY, (encode_key(prefix),), point=True)
        if not rows:
            raise IndexNotFound(key_to_json(prefix))
        return index_of_row(rows[0])

    async def _keep_resuming(self) -> None:
        while True:
            try:
                await self._builder.resume()
            except DatabaseError as error:
                self._store.logger.warning("Indexes could not be finished: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def _may_be_small(index: Index, match: str, options: SearchOptions) -> bool:
    """Whether a search may be a small read: for one word, and with no look at the values.

    A small read runs on the event loop, since a hop to a thread takes longer than all of it.
    """
    return (
        _ONE_WORD.fullmatch(match) is not None
        and index.options.tokenize != "trigram"
        and options.where is None
        and options.highlight is None
        and options.snippet_words is None
    )
