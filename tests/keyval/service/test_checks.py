"""Checks of atomic commits: what holds, what does not, and that nothing happens if one does not."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import CommitResult, InvalidInput, KvEntry
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FakeClock, World, values

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql-replica")

KEY = ("k",)


async def test_the_current_versionstamp_holds(kv: LocalKv) -> None:
    first = await kv.set(KEY, 1)
    result = await kv.atomic().check((KEY, first.versionstamp)).set(KEY, 2).commit()
    assert result.ok
    entry = await kv.get(KEY)
    assert entry == KvEntry(KEY, 2, result.versionstamp)


async def test_an_entry_is_a_check(kv: LocalKv) -> None:
    missing = await kv.get(KEY)
    assert (await kv.atomic().check(missing).set(KEY, 1).commit()).ok
    entry = await kv.get(KEY)
    assert (await kv.atomic().check(entry).set(KEY, 2).commit()).ok
    assert not (await kv.atomic().check(missing).set(KEY, 3).commit()).ok
    assert not (await kv.atomic().check(entry).set(KEY, 3).commit()).ok
    assert (await kv.get(KEY)).value == 2


@pytest.mark.parametrize("wrong", ["old", "unknown", "null", "deleted"])
async def test_a_wrong_versionstamp_writes_nothing(kv: LocalKv, wrong: str) -> None:
    old = (await kv.set(KEY, 1)).versionstamp
    current = (await kv.set(KEY, 2)).versionstamp
    if wrong == "deleted":
        await kv.delete(KEY)
    stamp = {"old": old, "unknown": "x", "null": None, "deleted": current}[wrong]
    result = await kv.atomic().check((KEY, stamp)).set(KEY, 3).set(("other",), 1).commit()
    assert result == CommitResult(ok=False, versionstamp=None)
    assert await values(kv) == ({} if wrong == "deleted" else {KEY: 2})


async def test_one_of_many_checks_fails_all(kv: LocalKv) -> None:
    entries = []
    for number in range(10):
        await kv.set(("n", number), number)
        entries.append(await kv.get(("n", number)))
    await kv.set(("n", 9), "changed")
    assert not (await kv.atomic().check(*entries).set(("n", 0), "new").commit()).ok
    assert (await kv.atomic().check(*entries[:9]).set(("n", 0), "new").commit()).ok


async def test_null_is_a_stored_value_and_not_a_missing_key(kv: LocalKv) -> None:
    await kv.set(KEY, None)
    entry = await kv.get(KEY)
    assert entry.exists
    assert entry.value is None
    assert not (await kv.atomic().check((KEY, None)).set(KEY, 1).commit()).ok
    assert (await kv.atomic().check(entry).set(KEY, 1).commit()).ok


async def test_checks_alone_write_nothing_and_give_a_versionstamp(world: World) -> None:
    stamp = (await world.kv.set(KEY, 1)).versionstamp
    before = await world.kv.changes()
    good = await world.kv.atomic().check((KEY, stamp), (("none",), None)).commit()
    assert good.ok
    assert good.versionstamp not in (None, stamp)
    assert await world.kv.atomic().check((KEY, None)).commit() == CommitResult(ok=False)
    assert await world.kv.changes() == before
    assert (await world.kv.get(KEY)).versionstamp == stamp


async def test_an_empty_commit_succeeds_and_writes_nothing(world: World) -> None:
    result = await world.kv.atomic().commit()
    assert result.ok
    assert result.versionstamp
    assert await world.stored() == 0


async def test_a_check_sees_the_state_before_the_mutations(kv: LocalKv) -> None:
    result = await kv.atomic().set(KEY, 1).check((KEY, None)).sum(KEY, 1).commit()
    assert result.ok
    assert (await kv.get(KEY)).value == 2


async def test_a_failed_check_wins_over_a_mutation_that_cannot_work(kv: LocalKv) -> None:
    await kv.set(KEY, "text")
    assert not (await kv.atomic().check((KEY, None)).sum(KEY, 1).commit()).ok


async def test_an_expired_key_is_missing_for_checks(kv: LocalKv, clock: FakeClock) -> None:
    stamp = (await kv.set(KEY, 1, expires_in="10ms")).versionstamp
    clock.advance(9)
    assert not (await kv.atomic().check((KEY, None)).commit()).ok
    assert (await kv.atomic().check((KEY, stamp)).commit()).ok
    clock.advance(1)
    assert not (await kv.atomic().check((KEY, stamp)).commit()).ok
    assert (await kv.atomic().check((KEY, None)).set(KEY, 2).commit()).ok
    assert (await kv.get(KEY)).value == 2


@pytest.mark.parametrize("stamp", [5, b"x", ["a"], True])
async def test_a_versionstamp_is_text_or_none(kv: LocalKv, stamp: Any) -> None:
    with pytest.raises(InvalidInput, match="versionstamp must be"):
        kv.atomic().check((KEY, stamp))


async def test_a_check_needs_a_real_key(kv: LocalKv) -> None:
    with pytest.raises(InvalidInput, match="Key cannot be empty"):
        kv.atomic().check(((), None))
    with pytest.raises(InvalidInput, match="uuidv7 placeholder"):
        kv.atomic().check(((kv.uuidv7(),), None))  # type: ignore[arg-type]
