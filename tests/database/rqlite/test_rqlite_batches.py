"""What is sent is written whole or not at all, whatever fails, and wherever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_database import (
    Batch,
    ConstraintViolation,
    DatabaseError,
    Guard,
    GuardFailed,
    InvalidStatement,
    Statement,
)
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from database.rqlite.conftest import OpenRqlite
from support.rqlite import Rqlited

INSERT = "INSERT INTO items (id, n) VALUES (?, ?)"
GOOD: list[Statement | Guard] = [Statement(INSERT, (number, 0)) for number in (2, 3, 4)]
BAD: dict[str, tuple[Statement | Guard, type[DatabaseError]]] = {
    "a guard": (Guard("(SELECT n FROM items WHERE id = ?) = ?", (1, 99)), GuardFailed),
    "a guard of NULL": (Guard("NULL"), GuardFailed),
    "a constraint": (Statement(INSERT, (1, 0)), ConstraintViolation),
    "text that does not parse": (Statement("INSERT INTO items VALUES ("), InvalidStatement),
    "no such table": (Statement("DELETE FROM nowhere"), InvalidStatement),
    "too few arguments": (Statement(INSERT, (5,)), InvalidStatement),
    "too many arguments": (Statement(INSERT, (5, 5, 5)), InvalidStatement),
    "a bad argument": (Statement(INSERT, (5, 2**63)), InvalidStatement),
    "an error while it runs": (
        Statement("UPDATE items SET n = json_extract('{', '$')"),
        InvalidStatement,
    ),
    "an integer that is none": (Statement(INSERT, ("x", 1)), InvalidStatement),
}


@pytest.fixture
async def adapter(open_rqlite: OpenRqlite) -> RqliteAdapter:
    opened = open_rqlite()
    await opened.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, n INTEGER)")
    await opened.execute(INSERT, (1, 10))
    return opened


async def ids(adapter: RqliteAdapter) -> list[Any]:
    return [row[0] for row in await adapter.query("SELECT id FROM items ORDER BY id", fresh=True)]


@pytest.mark.parametrize("what", BAD)
async def test_a_step_that_fails_in_every_place(adapter: RqliteAdapter, what: str) -> None:
    bad, kind = BAD[what]
    for position in range(4):
        steps = [*GOOD[:position], bad, *GOOD[position:]]
        with pytest.raises(kind) as raised:
            await adapter.batch(steps)
        if isinstance(raised.value, GuardFailed):
            assert raised.value.index == position
        assert await ids(adapter) == [1], position


@pytest.mark.parametrize("what", BAD)
async def test_a_batch_that_fails_in_every_place_of_a_group(
    adapter: RqliteAdapter, what: str
) -> None:
    bad, kind = BAD[what]
    for position in range(3):
        batches = [Batch([Statement(INSERT, (10 + n, 0))], bounded=True) for n in range(2)]
        wrong = Batch([Statement(INSERT, (90, 0)), bad], bounded=True)
        outcomes = await adapter.batch_each([*batches[:position], wrong, *batches[position:]])
        assert [type(outcome) for outcome in outcomes].count(list) == 2
        assert isinstance(outcomes[position], kind)
        assert await ids(adapter) == [1, 10, 11], position
        await adapter.execute("DELETE FROM items WHERE id > 1")


async def test_most_of_a_group_fail(adapter: RqliteAdapter) -> None:
    """As when another host was faster: each is told for itself."""
    batches = [
        Batch(
            [Guard("(SELECT n FROM items WHERE id = 1) = ?", (n,)), Statement(INSERT, (100 + n, 0))]
            if n % 10 == 3
            else [Guard("0"), Statement(INSERT, (100 + n, 0))],
            bounded=True,
        )
        for n in range(40)
    ]
    outcomes = await adapter.batch_each([*batches[:5], Batch(GOOD, bounded=True), *batches[5:]])
    assert [isinstance(outcome, list) for outcome in outcomes].index(True) == 5
    assert sum(isinstance(outcome, GuardFailed) for outcome in outcomes) == 40
    assert await ids(adapter) == [1, 2, 3, 4]


async def test_a_batch_that_fails_because_of_one_that_fails_after_all(
    adapter: RqliteAdapter, node: Rqlited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second fails while the first is there; then another host takes the first one's place."""
    execute, requests = adapter._nodes.execute, 0

    async def interrupt(statements: Any, **options: Any) -> Any:
        nonlocal requests
        requests += 1
        if requests == 2:
            await asyncio.to_thread(node.run, "UPDATE items SET n = 11 WHERE id = 1")
        return await execute(statements, **options)

    monkeypatch.setattr(adapter._nodes, "execute", interrupt)
    is_first = Guard("(SELECT n FROM items WHERE id = 1) = 10")
    is_alone = Guard("NOT EXISTS (SELECT 1 FROM items WHERE id = 2)")
    outcomes = await adapter.batch_each(
        [
            Batch([is_first, Statement(INSERT, (2, 0))], bounded=True),
            Batch([is_alone, Statement(INSERT, (3, 0))], bounded=True),
        ]
    )
    assert isinstance(outcomes[0], GuardFailed)
    assert isinstance(outcomes[1], list)
    assert await ids(adapter) == [1, 3]


async def test_nothing_is_queued_and_all_is_one_transaction(
    adapter: RqliteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    ask = adapter._nodes._ask_once

    async def look(url: str, path: str, *args: Any, **options: Any) -> Any:
        paths.append(path)
        return await ask(url, path, *args, **options)

    monkeypatch.setattr(adapter._nodes, "_ask_once", look)
    await adapter.batch(GOOD)
    await adapter.query("SELECT 1")
    await adapter.query("SELECT 1", fresh=True)
    assert {path.partition("&")[0] for path in paths} == {
        "/db/execute?transaction",
        "/db/query?level=weak",
        "/db/query?level=linearizable",
    }


@pytest.mark.parametrize(
    "value",
    [
        "random()",
        "RANDOMBLOB (8)",
        "CURRENT_TIMESTAMP",
        "datetime('Now')",
        "unixepoch()",
        "strftime('%s', 'now')",
        "(SELECT date('now', '-1 day'))",
    ],
)
async def test_what_each_node_would_do_differently_is_refused(
    adapter: RqliteAdapter, value: str
) -> None:
    for step in (
        Statement(f"UPDATE items SET n = {value}"),
        Statement(f"CREATE TABLE late (at DEFAULT ({value}))"),
        Guard(f"{value} IS NOT NULL"),
    ):
        with pytest.raises(InvalidStatement, match="differs from node to node"):
            await adapter.batch([step])
    assert len(await adapter.query(f"SELECT {value}")) == 1
    await adapter.execute("UPDATE items SET n = unixepoch('2026-01-01') + length('random()')")


async def test_counts_behind_a_guard_are_refused(adapter: RqliteAdapter) -> None:
    """A guard is a write there, so that they would be the guard's."""
    steps: list[Statement | Guard] = [
        Statement("UPDATE items SET n = 5"), Guard("1"), Statement("UPDATE items SET n = changes()")
    ]  # fmt: skip
    with pytest.raises(InvalidStatement, match="behind a guard"):
        await adapter.batch(steps)
    assert await adapter.query("SELECT n FROM items") == [(10,)]
