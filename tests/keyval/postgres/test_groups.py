"""A group that is one call of `kv_commit` comes to what its statements come to one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from buntime_database import Batch, DatabaseError, Guard, GuardFailed, Statement
from buntime_keyval.wire import encode_key, key_to_json
from buntime_keyval.wire.commits import MessageOptions
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps, tail_of
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.postgres.committing import COMMIT, GroupCommit
from buntime_plugin_keyval.storage.dialects.postgres.dialect import POSTGRES
from buntime_plugin_keyval.storage.effects import (
    Effect,
    NoteStamp,
    Put,
    Remove,
    unchanged,
    unchanged_since,
)
from buntime_plugin_keyval.storage.message_effects import Enqueue
from buntime_plugin_keyval.storage.ranges import single
from buntime_plugin_keyval.storage.schema import migrate
from keyval.postgres.support import open_adapter
from keyval.service.world import NOW_MS
from support.postgres import Postgres

GROUPS = 150
KEYS = [("a",), ("b",), ("c",), ("d", 1)]
TABLES = {
    "kv_entries": "key, value, substr(versionstamp, 20), expires_at, metadata, created_at,"
    " updated_at",
    "kv_changes": "seq, key, substr(versionstamp, 20), operation, at",
    "kv_queue": "id, value, ready_at, attempts, max_attempts, created_at, set_at",
    "kv_stamps": "substr(newest, 20)",
    "kv_totals": "entries, bytes",
}


class Groups:
    """Random groups of commits, in which some rest on others and some on what is not so."""

    def __init__(self, seed: int, *, is_firm: bool) -> None:
        self.random = random.Random(seed)
        self.is_firm = is_firm
        self.stamps = Stamps()
        self.now = NOW_MS
        self.messages = 0

    def make(self, there: dict[bytes, tuple[str, int | None]]) -> list[Batch]:
        """The next one, where the keys have these versionstamps and expiries."""
        self.now += self.random.choice((0, 1, 3, 1000))
        at = Moment(self.now, self.now - 5)
        pending: dict[bytes, str | None] = {}
        self.doomed: set[bytes] = set()
        self.unclear: set[bytes] = set()
        return [self._commit(there, pending, at) for _ in range(self.random.randint(1, 6))]

    def _commit(
        self,
        there: dict[bytes, tuple[str, int | None]],
        pending: dict[bytes, str | None],
        at: Moment,
    ) -> Batch:
        stamp = self.stamps.make(self.now)
        looked_at = [
            code
            for key in self.random.sample(KEYS, self.random.choice((0, 0, 1, 2)))
            if (code := encode_key(key)) not in self.unclear
        ]
        self.is_wrong = not self.doomed.isdisjoint(looked_at)
        guards = [self._guard(key, there, pending) for key in looked_at]
        effects = self._effects()
        steps: list[Guard | Statement] = [*guards]
        for effect in effects:
            steps += effect.statements(POSTGRES, stamp, at, self.is_firm)
            if isinstance(effect, Put):
                is_there = effect.expires_at is None or effect.expires_at > self.now
                pending[effect.key] = stamp if is_there else None
                if self.is_wrong:
                    self.doomed.add(effect.key)
            elif isinstance(effect, Remove):
                pending[effect.keys.start] = None
                if self.is_wrong:
                    # Whoever rests on that may fail, or find that there was nothing anyway.
                    self.unclear.add(effect.keys.start)
        return Batch(steps, bounded=True)

    def _guard(
        self,
        key: bytes,
        there: dict[bytes, tuple[str, int | None]],
        pending: dict[bytes, str | None],
    ) -> Guard:
        stamp, expires_at = there.get(key, (None, None))
        if expires_at is not None and expires_at <= self.now:
            stamp = None
        if self.random.random() < 0.15:
            stamp = self.stamps.make(self.now)
            self.is_wrong |= key not in pending
        if key in pending:
            made = pending[key]
            if made is not None:
                return unchanged_since(POSTGRES, key, made, self.now)
            stamp = None
        if stamp is not None and not self.is_firm:  # both databases make stamps of their own
            return unchanged_since(POSTGRES, key, stamp, self.now)
        return unchanged(POSTGRES, key, stamp, self.now)

    def _effects(self) -> list[Effect]:
        effects: list[Effect] = []
        for key in self.random.sample(KEYS, self.random.randint(1, 3)):
            code = encode_key(key)
            if self.random.random() < 0.7:
                ends = (self.now, *[self.now + 2] * 5)
                expiry = self.random.choice((None, self.random.choice(ends)))
                value = str(self.random.random())
                metadata = self.random.choice((None, '{"m":1}'))
                anew = self.random.random() < 0.2
                effects.append(Put(code, key_to_json(key), value, expiry, metadata, anew))
            else:
                effects.append(Remove(single(code)))
        if self.random.random() < 0.2:
            self.messages += 1
            effects.append(Enqueue(str(self.messages), '"x"', MessageOptions()))
        if self.random.random() < 0.2:
            effects.append(NoteStamp())
        return effects


def told(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> list[Any]:
    """What came of each, without what is told to nobody."""
    found: list[Any] = []
    for batch, outcome in zip(batches, outcomes, strict=True):
        if isinstance(outcome, DatabaseError):
            found.append(type(outcome))
            continue
        for step, result in zip(batch.steps, outcome, strict=True):
            rows = [(tail_of(str(row[0])), *row[1:]) for row in result.rows]
            found.append((isinstance(step, Guard), result.rowcount, rows))
    return found


@pytest.mark.parametrize("is_firm", [True, False])
async def test_it_comes_to_the_same(
    postgres: Postgres, is_firm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (open_adapter(postgres.url_of(postgres.create_database())) for _ in range(2))
    for adapter in (one, other):
        await migrate(adapter, NOW_MS)
    together = GroupCommit(one)
    calls = failed = 0
    commit = one.batch_each

    async def counted(batches: Sequence[Batch]) -> Sequence[Outcome]:
        nonlocal calls
        step = batches[0].steps[0]
        calls += isinstance(step, Statement) and step.sql == COMMIT
        return await commit(batches)

    monkeypatch.setattr(one, "batch_each", counted)
    groups = Groups(7, is_firm=is_firm)
    there: dict[bytes, tuple[str, int | None]] = {}
    last = ""
    for number in range(GROUPS):
        if not is_firm and number % 3 == 0:
            groups.stamps = Stamps()  # as of a host whose clock is behind
            groups.now = NOW_MS
        batches = groups.make(there)
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
    assert calls > 0.4 * GROUPS
    assert failed > 0.1 * GROUPS
    await one.close()
    await other.close()


async def test_a_call_that_is_made_again_tells_what_it_did(postgres: Postgres) -> None:
    adapter = open_adapter(postgres.url_of(postgres.create_database()))
    await migrate(adapter, NOW_MS)
    groups = Groups(11, is_firm=True)
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
    put = Put(encode_key(("a",)), '["a"]', "1")
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
