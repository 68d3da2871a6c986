"""A group that is one call of `kv_commit` comes to what its statements come to one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from buntime_database import Batch, ConstraintViolation, DatabaseError, GuardFailed, Statement
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.moving import is_closed
from buntime_plugin_keyval.storage.dialects.postgres.committing import (
    COMMIT,
    PUT_EACH,
    GroupCommit,
)
from buntime_plugin_keyval.storage.dialects.postgres.dialect import POSTGRES
from buntime_plugin_keyval.storage.effects import (
    Put,
)
from buntime_plugin_keyval.storage.schema import migrate
from keyval.groups import Groups, told
from keyval.postgres.support import open_adapter
from keyval.service.world import NOW_MS
from support.postgres import Postgres
from support.sampling import share_of

GROUPS = share_of(150)
TABLES = {
    "kv_entries": "key, value, substr(versionstamp, 20), expires_at, metadata, created_at,"
    " updated_at, revision, type",
    "kv_changes": "seq, key, substr(versionstamp, 20), operation, at, revision, type",
    "kv_queue": "id, value, ready_at, attempts, max_attempts, created_at, set_at",
    "kv_stamps": "substr(newest, 20)",
    "kv_totals": "entries, bytes",
}


@pytest.mark.parametrize("is_firm", [True, False])
async def test_it_comes_to_the_same(
    postgres: Postgres, is_firm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (open_adapter(postgres.url_of(postgres.create_database())) for _ in range(2))
    for adapter in (one, other):
        await migrate(adapter, NOW_MS)
    together = GroupCommit(one)
    calls = puts = failed = 0
    commit = one.batch_each

    async def counted(batches: Sequence[Batch]) -> Sequence[Outcome]:
        nonlocal calls, puts
        step = batches[0].steps[0]
        calls += isinstance(step, Statement) and step.sql == COMMIT
        puts += isinstance(step, Statement) and step.sql == PUT_EACH
        return await commit(batches)

    monkeypatch.setattr(one, "batch_each", counted)
    groups = Groups(POSTGRES, 7, is_firm=is_firm)
    there: dict[bytes, tuple[str, int | None]] = {}
    last = ""
    for number in range(GROUPS):
        if not is_firm and number % 3 == 0:
            groups.stamps = Stamps()  # as of a host whose clock is behind
            groups.now = NOW_MS
        batches = groups.puts() if number % 4 == 1 else groups.make(there)
        ours, theirs = await together(batches), await other.batch_each(batches)
        assert told(batches, ours) == told(batches, theirs)
        failed += sum(isinstance(outcome, GuardFailed) for outcome in ours)
        for table, columns in TABLES.items():
            rows = f"SELECT {columns} FROM {table} ORDER BY 1"
            assert await one.query(rows) == await other.query(rows)
        entries = await one.query("SELECT key, versionstamp, expires_at FROM kv_entries")
        there = {key: (stamp, expires_at) for key, stamp, expires_at in entries}  # type: ignore[misc] # as the schema says
        stamps = await one.query("SELECT versionstamp FROM kv_changes ORDER BY seq")
        assert stamps == sorted(stamps)
        assert not last or (last,) in stamps
        last = str(stamps[-1][0]) if stamps else ""
    assert calls > 0.3 * GROUPS
    assert puts >= (0.2 * GROUPS if is_firm else 0)
    assert failed > 0.1 * GROUPS
    await one.close()
    await other.close()


@pytest.mark.parametrize("kind", [None, "A"], ids=["puts", "of-types"])
async def test_a_call_that_is_made_again_tells_what_it_did(
    postgres: Postgres, kind: str | None
) -> None:
    adapter = open_adapter(postgres.url_of(postgres.create_database()))
    await migrate(adapter, NOW_MS)
    groups = Groups(POSTGRES, 11, is_firm=True)
    seen: list[Statement] = []
    commit = adapter.batch_each

    async def twice(batches: Sequence[Batch]) -> list[Outcome]:
        (step,) = batches[0].steps
        assert isinstance(step, Statement)
        seen.append(step)
        first = await commit(batches)
        again = await commit(batches)
        assert not isinstance(first[0], DatabaseError)
        assert not isinstance(again[0], DatabaseError)
        assert first[0][0].rows == again[0][0].rows
        return again

    adapter.batch_each = twice  # type: ignore[method-assign] # of this one
    together = GroupCommit(adapter)
    put = Put(encode_key(("a",)), '["a"]', "1", type=kind)
    for _ in range(5):
        stamp = groups.stamps.make(groups.now)
        steps = put.statements(POSTGRES, stamp, Moment(groups.now, groups.now), is_firm=True)
        (outcome,) = await together([Batch(steps)])
        assert isinstance(outcome, list)
    assert await adapter.query("SELECT count(*) FROM kv_changes") == [(5,)]
    # One of an earlier group, which a slow network brings now, is refused.
    (outcome,) = await commit([Batch([seen[0]], repeatable=True)])
    assert isinstance(outcome, DatabaseError)
    assert "a later group of this writer is committed" in str(outcome)
    assert await adapter.query("SELECT count(*) FROM kv_changes") == [(5,)]
    await adapter.close()


async def test_puts_that_are_older_than_what_others_have_committed_write_nothing(
    postgres: Postgres,
) -> None:
    adapter = open_adapter(postgres.url_of(postgres.create_database()))
    await migrate(adapter, NOW_MS)
    ahead, behind = (Groups(POSTGRES, seed, is_firm=True) for seed in (17, 19))
    ahead.now += 60_000
    batches = ahead.puts()
    assert told(batches, await GroupCommit(adapter)(batches))
    committed = await adapter.query("SELECT * FROM kv_changes")
    batches = behind.puts()
    outcomes = await GroupCommit(adapter)(batches)
    assert [type(outcome) for outcome in outcomes] == [ConstraintViolation] * len(batches)
    assert await adapter.query("SELECT * FROM kv_changes") == committed
    await adapter.close()


async def test_values_of_several_lines_are_put_as_they_are(postgres: Postgres) -> None:
    adapter = open_adapter(postgres.url_of(postgres.create_database()))
    await migrate(adapter, NOW_MS)
    stamps, at = Stamps(), Moment(NOW_MS, NOW_MS)
    values = ["[1,\n2]", "3"]
    puts = [Put(encode_key((value,)), "[]", value) for value in values]
    batches = [Batch(put.statements(POSTGRES, stamps.make(NOW_MS), at, True)) for put in puts]
    outcomes = await GroupCommit(adapter)(batches)
    assert not any(isinstance(outcome, DatabaseError) for outcome in outcomes)
    rows = await adapter.query("SELECT value FROM kv_entries ORDER BY versionstamp")
    assert rows == [(value,) for value in values]
    await adapter.close()


async def test_a_closed_store_is_asked_once(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_adapter(postgres.url_of(postgres.create_database()))
    await migrate(adapter, NOW_MS)
    groups = Groups(POSTGRES, 13, is_firm=True)
    batches = []
    for number in range(3):
        put = Put(encode_key((number,)), f"[{number}]", "1")
        stamp = groups.stamps.make(groups.now)
        at = Moment(groups.now, groups.now)
        batches.append(Batch(put.statements(POSTGRES, stamp, at, is_firm=True)))
    await adapter.batch([Statement(text) for text in POSTGRES.moving.close])
    asked = 0
    commit = adapter.batch_each

    async def counted(batches: Sequence[Batch]) -> Sequence[Outcome]:
        nonlocal asked
        asked += 1
        return await commit(batches)

    monkeypatch.setattr(adapter, "batch_each", counted)
    outcomes = await GroupCommit(adapter)(batches)
    assert asked == 1
    assert len(outcomes) == len(batches)
    for outcome in outcomes:
        assert isinstance(outcome, DatabaseError)
        assert is_closed(outcome)
    await adapter.close()
