"""Totals, watches, sessions and lives: what is right, and what each fault is called."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_soak.checks import expiry, sessions, totals, watches
from buntime_soak.checks.expiry import Clocks
from buntime_soak.history import Op
from soak.histories import op, said

TOKENS = ("t0", "t1")
ACCOUNTS = frozenset({"acc/a", "acc/b"})
PROMISES = watches.Promises(10, ACCOUNTS, TOKENS, "tok", Clocks())


def accounts(**amounts: int) -> Op:
    return op("accounts", "accounts", 0, 1, asked="a list", got=amounts)


def tokens(**places: str) -> Op:
    return op("tokens", "tokens", 0, 1, asked="a list", got=places)


@pytest.mark.parametrize("view", [accounts(a=4, b=6), tokens(p="t1", q="t0")])
def test_views_that_are_right(view: Op) -> None:
    assert totals.check([view], total=10, tokens=TOKENS) == []


@pytest.mark.parametrize(
    ("view", "what"),
    [
        (accounts(a=4, b=7), "a list shows a total of 11, and not 10"),
        (accounts(), "a list shows a total of 0, and not 10"),
        (tokens(p="t0"), "a list shows t1 0 times"),
        (tokens(p="t0", q="t1", r="t1"), "a list shows t1 2 times"),
        (tokens(p="t0", q="t1", r="t9"), "t9, which never was"),
    ],
)
def test_views_that_are_wrong(view: Op, what: str) -> None:
    assert what in said(totals.check([view], total=10, tokens=TOKENS))


def told(end: float, *entries: tuple[str, Any, str | None], asked: str = "change") -> Op:
    return op("told", "w", 0, end, asked=asked, got=[list(entry) for entry in entries])


def first(*entries: tuple[str, Any, str | None]) -> Op:
    return told(1, *entries, asked="first")


def watch_end(*entries: tuple[str, Any, str | None], below: tuple[str, ...] = ("k",)) -> Op:
    return op("watch-end", "w", 90, 91, asked=list(below), got=[list(entry) for entry in entries])


@pytest.mark.parametrize(
    "ops",
    [
        [first(), told(2, ("k/a", 1, "s1")), watch_end(("k/a", 1, "s1"))],
        # A later stamp of another key comes first, which is no matter.
        [first(("k/a", 1, "s5")), told(2, ("k/b", 1, "s1")), told(3, ("k/a", 2, "s6"))],
        # Forgotten and told again.
        [
            first(("k/a", 1, "s1"), ("k/b", 1, "s2")),
            told(2, asked="reset"),
            told(3, ("k/b", 1, "s2")),
            watch_end(("k/b", 1, "s2")),
        ],
        [
            first(("acc/a", 4, "s1"), ("acc/b", 6, "s1")),
            told(2, ("acc/a", 5, "s2"), ("acc/b", 5, "s2")),
        ],
        [
            first(("tok/p", "t0", "s1"), ("tok/q", "t1", "s1")),
            op("move", "tok/r", 1, 2, asked={"from": "tok/p", "token": "t0"}, stamp="s2"),
            told(3, ("tok/p", None, None), ("tok/r", "t0", "s2")),
        ],
        [
            op("put", "k/a", 0, 1, asked="v", stamp="s1"),
            first(("k/a", "v", "s1")),
            op("delete", "k/a", 2, 3, got=True),
            told(4, ("k/a", None, None)),
            watch_end(),
        ],
        # Nobody knows of the deletion, and it happened.
        [
            op("put", "k/a", 0, 1, asked="v", stamp="s1"),
            first(("k/a", "v", "s1")),
            op("delete", "k/a", 2, 3, outcome="unknown"),
            told(9, ("k/a", None, None)),
        ],
        [
            op("lend", "ttl/a", 0, 1, asked=2.0, stamp="s1"),
            first(("ttl/a", "alive", "s1")),
            told(2.5, ("ttl/a", None, None)),
        ],
    ],
)
def test_watches_that_are_right(ops: list[Op]) -> None:
    assert watches.check(ops, PROMISES) == []


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        ([first(("k/a", 1, "s2")), told(2, ("k/a", 0, "s1"))], "k/a of s1 after s2"),
        # Deleted in between, or forgotten: the stamp falls all the same.
        (
            [
                op("delete", "k/a", 1, 2, got=True),
                first(("k/a", 1, "s2")),
                told(2, ("k/a", None, None)),
                told(3, ("k/a", 0, "s1")),
            ],
            "k/a of s1 after s2",
        ),
        (
            [first(("k/a", 1, "s2")), told(2, asked="reset"), told(3, ("k/a", 0, "s1"))],
            "k/a of s1 after s2",
        ),
        (
            [first(("acc/a", 4, "s1"), ("acc/b", 6, "s1")), told(2, ("acc/a", 5, "s2"))],
            "total of 11",
        ),
        (
            [first(("tok/p", "t0", "s1"), ("tok/q", "t1", "s1")), told(2, ("tok/r", "t0", "s2"))],
            "t0 2 times",
        ),
        ([first(("tok/p", "t0", "s1"))], "t1 0 times"),
        (
            [first(("acc/a", 4, "s1")), told(2, ("acc/a", None, None))],
            "acc/a was deleted, which nobody",
        ),
        (
            [
                op("put", "k/a", 0, 1, asked="v", stamp="s1"),
                first(("k/a", "v", "s1")),
                told(2, ("k/a", None, None)),
            ],
            "k/a was deleted, which nobody",
        ),
        # An older deletion is no excuse.
        (
            [
                op("delete", "k/a", 0, 1, got=True),
                op("put", "k/a", 2, 3, asked="v", stamp="s1"),
                told(4, ("k/a", "v", "s1")),
                told(5, ("k/a", None, None)),
            ],
            "k/a was deleted, which nobody",
        ),
        (
            [op("put", "k/a", 0, 1, asked="v", stamp="s1"), first(("k/a", "w", "s1"))],
            "k/a is 'w' under the stamp of 'v'",
        ),
        (
            [op("cas", "k/a", 0, 1, asked=[None, "v"], stamp="s1"), first(("k/a", "w", "s1"))],
            "k/a is 'w' under the stamp of 'v'",
        ),
        (
            [op("lend", "ttl/a", 0, 1, asked=5.0, stamp="s1"), told(2, ("ttl/a", None, None))],
            "too early that ttl/a has expired",
        ),
        (
            [
                op("lend", "ttl/a", 0, 1, asked=1.0, stamp="s1"),
                told(3, ("ttl/a", None, None)),
                told(4, ("ttl/a", None, None)),
            ],
            "twice that ttl/a has expired",
        ),
        ([first(), watch_end(("k/a", 1, "s1"))], "never told k/a"),
        ([first(("k/a", 1, "s1")), watch_end()], "never told of the end of k/a"),
        ([first(("k/a", 1, "s1")), watch_end(("k/a", 2, "s2"))], "out of date k/a"),
        # Forgotten, and not told again.
        (
            [first(("k/a", 1, "s1")), told(2, asked="reset"), watch_end(("k/a", 1, "s1"))],
            "never told k/a",
        ),
    ],
)
def test_watches_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(watches.check(ops, PROMISES))


def step(call: float, end: float, number: int, **more: Any) -> Op:
    return op("step", "s", call, end, asked=number, **more)


def look(call: float, end: float, number: int | None, **more: Any) -> Op:
    return op("look", "s", call, end, got=number, **more)


@pytest.mark.parametrize(
    "ops",
    [
        [look(0, 1, None), step(2, 3, 1), look(4, 5, 1)],
        [step(0, 9, 1), look(1, 2, None), look(3, 4, 1)],
        # Another host may be behind.
        [step(0, 1, 1), look(2, 3, None, host="h1")],
        [step(0, 1, 1, outcome="unknown"), look(2, 3, None), look(4, 5, 1)],
    ],
)
def test_sessions_that_are_right(ops: list[Op]) -> None:
    assert sessions.check(ops) == []


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        ([step(0, 1, 1), step(2, 3, 2), look(4, 5, 1)], "goes back from 2 to 1"),
        ([step(0, 1, 1), look(2, 3, None)], "goes back from 1 to None"),
        (
            [step(0, 9, 1), look(1, 2, 1, host="h1"), look(3, 4, None, host="h1")],
            "h1 goes back from 1",
        ),
        ([step(0, 1, 1, outcome="failed"), look(2, 3, 1)], "shows 1, which was never written"),
    ],
)
def test_sessions_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(sessions.check(ops))


def lend(call: float, end: float, life: float, **more: Any) -> Op:
    return op("lend", "e", call, end, asked=life, **more)


def glance(call: float, end: float, there: bool, **more: Any) -> Op:
    return op("glance", "e", call, end, got=there, **more)


ONE_CLOCK = Clocks([(0.0, frozenset({0.0}))])
# Set back by an hour at 4, which the process that is started at 5 sees.
SET_BACK = Clocks([(0.0, frozenset({0.0})), (5.0, frozenset({-3600.0}))])
# The same, and it takes three seconds until it serves.
SLOW_START = Clocks(SET_BACK.moments, (0.0, 8.0))
# Set back as well, while another process goes on.
MIXED = Clocks([(0.0, frozenset({0.0})), (5.0, frozenset({0.0, -3600.0}))])
# Two hosts that both went on from the newest commit, each from another one.
BEHIND = Clocks([(0.0, frozenset({0.0})), (5.0, frozenset({(-3600.0, 1), (-3600.0, 2)}))])


@pytest.mark.parametrize(
    ("ops", "clocks"),
    [
        ([lend(0, 1, 5), glance(2, 3, True), glance(6.5, 7, False)], ONE_CLOCK),
        # Somewhere in between it may be either.
        ([lend(0, 1, 5), glance(5.5, 5.8, True), glance(5.1, 5.4, False)], ONE_CLOCK),
        ([lend(0, 1, 5, outcome="failed"), glance(2, 3, False)], ONE_CLOCK),
        ([lend(0, 1, 5, outcome="unknown"), glance(2, 3, True), glance(9, 9, True)], ONE_CLOCK),
        # It may wait for its whole life again, or be gone, after a start under another setting.
        ([lend(1, 2, 5), glance(8, 9, True)], SET_BACK),
        ([lend(1, 2, 9), glance(6, 7, False)], SET_BACK),
        ([lend(1, 2, 5), glance(12, 13, True)], SLOW_START),
        ([lend(6, 7, 9), glance(8, 9, False)], MIXED),
        # A host that is behind shows it for longer than the one that it was lent at.
        ([lend(6, 7, 2), glance(11, 12, True, host="h1")], MIXED),
        ([lend(6, 7, 2), glance(11, 12, True, host="h1")], BEHIND),
    ],
)
def test_lives_that_are_right(ops: list[Op], clocks: Clocks) -> None:
    assert expiry.check(ops, clocks) == []


@pytest.mark.parametrize(
    ("ops", "clocks", "what"),
    [
        ([lend(0, 1, 5), glance(7, 8, True)], ONE_CLOCK, "is there 1.000 s after its life"),
        ([lend(0, 1, 5), glance(2, 3, False)], ONE_CLOCK, "is gone 2.000 s before its end"),
        ([lend(0, 1, 5, outcome="failed"), glance(2, 3, True)], ONE_CLOCK, "its write failed"),
        ([lend(1, 2, 5), glance(12, 13, True)], SET_BACK, "is there 2.000 s after its life"),
        ([lend(1, 2, 5), glance(15, 16, True)], SLOW_START, "is there 2.000 s after its life"),
        ([lend(6, 7, 5), glance(8, 9, False)], SET_BACK, "is gone 2.000 s before its end"),
        ([lend(6, 7, 2), glance(11, 12, True)], BEHIND, "is there 2.000 s after its life"),
    ],
)
def test_lives_that_are_wrong(ops: list[Op], clocks: Clocks, what: str) -> None:
    assert what in said(expiry.check(ops, clocks))
