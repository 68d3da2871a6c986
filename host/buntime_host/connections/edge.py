"""The shared state of all connections of a process: budgets, deadlines, and counts of refusals.

No connection has a timer. One sweep looks at all of them, a few times within the shortest deadline,
and the time of the last sweep is the time that connections note when something happens.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import logging
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from buntime_host.connections.turns import ReadTurns
from buntime_host.errors import HttpError, ServiceUnavailable, TooManyRequests
from buntime_host.limits import EdgeLimits

if TYPE_CHECKING:
    from buntime_host.workers import Doubles


REASONS = (
    "malformed",
    "handshake",
    "url",
    "headers",
    "trailers",
    "header_timeout",
    "body_timeout",
    "send_timeout",
    "connections",
    "client_connections",
    "uploads",
    "client_uploads",
    "unsent",
    "client_unsent",
    "internal",
    "untrusted_host",
)
"""Reasons for refusing or cutting off, as metrics and the log name them."""

STALLED_SECONDS = 2.0
"""Seconds without progress after which a connection makes room first when there is too little."""

MAX_SWEEP_SECONDS = 1.0
MIN_SWEEP_SECONDS = 0.02
CLOSING_SWEEP_SECONDS = 0.2
SWEEPS_PER_DEADLINE = 4
LOOKED_AT_ONCE = 256
"""Connections between two turns of the event loop; a refusal costs some 30 microseconds."""

EVICTED_AT_ONCE = 64
REPORT_SECONDS = 10.0
KNOWN_CLIENTS = 10_000
KNOWN_NAMES = 1_000
PREFIX_IPV6 = 64
"""An owner of an IPv6 address has any number of them, all in one network of this size."""

logger = logging.getLogger("App")


class EdgeMetrics(NamedTuple):
    """The metrics of connections."""

    refused: Mapping[str, float]
    """Refusals by reason, in all workers."""
    connections: int
    """Those that are open, in this worker."""
    upload_bytes: int
    unsent_bytes: int
    dropped_lines: int
    """Dropped lines of the log."""


class Resting(NamedTuple):
    """The state of an idle connection; those that sort first are closed first."""

    was_used: bool
    """Whether there has been a request."""
    since: float


class Guarded(Protocol):
    """A connection, as the edge sees it."""

    def look(self, now: float) -> None:
        """Close the connection or refuse its request if it is overdue."""
        ...

    @property
    def rest(self) -> Resting | None:
        """Since when it is idle, so that nothing is lost when it is closed; None while it is
        not.
        """
        ...

    def cut(self) -> None:
        """Close it at once."""
        ...

    def make_room(self, reason: str) -> None:
        """Give its memory back, because it has not moved for long."""
        ...


class Leaving(Protocol):
    """A connection that has ended."""

    def take_leave(self) -> None:
        """Give everything back, and tell its requests."""
        ...


class Holding:
    """One connection's share of a budget."""

    __slots__ = ("_budget", "client", "moved", "owner", "size")

    def __init__(self, budget: Budget, owner: Guarded, client: str | None) -> None:
        self._budget = budget
        self.owner = weakref.ref(owner)
        """Not kept alive by what it holds: it would be garbage that is not freed at once."""
        self.client = client
        self.size = 0
        self.moved = 0.0
        """When it last made progress."""

    def set(self, size: int) -> None:
        """Set the bytes that it holds from now on."""
        if size != self.size:
            self._budget.change(self, size)


class Budget:
    """A budget of bytes that connections may hold: all together, and those of one client."""

    def __init__(self, reason: str, total: int, per_client: int) -> None:
        self._reason = reason
        self.total = total
        self.per_client = per_client
        self.held = 0
        self._of_clients: Counter[str] = Counter()
        self._holdings: dict[Holding, None] = {}
        self._searched_at = -1.0

    def change(self, holding: Holding, size: int) -> None:
        """Note a new size."""
        by = size - holding.size
        self.held += by
        if holding.client is not None:
            self._of_clients[holding.client] += by
            if self._of_clients[holding.client] <= 0:
                del self._of_clients[holding.client]
        holding.size = size
        if size:
            self._holdings[holding] = None
        else:
            self._holdings.pop(holding, None)

    def lacking(
        self, client: str | None, more: int, now: float, *, is_done: bool = False
    ) -> HttpError | None:
        """Return why a client may not hold `more` bytes; idle connections give way before that.

        `is_done` tells the client that its request was carried out.
        """
        if self._lacks(client, more) and self._searched_at != now:
            for holding in self._stalled(client, now):
                owner = holding.owner()
                if owner is None:
                    self.change(holding, 0)
                else:
                    owner.make_room(self._reason)
                if not self._lacks(client, more):
                    break
            else:
                self._searched_at = now  # not again before the next sweep
        lack = self._lacks(client, more)
        if lack is None:
            return None
        code = f"TOO_MANY_{self._reason.upper()}"
        advice = "the request was carried out" if is_done else "try again"
        headers = None if is_done else {"Retry-After": "1"}
        what = f"Too many bytes of {self._reason} are on their way"
        if lack == "client":
            text = f"{what} for this client: the limit is {self.per_client}; {advice}"
            return TooManyRequests(text, code=code, headers=headers)
        text = f"{what}: the limit for all clients is {self.total}; {advice}"
        return ServiceUnavailable(text, code=code, headers=headers)

    def _lacks(self, client: str | None, more: int) -> Literal["total", "client"] | None:
        if client is not None and self._of_clients[client] + more > self.per_client:
            return "client"
        return "total" if self.held + more > self.total else None

    def _stalled(self, client: str | None, now: float) -> Iterator[Holding]:
        only = client if self._lacks(client, 0) == "client" else None
        for holding in list(self._holdings):
            if now - holding.moved >= STALLED_SECONDS and only in (None, holding.client):
                yield holding


class Edge:
    """The connections of one process."""

    def __init__(self, limits: EdgeLimits, counts: Doubles | None = None) -> None:
        """`counts` has a place for each of `REASONS`, and is shared with other workers."""
        self.limits = limits
        self.counts: Doubles | list[float] = [0.0] * len(REASONS) if counts is None else counts
        self.now = 0.0
        """Time of the last sweep."""
        self.connections: dict[Guarded, str | None] = {}
        """Each connection, with the client that it counts for."""
        self.uploads = Budget("uploads", limits.upload_bytes, limits.upload_bytes_per_client)
        self.unsent = Budget("answers", limits.unsent_bytes, limits.unsent_bytes_per_client)
        self.turns = ReadTurns()
        """Turns of connections that send much."""
        self.closing = False
        """Whether new connections are refused: the host shuts down."""
        self.says_to_origin: Callable[[bytes | None], list[tuple[bytes, bytes]]] | None = None
        """Headers of an answer that no application sends, for a page of another origin, if any.

        Without them a browser hides the answer from the page."""
        self.names: dict[bytes, bytes] = {}
        """Names of response headers that were checked, and how they are written."""
        self._of_clients: Counter[str] = Counter()
        self._clients: dict[str, str | None] = {}
        self._nobody_idle_at = -1.0
        self._lost: deque[Leaving] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._look_from = 0.0
        """When connections are checked again."""
        self._reported_at = -REPORT_SECONDS
        self._since_report: Counter[str] = Counter()

    def limit(self, limits: EdgeLimits) -> None:
        """Set new limits for connections that begin from now on."""
        self.limits = limits
        for budget, total, per_client in (
            (self.uploads, limits.upload_bytes, limits.upload_bytes_per_client),
            (self.unsent, limits.unsent_bytes, limits.unsent_bytes_per_client),
        ):
            budget.total, budget.per_client = total, per_client

    def start(self) -> None:
        """Start the sweeps, on the running event loop."""
        self._sweep()

    def close(self) -> None:
        """Refuse new connections, and wait less for clients that read nothing: the host shuts
        down.
        """
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._sweep()

    def stop(self) -> None:
        """Stop the sweeps, and log the refusals that were not logged yet."""
        self._report(0.0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def client_of(self, address: str | None) -> str | None:
        """The client that an address counts for; None for addresses that stand for many clients."""
        if address is None:
            return None
        try:
            return self._clients[address]
        except KeyError:
            if len(self._clients) >= KNOWN_CLIENTS:
                self._clients.clear()
            client = self._clients[address] = self._looked_up(address)
            return client

    def _looked_up(self, address: str) -> str | None:
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return address
        mapped = getattr(known, "ipv4_mapped", None)
        if mapped is not None:
            known = mapped
        if any(known in network for network in self.limits.shared_networks):
            return None
        if known.version == 6:
            return str(ipaddress.ip_network((known, PREFIX_IPV6), strict=False))
        return str(known)

    def join(self, connection: Guarded, client: str | None) -> HttpError | None:
        """Register a connection; return why it has to go at once, if there is no room for it."""
        if self.closing:
            return ServiceUnavailable("The host is shutting down", headers={"Retry-After": "1"})
        limits = self.limits
        if client is not None:
            if self._of_clients[client] >= limits.connections_per_client:
                self.refused("client_connections")
                return TooManyRequests(
                    f"This client already has {limits.connections_per_client} connections, which is"
                    " the limit",
                    code="TOO_MANY_CONNECTIONS",
                    headers={"Retry-After": "1"},
                )
            self._of_clients[client] += 1
        if len(self.connections) >= limits.connections:
            self._evict_idle()
        self.connections[connection] = client
        if len(self.connections) > limits.connections:
            self.leave(connection)
            self.refused("connections")
            return ServiceUnavailable(
                f"The host already has {limits.connections} connections, which is the limit",
                code="TOO_MANY_CONNECTIONS",
                headers={"Retry-After": "1"},
            )
        return None

    def lost(self, connection: Leaving) -> None:
        """Let a connection that has ended release its resources soon, in its turn."""
        if not self._lost:
            asyncio.get_running_loop().call_soon(self._take_leave)
        self._lost.append(connection)

    def _take_leave(self) -> None:
        for _ in range(min(len(self._lost), LOOKED_AT_ONCE)):
            self._lost.popleft().take_leave()
        if self._lost:
            asyncio.get_running_loop().call_soon(self._take_leave)

    def leave(self, connection: Guarded) -> None:
        """Forget a connection. Safe to call again."""
        client = self.connections.pop(connection, None)
        if client is not None:
            self._of_clients[client] -= 1
            if self._of_clients[client] <= 0:
                del self._of_clients[client]

    def replace(self, old: Guarded, new: Guarded) -> None:
        """The same connection speaks another protocol now."""
        if old in self.connections:
            self.connections[new] = self.connections.pop(old)

    def refused(self, reason: str) -> None:
        """Count a refusal."""
        self.counts[REASONS.index(reason)] += 1
        self._since_report[reason] += 1

    def _evict_idle(self) -> None:
        """Close some idle connections: first those without a request, then the longest idle."""
        if self._nobody_idle_at == self.now:
            return
        resting = [(rest, item) for item in self.connections if (rest := item.rest) is not None]
        longest = heapq.nsmallest(EVICTED_AT_ONCE, resting, key=itemgetter(0))
        evicted = [
            connection
            for rest, connection in longest
            if not rest.was_used or self.now - rest.since >= STALLED_SECONDS
        ]
        for connection in evicted:
            connection.cut()
            self.leave(connection)
        if not evicted:
            self._nobody_idle_at = self.now

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        limits = self.limits
        shortest = min(
            limits.header_timeout,
            limits.body_timeout,
            limits.keep_alive_timeout,
            limits.send_timeout,
        )
        longest = CLOSING_SWEEP_SECONDS if self.closing else MAX_SWEEP_SECONDS
        pause = min(max(shortest / SWEEPS_PER_DEADLINE, MIN_SWEEP_SECONDS), longest)
        self._timer = loop.call_later(pause, self._sweep)
        self.now = loop.time()
        self._report(REPORT_SECONDS)
        # The clock is updated more often than the possibly many idle connections are checked.
        if self.now >= self._look_from or self.closing:
            self._look_from = self.now + shortest / SWEEPS_PER_DEADLINE - pause / 2
            self._look_at(list(self.connections), 0)

    def _look_at(self, connections: Sequence[Guarded], first: int) -> None:
        """Check some connections, and the rest in the next turns of the loop."""
        behind = first + LOOKED_AT_ONCE
        if behind < len(connections):
            asyncio.get_running_loop().call_soon(self._look_at, connections, behind)
        for connection in connections[first:behind]:
            if connection in self.connections:
                connection.look(self.now)

    def _report(self, pause: float) -> None:
        """Log now and then how much was refused: a line for each would be a weapon."""
        if self._since_report and self.now - self._reported_at >= pause:
            counted = ", ".join(f"{name} {count}" for name, count in self._since_report.items())
            logger.warning("Refused or cut off before any plugin saw it: %s", counted)
            self._since_report.clear()
            self._reported_at = self.now
