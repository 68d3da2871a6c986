"""Commits of plain changes do what they do where each commit is decided in full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_keyval.wire import encode_key
from buntime_keyval.wire.commits import EntryOptions, Mutation
from buntime_plugin_keyval.engine import store as store_module
from buntime_plugin_keyval.engine.plain import plain_changes
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits
from keyval.service.world import FakeClock, World, open_world

SAFE = 2**53 - 1
KEYS = [("a",), ("b", 1), ("c", "x"), ("d",)]
VALUES: list[Any] = [
    5, -3, 0, 1.5, None, "7", [1], {"n": 1}, True, BigInt(4), BigInt(SAFE + 1), SAFE, 2.0**53
]  # fmt: skip
OPERANDS: list[Any] = [1, -7, 0, SAFE, -SAFE, BigInt(3), BigInt(10**20)]
ENTRIES = (
    "SELECT key, key_json, value, expires_at, metadata, revision, type, created_at, updated_at"
)


def commits(random: Random) -> list[list[tuple[str, Any, Any, int | None]]]:
    """Some that are made at once: type, key, operand and life of each mutation."""
    made = []
    for _ in range(random.randint(1, 6)):
        commit = []
        for key in random.sample(KEYS, random.randint(1, 3)):
            kind = random.choice(["set", "sum", "sum", "max", "min", "delete"])
            operand = random.choice(VALUES if kind == "set" else OPERANDS)
            life = random.choice([None, None, None, 50]) if kind == "set" else None
            commit.append((kind, key, operand, life))
        made.append(commit)
    return made


async def told(world: World, commit: list[tuple[str, Any, Any, int | None]]) -> object:
    """What a caller is told: whether it is done, or the error."""
    atomic = world.kv.atomic()
    for kind, key, operand, life in commit:
        if kind == "delete":
            atomic.delete(key)
        elif life is not None:
            atomic.set(key, operand, expires_in=f"{life}ms", metadata={"m": 1}, type="t")
        else:
            getattr(atomic, kind)(key, operand)
    try:
        return (await atomic.commit()).ok
    except InvalidInput as error:
        return str(error)


async def history(path: Path, seed: int) -> list[object]:
    """All that callers were told, and what there is after each group of commits."""
    random = Random(seed)
    seen: list[object] = []
    clock = FakeClock()
    async with open_world(path, clock) as world:
        for _ in range(40):
            seen.append(await asyncio.gather(*(told(world, one) for one in commits(random))))
            seen.append(await world.rows(f"{ENTRIES} FROM kv_entries ORDER BY key"))
            clock.advance(random.choice([1, 20]))
        seen.append(
            await world.rows(
                "SELECT key, operation, at, revision, type FROM kv_changes ORDER BY seq"
            )
        )
        stamps = [
            stamp
            for (stamp,) in await world.rows("SELECT versionstamp FROM kv_changes ORDER BY seq")
        ]
        assert stamps == sorted(stamps)
    return seen


@pytest.mark.parametrize("seed", range(5))
async def test_they_are_what_they_are_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    found: list[bool] = []

    def looked(*args: Any) -> object:
        write = plain_changes(*args)
        found.append(write is not None)
        return write

    monkeypatch.setattr(store_module, "plain_changes", looked)
    short = await history(tmp_path / "short.db", seed)
    assert True in found
    assert False in found, "lives are not plain"
    monkeypatch.setattr(store_module, "plain_changes", lambda *_: None)
    full = await history(tmp_path / "full.db", seed)
    assert short == full


def of(kind: Any, key: Any, operand: Any = None, **more: Any) -> Mutation:
    return Mutation(kind, key, operand, encoded=encode_key(key), **more)


LIFE = EntryOptions(expires_in=5)


@pytest.mark.parametrize(
    ("mutations", "limits", "most_key"),
    [
        ([], DEFAULT_LIMITS, None),
        ([of("sum", ("n",), 1), of("sum", ("n",), 2)], DEFAULT_LIMITS, None),
        ([of("sum", ("n",), SAFE + 1)], DEFAULT_LIMITS, None),
        ([of("sum", ("n",), 1, options=LIFE)], DEFAULT_LIMITS, None),
        ([of("sum", ("n",), 1, on_create=LIFE)], DEFAULT_LIMITS, None),
        ([of("append", ("n",), "[1]")], DEFAULT_LIMITS, None),
        ([of("persist", ("n",))], DEFAULT_LIMITS, None),
        ([of("set", ("n",), '{"$uuidv7":true}')], DEFAULT_LIMITS, None),
        ([of("set", ("n",), '"long"')], Limits(commit_bytes=3), None),  # type: ignore[arg-type]
        ([of("set", ("n",), "1")], DEFAULT_LIMITS, 2),
        ([Mutation("set", ("n",), "1")], DEFAULT_LIMITS, None),
        ([of("delete", (number,)) for number in range(129)], DEFAULT_LIMITS, None),
    ],
)
def test_what_is_not_plain(mutations: Sequence[Mutation], limits: Limits, most_key: int) -> None:
    assert plain_changes(mutations, limits, most_key) is None
    assert plain_changes([of("sum", ("n",), 1)], DEFAULT_LIMITS, 3) is not None
