"""The store as a dict: what every operation must do, written without a look at how it does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from buntime_keyval import BigInt

Key = tuple[Any, ...]
Ident = tuple[tuple[int, Any], ...]
SAFE = 2**53 - 1


class Refused(Exception):
    """The real store raises `InvalidInput` here."""


class Op(NamedTuple):
    """A mutation."""

    type: str
    key: Key
    operand: Any = None
    expires_in: int | None = None
    metadata: Any = None
    kind: str | None = None


@dataclass
class Item:
    key: Key
    value: Any
    versionstamp: str
    expires_at: int | None
    metadata: Any
    created_at: int
    updated_at: int
    revision: int
    type: str | None


def ident(key: Sequence[Any]) -> Ident:
    """Equal for equal keys, and ordered as keys are."""
    return tuple(_ordered(part) for part in key)


def _ordered(part: Any) -> tuple[int, Any]:
    if isinstance(part, bytes):
        return 1, part
    if isinstance(part, str):
        return 2, part.encode()
    if isinstance(part, bool):
        return 5, part
    return (4, int(part)) if isinstance(part, BigInt) else (3, part)


class Model:
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.items: dict[Ident, Item] = {}

    def get(self, key: Key) -> Item | None:
        item = self.items.get(ident(key))
        if item is None or (item.expires_at is not None and item.expires_at <= self.now_ms):
            return None
        return item

    def live(self) -> list[Item]:
        """Everything that exists, in key order."""
        found = (self.get(item.key) for _, item in sorted(self.items.items()))
        return [item for item in found if item is not None]

    def below(self, prefix: Key, *, itself: bool = False) -> list[Item]:
        wanted = ident(prefix)
        size = len(wanted)
        return [
            item
            for item in self.live()
            if ident(item.key)[:size] == wanted and (itself or len(item.key) > size)
        ]

    def select(
        self, prefix: Key, start: Key | None, end: Key | None, at_least: int | None, reverse: bool
    ) -> list[Item]:
        items = [
            item
            for item in self.below(prefix)
            if (not start or ident(item.key) >= ident(start))
            and (not end or ident(item.key) < ident(end))
            and _has_number(item.value, at_least)
        ]
        return items[::-1] if reverse else items

    def put(
        self,
        key: Key,
        value: Any,
        versionstamp: str,
        expires_in: int | None,
        metadata: Any,
        kind: str | None = None,
    ) -> None:
        expires_at = None if expires_in is None else self.now_ms + expires_in
        self._store(key, value, versionstamp, expires_at, metadata, kind)

    def _store(
        self,
        key: Key,
        value: Any,
        versionstamp: str,
        expires_at: int | None,
        metadata: Any,
        kind: str | None,
    ) -> None:
        before = self.get(key)
        created_at, revision = self.now_ms, 1
        if before is not None:
            created_at, revision = before.created_at, before.revision
            if before.versionstamp != versionstamp:  # one commit writes it once
                revision += 1
        self.items[ident(key)] = Item(
            key, value, versionstamp, expires_at, metadata, created_at, self.now_ms, revision, kind
        )

    def delete(self, keys: Iterable[Key], *, exact: bool, at_least: int | None = None) -> int:
        gone: set[Ident] = set()
        for key in keys:
            for item in self.below(key, itself=True):
                if exact and ident(item.key) != ident(key):
                    continue
                if _has_number(item.value, at_least):
                    gone.add(ident(item.key))
        for known in gone:
            del self.items[known]
        return len(gone)

    def holds(self, checks: Iterable[tuple[Key, str | None]]) -> bool:
        for key, versionstamp in checks:
            item = self.get(key)
            if (item.versionstamp if item else None) != versionstamp:
                return False
        return True

    def apply(self, ops: Iterable[Op], versionstamp: str) -> None:
        """All of them, or, where one is refused, none."""
        before = dict(self.items)
        try:
            for op in ops:
                self._apply(op, versionstamp)
        except Refused:
            self.items = before
            raise

    def _apply(self, op: Op, versionstamp: str) -> None:
        item = self.get(op.key)
        if op.type == "delete":
            self.items.pop(ident(op.key), None)
            return
        value = op.operand
        expires_at = None if op.expires_in is None else self.now_ms + op.expires_in
        metadata, kind = op.metadata, op.kind
        if op.type != "set" and item is not None:
            value = self._combine(op, item.value)
            expires_at = item.expires_at if expires_at is None else expires_at
            metadata = item.metadata if metadata is None else metadata
            kind = item.type if kind is None else kind
        elif op.type in ("sum", "max", "min"):
            value = _number(op.operand, exact=False)
        self._store(op.key, value, versionstamp, expires_at, metadata, kind)

    def _combine(self, op: Op, current: Any) -> Any:
        if op.type in ("append", "prepend"):
            if current is not None and not isinstance(current, list):
                raise Refused
            there = current or []
            return [*there, *op.operand] if op.type == "append" else [*op.operand, *there]
        if current is None:
            return _number(op.operand, exact=False)
        if isinstance(current, bool) or not isinstance(current, int):
            raise Refused
        result = {
            "sum": current + op.operand,
            "max": max(int(current), int(op.operand)),
            "min": min(int(current), int(op.operand)),
        }[op.type]
        return _number(result, exact=isinstance(current, BigInt))


def _number(value: int, *, exact: bool) -> int:
    return BigInt(value) if exact or abs(value) > SAFE else int(value)


def _has_number(value: Any, at_least: int | None) -> bool:
    if at_least is None:
        return True
    number = value.get("n") if isinstance(value, dict) else None
    return isinstance(number, int) and number >= at_least
