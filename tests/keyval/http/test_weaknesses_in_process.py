"""Weaknesses of the original that show only in the same process or with a hand on the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.faces.local.triggers import TriggerEvent
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition, Selection
from keyval.service.world import FakeClock
from support.store import open_kv


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def kv(clock: FakeClock) -> AsyncIterator[LocalKv]:
    async with open_kv(clock) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["sum", "max", "min", "append", "prepend"])
async def test_weakness_06_mutations_keep_the_life_of_an_entry(
    kv: LocalKv, clock: FakeClock, kind: str
) -> None:
    first: Any = [1] if kind.endswith("pend") else 1
    await kv.set(["c"], first, expires_in=1000)
    clock.now_ms += 600
    await getattr(kv.atomic(), kind)(["c"], first).commit()
    clock.now_ms += 399
    assert (await kv.get(["c"])).exists
    clock.now_ms += 1
    assert not (await kv.get(["c"])).exists


@pytest.mark.parametrize(
    ("kind", "value"), [("sum", 3), ("max", -3), ("min", 30), ("append", [3]), ("prepend", [3])]
)
async def test_weakness_06_what_has_expired_counts_as_missing(
    kv: LocalKv, clock: FakeClock, kind: str, value: Any
) -> None:
    await kv.set(["c"], [1] if kind.endswith("pend") else 10, expires_in=1000)
    clock.now_ms += 1000
    await getattr(kv.atomic(), kind)(["c"], value).commit()
    assert (await kv.get(["c"])).value == value
    clock.now_ms += 10**9
    assert (await kv.get(["c"])).exists


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("where", [None, {"$": 1}])
async def test_weakness_34_deletions_count_live_entries(
    kv: LocalKv, clock: FakeClock, exact: bool, where: Any
) -> None:
    await kv.set(["d"], 1, expires_in="10ms")
    await kv.set(["d", "child"], 1, expires_in="10ms")
    await kv.set(["d", "alive"], 1)
    clock.now_ms += 10
    deleted = await kv.delete(["d"], exact=exact, where=where)
    assert deleted.deleted_count == (0 if exact else 1)


async def test_weakness_35_an_empty_key_deletes_nothing(kv: LocalKv) -> None:
    await kv.set(["a"], 1)
    empties: list[Any] = [[], ()]
    for empty in empties:
        with pytest.raises(InvalidInput, match="everything=True"):
            await kv.delete(empty)
    assert await kv.count() == 1
    assert (await kv.delete([], everything=True)).deleted_count == 1


async def test_weakness_36_each_deleted_key_is_an_event(kv: LocalKv) -> None:
    seen: list[TriggerEvent] = []
    kv.add_trigger(prefix=["p"], events=["delete"], handler=seen.append)
    await kv.delete(["p"])
    assert seen == []
    keys: list[Any] = [["p"], ["p", 1], ["p", "1"], ["q"]]
    for key in keys:
        await kv.set(key, 1)
    await kv.delete(["p"])
    assert [event.key for event in seen] == [("p",), ("p", "1"), ("p", 1)]
    assert len({event.versionstamp for event in seen}) == 1
    assert seen[0].versionstamp


async def test_weakness_49_prefixes_of_bytes_match_by_value(kv: LocalKv) -> None:
    seen: list[TriggerEvent] = []
    kv.add_trigger(prefix=[b"\0\xff"], handler=seen.append)
    keys: list[Any] = [[b"\0\xff", 1], [b"\0\xff\0"], ["\0\xff"], [b"\0"]]
    for key in keys:
        await kv.set(key, 1)
    assert [event.key for event in seen] == [(b"\0\xff", 1)]


@pytest.mark.parametrize("reverse", [False, True])
async def test_weakness_44_lists_walk_the_primary_key(kv: LocalKv, reverse: bool) -> None:
    where = RowCondition("json_extract(value, ?) = ?", ("$.a", 1))
    selection = Selection(KeyRange(b"a", b"b"), 10, reverse, where)
    text, args = SQLITE.reads.rows(selection, 0)
    rows = await kv.get_adapter().query(f"EXPLAIN QUERY PLAN {text}", args)
    plan = " ".join(str(row[-1]) for row in rows)
    assert "SEARCH kv_entries USING PRIMARY KEY (key>? AND key<?)" in plan
    assert "TEMP B-TREE" not in plan
