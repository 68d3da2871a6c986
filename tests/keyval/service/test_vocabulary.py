"""What a commit holds is one vocabulary: a builder's contents are what a store applies."""

from __future__ import annotations

from typing import Any

import buntime_keyval.wire.values as values_module
import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_keyval.shared import AtomicBuilder, contents_of
from buntime_keyval.wire.commits import (
    Check,
    EntryOptions,
    MessageOptions,
    Mutation,
    NewMessage,
)
from keyval.service.world import NOW_MS, World

LONG = 10**5000


def test_a_builder_collects_values_as_they_are_stored() -> None:
    builder = AtomicBuilder[Any]().check((("a",), "stamp"))
    builder.set(("a",), {"n": 1.0, "b": b"\x00"}, expires_in="1h", metadata={"m": 1})
    builder.sum(("n",), " 0x10 ").max(("n",), BigInt(5)).append(("l",), (1, 2)).delete(("d",))
    builder.enqueue("hello", delay="1s", backoff_schedule=[5], keys_if_undelivered=[("k",)])
    checks, mutations = contents_of(builder)
    assert checks == [Check(("a",), "stamp")]
    assert mutations == [
        Mutation(
            "set",
            ("a",),
            '{"n":1,"b":{"__type":"uint8array","value":"AA=="}}',
            EntryOptions(expires_in=3_600_000, metadata='{"m":1}'),
        ),
        Mutation("sum", ("n",), 16),
        Mutation("max", ("n",), 5),
        Mutation("append", ("l",), "[1,2]"),
        Mutation("delete", ("d",)),
        NewMessage('"hello"', MessageOptions(1000, (5,), (("k",),))),
    ]


@pytest.mark.parametrize("operand", ["", "5", " 0b101 ", 5, BigInt(5), LONG], ids=type)
async def test_operands_of_every_form_are_numbers(world: World, operand: Any) -> None:
    assert (await world.kv.atomic().sum(("n",), operand).commit()).ok
    assert (await world.kv.get(("n",))).value == (0 if operand == "" else
        LONG if operand == LONG else 5)  # fmt: skip


@pytest.mark.parametrize(
    "operand", ["five", "0x", 1.5, True, None, 10**10_000, "9" * 10_001], ids=type
)
def test_what_is_no_integer_is_refused_before_anything_is_sent(operand: Any) -> None:
    with pytest.raises(InvalidInput):
        AtomicBuilder[Any]().sum(("n",), operand)


async def test_a_long_number_has_an_idempotency_key(world: World) -> None:
    for _ in range(2):
        commit = world.kv.atomic().sum(("n",), LONG)
        assert (await commit.commit(idempotency_key="k")).ok
    assert (await world.kv.get(("n",))).value == LONG


async def test_what_is_a_python_value_takes_no_way_through_json(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("decoded")

    commit = world.kv.atomic().set(("a",), {"n": [1]}, metadata={"m": 1}).sum(("n",), 2)
    commit.append(("l",), [1]).enqueue("x")
    with monkeypatch.context() as patch:
        for name in ("decode_levels", "decode_long", "_decode", "_decode_plain"):
            patch.setattr(values_module, name, fail)
        assert (await commit.commit()).ok
    assert (await world.kv.get(("a",))).value == {"n": [1]}


async def test_the_time_is_that_of_the_commit(world: World) -> None:
    now = world.kv.now()
    commit = world.kv.atomic().set(("a",), {"at": now}, metadata={"at": now})
    commit.enqueue({"at": now})
    world.clock.advance(5)
    assert (await commit.commit()).ok
    entry = await world.kv.get_with_metadata(("a",))
    assert (entry.value, entry.details.metadata) == ({"at": NOW_MS + 5}, {"at": NOW_MS + 5})  # type: ignore[union-attr]
    message = await world.kv.dequeue()
    assert message is not None
    assert message.value == {"at": NOW_MS + 5}
