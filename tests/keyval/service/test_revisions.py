"""How often an entry was written, and what kind it is, on every engine."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FakeClock, World

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres", "odd")

KEY = ("a", 1)


async def told(kv: LocalKv, key: tuple[Any, ...] = KEY) -> tuple[int, str | None]:
    details = (await kv.get_with_metadata(key)).details
    assert details is not None
    return details.revision, details.type


async def test_each_write_counts_from_creation_on(world: World) -> None:
    kv, clock = world.kv, world.clock
    await kv.set(KEY, 1)
    assert await told(kv) == (1, None)
    await kv.set(KEY, "x" * 100_000, expires_in="1s")
    await kv.set(KEY, 2, expires_in="5ms")
    assert await told(kv) == (3, None)
    clock.advance(5)
    await kv.set(KEY, 3)
    assert await told(kv) == (1, None), "what has expired was gone before"
    await kv.atomic().sum(KEY, 1).sum(KEY, 1).commit()
    assert await told(kv) == (2, None), "one commit writes a key once"
    await kv.delete(KEY)
    await kv.set(KEY, 4)
    assert await told(kv) == (1, None)
    await kv.atomic().set(KEY, 5).delete(KEY).set(KEY, 6).commit()
    assert await told(kv) == (1, None)
    await kv.atomic().set((kv.uuidv7(), "z"), 1).commit()
    assert [it.details.revision async for it in kv.list(details=True) if it.details] == [1, 1]


async def test_writes_of_one_group_count_each(world: World) -> None:
    """They are committed together, and each sees those before it."""
    kv, store = world.kv, world.store
    await kv.set(KEY, 0)
    encoded = encode_key(KEY)
    writes = [store.set(encoded, '["a",1]', str(number)) for number in range(10)]
    for write in writes:
        await write
    assert (await told(kv))[0] == 11
    counted = [kv.atomic().sum(KEY, 1).commit() for _ in range(5)]
    for each in counted:
        await each
    assert (await told(kv))[0] == 16
    first = store.set(encoded, '["a",1]', "1")
    gone = store.delete([encoded], exact=True)
    last = [store.set(encoded, '["a",1]', "2"), store.set(encoded, '["a",1]', "3")]
    await first
    await gone
    for write in last:
        await write
    assert (await told(kv))[0] == 2


async def test_a_set_says_the_type_and_others_keep_it(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, 1, type="Counter")
    await kv.atomic().sum(KEY, 1).commit()
    assert await told(kv) == (2, "Counter")
    await kv.atomic().sum(KEY, 1, type='"é\\').commit()
    assert await told(kv) == (3, '"é\\')
    await kv.set(KEY, 1)
    assert await told(kv) == (4, None), "a set replaces all of it"
    await kv.atomic().set(KEY, 1, type="A", expires_in="5ms").max(KEY, 2).commit()
    assert await told(kv) == (5, "A")
    clock.advance(5)
    await kv.atomic().sum(KEY, 1).commit()
    assert await told(kv) == (1, None)


async def test_what_is_no_type(kv: LocalKv) -> None:
    for wrong in ("", "x" * 257, "a\nb", "\ud800", 5, ["A"]):
        with pytest.raises(InvalidInput, match="type must"):
            await kv.set(KEY, 1, type=wrong)  # type: ignore[arg-type] # that is the test
        with pytest.raises(InvalidInput, match="type must"):
            kv.atomic().sum(KEY, 1, type=wrong)  # type: ignore[arg-type] # as above
    assert not (await kv.get(KEY)).exists
