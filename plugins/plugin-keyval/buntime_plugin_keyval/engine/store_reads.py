"""The reads of a store: every operation on its keys and values that writes nothing.

A read is measured as one sample of its operation, whichever way it takes: at once where the engine
can, otherwise awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from buntime_database import Adapter, ReadsAtOnce, ResultTooLarge, Value
from buntime_host import Workers
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.engine.cursors import continue_at
from buntime_plugin_keyval.engine.fitting import Fitting
from buntime_plugin_keyval.engine.recorder import Recorder, measured
from buntime_plugin_keyval.model.clock import Clock, moment_of
from buntime_plugin_keyval.model.errors import ValuesEncrypted
from buntime_plugin_keyval.model.limits import Limits
from buntime_plugin_keyval.model.where import OfPattern, OfType, Wanted, Where, matches
from buntime_plugin_keyval.storage import reads, within
from buntime_plugin_keyval.storage.database import database_of
from buntime_plugin_keyval.storage.dialects.filters import of_type
from buntime_plugin_keyval.storage.dialects.reads import TOO_LONG, Short
from buntime_plugin_keyval.storage.filters.compile import compile_where
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange, single
from buntime_plugin_keyval.storage.reads import SHORT_BYTES, Row
from buntime_plugin_keyval.storage.selection import EVERYTHING, POINT_LIMIT, RowCondition, Selection
from buntime_plugin_keyval.storage.within import Found, Page, Text

if TYPE_CHECKING:
    from buntime_plugin_keyval.storage.sealing import Sealing

T = TypeVar("T")


class StoreReads:
    """The readings of one store; `Store` is this and what writes."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        clock: Clock,
        workers: Workers,
        limits: Limits,
        sealing: Sealing | None,
        logged: DisjointRanges | None,
    ) -> None:
        self.adapter = adapter
        self.db = database_of(adapter)
        if logged is not None:
            writes = self.db.sql.writes.with_values(logged)
            self.db = self.db._replace(sql=self.db.sql._replace(writes=writes))
        self.sealing = sealing
        if sealing is not None:
            from buntime_plugin_keyval.storage.sealed import sealed

            self.db = sealed(self.db, sealing)
        self.sql = self.db.sql
        """The statements of the database."""
        self.clock = clock
        self.limits = limits
        """Limits of a request."""
        self.long_reads = reads.LongReads()
        self.recorder = Recorder(workers)
        """Measurements of the operations below."""
        self._query_now: Callable[..., list[tuple[Value, ...]] | None] = _not_now
        if sealing is None and adapter.capabilities.reads_at_once:
            self._query_now = cast(ReadsAtOnce, adapter).query_now
        self._get_short = self.sql.reads.get_short

    # Not `async`: what measures it awaits it, and every frame on the way costs time.
    @measured("get")
    def get(self, key: bytes) -> Awaitable[tuple[str, str] | None]:
        """Value and versionstamp of a key, or None."""
        return reads.get(self.db, key, self.clock.now(), self.long_reads)

    def get_short(self, key: bytes) -> Short | Coroutine[Any, Any, Short]:
        """Value and versionstamp of a key, or None; no value where it is long, see `get_long`.

        At once, if the engine has it at hand.
        """
        started = perf_counter()
        now_ms = self.clock.now()
        try:
            rows = self._query_now(self._get_short, (key, now_ms))
        except Exception:
            self.recorder.record("get", perf_counter() - started, failed=True)
            raise
        if rows is None:
            return self._measured("get", self.db.get_short(key, now_ms), started)
        self.recorder.record("get", perf_counter() - started)
        return rows[0] if rows else None  # type: ignore[return-value] # as the schema says

    async def _measured(self, operation: str, work: Awaitable[T], started: float) -> T:
        """The result of work, as one sample of an operation that has begun."""
        failed = False
        try:
            return await work
        except Exception:
            failed = True
            raise
        finally:
            self.recorder.record(operation, perf_counter() - started, failed=failed)

    async def get_long(self, key: bytes) -> Text | None:
        """The entry of a key with a long value, for an answer; measured by `get_short` before."""
        most = self.limits.answer_bytes
        async with self.long_reads.turn:  # see `reads.get`
            return await within.get_long(self.db, key, self.clock.now(), most=most)

    @measured("get")
    async def get_if(
        self, key: bytes, shape: Shape, is_wanted: Callable[[str], bool] | None
    ) -> within.Found | None:
        """The entry of a key, with its versionstamp if that is wanted.

        Unwanted parts are mostly not read. Raises `LimitExceeded`.
        """
        now_ms, most = self.clock.now(), self.limits.answer_bytes
        if is_wanted is not None:
            rows = await reads.get_many_stamps(self.db, [key], now_ms, fresh=False)
            if key in rows and not is_wanted(rows[key].versionstamp):
                return within.Found(rows[key].versionstamp, None)
        found = await within.get_one(self.db, key, now_ms, shape, self.long_reads, most=most)
        if found is None or is_wanted is None or is_wanted(found.versionstamp):
            return found
        return found._replace(entry=None)  # it was written between the two reads

    @measured("get")
    async def head(self, key: bytes) -> tuple[int, str] | None:
        """Bytes of value and versionstamp of a key, and the latter; None if it is missing.

        The value is not read, unless it is encrypted.
        """
        return await self._head(key)

    async def size(self, key: bytes) -> int | None:
        """The same bytes, not measured."""
        found = await self._head(key)
        return None if found is None else found[0]

    async def _head(self, key: bytes) -> tuple[int, str] | None:
        if self.sealing is not None and self.sealing.is_unreadable([single(key)]):
            found = await reads.get(self.db, key, self.clock.now(), self.long_reads)
            return None if found is None else (sum(map(within.size_of, found)), found[1])
        return await reads.head(self.db, key, self.clock.now())

    @measured("get")
    async def get_many(self, keys: Sequence[bytes], *, fresh: bool = False) -> dict[bytes, Row]:
        """Versionstamps of the keys that exist, read from one snapshot; `fresh` for a decision."""
        return await reads.get_many(self.db, keys, self.clock.now(), self.long_reads, fresh=fresh)

    @measured("get")
    async def get_many_json(self, keys: Sequence[bytes], shape: Shape) -> dict[bytes, str]:
        """The keys that exist as JSON objects, read from one snapshot."""
        return await reads.get_many_json(self.db, keys, self.clock.now(), shape, self.long_reads)

    @measured("list")
    async def list_rows(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        where: Wanted | None = None,
        fresh: bool = False,
    ) -> list[tuple[bytes, str, str]]:
        """Key, value and versionstamp of the entries in a range; `fresh` as in `get_many`."""
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys, reverse=reverse, fresh=fresh).rows(limit)
        now_ms = self.clock.now()
        selection = Selection(keys, limit, reverse, self.condition(where, [keys]))
        return await reads.list_rows(self.db, selection, now_ms, self.long_reads, fresh=fresh)

    @measured("list")
    async def list_json(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        where: Wanted | None = None,
        shape: Shape = PLAIN,
    ) -> str:
        """The entries in a range as the inside of a JSON array."""
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys, reverse=reverse, shape=shape).json(limit)
        now_ms = self.clock.now()
        selection = Selection(keys, limit, reverse, self.condition(where, [keys]), shape)
        return await reads.list_json(self.db, selection, now_ms, self.long_reads)

    @measured("get")
    async def get_many_within(
        self, keys: Sequence[bytes], shape: Shape = PLAIN
    ) -> dict[bytes, Text]:
        """The entries of the keys that exist. Raises `LimitExceeded`."""
        most = self.limits.answer_bytes
        return await within.get_many(
            self.db, keys, self.clock.now(), shape, self.long_reads, most=most
        )

    def get_joined_soon(
        self, keys: Sequence[bytes], shape: Shape = PLAIN
    ) -> str | Awaitable[dict[bytes, Text]]:
        """The text of `ReadSql.get_joined` if the engine has it at hand.

        Else what `get_many_within` gives.
        """
        started = perf_counter()
        now_ms = self.clock.now()
        most = self.limits.answer_bytes
        joining = self.sql.reads.get_joined.get(shape)
        number = len(keys)
        if joining is None or number > POINT_LIMIT or within.may_be_too_large(number, most):
            return self.get_many_within(keys, shape)
        try:
            rows = self._query_now(*joining(keys, now_ms))
        except Exception:
            self.recorder.record("get", perf_counter() - started, failed=True)
            raise
        if rows is None:
            return self.get_many_within(keys, shape)
        text = str(rows[0][0])
        if TOO_LONG in text:
            long = within.get_many_long(self.db, keys, now_ms, shape, self.long_reads, most=most)
            return self._measured("get", long, started)
        self.recorder.record("get", perf_counter() - started)
        return text

    @measured("get")
    async def get_changed(self, keys: Sequence[bytes], known: Sequence[str]) -> dict[bytes, Found]:
        """The entries of the keys that exist, for a client that knows versionstamps. Raises
        `LimitExceeded`.

        An entry is read only if it changed: see `within.get_changed`.
        """
        most = self.limits.answer_bytes
        return await within.get_changed(
            self.db, keys, known, self.clock.now(), self.long_reads, most=most
        )

    @measured("list")
    async def list_within(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        where: Wanted | None = None,
        shape: Shape = PLAIN,
    ) -> Text:
        """The entries in a range as the inside of a JSON array. Raises `LimitExceeded`."""
        most = self.limits.answer_bytes
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys, reverse=reverse, shape=shape).list(limit, most)
        now_ms = self.clock.now()
        selection = Selection(keys, limit, reverse, self.condition(where, [keys]), shape)
        return await within.list_within(self.db, selection, now_ms, self.long_reads, most=most)

    def list_soon(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, shape: Shape = PLAIN
    ) -> Text | Awaitable[Text]:
        """The result of `list_within` without a filter, at once if the engine can."""
        started = perf_counter()
        now_ms = self.clock.now()
        selection = Selection(keys, limit, reverse, EVERYTHING, shape)
        rows = None
        if selection.is_bounded() and self.long_reads.are_rare(now_ms):
            try:
                rows = self._query_now(*self.sql.reads.list_json(selection, now_ms), SHORT_BYTES)
            except ResultTooLarge:
                self.long_reads.met(now_ms)
                most = self.limits.answer_bytes
                long = within.list_long(self.db, selection, now_ms, self.long_reads, most=most)
                return self._measured("list", long, started)
            except Exception:
                self.recorder.record("list", perf_counter() - started, failed=True)
                raise
        if rows is None:
            return self.list_within(keys, limit=limit, reverse=reverse, shape=shape)
        self.recorder.record("list", perf_counter() - started)
        return rows[0][0]  # type: ignore[return-value] # a text

    def page_soon(
        self,
        keys: KeyRange,
        *,
        limit: int,
        cursor: str | None = None,
        reverse: bool = False,
        shape: Shape = PLAIN,
    ) -> Page | Awaitable[Page]:
        """The result of `page_within` without a filter, at once if the engine can."""
        started = perf_counter()
        now_ms = self.clock.now()
        try:
            rest = continue_at(keys, cursor, reverse=reverse)
            selection = Selection(rest, limit, reverse, EVERYTHING, shape)
            page = self._page_now(selection, now_ms)
        except ResultTooLarge:
            self.long_reads.met(now_ms)
            most = self.limits.answer_bytes
            long = within.page_long(self.db, selection, now_ms, self.long_reads, most=most)
            return self._measured("paginate", long, started)
        except Exception:
            self.recorder.record("paginate", perf_counter() - started, failed=True)
            raise
        if page is None:
            return self.page_within(keys, limit=limit, cursor=cursor, reverse=reverse, shape=shape)
        self.recorder.record("paginate", perf_counter() - started)
        return page

    def _page_now(self, selection: Selection, now_ms: int) -> Page | None:
        if not (selection.is_bounded() and self.long_reads.are_rare(now_ms)):
            return None
        sql = self.sql.reads
        rows = self._query_now(*sql.page_json(selection, now_ms), SHORT_BYTES)
        if rows is None:
            return None
        ((text, last, number),) = cast("list[tuple[str, bytes, int]]", rows)  # as the SQL has it
        has_more = False
        if number == selection.limit:
            following = self._query_now(*sql.any(selection.behind(last), now_ms))
            if following is None:
                return None
            has_more = bool(following[0][0])
        return within.page_of(text, last, number, has_more=has_more)

    @measured("paginate")
    async def page_within(
        self,
        keys: KeyRange,
        *,
        limit: int,
        cursor: str | None = None,
        reverse: bool = False,
        where: Wanted | None = None,
        shape: Shape = PLAIN,
    ) -> Page:
        """The page of the entries in a range that starts at the cursor.

        It ends before the limit where an answer has no room for more.
        """
        most = self.limits.answer_bytes
        keys = continue_at(keys, cursor, reverse=reverse)
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys, reverse=reverse, shape=shape).page(limit, most)
        now_ms = self.clock.now()
        selection = Selection(keys, limit, reverse, self.condition(where, [keys]), shape)
        return await within.page_within(self.db, selection, now_ms, self.long_reads, most=most)

    @measured("count")
    async def count(self, keys: KeyRange, *, where: Wanted | None = None) -> int:
        """Number of entries in a range."""
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys).count()
        now_ms = self.clock.now()
        return await reads.count(self.db, keys, self.condition(where, [keys]), now_ms)

    @measured("list")
    async def behind(
        self, keys: KeyRange, offset: int, *, reverse: bool = False, where: Wanted | None = None
    ) -> KeyRange | None:
        """The part of a range behind its first entries; None if there are no more than these."""
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys, reverse=reverse).behind(offset)
        selection = Selection(keys, offset, reverse, self.condition(where, [keys]))
        key = await reads.key_behind(self.db, selection, self.clock.now())
        if key is None:
            return None
        return keys.before(single(key).end) if reverse else keys.from_key(key)

    async def has_any(self, keys: KeyRange, *, where: Wanted | None = None) -> bool:
        """Whether a range has an entry."""
        if isinstance(where, OfPattern):
            return await self.fitting(where, keys).has_any()
        selection = Selection(keys, 1, condition=self.condition(where, [keys]))
        if selection.condition.recheck is None:
            return await reads.is_any(self.db, selection, self.clock.now())
        return await self.behind(keys, 0, where=where) is not None

    def fitting(
        self,
        where: OfPattern,
        keys: KeyRange,
        *,
        reverse: bool = False,
        shape: Shape = PLAIN,
        fresh: bool = False,
    ) -> Fitting:
        """The entries of a range that fit a pattern, now. Raises `ValuesEncrypted`."""
        condition = self.condition(where.wanted, [keys])
        now_ms = self.clock.now()
        return Fitting(
            self.db,
            where.pieces,
            keys,
            condition,
            now_ms,
            self.long_reads,
            reverse=reverse,
            shape=shape,
            fresh=fresh,
        )

    def condition(
        self, where: Where | OfType | None, keys: Sequence[KeyRange], at_ms: int | None = None
    ) -> RowCondition:
        """A filter of the entries in some ranges, as SQL for this store's database.

        Its present time is that of the wall clock, now or at `at_ms` of the store's time. Raises
        `ValuesEncrypted` where SQL cannot read the values.
        """
        if where is None:
            return EVERYTHING
        if isinstance(where, OfType):
            values = self.condition(where.where, keys, at_ms)
            return RowCondition(of_type(values.sql), (where.type, *values.args), values.recheck)
        self.refuse_encrypted(keys, "The filter")
        at = moment_of(self.clock)
        now_ms = at.wall_ms if at_ms is None else at_ms - at.ahead_ms
        printed = self.sql.filter(compile_where(where, now_ms), self.adapter.capabilities)
        if printed.exact:
            return RowCondition(printed.sql, printed.args)

        def recheck(value: str) -> bool:
            return matches(where, msgspec.json.decode(value), now_ms=now_ms)

        return RowCondition(printed.sql, printed.args, recheck)

    def refuse_encrypted(self, keys: Sequence[KeyRange], what: str) -> None:
        """Raise `ValuesEncrypted` for what needs values of ranges, if some are encrypted there."""
        if self.sealing is not None and self.sealing.is_unreadable(keys):
            raise ValuesEncrypted(what)


def _not_now(*_: object) -> None:
    """For an engine without immediate reads."""
