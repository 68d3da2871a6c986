"""Times and metadata of entries, reading without values, and removing what has expired."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput, KvDetails, KvEntry, KvMissing, VacuumResult
from buntime_keyval.wire import Key, check_key, decode_key, encode_key
from buntime_keyval.wire.limits import MAX_METADATA_BYTES, MAX_TIMESTAMP_MS
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.expiry.sweeper import BATCH
from keyval.service.world import NOW_MS, FakeClock, World

pytestmark = pytest.mark.engines("sqlite", "libsql-replica")

KEY = ("a", 1)


async def details(kv: LocalKv, key: tuple[Any, ...] = KEY) -> KvDetails | None:
    entry: KvEntry[Any] = await kv.get_with_metadata(key)
    return entry.details


async def test_times_are_those_of_the_writes(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, 1)
    assert await details(kv) == KvDetails(None, NOW_MS, NOW_MS, None)
    clock.advance(10)
    await kv.set(KEY, 2, expires_in="100ms")
    assert await details(kv) == KvDetails(None, NOW_MS, NOW_MS + 10, NOW_MS + 110, 2)
    clock.advance(10)
    await kv.atomic().sum(KEY, 1).commit()
    assert await details(kv) == KvDetails(None, NOW_MS, NOW_MS + 20, NOW_MS + 110, 3)
    clock.advance(10)
    await kv.set(KEY, 3)
    assert await details(kv) == KvDetails(None, NOW_MS, NOW_MS + 30, None, 4)


async def test_what_was_gone_is_created_anew(world: World) -> None:
    kv, clock = world.kv, world.clock
    await kv.set(KEY, 1, expires_in="5ms")
    clock.advance(5)
    await kv.set(KEY, 2)
    assert await world.stored() == 1, "it was not swept in between"
    assert await details(kv) == KvDetails(None, NOW_MS + 5, NOW_MS + 5, None)
    clock.advance(1)
    await kv.delete(KEY)
    await kv.set(KEY, 3)
    assert await details(kv) == KvDetails(None, NOW_MS + 6, NOW_MS + 6, None)


async def test_a_commit_that_deletes_and_sets_creates(kv: LocalKv, clock: FakeClock) -> None:
    for name in ("set", "sum", "twice"):
        await kv.set((name,), 1, metadata="old")
    clock.advance(5)
    await (
        kv.atomic()
        .delete(("set",))
        .set(("set",), 2)
        .delete(("sum",))
        .sum(("sum",), 2)
        .delete(("twice",))
        .set(("twice",), 5, metadata="new")
        .sum(("twice",), 2)
        .commit()
    )
    created = KvDetails(None, NOW_MS + 5, NOW_MS + 5, None)
    assert await details(kv, ("set",)) == await details(kv, ("sum",)) == created
    told = await kv.get_with_metadata(("twice",))
    assert told.value == 7
    assert told.details == KvDetails("new", NOW_MS + 5, NOW_MS + 5, None)
    clock.advance(5)
    await kv.atomic().set(("set",), 3).set(("set",), 4).commit()
    assert await details(kv, ("set",)) == KvDetails(None, NOW_MS + 5, NOW_MS + 10, None, 2)


@pytest.mark.parametrize(
    "metadata",
    [
        {"by": "ada", "tags": [1, 2.5, None]},
        "text",
        0,
        False,
        [],
        BigInt(2**70),
        {"raw": b"\0\xff"},
        "é\u2028",
    ],
)
async def test_metadata_comes_back(kv: LocalKv, metadata: Any) -> None:
    await kv.set(KEY, 1, metadata=metadata)
    await kv.atomic().set(("b",), 1, metadata=metadata).commit()
    for key in (KEY, ("b",)):
        told = await details(kv, key)
        assert told is not None
        assert told.metadata == metadata
        assert type(told.metadata) is type(metadata)


async def test_a_set_replaces_metadata_and_counters_keep_it(kv: LocalKv, clock: FakeClock) -> None:
    kinds: dict[str, Any] = {"sum": 1, "max": 1, "min": 1, "append": [1], "prepend": [1]}
    for kind, operand in kinds.items():
        await kv.set((kind,), operand, metadata=kind, expires_in="50ms")
    clock.advance(1)
    atomic = kv.atomic()
    for kind, operand in kinds.items():
        getattr(atomic, kind)((kind,), operand)
    await atomic.commit()
    for kind in kinds:
        assert await details(kv, (kind,)) == KvDetails(kind, NOW_MS, NOW_MS + 1, NOW_MS + 50, 2)
    atomic = kv.atomic()
    for kind, operand in kinds.items():
        getattr(atomic, kind)((kind,), operand, metadata=["new", kind], expires_at=NOW_MS + 9)
    await atomic.commit()
    for kind in kinds:
        told = await details(kv, (kind,))
        assert told == KvDetails(["new", kind], NOW_MS, NOW_MS + 1, NOW_MS + 9, 3)
    clock.advance(10)
    await kv.atomic().sum(("sum",), 1).commit()
    assert await details(kv, ("sum",)) == KvDetails(None, NOW_MS + 11, NOW_MS + 11, None)
    await kv.set(("sum",), 1, metadata=1)
    await kv.set(("sum",), 1)
    assert await details(kv, ("sum",)) == KvDetails(None, NOW_MS + 11, NOW_MS + 11, None, 3)


async def test_mutations_of_one_commit_see_the_metadata_of_each_other(kv: LocalKv) -> None:
    await kv.atomic().set(KEY, 1, metadata="m", expires_in="7ms").sum(KEY, 2).commit()
    assert await details(kv) == KvDetails("m", NOW_MS, NOW_MS, NOW_MS + 7)
    await kv.atomic().sum(KEY, 2).set(KEY, 3).commit()
    assert await details(kv) == KvDetails(None, NOW_MS, NOW_MS, None, 2)


async def test_a_transaction_sets_metadata(kv: LocalKv) -> None:
    async def fn(tx: Any) -> None:
        tx.set(KEY, 1, metadata={"n": 1}, expires_at=NOW_MS + 4)

    assert (await kv.transaction(fn)).ok
    assert await details(kv) == KvDetails({"n": 1}, NOW_MS, NOW_MS, NOW_MS + 4)


async def test_metadata_is_small_json(kv: LocalKv) -> None:
    fits = "x" * (MAX_METADATA_BYTES - 2)
    await kv.set(KEY, 1, metadata=fits)
    told = await details(kv)
    assert told is not None
    assert told.metadata == fits
    message = f"metadata too large: {MAX_METADATA_BYTES + 1} bytes"
    with pytest.raises(InvalidInput, match=message):
        await kv.set(KEY, 2, metadata=fits + "x")
    with pytest.raises(InvalidInput, match="metadata too large"):
        kv.atomic().sum(KEY, 2, metadata="é" * (MAX_METADATA_BYTES // 2))
    for wrong in (float("nan"), object(), "\ud800"):
        with pytest.raises(InvalidInput):
            await kv.set(KEY, 2, metadata=wrong)
    assert (await kv.get(KEY)).value == 1


async def test_an_entry_may_expire_at_a_moment(kv: LocalKv, clock: FakeClock) -> None:
    moment = datetime.fromtimestamp((NOW_MS + 10) / 1000, UTC)
    await kv.set(("ms",), 1, expires_at=NOW_MS + 9.5)
    await kv.set(("datetime",), 1, expires_at=moment)
    await kv.set(("both",), 1, expires_at=NOW_MS + 10, expires_in="20ms")
    await kv.set(("past",), 1, expires_at=NOW_MS - 1)
    await kv.set(("far",), 1, expires_at=1e300)
    entries = {entry.key[0]: entry.details async for entry in kv.list(details=True)}
    assert {name: it.expires_at for name, it in entries.items() if it is not None} == {
        "ms": NOW_MS + 10,
        "datetime": NOW_MS + 10,
        "both": NOW_MS + 20,
        "far": MAX_TIMESTAMP_MS,
    }
    clock.advance(10)
    assert [entry.key[0] async for entry in kv.list()] == ["both", "far"]
    wrong: list[Any] = [0, -1, True, "soon", "", float("nan"), datetime(2030, 1, 1), [1]]
    for moment_ in wrong:
        with pytest.raises(InvalidInput, match="expires_at must be an aware datetime"):
            await kv.set(("x",), 1, expires_at=moment_)
    with pytest.raises(InvalidInput, match="expires_in must"):
        await kv.set(("x",), 1, expires_in=-1, expires_at=NOW_MS + 1)
    assert not await kv.has(("x",))


async def test_only_who_asks_gets_details(kv: LocalKv) -> None:
    await kv.set(KEY, 1, metadata="m")
    assert (await kv.get(KEY)).details is None
    assert [entry.details async for entry in kv.list()] == [None]
    assert (await kv.paginate()).entries[0].details is None
    assert "details" not in repr(await kv.get(KEY))
    missing, found = await kv.get_with_metadata([("nope",), KEY])
    assert missing == KvMissing(("nope",), None, None)
    assert found.details == KvDetails("m", NOW_MS, NOW_MS, None)
    nobody: list[tuple[str]] = []
    assert list(await kv.get_with_metadata(nobody)) == []
    assert await kv.get_with_metadata(("nope",)) == missing
    with pytest.raises(InvalidInput):
        await kv.get_with_metadata([()])


async def test_keys_of_lists_are_those_that_were_set(kv: LocalKv) -> None:
    def typed(keys: Iterable[Key]) -> list[list[tuple[type, Any]]]:
        return [[(type(part), part) for part in key] for key in keys]

    async def check(number: int) -> None:
        wanted = typed(map(decode_key, sorted({encode_key(check_key(key)) for key in stored})))
        assert len(wanted) == number
        shapes: list[dict[str, Any]] = [{}, {"details": True}, {"values": False}]
        for asked in shapes:
            assert typed([entry.key async for entry in kv.list(**asked)]) == wanted

    stored: list[Any] = []
    plain: list[Any] = [0, -0.0, -7, 1.5, 2**53, 10**20, 1e21, 1e300, 5e-324, True, "", "é\0\u2028"]
    for part in plain:
        stored.append(("k", part))
        await kv.set(stored[-1], 1)
    await check(len(stored) - 1)  # the second zero is the first one
    tagged: list[Any] = [b"\0", BigInt(5)]  # no JSON by themselves
    for part in tagged:
        stored.append(("k", part))
        await kv.set(stored[-1], 1)
    await check(len(stored) - 1)


async def test_lists_and_pages_have_what_is_asked_for(kv: LocalKv) -> None:
    stamps = {}
    for number in range(5):
        key = ("n", number, b"\0", BigInt(2**70))
        result = await kv.set(key, {"n": number, "big": BigInt(5)}, metadata=number or None)
        stamps[number] = result.versionstamp

    def expected(number: int, *, values: bool, with_details: bool) -> KvEntry[Any]:
        return KvEntry(
            ("n", number, b"\0", BigInt(2**70)),
            {"n": number, "big": BigInt(5)} if values else None,
            stamps[number],
            KvDetails(number or None, NOW_MS, NOW_MS, None) if with_details else None,
        )

    for values in (True, False):
        for with_details in (True, False):
            wanted = [expected(n, values=values, with_details=with_details) for n in range(5)]
            asked: dict[str, Any] = {"values": values, "details": with_details}
            assert [entry async for entry in kv.list(("n",), **asked)] == wanted
            assert [e async for e in kv.list(limit=3, reverse=True, **asked)] == wanted[:1:-1]
            where = {"n": {"$gte": 3}}
            assert [entry async for entry in kv.list(where=where, **asked)] == wanted[3:]
            folded = {"$not": {"n": {"$startsWithi": "É"}}}  # on some engines checked in Python
            assert [e async for e in kv.list(where=folded, limit=2, **asked)] == wanted[:2]
            first = await kv.paginate(("n",), limit=3, **asked)
            assert (first.entries, first.has_more) == (wanted[:3], True)
            last = await kv.paginate(("n",), limit=3, cursor=first.cursor, **asked)
            assert (last.entries, last.has_more, last.cursor) == (wanted[3:], False, None)
            page = await kv.paginate(limit=2, where=folded, reverse=True, **asked)
            assert (page.entries, page.has_more) == (wanted[:2:-1], True)


@pytest.mark.slow
async def test_more_than_a_page_is_listed_without_values(kv: LocalKv) -> None:
    for start in range(0, 1500, 500):
        atomic = kv.atomic()
        for number in range(start, start + 500):
            atomic.set(("n", number), number)
        await atomic.commit()
    keys = [entry.key[1] async for entry in kv.list(("n",), values=False)]
    assert keys == [*range(1500)]
    assert [e.key[1] async for e in kv.list(values=False, reverse=True)] == keys[::-1]


async def test_has(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, None, expires_in="5ms")
    assert await kv.has(KEY)
    assert not await kv.has(("a",))
    clock.advance(5)
    assert not await kv.has(KEY)
    with pytest.raises(InvalidInput):
        await kv.has(())


async def test_vacuum(world: World) -> None:
    kv = world.kv
    assert await kv.vacuum() == VacuumResult(0, has_more=False)
    number = BATCH + 20
    atomic = kv.atomic()
    for index in range(number):
        atomic.set(("n", index), index, expires_in="5ms")
    await atomic.set(("stays",), 1, expires_in="6ms").commit()
    assert await kv.vacuum() == VacuumResult(0, has_more=False)
    world.clock.advance(5)
    assert await kv.vacuum(limit=3) == VacuumResult(3, has_more=True)
    assert await world.stored() == number - 2
    assert await kv.vacuum() == VacuumResult(number - 3, has_more=False)
    assert await world.stored() == 1
    changes = await kv.changes(limit=10**6)
    assert [change.operation for change in changes].count("expire") == number
    world.clock.advance(1)
    assert await kv.vacuum(limit=1) == VacuumResult(1, has_more=False)
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InvalidInput, match="limit must be a positive number"):
            await kv.vacuum(limit=wrong)  # type: ignore[arg-type]


async def test_reading_keys_does_not_touch_values(world: World) -> None:
    """Not even to look at them: what is stored there would not pass for JSON."""
    await world.kv.set(KEY, 1, metadata="m")
    await world.adapter.execute("UPDATE kv_entries SET value = 'no JSON'")
    (entry,) = [entry async for entry in world.kv.list(values=False, details=True)]
    assert (entry.key, entry.value, entry.exists) == (KEY, None, True)
    assert entry.details == KvDetails("m", NOW_MS, NOW_MS, None)
    assert await world.kv.has(KEY)
