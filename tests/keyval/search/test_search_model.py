"""After any sequence of writes and index changes, a search finds what a look at every entry does.

The same sequences show that the totals, which triggers keep, stay exact.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from buntime_plugin_keyval.faces.local.kv import LocalKv
from hypothesis import given, settings
from hypothesis import strategies as st
from keyval.service.world import FakeClock
from support.sampling import share_of
from support.store import open_kv

pytestmark = pytest.mark.slow

WORDS = ["ant", "bee", "cow", "dog"]
PREFIXES: list[list[Any]] = [["a"], ["a", "x"], ["a", 1], ["b"], ["ab"]]
FIELDS = [["text"], ["text", "more.0"], ["more"]]

keys = st.sampled_from(
    [[*prefix, *rest] for prefix in PREFIXES for rest in ([], ["x"], [1], ["x", 1])]
)
texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
values = st.one_of(
    texts,
    st.fixed_dictionaries(
        {"text": texts}, optional={"more": st.lists(texts, max_size=2), "flag": st.booleans()}
    ),
)
ttls = st.sampled_from([None, None, 50, 200])


def _set(key: list[Any], value: Any, ttl: int | None) -> tuple[str, list[Any]]:
    return "set", [key, value, ttl]


operations = st.one_of(
    st.builds(_set, keys, values, ttls),
    st.builds(_set, keys, values, ttls),
    st.tuples(st.just("atomic"), st.tuples(st.lists(st.tuples(keys, values, ttls), max_size=4))),
    st.tuples(st.just("failing_atomic"), st.tuples(keys, values)),
    st.tuples(st.just("append"), st.tuples(keys, texts)),
    st.tuples(st.just("delete_exact"), st.tuples(keys)),
    st.tuples(st.just("delete_prefix"), st.tuples(st.sampled_from(PREFIXES))),
    st.tuples(st.just("delete_where"), st.tuples(st.sampled_from(PREFIXES))),
    st.tuples(st.just("delete_batch"), st.tuples(st.lists(keys, min_size=1, max_size=3))),
    st.tuples(st.just("transaction"), st.tuples(keys, keys, values)),
    st.tuples(st.just("pass_time"), st.tuples(st.sampled_from([30, 60, 300]))),
    st.tuples(st.just("sweep"), st.tuples(st.sampled_from([1, 100]))),
    st.tuples(st.just("create"), st.tuples(st.sampled_from(PREFIXES), st.sampled_from(FIELDS))),
    st.tuples(st.just("remove"), st.tuples(st.sampled_from(PREFIXES))),
)


class Story:
    """What a sequence does, in words that the sequence uses."""

    def __init__(self, kv: LocalKv, clock: FakeClock) -> None:
        self.kv = kv
        self.clock = clock
        self.indexes: dict[tuple[Any, ...], list[str]] = {}

    async def set(self, key: list[Any], value: Any, ttl: int | None) -> None:
        await self.kv.set(key, value, expires_in=ttl and f"{ttl}ms")

    async def atomic(self, writes: list[tuple[list[Any], Any, int | None]]) -> None:
        atomic = self.kv.atomic()
        for number, (key, value, ttl) in enumerate(writes):
            if number % 3 == 2:
                atomic.delete(key)
            else:
                atomic.set(key, value, expires_in=ttl and f"{ttl}ms")
        await atomic.commit()

    async def failing_atomic(self, key: list[Any], value: Any) -> None:
        result = await self.kv.atomic().check((key, "not this")).set(key, value).commit()
        assert not result.ok

    async def append(self, key: list[Any], text: str) -> None:
        await self.kv.delete(key, exact=True)
        await self.kv.atomic().append(key, [text]).commit()

    async def delete_exact(self, key: list[Any]) -> None:
        await self.kv.delete(key, exact=True)

    async def delete_prefix(self, prefix: list[Any]) -> None:
        await self.kv.delete(prefix)

    async def delete_where(self, prefix: list[Any]) -> None:
        await self.kv.delete(prefix, where={"flag": True})

    async def delete_batch(self, batch: list[list[Any]]) -> None:
        await self.kv.delete(batch, exact=True)

    async def transaction(self, read: list[Any], key: list[Any], value: Any) -> None:
        async def work(tx: Any) -> None:
            await tx.get(read)
            tx.set(key, value)

        await self.kv.transaction(work)

    async def pass_time(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    async def sweep(self, limit: int) -> None:
        await self.kv._store.expire(limit)

    async def create(self, prefix: list[Any], fields: list[str]) -> None:
        await self.kv.create_index(prefix, fields=fields)
        self.indexes[tuple(prefix)] = fields

    async def remove(self, prefix: list[Any]) -> None:
        await self.kv.remove_index(prefix)
        self.indexes.pop(tuple(prefix), None)

    async def check(self) -> None:
        entries = {entry.key: entry.value async for entry in self.kv.list()}
        for prefix, fields in self.indexes.items():
            documents = {
                key: set().union(*(_words(value, field) for field in fields))
                for key, value in entries.items()
                if key[: len(prefix)] == prefix
            }
            for query in (["ant"], ["bee"], ["cow"], ["ant", "dog"]):
                wanted = {key for key, words in documents.items() if words.issuperset(query)}
                hits = [hit async for hit in self.kv.search(prefix, " ".join(query))]
                assert {hit.key: hit.value for hit in hits} == {key: entries[key] for key in wanted}
                assert len(hits) == len(wanted)
        assert {index.prefix for index in await self.kv.list_indexes()} == set(self.indexes)
        await self.check_totals(len(entries))

    async def check_totals(self, live: int) -> None:
        adapter = self.kv.get_adapter()
        ((size,),) = await adapter.query(
            "SELECT coalesce(sum(length(key) + length(CAST(value AS BLOB))), 0) FROM kv_entries "
            "WHERE expires_at IS NULL OR expires_at > ?",
            (self.clock.now_ms,),
        )
        stored = (await self.kv._service.report()).stored
        assert (stored["entries_total"], stored["storage_bytes"]) == (live, size)
        for index in await self.kv.list_indexes():
            rows = await adapter.query(f"SELECT count(*) FROM {index.table_name}_docsize")
            assert rows == [(index.documents,)]
            # Raises if the words in the index are not those of its texts.
            check = (
                f"INSERT INTO {index.table_name} ({index.table_name}) VALUES ('integrity-check')"
            )
            await adapter.execute(check)
        orphans = "SELECT count(*) FROM kv_docs WHERE doc_key NOT IN (SELECT key FROM kv_entries)"
        assert await adapter.query(orphans) == [(0,)]


def _words(value: Any, field: str) -> set[str]:
    """What the index has of a field, with words of ASCII letters alone."""
    if not isinstance(value, dict):
        return set()
    found = value.get("text") if field == "text" else value.get("more")
    if field == "more.0":
        found = found[0] if found else None
    return set(re.findall(r"[a-z]+", str(found))) if found is not None else set()


@given(st.lists(operations, min_size=1, max_size=12), st.lists(operations, max_size=12))
@settings(max_examples=share_of(200), deadline=None)
def test_searches_find_what_a_scan_finds(before: list[Any], after: list[Any]) -> None:
    async def run() -> None:
        clock = FakeClock()
        async with open_kv(clock) as kv:
            story = Story(kv, clock)
            for part in (before, [("create", ([*PREFIXES[0]], FIELDS[1]))], after):
                for name, args in part:
                    step: Callable[..., Awaitable[None]] = getattr(story, name)
                    await step(*args)
                await story.check()

    asyncio.run(run())
