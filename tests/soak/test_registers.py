"""Registers: histories that some order explains, and histories that none does."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from buntime_soak.checks.registers import check, is_linearizable
from buntime_soak.history import Op
from hypothesis import given, settings
from hypothesis import strategies as st
from soak.histories import op, said
from support.sampling import share_of


def put(call: float, end: float, value: str, **more: Any) -> Op:
    return op("put", "k", call, end, asked=value, **more)


def get(call: float, end: float, value: str | None, **more: Any) -> Op:
    return op("get", "k", call, end, got=value, **more)


def cas(call: float, end: float, old: str | None, new: str, ok: bool, **more: Any) -> Op:
    return op("cas", "k", call, end, asked=[old, new], got=ok, **more)


def delete(call: float, end: float, there: bool, **more: Any) -> Op:
    return op("delete", "k", call, end, got=there, **more)


GOOD = {
    "nothing": [],
    "in turn": [put(0, 1, "a"), get(2, 3, "a"), put(4, 5, "b"), get(6, 7, "b")],
    "while it is written, either": [put(0, 9, "a"), get(1, 2, None), get(3, 4, "a")],
    "two writers, either last": [put(0, 5, "a"), put(1, 4, "b"), get(6, 7, "a")],
    "a check that holds": [put(0, 1, "a"), cas(2, 3, "a", "b", True), get(4, 5, "b")],
    "a check that fails": [put(0, 1, "a"), cas(2, 3, None, "b", False), get(4, 5, "a")],
    "created": [cas(0, 1, None, "a", True), cas(2, 3, None, "b", False)],
    "deleted": [put(0, 1, "a"), delete(2, 3, True), delete(4, 5, False), get(6, 7, None)],
    "unknown, never done": [put(0, 1, "a"), put(2, 3, "b", outcome="unknown"), get(4, 5, "a")],
    "unknown, done": [put(0, 1, "a"), put(2, 3, "b", outcome="unknown"), get(4, 5, "b")],
    "unknown, done much later": [
        put(0, 1, "a", outcome="unknown"),
        put(2, 3, "b"),
        get(4, 5, "b"),
        get(6, 7, "a"),
    ],
    "an unknown check explains what a later one saw": [
        put(0, 1, "a"),
        cas(2, 3, "a", "b", False, outcome="unknown"),
        cas(4, 5, "a", "c", False),
    ],
    "an unknown deletion": [
        put(0, 1, "a"),
        delete(2, 3, False, outcome="unknown"),
        get(4, 5, None),
    ],
    "what failed was never there": [put(0, 1, "a", outcome="failed"), get(2, 3, None)],
    "a read that promises nothing": [put(0, 1, "a"), get(2, 3, None, fresh=False)],
}

BAD = {
    "an old value": [put(0, 1, "a"), put(2, 3, "b"), get(4, 5, "a")],
    "a lost write": [put(0, 1, "a"), get(2, 3, None)],
    "back and forth": [put(0, 9, "a"), get(1, 2, "a"), get(3, 4, None)],
    "readers that disagree": [
        put(0, 9, "a"),
        put(0, 9, "b"),
        get(1, 2, "a"),
        get(3, 4, "b"),
        get(5, 6, "a"),
    ],
    "a check that held on what was not there": [
        put(0, 1, "a"),
        put(2, 3, "b"),
        cas(4, 5, "a", "c", True),
    ],
    "two checks that held on the same": [
        put(0, 1, "a"),
        cas(2, 5, "a", "b", True),
        cas(2, 5, "a", "c", True),
    ],
    "a check that failed for nothing": [put(0, 1, "a"), cas(2, 3, "a", "b", False)],
    "deleted twice": [put(0, 1, "a"), delete(2, 5, True), delete(2, 5, True)],
    "still there": [put(0, 1, "a"), delete(2, 3, True), get(4, 5, "a")],
    "failed, and there": [put(0, 1, "a", outcome="failed"), get(2, 3, "a")],
    "unknown, done and undone": [
        put(0, 1, "a"),
        put(2, 3, "b", outcome="unknown"),
        get(4, 5, "b"),
        get(6, 7, "a"),
    ],
    "read before it was written": [get(0, 1, "a"), put(2, 3, "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_some_order_explains(name: str) -> None:
    assert check(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_what_no_order_explains(name: str) -> None:
    assert said(check(BAD[name])) == "k is not linearizable"


def test_keys_are_judged_alone() -> None:
    other = [op("put", "other", 0, 1, asked="x"), op("get", "other", 2, 3, got=None)]
    assert said(check([*GOOD["in turn"], *other])) == "other is not linearizable"


def test_the_excerpt_ends_with_the_answer_that_nothing_explains() -> None:
    ops = [put(0, 1, "a")]
    ops += [get(number, number + 0.5, "a") for number in range(2, 40)]
    ops += [put(41, 42, "b"), get(43, 44, "a"), put(45, 46, "c"), get(47, 48, "c")]
    (violation,) = check(ops)
    assert violation.excerpt[-1] == get(43, 44, "a")
    assert len(violation.excerpt) < 20


def test_a_long_history_with_many_unknown_writes_is_judged() -> None:
    ops: list[Op] = []
    for number in range(60):
        begin = 2 * number
        unknown = number % 15 == 7
        ops.append(put(begin, begin + 5, f"v{number}", outcome="unknown" if unknown else "ok"))
    assert is_linearizable(ops)
    assert not is_linearizable([*ops, get(500, 501, "v3")])


# Against the definition itself: all orders of all subsets of what is unknown.

VALUES = ("a", "b", "c")


@st.composite
def histories(draw: st.DrawFn) -> list[Op]:
    ops: list[Op] = []
    for number in range(draw(st.integers(1, 5))):
        call = draw(st.integers(0, 12))
        end = call + draw(st.integers(1, 6))
        # Moments that never coincide.
        begin, over = call + number / 100, end + number / 100 + 0.005
        old = draw(st.sampled_from((None, *VALUES)))
        unknown: Any = {"outcome": draw(st.sampled_from(("ok", "ok", "unknown")))}
        ops.append(
            draw(
                st.sampled_from(
                    [
                        get(begin, over, old),
                        put(begin, over, f"{draw(st.sampled_from(VALUES))}", **unknown),
                        cas(begin, over, old, draw(st.sampled_from(VALUES)), True, **unknown),
                        cas(begin, over, old, draw(st.sampled_from(VALUES)), False, **unknown),
                        delete(begin, over, draw(st.booleans()), **unknown),
                    ]
                )
            )
        )
    return ops


def by_definition(ops: list[Op]) -> bool:
    for order in permutations(ops):
        for skipped in range(1 << len(order)):
            if _explains(order, skipped):
                return True
    return False


def _explains(order: tuple[Op, ...], skipped: int) -> bool:
    state: str | None = None
    taken: list[Op] = []
    for index, one in enumerate(order):
        unknown = one.outcome == "unknown"
        if skipped >> index & 1:
            if not unknown:
                return False
            continue
        if any(one.outcome == "ok" and one.end < before.call for before in taken):
            return False
        taken.append(one)
        match one.kind:
            case "get":
                if one.got != state:
                    return False
            case "put":
                state = one.asked
            case "delete":
                if not unknown and one.got != (state is not None):
                    return False
                state = None
            case _:
                holds = state == one.asked[0]
                if not unknown and one.got != holds:
                    return False
                state = one.asked[1] if holds else state
    return True


@settings(deadline=None, max_examples=share_of(300))
@given(histories())
def test_the_search_agrees_with_the_definition(ops: list[Op]) -> None:
    assert is_linearizable(ops) == by_definition(ops)
