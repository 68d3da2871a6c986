"""The queue: what is right, and what each fault is called."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_soak.checks.expiry import Clocks
from buntime_soak.checks.queue import check
from buntime_soak.history import Fault, Op
from soak.histories import op, said


def sent(most: int = 2, **more: Any) -> Op:
    return op("enqueue", "m", 0, 1, asked=most, **more)


def given(attempts: int, lease: str) -> dict[str, Any]:
    return {"id": "i", "attempts": attempts, "lease": lease}


def delivered(
    call: float, end: float, attempts: int, lease: str, how: str = "poll", host: str = "h0"
) -> Op:
    return op("deliver", "m", call, end, asked=how, got=given(attempts, lease), host=host)


def settled(kind: str, call: float, end: float, attempts: int, lease: str, **more: Any) -> Op:
    return op(kind, "m", call, end, asked=given(attempts, lease), **more)


def letter(attempts: int) -> Op:
    return op("letter", "m", 90, 91, got={"attempts": attempts, "error": "e"})


EMPTY = op("queue-end", "queue", 90, 91, got={"total": 0})
FULL = op("queue-end", "queue", 90, 91, got={"total": 1})
KILLED = Fault("kill", "h0", 2.5, 3.5)
STOPPED = Fault("pause", "h1", 3.2, 5)
ABANDONED = op("abandon", "poller", 2, 3, outcome="unknown")
TWICE = [
    sent(),
    delivered(2, 3, 1, "a"),
    delivered(4, 5, 1, "b", host="h1"),
    settled("ack", 6, 7, 1, "b"),
    EMPTY,
]


@pytest.mark.parametrize(
    ("ops", "faults"),
    [
        ([sent(), delivered(2, 3, 1, "a"), settled("ack", 4, 5, 1, "a"), EMPTY], []),
        ([sent(outcome="failed"), EMPTY], []),
        ([sent(outcome="unknown"), EMPTY], []),
        # The lease ran out, and the second attempt worked.
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                delivered(4, 5, 2, "b"),
                settled("ack", 6, 7, 1, "a", outcome="failed"),
                settled("ack", 6, 7, 2, "b"),
                EMPTY,
            ],
            [],
        ),
        # A stream that is slow tells of the first delivery after the second was acknowledged.
        (
            [
                sent(),
                delivered(2, 3, 2, "b"),
                settled("ack", 4, 5, 2, "b"),
                delivered(1, 9, 1, "a", "listen"),
                EMPTY,
            ],
            [],
        ),
        # Given back unused, it counts for nothing.
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("release", 4, 5, 1, "a"),
                delivered(6, 7, 1, "b"),
                settled("ack", 8, 9, 1, "b"),
                EMPTY,
            ],
            [],
        ),
        # A server that died may not have known that the first delivery had arrived; one that stood
        # still could not note it, nor one that waited for the lock.
        (TWICE, [KILLED]),
        (TWICE, [STOPPED]),
        ([*TWICE, op("put", "k", 3, 4.5)], []),
        ([sent(1), delivered(2, 3, 1, "a"), settled("nack", 4, 5, 1, "a"), letter(1), EMPTY], []),
        # It was sent, and this side did not read it.
        ([sent(1), ABANDONED, letter(1), EMPTY], []),
        # Nobody knows whether it was acknowledged.
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("ack", 4, 5, 1, "a", outcome="unknown"),
                delivered(6, 7, 2, "b"),
                settled("ack", 8, 9, 2, "b"),
                EMPTY,
            ],
            [],
        ),
    ],
)
def test_queues_that_are_right(ops: list[Op], faults: list[Fault]) -> None:
    assert check(ops, faults) == []


def test_a_host_whose_clock_is_ahead_takes_leases_over_early() -> None:
    apart = Clocks([(0, frozenset({0.0})), (1.5, frozenset({0.0, 30.0}))])
    assert check(TWICE, clocks=apart) == []
    assert "came twice" in said(check(TWICE, clocks=Clocks([(0, frozenset({0.0}))])))
    same_host = [*TWICE[:2], delivered(4, 5, 1, "b"), *TWICE[3:]]
    assert "came twice" in said(check(same_host, clocks=apart))


@pytest.mark.parametrize(
    "more",
    [
        [],
        [Fault("pause", "h1", 5.5, 7)],
        [Fault("clock", "+30 s", 3, 4)],
        [op("put", "k", 3, 3.9)],
        [op("put", "k", 3, 4.5, host="h2")],
        [op("told", "w", 1, 9)],
    ],
)
def test_nothing_else_lets_an_attempt_come_twice(more: list[Op | Fault]) -> None:
    ops = [*TWICE, *(one for one in more if isinstance(one, Op))]
    faults = [one for one in more if isinstance(one, Fault)]
    assert said(check(ops, faults)) == "m came twice as attempt 1"


@pytest.mark.parametrize(
    ("ops", "what"),
    [
        ([sent(), FULL], "messages are left that nobody is given"),
        ([sent(), EMPTY], "m was sent and never came"),
        ([sent(), delivered(2, 3, 1, "a"), EMPTY], "m was never acknowledged, and is gone"),
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("ack", 4, 5, 1, "a", outcome="failed"),
                EMPTY,
            ],
            "m was never acknowledged, and is gone",
        ),
        ([delivered(2, 3, 1, "a")], "m came, and nobody sent it"),
        ([sent(outcome="failed"), delivered(2, 3, 1, "a")], "m came, and sending it failed"),
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("ack", 4, 5, 1, "a"),
                delivered(6, 7, 2, "b"),
            ],
            "m came again after it was acknowledged",
        ),
        # On a stream that was open before, with a later attempt.
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("ack", 4, 5, 1, "a"),
                delivered(1, 7, 2, "b", "listen"),
            ],
            "m came again after it was acknowledged",
        ),
        # The same attempt, asked for afterwards.
        (
            [
                sent(),
                delivered(2, 3, 1, "a"),
                settled("ack", 4, 5, 1, "a"),
                delivered(6, 7, 1, "a"),
            ],
            "m came again after it was acknowledged",
        ),
        (
            [sent(1), delivered(2, 3, 1, "a"), settled("ack", 4, 5, 1, "a"), letter(1)],
            "m was acknowledged, and is a dead letter",
        ),
        ([sent(), delivered(2, 3, 1, "a"), delivered(4, 5, 1, "b")], "m came twice as attempt 1"),
        ([sent(), delivered(2, 3, 3, "a")], "m came with attempts 3 of 2"),
        ([sent(), delivered(2, 3, 0, "a")], "m came with attempts 0 of 2"),
        ([sent(2), delivered(2, 3, 1, "a"), letter(1)], "m is dead after 1 of 2"),
        ([sent(1), letter(1)], "m is dead, and nobody was ever given it"),
        ([sent(1), delivered(2, 3, 1, "a"), letter(1), letter(1)], "m is a dead letter twice"),
    ],
)
def test_queues_that_are_wrong(ops: list[Op], what: str) -> None:
    assert what in said(check(ops))
