"""Groups of commits, and what came of each, for whatever commits a group together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from buntime_database import Batch, DatabaseError, Guard, Statement
from buntime_keyval.wire import encode_key, key_to_json
from buntime_keyval.wire.commits import MessageOptions
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps, tail_of
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Outcome
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
from keyval.service.world import NOW_MS

KEYS = [("a",), ("b",), ("c",), ("d", 1)]
MESSAGES = ('"x"', f'"{"long" * 300}"')


class Groups:
    """Random groups of commits, in which some rest on others and some on what is not so."""

    def __init__(self, dialect: Dialect, seed: int, *, is_firm: bool) -> None:
        self.dialect = dialect
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

    def puts(self) -> list[Batch]:
        """A group that puts values under some keys, and nothing besides."""
        self.now += self.random.choice((0, 1, 3))
        at = Moment(self.now, self.now - 5)
        keys = self.random.sample(KEYS, self.random.randint(1, len(KEYS)))
        puts = [
            Put(encode_key(key), key_to_json(key), f'"ü{self.random.random()}"') for key in keys
        ]
        stamps = [self.stamps.make(self.now) for _ in puts]
        return [
            Batch(put.statements(self.dialect, stamp, at, self.is_firm), bounded=True)
            for put, stamp in zip(puts, stamps, strict=True)
        ]

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
            steps += effect.statements(self.dialect, stamp, at, self.is_firm)
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
                return unchanged_since(self.dialect, key, made, self.now)
            stamp = None
        if stamp is not None and not self.is_firm:  # both databases make stamps of their own
            return unchanged_since(self.dialect, key, stamp, self.now)
        return unchanged(self.dialect, key, stamp, self.now)

    def _effects(self) -> list[Effect]:
        effects: list[Effect] = []
        for key in self.random.sample(KEYS, self.random.randint(1, 3)):
            code = encode_key(key)
            if self.random.random() < 0.7:
                ends = (self.now, *[self.now + 2] * 5)
                expiry = self.random.choice((None, self.random.choice(ends)))
                value = str(self.random.random())
                if self.random.random() < 0.1:
                    value = f'"{value * self.random.randint(20, 100)}"'
                metadata = self.random.choice((None, '{"m":1}'))
                kind = self.random.choice((None, "A", "b"))
                anew = self.random.random() < 0.2
                effects.append(
                    Put(code, key_to_json(key), value, expiry, metadata, anew, type=kind)
                )
            else:
                effects.append(Remove(single(code)))
        if self.random.random() < 0.2:
            self.messages += 1
            effects.append(
                Enqueue(str(self.messages), self.random.choice(MESSAGES), MessageOptions())
            )
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
            rows = [(tail_of(str(row[0])), *row[1:]) for row in result.rows if result.rowcount]
            found.append((isinstance(step, Guard), result.rowcount, rows))
    return found
