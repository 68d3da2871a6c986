"""Random operations against the store and against a dict; both must tell the same story."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from buntime_keyval import BigInt, InvalidInput, KvDetails, KvEntry
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.storage.ranges import descendants
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from keyval.service.long_values import LONG, faults
from keyval.service.model import Item, Key, Model, Op, Refused, ident
from keyval.service.world import FakeClock, World, exact, open_world
from support.sampling import share_of

pytestmark = pytest.mark.slow

PARTS: list[Any] = [
    *("", "a", "a\0", "ab", "é", 0, 1, -1, 1.5, 10),
    *(BigInt(1), BigInt(-300), BigInt(2**70), True, False, b"", b"\0", b"a"),
]
parts = st.sampled_from(PARTS) | st.sampled_from(["a", 1])  # often the same, so that keys meet
keys = st.lists(parts, min_size=1, max_size=3).map(tuple)
prefixes = st.lists(parts, max_size=2).map(tuple)
numbers = st.sampled_from([0, 1, -7, 2**53 - 1, -(2**53), 2**80, BigInt(3), BigInt(-(2**70))])
values = st.one_of(
    numbers,
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(0, 9) | st.booleans() | st.none(), max_size=2),
    st.builds(lambda n: {"n": n}, st.integers(-3, 3)),
    st.builds(lambda n: {"long": LONG, "n": n}, st.integers(-3, 3)),
    st.just([LONG]),
)
lives = st.none() | st.integers(1, 50)
kinds = st.none() | st.sampled_from(["A", 'é "b"'])
metadatas = st.none() | st.sampled_from([0, "m", [None]])
limits = st.none() | st.integers(1, 8)
at_leasts = st.none() | st.integers(-3, 3)
ops = st.one_of(
    st.builds(Op, st.just("set"), keys, values, lives, metadatas, kinds),
    st.builds(Op, st.just("delete"), keys, st.none(), st.none(), st.none()),
    st.builds(Op, st.sampled_from(["sum", "max", "min"]), keys, numbers, lives, metadatas, kinds),
    st.builds(
        Op,
        st.sampled_from(["append", "prepend"]),
        keys,
        st.lists(values, max_size=2),
        lives,
        metadatas,
        kinds,
    ),
)


class Commit:
    """An atomic commit as the store gets it and as the model sees it."""

    def __init__(self, checks: list[tuple[Key, str | None]], ops: list[Op]) -> None:
        self.checks = checks
        self.ops = ops

    async def run(self, world: World) -> str | None:
        builder = world.kv.atomic().check(*self.checks)
        for op in self.ops:
            if op.type == "delete":
                builder.delete(op.key)
            else:
                add = getattr(builder, op.type)
                add(
                    op.key,
                    op.operand,
                    expires_in=op.expires_in and f"{op.expires_in}ms",
                    metadata=op.metadata,
                    type=op.kind,
                )
        result = await builder.commit()
        assert result.ok is (result.versionstamp is not None)
        return result.versionstamp

    def replay(self, model: Model, outcome: str | BaseException | None) -> None:
        if not model.holds(self.checks):
            assert outcome is None
            return
        try:
            stored = [op._replace(operand=_stored(op.operand)) for op in self.ops]
            model.apply(stored, outcome if isinstance(outcome, str) else "")
        except Refused:
            assert isinstance(outcome, InvalidInput)
        else:
            assert isinstance(outcome, str)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.model = Model(self.clock())
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.newest = self.newest_written = ""
        self.start()

    def start(self) -> None:
        self.world: World = self.run(self.stack.enter_async_context(self.opening()))

    def opening(self) -> AbstractAsyncContextManager[World]:
        """The store, as it was left."""
        return open_world(self.folder / "kv.db", self.clock)

    def run(self, work: Awaitable[Any]) -> Any:
        return self.runner.run(_outcome(work))

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def stamped(self, versionstamp: str, *, is_written: bool = True) -> str:
        """Every commit gets a later versionstamp than the one before; see `reopen`."""
        assert versionstamp > self.newest
        self.newest = versionstamp
        if is_written:
            self.newest_written = versionstamp
        return versionstamp

    @rule(key=keys, value=values, life=lives, metadata=metadatas, kind=kinds)
    def put(self, key: Key, value: Any, life: int | None, metadata: Any, kind: str | None) -> None:
        setting = self.world.kv.set(
            key, value, expires_in=life and f"{life}ms", metadata=metadata, type=kind
        )
        stamp = self.stamped(self.run(setting).versionstamp)
        self.model.put(key, _stored(value), stamp, life, metadata, kind)

    @rule(doomed=st.lists(keys, min_size=1, max_size=3), exactly=st.booleans(), n=at_leasts)
    def remove(self, doomed: list[Key], exactly: bool, n: int | None) -> None:
        key = doomed[0] if len(doomed) == 1 else doomed
        result = self.run(self.world.kv.delete(key, exact=exactly, where=_where(n)))
        assert result.deleted_count == self.model.delete(doomed, exact=exactly, at_least=n)

    @rule(data=st.data(), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6))
    def commit(self, data: st.DataObject, sizes: list[int]) -> None:
        """Several at once, so that they are decided in one group; they happen in their order."""
        commits = []
        for size in sizes:
            checked = data.draw(st.lists(keys, max_size=2))
            checks = [(key, self._stamp(key, data.draw(st.integers(0, 9)))) for key in checked]
            commits.append(Commit(checks, data.draw(st.lists(ops, min_size=size, max_size=size))))
        outcomes = self.run(_gather([commit.run(self.world) for commit in commits]))
        for commit, outcome in zip(commits, outcomes, strict=True):
            if isinstance(outcome, str):
                self.stamped(outcome, is_written=bool(commit.ops))
            commit.replay(self.model, outcome)

    def _stamp(self, key: Key, chance: int) -> str | None:
        """Mostly the right one."""
        item = self.model.get(key)
        if chance == 0:
            return "no-such-versionstamp"
        return item.versionstamp if item is not None and chance > 1 else None

    @rule(milliseconds=st.integers(1, 40))
    def wait(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        self.model.now_ms = self.clock()

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        result = self.run(self.world.kv.vacuum(limit=limit))
        assert result.count <= limit
        assert result.count == limit or not result.has_more

    @rule()
    def reopen(self) -> None:
        self.run(self.stack.aclose())
        self.start()
        # What a commit without mutations got is written nowhere, and in order in its process alone.
        self.newest = self.newest_written

    @rule(wanted=st.lists(keys, min_size=1, max_size=5))
    def read(self, wanted: list[Key]) -> None:
        batch = self.run(self.world.kv.get(wanted))
        single = [self.run(self.world.kv.get(key)) for key in wanted]
        assert _told(batch) == _told(single) == [self._expected(key) for key in wanted]

    @rule(wanted=st.lists(keys, min_size=1, max_size=5))
    def read_details(self, wanted: list[Key]) -> None:
        batch = self.run(self.world.kv.get_with_metadata(wanted))
        assert _told(batch) == [self._expected(key) for key in wanted]
        items = [self.model.get(key) for key in wanted]
        assert [entry.details for entry in batch] == [item and _details(item) for item in items]
        assert [self.run(self.world.kv.has(key)) for key in wanted] == [
            item is not None for item in items
        ]

    @rule(prefix=prefixes, limit=limits, reverse=st.booleans(), n=at_leasts)
    def walk_keys(self, prefix: Key, limit: int | None, reverse: bool, n: int | None) -> None:
        listing = self.world.kv.list(
            prefix, limit=limit, reverse=reverse, where=_where(n), details=True, values=False
        )
        entries = self.run(_collect(listing))
        expected = self.model.select(prefix, None, None, n, reverse)[:limit]
        assert [(ident(e.key), e.value, e.versionstamp, e.details) for e in entries] == [
            (ident(item.key), None, item.versionstamp, _details(item)) for item in expected
        ]

    def _expected(self, key: Key) -> Any:
        item = self.model.get(key)
        if item is None:
            return ident(key), exact(None), None
        return ident(key), exact(item.value), item.versionstamp

    @rule(
        prefix=prefixes,
        start=st.none() | keys,
        end=st.none() | keys,
        limit=limits,
        reverse=st.booleans(),
        n=at_leasts,
    )
    def walk(
        self,
        prefix: Key,
        start: Key | None,
        end: Key | None,
        limit: int | None,
        reverse: bool,
        n: int | None,
    ) -> None:
        entries = self.run(
            _collect(
                self.world.kv.list(
                    prefix, start=start, end=end, limit=limit, reverse=reverse, where=_where(n)
                )
            )
        )
        expected = self.model.select(prefix, start, end, n, reverse)[:limit]
        assert _told(entries) == [self._expected(item.key) for item in expected]

    @rule(prefix=prefixes, n=at_leasts)
    def tally(self, prefix: Key, n: int | None) -> None:
        count = self.run(self.world.kv.count(prefix, where=_where(n)))
        assert count == len(self.model.select(prefix, None, None, n, False))

    @rule(prefix=prefixes, limit=st.integers(1, 4), reverse=st.booleans(), n=at_leasts)
    def page(self, prefix: Key, limit: int, reverse: bool, n: int | None) -> None:
        expected = self.model.select(prefix, None, None, n, reverse)
        entries: list[KvEntry[Any]] = []
        cursor = None
        while True:
            page = self.run(
                self.world.kv.paginate(
                    prefix, cursor=cursor, limit=limit, reverse=reverse, where=_where(n)
                )
            )
            entries += page.entries
            assert page.has_more is (len(entries) < len(expected)) is (page.cursor is not None)
            self._same_over_http(prefix, limit, cursor, reverse, page)
            if not page.has_more or n is not None:
                break
            cursor = page.cursor
        assert _told(entries) == [self._expected(i.key) for i in expected[: len(entries)]]

    def _same_over_http(
        self, prefix: Key, limit: int, cursor: str | None, reverse: bool, page: Any
    ) -> None:
        keys = descendants(encode_key(prefix))
        raw = self.run(
            self.world.store.page_within(keys, limit=limit, cursor=cursor, reverse=reverse)
        )
        text = raw.entries if isinstance(raw.entries, str) else raw.entries.decode()
        stamps = [entry["versionstamp"] for entry in msgspec.json.decode(f"[{text}]")]
        expected = self.model.select(prefix, None, None, None, reverse)
        if cursor is None:
            assert stamps == [item.versionstamp for item in expected[:limit]]
            assert raw.has_more is (len(expected) > limit)

    @invariant()
    def tells_the_same(self) -> None:
        entries = self.run(_collect(self.world.kv.list(details=True)))
        items = self.model.live()
        assert _told(entries) == [self._expected(item.key) for item in items]
        assert [entry.details for entry in entries] == [_details(item) for item in items]
        assert self.run(faults(self.world)) == {}


def _where(n: int | None) -> dict[str, Any] | None:
    return None if n is None else {"n": {"$gte": n}}


def _details(item: Item) -> KvDetails:
    return KvDetails(
        item.metadata,
        item.created_at,
        item.updated_at,
        item.expires_at,
        item.revision,
        item.type,
    )


def _stored(value: Any) -> Any:
    """Integers that JSON clients cannot read exactly come back as bigints."""
    if type(value) is int and abs(value) > 2**53 - 1:
        return BigInt(value)
    return [_stored(item) for item in value] if isinstance(value, list) else value


def _told(entries: list[KvEntry[Any]]) -> list[Any]:
    return [(ident(entry.key), exact(entry.value), entry.versionstamp) for entry in entries]


async def _collect(entries: Any) -> list[KvEntry[Any]]:
    return [entry async for entry in entries]


async def _outcome(work: Awaitable[Any]) -> Any:
    return await work


async def _gather(work: list[Any]) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


StoreMachine.TestCase.settings = settings(
    max_examples=share_of(40),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreAgainstModel = StoreMachine.TestCase
