"""What has a limited life is there as long as it lives, and not a moment longer.

Kinds: `lend` (asked: the life in seconds; each key is written once), `glance` (got: whether it is
there). Time is that of a clock that nobody sets. The clocks of the servers are set by faults; what
that may do is in `Clocks`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from buntime_soak.history import Op, Violation, by_subject, of_kinds

MARGIN_SECONDS = 0.06
"""Stored times are whole milliseconds, and two processes read their clocks one after another."""


class Clocks(NamedTuple):
    """When the hosts were started, and how far the clock had been set by then.

    A host goes by time that passes from its start on, so the clock's steps do nothing to what
    it wrote itself. Hosts that were started under different settings disagree by the step. So does
    a host that finds the store ahead of its clock, since it goes on from the newest commit: its
    setting is one of its own. To what lives over such a start applies that on its host nothing
    waits for longer than its whole life from the last start on.
    """

    moments: Sequence[tuple[float, frozenset[Hashable]]] = ()
    """From a moment on the settings that serving hosts have; one entry for each start."""
    served: Sequence[float] = ()
    """When each of these starts was over, which takes seconds on a busy machine."""

    def agree(self, begin: float, end: float) -> bool:
        """Whether all hosts between two moments have the same setting."""
        seen: set[Hashable] = set()
        for index, (moment, settings) in enumerate(self.moments):
            until = self.moments[index + 1][0] if index + 1 < len(self.moments) else end
            if moment <= end and until >= begin:
                seen |= settings
        return len(seen) <= 1

    def last_start(self, before: float) -> float:
        """When the last host served that was started before a moment; its time begins by then."""
        launched = [moment for moment, _ in self.moments]
        starts = zip(launched, self.served or launched, strict=True)
        return max((served for moment, served in starts if moment <= before), default=0.0)


def check(ops: Sequence[Op], clocks: Clocks) -> list[Violation]:
    """Every key for itself."""
    found: list[Violation] = []
    for subject, mine in by_subject(of_kinds(ops, "lend", "glance")).items():
        lent = next((op for op in mine if op.kind == "lend"), None)
        if lent is None or lent.outcome == "unknown":
            continue
        for glance in mine:
            if glance.kind == "glance" and glance.outcome == "ok":
                wrong = _wrong(lent, glance, clocks)
                if wrong:
                    found.append(Violation("expiry", f"{subject} {wrong}", (lent, glance)))
    return found


def _wrong(lent: Op, glance: Op, clocks: Clocks) -> str:
    if lent.outcome == "failed":
        return "is there, and its write failed" if glance.got else ""
    agree = clocks.agree(lent.call, glance.end)
    if glance.got:
        if not agree and glance.host != lent.host:
            return ""  # there it is as much longer as that host is behind
        begin = lent.end if agree else max(lent.end, clocks.last_start(glance.end))
        late = glance.call - begin - lent.asked
        return f"is there {late:.3f} s after its life" if late > MARGIN_SECONDS else ""
    early = lent.call + lent.asked - glance.end
    if glance.call > lent.end and early > MARGIN_SECONDS and agree:
        return f"is gone {early:.3f} s before its end"
    return ""
