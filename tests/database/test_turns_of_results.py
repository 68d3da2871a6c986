"""Who writes and gets much back waits for a turn, and holds nothing meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from buntime_database import (
    Adapter,
    ConstraintViolation,
    MoreThanAsked,
    ResultTooLarge,
    SessionLimits,
    SessionsNotSupported,
)
from buntime_plugin_database.faces.errors import http_error
from buntime_plugin_database.faces.http.plain import Bound
from buntime_plugin_database.faces.http.sessions import RequestSessions, SessionPart
from buntime_plugin_database.faces.large import (
    MOST_IN_HAND,
    MOST_WRITING,
    SMALL_BYTES,
    Hand,
    LargeResults,
    TooManyLargeResults,
    WrittenWithoutResult,
)
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.shared.target import Target

LARGE = Bound(f"INSERT INTO t VALUES (1) RETURNING hex(zeroblob({SMALL_BYTES}))")
SMALL = Bound("INSERT INTO t VALUES (2) RETURNING x")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Databases]:
    """A database with one table."""
    config = parse_config({"adapters": [{"type": "sqlite", "baseDir": "data"}]})
    opened = await open_service(config, tmp_path)
    await opened.get_root_adapter().execute("CREATE TABLE t (x)")
    yield opened
    await opened.close()


async def write_by(sessions: RequestSessions, bound: Bound, hand: Hand, *, alone: bool) -> None:
    """Write by a request of one statement, or by a batch."""

    async def plan(_: SessionPart) -> list[Bound]:
        return [bound]

    if alone:
        async with sessions.open(Target(), hand, readonly=False) as session:
            await session.execute(*bound)
    else:
        await sessions.write(Target(), hand, plan)


async def rows(adapter: Adapter) -> list[object]:
    return [x for (x,) in await adapter.query("SELECT x FROM t ORDER BY rowid", fresh=True)]


async def test_one_statement_that_gives_too_much_has_written_nothing(service: Databases) -> None:
    adapter = service.get_root_adapter()
    session = await adapter.open_session()
    many = "INSERT INTO t VALUES (1), (2), (3) RETURNING x"
    for sql in (LARGE.sql, many):
        with pytest.raises(MoreThanAsked):
            await session.execute(sql, max_bytes=40)
        assert session.autocommit
        assert await rows(adapter) == []
    await adapter.execute("INSERT INTO t VALUES (0)")
    assert (await session.execute(SMALL.sql, max_bytes=40)).rows == [(2,)]
    await session.execute("BEGIN")
    assert (await session.execute("INSERT INTO t VALUES (4) RETURNING x", max_bytes=40)).rows
    for sql in (LARGE.sql, many):
        with pytest.raises(MoreThanAsked):
            await session.execute(sql, max_bytes=40)
        assert not session.autocommit
    assert len((await session.execute(many)).rows) == 3
    await session.execute("COMMIT")
    assert await rows(adapter) == [0, 2, 4, 1, 2, 3]
    await session.close()


@pytest.mark.parametrize("begin", ["BEGIN", None], ids=["in a transaction", "alone"])
async def test_one_that_fails_leaves_what_sqlite_leaves(
    service: Databases, begin: str | None
) -> None:
    adapter = service.get_root_adapter()
    await adapter.execute("CREATE UNIQUE INDEX once ON t (x)")
    await adapter.execute("INSERT INTO t VALUES (1)")
    session = await adapter.open_session()
    for action, left in (("FAIL", [1, 2]), ("ABORT", [1, 2]), ("ROLLBACK", [1, 2])):
        if begin is not None:
            await session.execute(begin)
        failing = f"INSERT OR {action} INTO t VALUES ({len(action) - 2}), (1) RETURNING x"
        with pytest.raises(ConstraintViolation):
            await session.execute(failing, max_bytes=40)
        assert session.autocommit == (begin is None or action == "ROLLBACK")
        if not session.autocommit:
            await session.execute("COMMIT")
        assert await rows(adapter) == left
    await session.close()


@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "batch"])
async def test_a_large_result_waits_for_its_turn(service: Databases, alone: bool) -> None:
    adapter = service.get_root_adapter()
    results = LargeResults(seconds=0.05)
    sessions = RequestSessions(service, SessionLimits())

    async def write(bound: Bound, hand: Hand) -> None:
        await write_by(sessions, bound, hand, alone=alone)

    for _ in range(MOST_IN_HAND):
        await results.take()
    await write(SMALL, results.hand())
    with pytest.raises(TooManyLargeResults):
        await write(LARGE, results.hand())
    assert await rows(adapter) == [2]
    results.give()
    hand = results.hand()
    await write(LARGE, hand)
    assert hand.is_large
    assert await rows(adapter) == [2, 1]


class Sessionless:
    """A database that has no sessions, as one on a server."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.capabilities = adapter.capabilities._replace(embedded=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def get_adapter(self, *_: object) -> Any:
        return self

    async def open_session(self, _: SessionLimits) -> None:
        raise SessionsNotSupported("none here")


@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "batch"])
async def test_what_cannot_be_undone_waits_when_it_is_there(
    service: Databases, alone: bool
) -> None:
    adapter = service.get_root_adapter()
    results = LargeResults(seconds=0.05)
    sessions = RequestSessions(cast(Any, Sessionless(adapter)), SessionLimits())

    async def write(bound: Bound, hand: Hand) -> None:
        await write_by(sessions, bound, hand, alone=alone)

    for _ in range(MOST_IN_HAND):
        await results.take()
    await write(SMALL, results.hand())
    with pytest.raises(WrittenWithoutResult, match="was carried out"):
        await write(LARGE, results.hand())
    assert await rows(adapter) == [2, 1]
    results.give()
    hand = results.hand()
    await write(LARGE, hand)
    assert hand.is_large
    async with AsyncExitStack() as stack:
        for _ in range(MOST_WRITING):
            await stack.enter_async_context(results.writing())
        with pytest.raises(TooManyLargeResults):
            await write(SMALL, results.hand())
        await write(Bound("INSERT INTO t VALUES (3)"), results.hand())
    assert await rows(adapter) == [2, 1, 1, 3]


@pytest.mark.parametrize("alone", [True, False], ids=["one statement", "batch"])
async def test_what_is_too_much_for_an_answer_is_said_to_be_written(
    service: Databases, alone: bool
) -> None:
    adapter = service.get_root_adapter()
    limits = SessionLimits(max_bytes=1000)
    sessions = RequestSessions(cast(Any, Sessionless(adapter)), limits)
    hand = LargeResults(seconds=0.05).hand()
    with pytest.raises(WrittenWithoutResult, match="carried out") as raised:
        await write_by(sessions, LARGE, hand, alone=alone)
    answer = http_error(raised.value)
    assert (answer.status, answer.error_code) == (503, "WRITTEN_WITHOUT_RESULT")
    assert await rows(adapter) == [1]
    with pytest.raises(ResultTooLarge):
        await write_by(sessions, Bound(f"SELECT hex(zeroblob({SMALL_BYTES}))"), hand, alone=True)
