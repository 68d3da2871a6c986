"""Lists, counters and the log: histories that are right, and what each fault is called."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_soak.checks import counters, lists, stamps
from buntime_soak.history import Op
from soak.histories import op, said


def append(call: float, end: float, element: str, **more: Any) -> Op:
    return op("append", "l", call, end, asked=element, **more)


def read(call: float, end: float, *elements: str, **more: Any) -> Op:
    return op("read", "l", call, end, got=list(elements), **more)


def last(*elements: str) -> Op:
    return op("last-read", "l", 90, 91, got=list(elements))


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [read(0, 1)],
        [append(0, 1, "a"), read(2, 3, "a"), append(4, 5, "b"), last("a", "b")],
        [append(0, 5, "a"), append(1, 4, "b"), read(2, 3, "b"), last("b", "a")],
        [append(0, 1, "a", outcome="unknown"), append(2, 3, "b"), last("b", "a")],
        [append(0, 1, "a", outcome="unknown"), append(2, 3, "b"), last("b")],
        [append(0, 1, "a", outcome="failed"), last()],
        [append(0, 1, "a"), read(2, 3, fresh=False), last("a")],
        [append(0, 1, "a"), read(0.5, 3), last("a")],
    ],
)
def test_lists_that_are_right(ops: list[Op]) -> None:
    assert lists.check(ops) == []


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        ([append(0, 1, "a"), last()], "'a' was appended and is lost"),
        ([append(0, 1, "a"), last("a", "a")], "'a' is there 2 times"),
        ([last("a")], "nobody appended it"),
        ([append(0, 1, "a", outcome="failed"), last("a")], "its append failed"),
        ([append(0, 1, "a"), append(2, 3, "b"), last("b", "a")], "an append came before one"),
        ([append(0, 1, "a"), read(2, 3), last("a")], "a read came before one"),
        (
            [append(0, 5, "a"), append(0, 5, "b"), read(1, 2, "a"), last("b", "a")],
            "disagree on the order from place 0 on",
        ),
    ],
)
def test_lists_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(lists.check(ops))


def sum_(call: float, end: float, amount: int, **more: Any) -> Op:
    return op("sum", "c", call, end, asked=amount, **more)


def count(call: float, end: float, value: int, kind: str = "count", **more: Any) -> Op:
    return op(kind, "c", call, end, got=value, **more)


@pytest.mark.parametrize(
    "ops",
    [
        [count(0, 1, 0)],
        [sum_(0, 1, 3), count(2, 3, 3), sum_(4, 5, 4), count(6, 7, 7, "last-count")],
        [sum_(0, 9, 3), count(1, 2, 0), count(3, 4, 3)],
        [sum_(0, 1, 3, outcome="unknown"), count(2, 3, 0), count(4, 5, 3)],
        [sum_(0, 1, 3, outcome="failed"), count(2, 3, 0)],
        [sum_(0, 1, 3), count(2, 3, 0, fresh=False)],
    ],
)
def test_counters_that_are_right(ops: list[Op]) -> None:
    assert counters.check(ops) == []


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        ([sum_(0, 1, 3), count(2, 3, 6)], "c is 6, and must be 3"),
        ([sum_(0, 1, 3), count(2, 3, 0)], "c is 0, and must be 3"),
        ([sum_(0, 1, 3, outcome="failed"), count(2, 3, 3)], "c is 3, and must be 0"),
        ([sum_(0, 1, 3, outcome="unknown"), count(2, 3, 6)], "c is 6, and must be 0 to 3"),
        ([count(0, 1, 3), sum_(2, 3, 3)], "c is 3, and must be 0"),
        ([sum_(0, 1, 3), count(2, 3, 6, fresh=False)], "c is 6, and must be 0 to 3"),
    ],
)
def test_counters_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(counters.check(ops))


def log(call: float, end: float, stamp: str | None, value: str, **more: Any) -> Op:
    return op("log", "log", call, end, stamp=stamp, asked=value, **more)


def tail(call: float, end: float, behind: str, *ids: str) -> Op:
    return op("tail", "t", call, end, asked=behind, got=list(ids))


def last_log(**values: str) -> Op:
    return op("last-log", "log", 90, 91, got=values)


@pytest.mark.parametrize(
    "ops",
    [
        [log(0, 1, "s1", "x"), op("put", "k", 2, 3, stamp="s2"), last_log(s1="x")],
        # At the same time: either order.
        [log(0, 5, "s2", "x"), log(1, 4, "s1", "y"), last_log(s1="y", s2="x")],
        [log(0, 1, "s1", "x"), tail(2, 3, "", "s1"), last_log(s1="x")],
        # What comes later is not missed yet.
        [tail(0, 1, ""), log(2, 3, "s1", "x"), last_log(s1="x")],
        [
            log(0, 1, "s1", "x"),
            tail(2, 3, "", "s1"),
            log(4, 5, "s2", "y"),
            tail(6, 7, "s1", "s2"),
            last_log(s1="x", s2="y"),
        ],
        [log(0, 1, None, "x", outcome="unknown"), last_log(s1="x")],
        [log(0, 1, None, "x", outcome="unknown"), last_log()],
    ],
)
def test_stamps_that_are_right(ops: list[Op]) -> None:
    assert stamps.check(ops) == []


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        (
            [op("put", "k", 0, 1, stamp="s2"), op("sum", "c", 2, 3, stamp="s1")],
            "s1 was given after s2 was answered",
        ),
        # The one that was overtaken is not the last that was answered.
        (
            [
                op("put", "k", 0, 1, stamp="s5"),
                op("put", "k", 0, 2, stamp="s1"),
                op("put", "k", 3, 4, stamp="s3"),
            ],
            "s3 was given after s5 was answered",
        ),
        (
            [op("put", "k", 0, 5, stamp="s1"), op("put", "j", 1, 4, stamp="s1")],
            "s1 was given to two commits",
        ),
        ([log(0, 1, "s1", "x"), last_log()], "s1 was logged and is lost"),
        (
            [log(0, 1, None, "x", outcome="unknown"), last_log(s1="x", s2="x")],
            "x was logged 2 times",
        ),
        (
            [log(0, 1, None, "x", outcome="failed"), last_log(s1="x")],
            "x is there, and was refused",
        ),
        (
            [
                log(0, 9, "s1", "x"),
                log(1, 4, "s2", "y"),
                tail(5, 6, "", "s2"),
                tail(10, 11, "s2"),
                last_log(s1="x", s2="y"),
            ],
            "t read past s1 and never saw it",
        ),
    ],
)
def test_stamps_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(stamps.check(ops))
