"""Limits on wrong credentials of one peer."""

from __future__ import annotations

import time
from collections.abc import Callable

from buntime_host.errors import TooManyRequests

FAILURES = 30
WINDOW_SECONDS = 60.0
KNOWN_PEERS = 10_000


class Throttle:
    """Counts wrong credentials by peer, in windows of a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._peers: dict[str, tuple[float, int]] = {}
        """When the window of a peer began, and its failures since; the oldest window first."""

    def has_failed_too_often(self, peer: str) -> bool:
        """Whether a peer has to wait until its window is over."""
        began, count = self._peers.get(peer, (0.0, 0))
        return count > FAILURES and self._clock() < began + WINDOW_SECONDS

    def failed(self, peer: str) -> None:
        """Note that a credential of this peer was wrong."""
        now = self._clock()
        began, count = self._peers.get(peer, (now, 0))
        if now >= began + WINDOW_SECONDS:
            del self._peers[peer]
            began, count = now, 0
        elif peer not in self._peers and len(self._peers) >= KNOWN_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = (began, count + 1)

    def refusal(self, peer: str) -> TooManyRequests:
        """The error for a peer that has to wait, which says for how long."""
        began, _ = self._peers.get(peer, (self._clock(), 0))
        left = max(1, round(began + WINDOW_SECONDS - self._clock()))
        return TooManyRequests(
            f"More than {FAILURES} wrong credentials in a minute: wait for {left} s",
            headers={"Retry-After": str(left)},
        )
