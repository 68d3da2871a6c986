"""Group commit over the network: how many round trips, and what a failure takes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from buntime_database import (
    Batch,
    ConstraintViolation,
    Guard,
    GuardFailed,
    InvalidStatement,
    Statement,
)
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter

OpenLibsql = Callable[..., LibsqlAdapter]
TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 10))"
INSERT = "INSERT INTO t VALUES (?, 0)"


def insert(number: int) -> Batch:
    return Batch([Statement(INSERT, (number,))], bounded=True)


@pytest.fixture
async def adapter(open_libsql: OpenLibsql) -> LibsqlAdapter:
    adapter = open_libsql()
    await adapter.execute(TABLE)
    return adapter


@pytest.fixture
def requests(adapter: LibsqlAdapter, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of steps of each request that writes."""
    sizes: list[int] = []
    transport = adapter._servers.primary.transport
    batch = transport.batch

    async def counted(steps: list[dict[str, Any]]) -> dict[str, Any]:
        sizes.append(len(steps))
        return await batch(steps)

    monkeypatch.setattr(transport, "batch", counted)
    return sizes


async def ids(adapter: LibsqlAdapter) -> list[Any]:
    rows = await adapter.query("SELECT id FROM t ORDER BY id", fresh=True)
    return [row[0] for row in rows]


async def test_what_arrives_together_is_one_request(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    outcomes = await asyncio.gather(*(adapter.batch_each([insert(n)]) for n in range(100)))
    assert all(isinstance(outcome[0], list) for outcome in outcomes)
    assert requests == [4 + 2 * 100]  # each with a note of its result
    assert await ids(adapter) == list(range(100))
    numbers = adapter.statistics()
    assert (numbers["commits"], numbers["batches"]) == (2, 101)


async def test_what_arrives_meanwhile_shares_the_next_one(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    first = asyncio.create_task(adapter.batch_each([insert(0)]))
    while not requests:  # noqa: ASYNC110 - nobody could set an event
        await asyncio.sleep(0)
    later = [asyncio.create_task(adapter.batch_each([insert(n)])) for n in range(1, 51)]
    await asyncio.gather(first, *later)
    assert requests == [6, 4 + 2 * 50]


async def test_what_may_scan_is_alone(adapter: LibsqlAdapter, requests: list[int]) -> None:
    scan = Batch([Statement("UPDATE t SET n = n + 1")])
    outcomes = await adapter.batch_each([insert(1), insert(2), scan, insert(3), insert(4)])
    assert [type(outcome) for outcome in outcomes] == [list] * 5
    assert requests == [8, 6, 8]


async def test_failures_stay_where_they_are(adapter: LibsqlAdapter, requests: list[int]) -> None:
    outcomes = await adapter.batch_each(
        [
            insert(1),
            Batch([Statement(INSERT, (2,)), Guard("1 = 2"), Statement(INSERT, (3,))], bounded=True),
            insert(1),
            Batch([Guard("(SELECT count(*) FROM t) = 1"), Statement(INSERT, (4,))], bounded=True),
            Batch([Statement("UPDATE t SET n = 10")], bounded=True),
        ]
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [list, GuardFailed, ConstraintViolation, list, ConstraintViolation]
    assert len(requests) == 2  # the second time with a savepoint for each
    assert await ids(adapter) == [1, 4]


async def test_after_a_failure_groups_have_savepoints_for_a_while(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    """The first time one more group, then three, …; else each failure would cost a round trip."""
    await adapter.execute(INSERT, (0,))
    requests.clear()
    fresh = iter(range(1, 100))
    plain, cautious = 4 + 2 * 2, 4 + 5 * 2

    async def write(*, fails: bool = False) -> None:
        second = insert(0 if fails else next(fresh))
        outcomes = await adapter.batch_each([insert(next(fresh)), second])
        assert [type(outcome) for outcome in outcomes] == [
            list, ConstraintViolation if fails else list
        ]  # fmt: skip

    for caution in (1, 3):
        await write(fails=True)
        for _ in range(caution + 1):
            await write()
        assert requests == [plain, cautious, *[cautious] * caution, plain]
        requests.clear()


async def test_a_statement_that_cannot_be_parsed_is_found(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    """The server refuses such a request as a whole, and each goes alone."""
    nonsense = Batch([Statement("INSERT INTO t WHERE")], bounded=True)
    outcomes = await adapter.batch_each([insert(1), nonsense, insert(2)])
    assert [type(outcome) for outcome in outcomes] == [list, InvalidStatement, list]
    assert len(requests) == 4
    assert await ids(adapter) == [1, 2]


async def test_mistakes_that_are_seen_here_are_not_sent(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    for sql, args in (
        ("BEGIN", ()),
        ("SELECT 1; COMMIT", ()),
        ("SELECT ?", (2**64,)),
        ("SELECT ?", (float("inf"),)),
        ("SELECT ?", ("\ud800",)),
    ):
        with pytest.raises(InvalidStatement):
            await adapter.batch([Statement(sql, args)])
    assert requests == []


async def test_errors_carry_the_name_of_the_constraint(adapter: LibsqlAdapter) -> None:
    for sql, code in (
        ("INSERT INTO t VALUES (1, 0), (1, 0)", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO t VALUES (1, 99)", "SQLITE_CONSTRAINT_CHECK"),
    ):
        with pytest.raises(ConstraintViolation) as raised:
            await adapter.execute(sql)
        assert raised.value.code == code


async def test_a_guard_is_not_taken_for_an_error_in_its_condition(adapter: LibsqlAdapter) -> None:
    with pytest.raises(InvalidStatement, match="malformed JSON"):
        await adapter.batch([Guard("json('{') = 1")])
    with pytest.raises(GuardFailed):
        await adapter.batch([Guard("json('1') = 2")])


async def test_a_write_whose_caller_has_gone_is_not_sent(
    adapter: LibsqlAdapter, requests: list[int]
) -> None:
    first = asyncio.create_task(adapter.batch([Statement(INSERT, (1,))]))
    while not requests:  # noqa: ASYNC110 - nobody could set an event
        await asyncio.sleep(0)
    gone = asyncio.create_task(adapter.batch([Statement(INSERT, (2,))]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(first, gone, return_exceptions=True)
    await adapter.execute(INSERT, (3,))
    assert await ids(adapter) == [1, 3]
