"""Creating, filling, replacing and removing indexes, in commits that leave room for other writes.

An index that is being filled is unfinished: its triggers keep it up to date already, but searches
do not use it. Each step is guarded by the existence of the index, so that removing or replacing it
ends the filling, in whichever process that runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
from buntime_database import DatabaseError, Guard, GuardFailed, Statement, Value
from buntime_keyval.wire import InvalidInput, Key, check_key, encode_key, key_to_json

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.errors import LimitExceeded, SearchNotSupported
from buntime_plugin_keyval.storage.ranges import KeyRange, subtree
from buntime_plugin_keyval.storage.searching import Index, IndexOptions, index_of_row

FILL_ENTRIES = 500
"""The most entries that one commit adds to a new index, to leave room for other writes."""

FILL_BYTES = 1_000_000
"""Bytes of values after which such a commit takes no further entry."""

_BEYOND_EVERY_ID = 1 << 62


class IndexBuilder:
    """Changes the indexes of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.sql.search
        self._catalogue = self._sql.catalogue

    async def create(self, prefix: Key, options: IndexOptions) -> None:
        """Index the entries below a prefix, present and future, in place of an older index.

        Does nothing if there is an index with these options. Returns when every entry is indexed.
        Until then searches use the older index, if there is one, and go on to do so if this fails.
        The index that was created last replaces all others. After an `OutcomeUnknown` searches use
        one of the two. Raises `LimitExceeded` if there are as many indexes as are allowed.
        """
        if self._store.adapter.capabilities.full_text_search is None:
            raise SearchNotSupported(self._store.adapter.type)
        if options.tokenize == "cjk" and not self._store.adapter.capabilities.cjk_tokenizer:
            raise InvalidInput(
                "The database of this store has no tokenizer cjk: trigram finds any three"
                " characters in texts without spaces"
            )
        self._store.refuse_encrypted([subtree(encode_key(prefix))], "The index")
        if await self._is_there(prefix, options):
            return
        index = await self._define(prefix, options)
        try:
            await self._finish(index)
        except DatabaseError:
            with contextlib.suppress(DatabaseError):
                await self._drop([index], Guard(self._catalogue.is_unfinished, (index.id,)))
            raise

    async def resume(self) -> None:
        """Finish indexes whose building was interrupted by the end of its process."""
        for row in await self._store.adapter.query(self._catalogue.unfinished, fresh=True):
            await self._finish(index_of_row(row))

    async def refit(self) -> None:
        """Repair indexes that writes of this version would not keep up to date.

        Call it before anything is written.
        """
        for row in await self._store.adapter.query(self._sql.unfit, fresh=True):
            with contextlib.suppress(GuardFailed):  # another process has done it
                await self._store.batch(self._sql.refit(index_of_row(row)))

    async def renew(self) -> None:
        """Rebuild indexes that were built in an older way; searches use them until then."""
        rows = await self._store.adapter.query(
            self._catalogue.outdated, (self._sql.format,), fresh=True
        )
        for *row, prefix_json in rows:
            prefix = check_key(msgspec.json.decode(str(prefix_json)))
            await self.create(prefix, index_of_row(row).options)

    async def _is_there(self, prefix: Key, options: IndexOptions) -> bool:
        rows = await self._store.adapter.query(
            self._catalogue.newest, (encode_key(prefix),), fresh=True
        )
        if not rows:
            return False
        *row, ready = rows[0]
        index = index_of_row(row)
        return bool(ready) and index.format == self._sql.format and index.options == options

    async def remove(self, prefix: Key) -> bool:
        """Drop the index of a prefix, finished or not; whether there was one. Entries stay."""
        args = (encode_key(prefix), _BEYOND_EVERY_ID)
        while True:
            rows = await self._store.adapter.query(self._catalogue.of_prefix, args, fresh=True)
            indexes = [index_of_row(row) for row in rows]
            try:
                if indexes:
                    await self._drop(indexes)
            except GuardFailed:
                continue  # another index was created or finished meanwhile
            return bool(indexes)

    async def _define(self, prefix: Key, options: IndexOptions) -> Index:
        """Make an empty index with its triggers."""
        adapter = self._store.adapter
        limit = self._store.limits.indexes
        while True:
            ((last_id,),) = await adapter.query(self._catalogue.last_id, fresh=True)
            index = Index(int(last_id or 0) + 1, encode_key(prefix), options, self._sql.format)
            fields = msgspec.json.encode(options.fields).decode()
            row: tuple[Value, ...] = (
                index.id,
                index.prefix,
                key_to_json(prefix),
                fields,
                options.tokenize,
                index.format,
                self._store.clock.wall(),
            )
            try:
                await self._store.batch(
                    [
                        Guard(self._catalogue.has_room, (index.prefix, limit)),
                        Guard(self._catalogue.is_last_id, (last_id,)),
                        Statement(self._catalogue.add, row),
                        *self._sql.create(index),
                    ]
                )
            except GuardFailed as failed:
                if failed.index == 0:
                    raise LimitExceeded("Too many indexes", "indexes", limit) from None
                continue  # another process took the number
            return index

    async def _finish(self, index: Index) -> None:
        with contextlib.suppress(GuardFailed):  # removed or replaced meanwhile
            await self._fill(index)
            await self._take_over(index)

    async def _fill(self, index: Index) -> None:
        """Add the entries that were there before. Raises `GuardFailed` if the index is removed."""
        rest = index.keys
        while rest.start < rest.end:
            part = await self._next_part(rest)
            await self._store.batch(
                [Guard(self._catalogue.is_there, (index.id,)), *self._sql.fill(index, part)]
            )
            rest = rest.from_key(part.end)

    async def _next_part(self, rest: KeyRange) -> KeyRange:
        """The beginning of a range, as much as one commit may take."""
        rows = await self._store.adapter.query(
            self._sql.next_entries, (*rest, FILL_ENTRIES + 1), fresh=True
        )
        size = 0
        for number, (key, length) in enumerate(rows):
            if isinstance(key, bytes) and (number == FILL_ENTRIES or size > FILL_BYTES):
                return rest.before(key)
            size += int(length or 0)
        return rest

    async def _take_over(self, index: Index) -> None:
        """Finish a filled index, and drop those that it replaces in the same commit."""
        adapter = self._store.adapter
        of_prefix = (index.prefix, index.id)
        while True:
            older = [
                index_of_row(row)
                for row in await adapter.query(self._catalogue.of_prefix, of_prefix, fresh=True)
            ]
            drops = [statement for old in older for statement in self._sql.drop(old)]
            try:
                await self._store.batch(
                    [
                        Guard(self._catalogue.is_there, (index.id,)),
                        Guard(self._catalogue.are_these, (*of_prefix, _ids(older))),
                        *drops,
                        Statement(self._catalogue.set_ready, (index.id,)),
                    ]
                )
            except GuardFailed as failed:
                if failed.index == 0:
                    raise
                continue  # an older index was finished or removed meanwhile
            return

    async def _drop(self, indexes: Sequence[Index], *guards: Guard) -> None:
        """Drop indexes of one prefix together. Raises `GuardFailed` if one is gone already."""
        there = [Guard(self._catalogue.is_there, (index.id,)) for index in indexes]
        drops = [statement for index in indexes for statement in self._sql.drop(index)]
        await self._store.batch([*there, *guards, *drops])


def _ids(indexes: Sequence[Index]) -> str | None:
    return ",".join(str(index.id) for index in indexes) or None
