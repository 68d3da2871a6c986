"""Keys that fit a pattern, on every engine: the same as with every key looked at, for less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from buntime_database import Statement
from buntime_host.access import Permissible, compile_grant
from buntime_host.errors import PermissionDenied
from buntime_keyval import ANY, BigInt, InvalidInput
from buntime_keyval.wire import encode_key
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.engine.store import REMOVED_TOGETHER
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from keyval.service.world import World

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")

PARTS: list[Any] = [
    b"",
    b"\0\xff",
    "",
    "a",
    "a\0",
    "a\0b",
    "ä",
    -1.5,
    7,
    BigInt(-(2**70)),
    BigInt(7),
    BigInt(2**70),
    False,
    True,
]
"""One of each kind that has an encoding of its own, in their order."""
KEYS: list[tuple[Any, ...]] = sorted(
    [
        ("users",),
        *[("users", part) for part in PARTS[::3]],
        *[("users", part, "name") for part in PARTS],
        *[("users", part, "age") for part in PARTS[::2]],
        *[("users", part, "name", "old") for part in PARTS[1::2]],
        *[("users", part, "pets", n, "name") for part in PARTS[::4] for n in range(7)],
        ("usert", 1, "name"),
        ("users\0", 1, "name"),
        ("v", "x", "name"),
        (1, 2),
    ],
    key=encode_key,
)

PATTERNS: list[Sequence[Any]] = [
    ["users", ANY, "name"],
    ["users", ANY],
    [ANY],
    [ANY, ANY],
    [ANY, ANY, "name"],
    ["users", ANY, ANY],
    ["users", ANY, "pets", ANY, "name"],
    ["users", 7, ANY],
    ["users", 7, "name"],
    ["users", BigInt(7), ANY],
    ["users", ANY, "nothing"],
    ["nobody", ANY],
    [ANY, ANY, ANY, ANY, ANY],
    [ANY, ANY, ANY, ANY, ANY, ANY],
]


def fits(key: Sequence[Any], pattern: Sequence[Any]) -> bool:
    return len(key) == len(pattern) and all(
        wanted is ANY or encode_key([part]) == encode_key([wanted])
        for part, wanted in zip(key, pattern, strict=True)
    )


def fitting(pattern: Sequence[Any]) -> list[Any]:
    return [key for key in KEYS if fits(key, pattern)]


async def fill(kv: LocalKv) -> None:
    atomic = kv.atomic()
    for number, key in enumerate(KEYS):
        atomic.set(key, {"n": number}, type="Even" if number % 2 == 0 else None)
    await atomic.commit()


async def keys(kv: LocalKv, pattern: Sequence[Any], **options: Any) -> list[Any]:
    return [entry.key async for entry in kv.list(pattern=pattern, **options)]


async def test_lists_pages_and_counts_mean_the_same(kv: LocalKv) -> None:
    await fill(kv)
    for pattern in PATTERNS:
        wanted = fitting(pattern)
        assert await keys(kv, pattern) == wanted, pattern
        assert await keys(kv, pattern, reverse=True) == wanted[::-1], pattern
        assert await kv.count(pattern=pattern) == len(wanted), pattern
        for reverse in (False, True):
            order = wanted[::-1] if reverse else wanted
            page = await kv.paginate(pattern=pattern, limit=5, offset=1, reverse=reverse)
            assert [entry.key for entry in page.entries] == order[1:6]
            assert page.has_more == (len(order) > 6)
            if page.cursor:
                more = await kv.paginate(pattern=pattern, cursor=page.cursor, reverse=reverse)
                assert [entry.key for entry in more.entries] == order[6:]


async def test_other_selectors_narrow_what_fits(kv: LocalKv) -> None:
    await fill(kv)
    names: list[Any] = ["users", ANY, "name"]
    all_names = fitting(names)
    assert await kv.count(pattern=names, offset=3, limit=4) == 4
    start, end = all_names[3], all_names[9]
    assert await keys(kv, names, start=start, end=end) == all_names[3:9]
    assert await keys(kv, names, start=start[:2], end=end[:2]) == all_names[3:9]
    between = [*start[:2], "o"]
    assert await keys(kv, names, start=between, reverse=True, limit=2) == all_names[:-3:-1]
    assert await keys(kv, names, start=between, offset=1) == all_names[5:]
    even = [key for key in all_names if KEYS.index(key) % 2 == 0]
    assert await keys(kv, names, type="Even") == even
    filtered: Any = {"n": {"$gte": KEYS.index(even[1])}}
    assert await keys(kv, names, type="Even", where=filtered) == even[1:]
    shown = [it async for it in kv.list(pattern=names, details=True, values=False, limit=3)]
    assert [(it.key, it.value) for it in shown] == [(key, None) for key in all_names[:3]]
    assert shown[0].details is not None


async def test_what_is_deleted_is_what_was_listed(kv: LocalKv) -> None:
    await fill(kv)
    pets: list[Any] = ["users", ANY, "pets", ANY, "name"]
    left = fitting(pets)
    for _ in range(2):
        done = await kv.delete(pattern=pets, offset=1, limit=3, idempotency_key="once")
        assert done.deleted_count == 3
    assert await keys(kv, pets) == [left[0], *left[4:]]
    assert (await kv.delete(pattern=pets, end=left[5])).deleted_count == 2
    some: Any = {"n": {"$gte": KEYS.index(left[10])}}
    assert (await kv.delete(pattern=pets, where=some)).deleted_count == len(left[10:])
    assert (await kv.delete(pattern=pets)).deleted_count == len(left[5:10])
    assert (await kv.delete(pattern=pets)).deleted_count == 0
    assert await kv.count() == len(KEYS) - len(left)


async def test_many_are_deleted_and_what_lies_between_them_stays(kv: LocalKv) -> None:
    number = 2 * REMOVED_TOGETHER + 5
    await kv.set_many([(("u", n, name), n) for n in range(number) for name in ("age", "name")])
    written = (await kv.changes())[-1].seq
    for _ in range(2):
        done = await kv.delete(pattern=["u", ANY, "name"], idempotency_key="once")
        assert done.deleted_count == number
    assert await keys(kv, ["u", ANY, ANY]) == [("u", n, "age") for n in range(number)]
    logged = await kv.changes(after=written)
    assert [it.key for it in logged] == [encode_key(("u", n, "name")) for n in range(number)]
    assert len({it.versionstamp for it in logged}) == 1


async def test_what_has_expired_does_not_fit(world: World) -> None:
    for number in range(50):
        await world.kv.set(["u", number, "n"], 1, expires_in=1000 if number % 10 else None)
    world.clock.advance(1000)
    found = [("u", number, "n") for number in range(0, 50, 10)]
    assert await keys(world.kv, ["u", ANY, "n"]) == found
    assert await keys(world.kv, ["u", ANY, "n"], limit=1, offset=2) == found[2:3]
    assert await world.kv.count(pattern=["u", ANY, "n"]) == 5
    page = await world.kv.paginate(pattern=["u", ANY, "n"], limit=4, reverse=True)
    assert ([entry.key for entry in page.entries], page.has_more) == (found[:0:-1], True)


class Asked:
    """What an engine was asked, and how many rows it gave."""

    def __init__(self, adapter: SqliteAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[tuple[str, Any]] = []
        self.rows = 0
        query = adapter.query

        async def counted(sql: str, args: Any = (), **options: Any) -> Any:
            found = await query(sql, args, **options)
            self.statements.append((sql, args))
            self.rows += len(found)
            return found

        monkeypatch.setattr(adapter, "query", counted)


async def test_work_grows_with_parts_and_not_with_entries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hundred entries between one name and the next cost what three do."""
    pattern: list[Any] = ["u", ANY, "name"]
    costs = []
    for below in (3, 300):
        for user in range(20):
            atomic = world.kv.atomic().set(["u", user, "name"], user)
            for number in range(below):
                atomic.set(["u", user, "log", number], number)
                atomic.set(["u", user, "z", number], number)
            await atomic.commit()
        with monkeypatch.context() as patched:
            asked = Asked(world.adapter, patched)
            assert len(await keys(world.kv, pattern)) == 20
            assert await world.kv.count(pattern=pattern) == 20
            costs.append((len(asked.statements), asked.rows))
    assert costs[0] == costs[1]
    statements, rows = costs[0]
    assert statements <= 6
    assert rows <= 3 * 20 + 10


@pytest.mark.engines("sqlite")
async def test_every_step_is_a_search_in_an_index(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(world.kv)
    with monkeypatch.context() as patched:
        asked = Asked(world.adapter, patched)
        for reverse in (False, True):
            options: Any = {"reverse": reverse, "where": {"n": {"$gt": 3}}}
            assert await keys(world.kv, ["users", ANY, "name"], **options)
            await world.kv.paginate(pattern=["users", ANY, "name"], **options)
        await world.kv.count(pattern=["users", ANY, "name"])
    assert len(asked.statements) > 8
    for sql, args in asked.statements:
        plan = [row[-1] for row in await world.rows(f"EXPLAIN QUERY PLAN {sql}", *args)]
        steps = [step for step in plan if "kv_entries" in step]
        assert steps
        assert all(" (key" in step and step.startswith("SEARCH") for step in steps), plan
        # Keys are looked up one by one: a range would be read through.
        assert "json_each" not in sql or not any("(key>" in it for it in steps if "found" in it)


@pytest.mark.engines("postgres")
async def test_a_server_reads_nothing_that_does_not_fit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It plans by what it knows of its tables: nothing yet, and then how many rows there are."""
    # By itself it would look in between, when a part of the rows is there.
    await world.plain.batch([Statement("ALTER TABLE kv_entries SET (autovacuum_enabled = false)")])
    pattern: list[Any] = ["u", ANY, "name"]
    for start in range(0, 40, 10):
        atomic = world.kv.atomic()
        for user in range(start, start + 10):
            atomic.set(["u", user, "name"], user)
            for number in range(200):
                atomic.set(["u", user, "log", number], number)
        await atomic.commit()
    for analyze in ("SELECT 1", "ANALYZE kv_entries"):
        await world.plain.batch([Statement(analyze)])
        with monkeypatch.context() as patched:
            asked = Asked(world.adapter, patched)
            assert len(await keys(world.kv, pattern)) == 40
            assert len(await keys(world.kv, pattern, reverse=True, limit=5)) == 5
            assert (await world.kv.paginate(pattern=pattern, limit=5)).has_more
            assert await world.kv.count(pattern=pattern) == 40
        for sql, args in asked.statements:
            rows = await world.rows(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}", *args)
            plan = [row[0].strip() for row in rows]
            assert not any("Seq Scan on kv_entries" in step for step in plan), plan
            removed = [step for step in plan if step.startswith("Rows Removed")]
            assert set(removed) <= {"Rows Removed by Filter: 0"}, plan


@pytest.mark.engines("sqlite")
async def test_who_wants_one_looks_for_few(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in range(0, 2000, 500):
        atomic = world.kv.atomic()
        for number in range(start, start + 500):
            atomic.set(["u", number, "name"], number)
        await atomic.commit()
    with monkeypatch.context() as patched:
        asked = Asked(world.adapter, patched)
        assert await keys(world.kv, ["u", ANY, "name"], limit=1) == [("u", 0, "name")]
        assert asked.rows < 40
    assert len(await keys(world.kv, ["u", ANY, "name"])) == 2000
    assert await keys(world.kv, ["u", ANY, "name"], offset=1990, limit=2) == [
        ("u", 1990, "name"),
        ("u", 1991, "name"),
    ]


@pytest.mark.parametrize(
    ("selectors", "message"),
    [
        ({"prefix": ["a"], "pattern": [ANY]}, "one of prefix, prefixes, starts_with and pattern"),
        ({"pattern": []}, "cannot be empty"),
        ({"pattern": [ANY] * 21}, "too deep"),
        ({"pattern": "a/*"}, "must be a list or tuple"),
        ({"pattern": [ANY, None]}, "Invalid key part at index 1"),
        ({"prefix": [ANY]}, "Invalid key part at index 0"),
        ({"pattern": [ANY], "snapshot": True}, "leave out snapshot, or pattern"),
    ],
)
@pytest.mark.engines("sqlite")
async def test_what_means_nothing_is_refused(kv: LocalKv, selectors: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        [entry async for entry in kv.list(**selectors)]


@pytest.mark.engines("sqlite")
async def test_a_grant_covers_all_that_a_pattern_can_reach(kv: LocalKv) -> None:
    await fill(kv)
    permissible = Permissible({"keyval": PERMISSIONS})
    grant = compile_grant(['keyval:read:["users"]', 'keyval:write:["users",7]'], permissible)
    some = kv.as_principal(grant)
    assert await keys(some, ["users", ANY, "name"]) == fitting(["users", ANY, "name"])
    assert await some.count(pattern=["users", 7, ANY]) == len(fitting(["users", 7, ANY]))
    denied: list[list[Any]] = [[ANY], [ANY, 7], ["user", ANY], [ANY, 7, "name"]]
    for pattern in denied:
        with pytest.raises(PermissionDenied):
            await keys(some, pattern)
        with pytest.raises(PermissionDenied):
            await some.paginate(pattern=pattern)
        with pytest.raises(PermissionDenied):
            await some.count(pattern=pattern)
    with pytest.raises(PermissionDenied):
        await some.delete(pattern=["users", ANY, "name"])
    assert (await some.delete(pattern=["users", 7, ANY])).deleted_count == 2
    blind = kv.as_principal(compile_grant(['keyval:write:["users"]'], permissible))
    with pytest.raises(PermissionDenied):  # what fits tells of keys
        await blind.delete(pattern=["users", ANY, "age"])


@pytest.mark.engines("sqlite")
async def test_a_typed_store_has_patterns_of_its_own(kv: LocalKv) -> None:
    await fill(kv)
    users = kv.store(["users"], dict)
    wanted = [key[1:] for key in fitting(["users", ANY, "age"])]
    assert [entry.key async for entry in users.list(pattern=[ANY, "age"])] == wanted
    assert await users.count(pattern=[ANY, "age"], limit=3) == 3
    page = await users.paginate(pattern=[ANY, "age"], limit=2)
    assert [entry.key for entry in page.entries] == wanted[:2]
    with pytest.raises(InvalidInput, match="cannot be empty"):
        await users.count(pattern=[])
    assert (await users.delete(pattern=[ANY, "age"])).deleted_count == len(wanted)
    assert await kv.count() == len(KEYS) - len(wanted)
