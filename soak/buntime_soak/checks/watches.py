"""What a watch tells is true, of one moment, and in the end all there is.

A watcher keeps what it was told, as any client would. Checked is each event, what the watcher
knows after it, and whether it knows in the end what the store has.

Kinds: `told` (subject: the watcher; asked: `first`, `change` or `reset`; got: triples of key,
value and stamp), `watch-end` (asked: the prefixes; got: the triples that the store has).
Writes (`put`, `cas`, and `move`, whose `asked` has `from` and `token`) are found by their stamps,
deletions (`delete`, `move`) by their keys, and lives (`lend`) as in `expiry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from buntime_soak.checks import totals
from buntime_soak.checks.expiry import MARGIN_SECONDS, Clocks
from buntime_soak.history import Op, Violation, by_subject, of_kinds

NAME = "watches"


class Promises(NamedTuple):
    """What is known of the keys that are watched."""

    total: int
    """Of the accounts."""
    accounts: frozenset[str]
    """Paths of all accounts, which are never deleted."""
    tokens: Sequence[str]
    token_prefix: str
    """Below it are the places of tokens, and nothing else."""
    clocks: Clocks


def check(ops: Sequence[Op], promises: Promises) -> list[Violation]:
    """Every watcher for itself."""
    known = _Known(ops)
    found: list[Violation] = []
    for name, mine in by_subject(of_kinds(ops, "told", "watch-end")).items():
        watcher = _Watcher(name, known, promises)
        for op in mine:
            found += watcher.hear(op) if op.kind == "told" else watcher.end(op)
    return found


class _Known:
    """What the writers know."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.written: dict[tuple[str, str], Op] = {}
        """By key and stamp."""
        self.deletions: dict[str, list[Op]] = {}
        self.lives: dict[str, Op] = {}
        for op in ops:
            if op.outcome == "failed":
                continue
            if op.kind == "lend":
                self.lives[op.subject] = op
            if op.kind in ("put", "cas", "move") and op.stamp is not None:
                self.written[op.subject, op.stamp] = op
            if op.kind == "delete":
                self.deletions.setdefault(op.subject, []).append(op)
            if op.kind == "move":
                self.deletions.setdefault(op.asked["from"], []).append(op)


class _Watcher:
    """What one watcher knows."""

    def __init__(self, name: str, known: _Known, promises: Promises) -> None:
        self._name = name
        self._known = known
        self._promises = promises
        self._state: dict[str, tuple[Any, str]] = {}
        self._highest: dict[str, tuple[str, Op]] = {}
        self._gone: dict[str, Op] = {}
        self._whole = False
        """Whether it was told everything, after it was told to forget everything."""

    def hear(self, op: Op) -> list[Violation]:
        """One event."""
        if op.asked == "reset":
            self._state.clear()
            self._whole = False
            return []
        if op.asked == "first":
            self._state.clear()
        self._whole = True
        wrong: list[tuple[str, Sequence[Op]]] = []
        for key, value, stamp in op.got:
            if stamp is None:
                wrong += self._deletion(key, op)
                self._state.pop(key, None)
            else:
                wrong += self._state_of(key, value, stamp, op)
                self._state[key] = (value, stamp)
        wrong += [(text, (op,)) for text in self._totals(op)]
        return [Violation(NAME, f"{self._name} was told {text}", shown) for text, shown in wrong]

    def end(self, op: Op) -> list[Violation]:
        """The comparison with the store."""
        there = {key: (value, stamp) for key, value, stamp in op.got}
        mine = {k: v for k, v in self._state.items() if any(_is_below(k, p) for p in op.asked)}
        if there == mine:
            return []
        missing = sorted(there.keys() - mine.keys())
        gone = sorted(mine.keys() - there.keys())
        old = sorted(k for k in there.keys() & mine.keys() if there[k] != mine[k])
        text = f"{self._name} ends with another state than the store:"
        parts = [("never told", missing), ("never told of the end of", gone), ("out of date", old)]
        said = "; ".join(f"{what} {', '.join(keys[:5])}" for what, keys in parts if keys)
        return [Violation(NAME, f"{text} {said}", (op,))]

    def _state_of(
        self, key: str, value: Any, stamp: str, op: Op
    ) -> Iterable[tuple[str, Sequence[Op]]]:
        highest = self._highest.get(key)
        if highest is not None and stamp < highest[0]:
            yield f"{key} of {stamp} after {highest[0]}", (highest[1], op)
        else:
            self._highest[key] = (stamp, op)
        write = self._known.written.get((key, stamp))
        if write is not None:
            wrote = _value(write)
            if wrote != value:
                yield f"{key} is {value!r} under the stamp of {wrote!r}", (write, op)

    def _deletion(self, key: str, op: Op) -> Iterable[tuple[str, Sequence[Op]]]:
        if key in self._promises.accounts:
            yield f"that {key} was deleted, which nobody did", (op,)
            return
        lent = self._known.lives.get(key)
        if lent is not None:
            before = self._gone.setdefault(key, op)
            if before is not op:
                yield f"twice that {key} has expired", (lent, before, op)
            early = lent.call + lent.asked - op.end
            agree = self._promises.clocks.agree(lent.call, op.end)
            if early > MARGIN_SECONDS and agree:
                yield f"{early:.3f} s too early that {key} has expired", (lent, op)
            return
        _, stamp = self._state.get(key, (None, None))
        write = self._known.written.get((key, stamp)) if stamp is not None else None
        since = write.call if write is not None else 0.0
        deletions = self._known.deletions.get(key, ())
        if not any(
            d.call < op.end and (d.end > since or d.outcome == "unknown") for d in deletions
        ):
            shown = [write, op] if write is not None else [op]
            yield f"that {key} was deleted, which nobody did", shown

    def _totals(self, op: Op) -> Iterable[str]:
        if not self._whole:
            return
        promises = self._promises
        touched = {key for key, *_ in op.got}
        amounts = {k: v for k, (v, _) in self._state.items() if k in promises.accounts}
        if touched & promises.accounts and len(amounts) == len(promises.accounts):
            wrong = totals.wrong_accounts(amounts, promises.total)
            if wrong:
                yield wrong
        if any(_is_below(key, promises.token_prefix) for key in touched):
            places = {
                k: v for k, (v, _) in self._state.items() if _is_below(k, promises.token_prefix)
            }
            wrong = totals.wrong_tokens(places, promises.tokens)
            if wrong:
                yield wrong


def _value(write: Op) -> Any:
    """What a write left under its subject."""
    match write.kind:
        case "cas":
            return write.asked[1]
        case "move":
            return write.asked["token"]
        case _:
            return write.asked


def _is_below(key: str, prefix: str) -> bool:
    return key.startswith(f"{prefix}/")
