"""Messages come at least once, never again once they are acknowledged, and are never lost.

Kinds: `enqueue` (subject: the value, which is unique; asked: how many deliveries it may have; got:
the id), `deliver` (call: when the poll was sent, or the stream opened; end: when it came; asked:
`poll` or `listen`; got: id, attempts and lease), `ack`, `nack` and `release` (asked: what was
delivered), `abandon` (a stream or poll that this side gave up: what was sent last may be unread),
`letter` (got: attempts and error), `queue-end` (got: the numbers, once nothing is left).

A delivery counts once it is noted, which is a moment after it was given. If the server dies before
that, or stands still until the lease has ended, the next delivery has the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from buntime_soak.checks.expiry import Clocks
from buntime_soak.history import Fault, Op, Violation, by_subject, of_kinds

NAME = "queue"
KINDS = ("enqueue", "deliver", "ack", "nack", "release", "letter")
INTERRUPTIONS = ("kill", "restart", "pause", "stall")
"""Faults after which nobody knows whether the last thing that was sent had arrived, or during
which nothing is noted."""
STILL_SECONDS = 1.0
"""A host whose answer takes so long may note as little, for half of a lease: it waits for the lock
that a process holds which stands still, or the machine is busy."""
STREAMED = ("deliver", "told", "abandon")
"""Kinds whose times are those of streams."""


def check(
    ops: Sequence[Op], faults: Sequence[Fault] = (), clocks: Clocks | None = None
) -> list[Violation]:
    """Every message for itself."""
    ended = [op for op in of_kinds(ops, "queue-end") if op.outcome == "ok"]
    empty = bool(ended) and not ended[-1].got.get("total")
    found = [
        Violation(NAME, f"messages are left that nobody is given: {op.got}", (op,))
        for op in ended
        if op.got.get("total")
    ]
    abandoned = of_kinds(ops, "abandon")
    times = _Times(ops, faults, clocks or Clocks())
    for subject, mine in by_subject(of_kinds(ops, *KINDS)).items():
        message = _Message(subject, mine, times, abandoned)
        found += message.check(settled=empty)
    return found


class _Times:
    """What may have kept deliveries from being noted while their leases lasted."""

    def __init__(self, ops: Sequence[Op], faults: Sequence[Fault], clocks: Clocks) -> None:
        self._clocks = clocks
        self._interrupted = [
            (fault.begin, fault.end) for fault in faults if fault.kind.startswith(INTERRUPTIONS)
        ]
        self._still = [
            (op.call, op.end, op.host)
            for op in ops
            if op.end - op.call >= STILL_SECONDS and op.kind not in STREAMED
        ]

    def excuse(self, before: Op, after: Op) -> bool:
        """Whether the lease of one delivery may have ended, for others, before it was noted."""
        # A stream is read late, so the delivery that came first need not have been given first.
        begin, end = min(before.call, after.call), after.end
        return (
            any(since <= end and until >= begin for since, until in self._interrupted)
            or any(
                since <= end and until >= begin and host in (before.host, after.host)
                for since, until, host in self._still
            )
            # Hosts have each their own time, and the one that is ahead takes leases over early.
            or (before.host != after.host and not self._clocks.agree(begin, end))
        )


class _Message:
    def __init__(
        self, subject: str, ops: Sequence[Op], times: _Times, abandoned: Sequence[Op]
    ) -> None:
        self._subject = subject
        self._sent = next((op for op in ops if op.kind == "enqueue"), None)
        self._deliveries = sorted(of_kinds(ops, "deliver"), key=lambda op: op.end)
        self._acks = of_kinds(ops, "ack")
        self._releases = of_kinds(ops, "release")
        self._letters = of_kinds(ops, "letter")
        self._times = times
        self._abandoned = abandoned
        self._all = sorted(ops, key=lambda op: op.end)

    def check(self, *, settled: bool) -> list[Violation]:
        """With `settled` the queue was empty in the end."""
        found: list[Violation] = []

        def broken(text: str, *shown: Op) -> None:
            found.append(Violation(NAME, f"{self._subject} {text}", shown or self._all[-8:]))

        if self._sent is None:
            broken("came, and nobody sent it")
            return found
        if self._sent.outcome == "failed" and (self._deliveries or self._letters):
            broken("came, and sending it failed")
        if settled and self._sent.outcome == "ok":
            if not self._deliveries and not self._letters:
                broken("was sent and never came")
            elif not self._letters and all(ack.outcome == "failed" for ack in self._acks):
                broken("was never acknowledged, and is gone")
        self._after_ack(broken)
        self._attempts(broken)
        self._dead(broken)
        return found

    def _after_ack(self, broken: Callable[..., None]) -> None:
        for ack in self._acks:
            if ack.outcome != "ok":
                continue
            for delivery in self._deliveries:
                # A stream may be slow to tell of what it was given before; attempts tell it apart.
                given_later = (
                    delivery.got["attempts"] > ack.asked["attempts"]
                    and delivery.got["lease"] != ack.asked["lease"]
                )
                if delivery.call > ack.end or given_later:
                    broken("came again after it was acknowledged", ack, delivery)
            for letter in self._letters:
                broken("was acknowledged, and is a dead letter", ack, letter)

    def _attempts(self, broken: Callable[..., None]) -> None:
        assert self._sent is not None
        first: dict[int, Op] = {}
        for delivery in self._deliveries:
            attempts = delivery.got["attempts"]
            if not 1 <= attempts <= self._sent.asked:
                broken(f"came with attempts {attempts} of {self._sent.asked}", delivery)
            before = first.get(attempts)
            first[attempts] = delivery
            if before is None or before.got["lease"] == delivery.got["lease"]:
                continue
            if not self._may_repeat(before, delivery):
                broken(f"came twice as attempt {attempts}", before, delivery)

    def _may_repeat(self, before: Op, after: Op) -> bool:
        """Whether a delivery may have counted for nothing."""
        given_back = any(
            op.asked["lease"] == before.got["lease"] and op.outcome != "failed"
            for op in self._releases
        )
        return given_back or self._times.excuse(before, after)

    def _dead(self, broken: Callable[..., None]) -> None:
        if len(self._letters) > 1:
            broken("is a dead letter twice", *self._letters)
        for letter in self._letters:
            assert self._sent is not None
            if letter.got["attempts"] != self._sent.asked:
                broken(f"is dead after {letter.got['attempts']} of {self._sent.asked}", letter)
            unread = any(op.end > self._sent.call for op in self._abandoned)
            if not self._deliveries and not unread:
                broken("is dead, and nobody was ever given it", self._sent, letter)
