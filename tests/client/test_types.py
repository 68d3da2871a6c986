"""What a type checker says of programs that use the client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SAMPLE = """
from typing import Any, assert_type

from buntime_keyval import AsyncKv, Kv, KvEntry


class User:
    name: str


async def lists_have_values(kv: AsyncKv) -> None:
    users = kv.store(["users"], type=User)
    async for entry in users.list():
        assert_type(entry.value, User)
    for found in await users.get_all(["team", 1]):
        found.value.name
    for paged in (await users.paginate("team", limit=5)).entries:
        paged.value.name
    async for hit in users.search("ada"):
        hit.value.name


async def what_exists_has_a_value(kv: AsyncKv) -> None:
    users = kv.store(["users"], type=User)
    entry = await users.get(["ada", 1])
    assert_type(entry.value, User | None)
    entry.value.name  # refused
    if entry.exists:
        assert_type(entry.value, User)
    taken = await users.get_and_delete("ada")
    if not taken.exists:
        return
    assert_type(taken.value, User)
    assert_type((await users.get("bob", default=0)).value, User | int)
    made = await users.get_or_set("eve", User)
    made.value.name
    for some in await users.get_many(["ada", ("bob", 1)]):
        some.value.name  # refused
        if some.exists:
            some.value.name
    async with users.watch("ada") as batches:
        async for batch in batches:
            batch[0].value.name  # refused
    async with kv.begin() as tx:
        assert_type((await tx.of(users).get("ada")).value, User | None)


def lists_are_keys(kv: Kv) -> None:
    assert_type(kv.get(["users", 1]), KvEntry[Any])
    kv.get(["users", 1]).value["name"]
    assert_type(kv.get([["users", 1], ("users", 2)]), list[KvEntry[Any]])
    kv.set(["users", 1], {})
    kv.atomic().check(kv.get(["users", 1])).set(["users", b"x", True, 2.5], 1).commit()
    kv.delete([["users", 1], ["users", 2]])
    list(kv.list(["users"], start=["users", 1], end=["users", 5]))
    users = kv.store(["users", 1], type=User)
    users.set(["notes", 1], User())
    users.set("notes", 5)  # refused
"""


def test_what_a_type_checker_says(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", sample],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    refused = {int(line.split(":")[1]) for line in lines}
    wanted = {at for at, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith("# refused")}
    assert refused == wanted, done.stdout + done.stderr
