"""The indexes of one store: listing, searching and changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buntime_database import DatabaseError, ResultTooLarge
from buntime_keyval import SearchIndex
from buntime_keyval.wire import Key, decode_key, encode_key, key_to_json

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part
from buntime_plugin_keyval.features.search.explained import explain
from buntime_plugin_keyval.features.search.index_builder import IndexBuilder
from buntime_plugin_keyval.features.search.pages import FoundPage, small_page
from buntime_plugin_keyval.features.search.similar import MAX_WORDS, similar_words
from buntime_plugin_keyval.model.errors import IndexNotFound, LimitExceeded
from buntime_plugin_keyval.storage import searching
from buntime_plugin_keyval.storage.dialects.search import Match, SearchQuestion
from buntime_plugin_keyval.storage.postfilter import kept
from buntime_plugin_keyval.storage.queries import parse_query, plain_words, with_alternatives
from buntime_plugin_keyval.storage.reads import SHORT_BYTES
from buntime_plugin_keyval.storage.within import size_of

MAX_ATTEMPTS = 5
"""How often a search is tried while indexes come and go."""

RETRY_SECONDS = 5.0
"""Pause after a database error while an interrupted index was being finished."""


class Search(Part):
    """The full-text indexes of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.recorder = store.recorder
        self._sql = store.sql.search
        self._builder = IndexBuilder(store)
        self._loop = Loop(
            self._step,
            "keyval-indexes",
            logger=store.logger,
            complaint="Indexes could not be finished: %s",
            retry_s=RETRY_SECONDS,
        )
        self._known: dict[bytes, searching.Index] = {}
        """Ready indexes by prefix, while their tables can be read; see `search`."""

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"indexing": self._loop}

    async def begin(self) -> None:
        """Make sure that writes of this version keep indexes up to date. Raises `DatabaseError`."""
        await self._builder.refit()

    def start(self) -> None:
        """Finish in the background indexes that an earlier process began to build.

        The first worker does so for all, and `close` leaves the rest to the next start.
        """
        workers = self.store.peers.workers
        if workers.number == 0 or workers.took_over:
            self._loop.start()

    async def stored_numbers(self) -> Mapping[str, float]:
        ((indexes, unfinished),) = await self.store.adapter.query(
            self._sql.catalogue.counts, point=True
        )
        return {"indexes": int(indexes or 0), "indexes_unfinished": int(unfinished or 0)}

    async def create_index(
        self, prefix: Key, options: searching.IndexOptions, once: Once | None = None
    ) -> None:
        await self.store.replays.run(
            once,
            lambda: self._builder.create(prefix, options),
            keep=lambda _: None,
            recall=lambda _: None,
        )

    async def remove_index(self, prefix: Key, once: Once | None = None) -> bool:
        self._known.pop(encode_key(prefix), None)
        return await self.store.replays.run(
            once,
            lambda: self._builder.remove(prefix),
            keep=lambda was_there: was_there,
            recall=lambda kept: bool(kept.told),
        )

    async def list_indexes(self) -> list[SearchIndex]:
        """All indexes in order of prefix, including those being built."""
        adapter = self.store.adapter
        infos = []
        for *row, ready, documents in await adapter.query(self._sql.catalogue.all):
            index = searching.index_of_row(row)
            entries = documents
            if not ready:
                ((entries,),) = await adapter.query(self._sql.below, index.keys)
            info = SearchIndex(
                decode_key(index.prefix),
                list(index.options.fields),
                index.options.tokenize,
                index.table,
                int(documents or 0),
                int(entries or 0),
                bool(ready),
            )
            infos.append(info)
        return infos

    @measured("search")
    async def search(self, prefix: Key, query: str, options: searching.SearchOptions) -> FoundPage:
        """The entries that match, the best first, and equally good ones by key.

        Raises `IndexNotFound` unless exactly this prefix has an index.
        """
        encoded = encode_key(prefix)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            fresh = attempt > 1
            # A ready index stays so until its table is dropped, and its number is never used
            # again. So what is known about it holds as long as its table can be read, whichever
            # process or replica answers.
            index = self._known.get(encoded)
            if index is None:
                index = await self._ready_index(prefix, encoded, fresh=fresh)
            try:
                return await self._answer(index, query, options, fresh=fresh)
            except DatabaseError:
                # Its table may have been dropped; also, SQLite cannot open an FTS5 table while
                # another one is being created or dropped.
                self._known.pop(encoded, None)
                if attempt == MAX_ATTEMPTS:
                    raise
        raise AssertionError  # unreachable: the last attempt raises

    async def _answer(
        self, index: searching.Index, query: str, options: searching.SearchOptions, *, fresh: bool
    ) -> FoundPage:
        match = self._match(index, query)
        page = await self._page_of(index, match, options, fresh)
        if options.fuzzy and not page.entries:
            first = options._replace(offset=0, limit=1)
            if not options.offset or not (await self._page_of(index, match, first, fresh)).entries:
                page = await self._fuzzy_page(index, query, options, fresh=fresh) or page
        if match.warnings:
            page = page._replace(warnings=match.warnings)
        if options.explain:
            answered = page.searched_for or query
            explained = await explain(self.store, index, answered, options, fresh=fresh)
            page = page._replace(explained=explained)
        return page

    async def _fuzzy_page(
        self, index: searching.Index, query: str, options: searching.SearchOptions, *, fresh: bool
    ) -> FoundPage | None:
        """The page for a query with similar words in place of those that the index lacks."""
        words = dict.fromkeys(plain_words(query))
        others = {
            word: found
            for word in list(words)[:MAX_WORDS]
            if (found := await similar_words(self.store.db, index, word))
        }
        fields = index.options.fields
        searched_for = with_alternatives(query, fields, others)
        if searched_for == query:
            return None
        match = self._match(index, searched_for)
        page = await self._page_of(index, match, options, fresh)
        return page._replace(searched_for=searched_for)

    def _match(self, index: searching.Index, query: str) -> Match:
        parsed = parse_query(query, index.options.fields)
        return self._sql.match(parsed, index.options.tokenize)

    async def _page_of(
        self, index: searching.Index, match: Match, options: searching.SearchOptions, fresh: bool
    ) -> FoundPage:
        if match.expression is None:
            return FoundPage("", has_more=False)
        small = self._sql.small
        if small is not None and match.is_word and _looks_at_no_values(options):
            sql, args = small(index, match.expression, options)
            rows = await self.store.adapter.query(sql, args, point=True, fresh=fresh)
            page = small_page(rows, options, self.store.clock.now())  # type: ignore[arg-type] # as the schema says
            if page is not None:
                return page
        return await self._page(index, match.expression, options, fresh=fresh)

    async def _page(
        self, index: searching.Index, match: str, options: searching.SearchOptions, *, fresh: bool
    ) -> FoundPage:
        store = self.store
        condition = store.condition(options.where, [index.keys])
        question = SearchQuestion(index, match, options, condition, store.clock.now())
        if condition.recheck is None and options.most_bytes is None:
            sql, args = self._sql.page(question)
            ((entries, has_more),) = await store.adapter.query(sql, args, fresh=fresh)
            return FoundPage(str(entries), bool(has_more))
        if condition.recheck is None:
            return await self._page_within(question, fresh=fresh)
        everything = options._replace(limit=searching.EVERYTHING, offset=0)
        sql, args = self._sql.rows(question._replace(options=everything))
        rows = await store.adapter.query(sql, args, fresh=fresh)
        found = [str(row[0]) async for row in kept(rows, condition, value=1)][options.offset :]
        page_entries = found if options.limit == searching.EVERYTHING else found[: options.limit]
        has_more = len(page_entries) < len(found)
        if options.most_bytes is None:
            return FoundPage(",".join(page_entries), has_more)
        return _cut(page_entries, options.most_bytes, has_more=has_more)

    async def _page_within(self, question: SearchQuestion, *, fresh: bool) -> FoundPage:
        """The page, with fewer entries if there is no room for all; `LimitExceeded` if not for one.

        Only the engine knows how long an entry is with its highlights. It stops if the entries are
        too long, and is then asked for half as many.
        """
        options = question.options
        most = options.most_bytes or 0

        async def page(limit: int, max_bytes: int, *, as_bytes: bool) -> FoundPage | None:
            """The page of at most `limit` entries; None if they are too long."""
            one = options._replace(limit=limit)
            sql, args = self._sql.page(question._replace(options=one, as_bytes=as_bytes))
            try:
                ((entries, has_more),) = await self.store.adapter.query(
                    sql, args, fresh=fresh, max_bytes=max_bytes
                )
            except ResultTooLarge:
                return None
            if size_of(entries) > most:  # type: ignore[arg-type] # a TEXT or a BLOB
                return None
            return FoundPage(entries, bool(has_more), limit=limit)  # type: ignore[arg-type] # as the SQL has it

        limit = options.limit
        found = await page(limit, min(SHORT_BYTES, most), as_bytes=False)
        if found is not None:
            return found
        async with self.store.long_reads.turn_of(question.condition):
            while limit:
                found = await page(limit, most, as_bytes=True)
                if found is not None:
                    return found
                limit //= 2
        raise LimitExceeded("An entry with its highlights is too large", "answerBytes", most)

    async def _ready_index(self, prefix: Key, encoded: bytes, *, fresh: bool) -> searching.Index:
        rows = await self.store.adapter.query(
            self._sql.catalogue.ready, (encoded,), point=True, fresh=fresh
        )
        if not rows:
            raise IndexNotFound(key_to_json(prefix))
        index = self._known[encoded] = searching.index_of_row(rows[0])
        return index

    async def _step(self) -> None:
        await self._builder.resume()
        await self._builder.renew()


def _cut(entries: Sequence[str], most: int, *, has_more: bool) -> FoundPage:
    """A page of as many of the entries as there is room for, but at least one."""
    size = 0
    for number, entry in enumerate(entries):
        size += size_of(entry) + 1
        if number and size > most:
            return FoundPage(",".join(entries[:number]), has_more=True, limit=number)
    return FoundPage(",".join(entries), has_more)


def _looks_at_no_values(options: searching.SearchOptions) -> bool:
    """Whether a search may be a small read: it is for one word.

    A small read runs on the event loop, since a hop to a thread would take longer than the read.
    With several words, each may be in every entry, and only at the end is it known how many
    entries have them all.
    """
    shows_more = options.highlight is not None or options.snippet_words is not None
    return options.where is None and not shows_more and not options.explain
