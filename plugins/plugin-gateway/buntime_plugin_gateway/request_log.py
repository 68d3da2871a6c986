"""The log of the newest requests of all workers of a host."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from buntime_host import Workers

MEMORY = "gateway.log"
CLEARED = "gateway.log.cleared"
MOST_PATH_BYTES = 512
"""Longer paths are cut."""
ENTRY_BYTES = 768
"""Room for one entry in the memory that workers share."""
_SIZE = struct.Struct("<Q")


Arrived = tuple[float, str, str, bytes, float]
"""A request as it arrives: time in seconds since the epoch, address, method, path, and time in
seconds of the monotonic clock."""
Noted = tuple[Arrived, int, float, bool]
"""The same once it is answered, with the status, the time in seconds of the monotonic clock, and
whether a limit has refused it."""


class LogEntry(NamedTuple):
    """One request. `at` is in seconds since the epoch, `duration` in milliseconds."""

    at: float
    ip: str
    method: str
    path: str
    status: int
    duration: float
    limited: bool
    worker: int
    moment: int
    """When it came, in microseconds of a monotonic clock."""

    def to_json(self) -> dict[str, Any]:
        """The entry for the API."""
        milliseconds = int(self.at * 1000)
        return {
            "id": f"{milliseconds}-{self.worker}-{self.moment}",
            "timestamp": milliseconds,
            "ip": self.ip,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "duration": round(self.duration, 3),
            "rateLimited": self.limited,
        }


class RequestLog:
    """A ring buffer of requests. Adding one is cheap; the work is left to reading."""

    def __init__(self, size: int, workers: Workers) -> None:
        self._size = size
        self._workers = workers
        self._ring: deque[Noted] = deque(maxlen=size)
        self.add: Callable[[Noted], None] = self._ring.append
        """Add a request that was answered."""
        self._shared: Noted | None = None
        """The newest one that was shared with the other workers."""
        self._cleared = workers.numbers(CLEARED, 1)
        """The time before which this worker was told to forget all."""
        self._room = _SIZE.size + size * ENTRY_BYTES
        self._memory = (
            workers.memory(MEMORY, self._room * workers.count) if workers.count > 1 else None
        )

    def share(self) -> None:
        """Share new entries with the other workers. Call it once a second."""
        if self._memory is None or not self._ring or self._shared is self._ring[-1]:
            return
        self._shared = self._ring[-1]
        entries = self._own()
        text = msgspec.msgpack.encode(entries)
        while len(text) > self._room - _SIZE.size:  # many long paths with odd characters
            entries = entries[len(entries) // 2 :]
            text = msgspec.msgpack.encode(entries)
        start = self._workers.number * self._room
        with self._memory.locked() as data:
            _SIZE.pack_into(data, start, len(text))
            data[start + _SIZE.size : start + _SIZE.size + len(text)] = text

    def entries(self) -> list[LogEntry]:
        """The newest requests of all workers, the newest first.

        Those of other workers may be up to a second late.
        """
        found = self._own()
        for worker in range(self._workers.count):
            if worker != self._workers.number:
                found += self._of(worker)
        cleared = max([*self._cleared.own, *(numbers[0] for _, numbers in self._cleared.others())])
        found = [entry for entry in found if entry.at > cleared]
        found.sort(reverse=True)
        return found[: self._size]

    def clear(self, at: float) -> None:
        """Forget entries from before a moment, in all workers."""
        self._cleared.own[0] = at

    def _own(self) -> list[LogEntry]:
        worker = self._workers.number
        return [
            LogEntry(
                at,
                ip,
                method,
                path[:MOST_PATH_BYTES].decode("latin-1"),
                status,
                (ended - since) * 1000,
                limited,
                worker,
                int(since * 1e6),
            )
            for (at, ip, method, path, since), status, ended, limited in self._ring
        ]

    def _of(self, worker: int) -> list[LogEntry]:
        if self._memory is None:
            return []
        start = worker * self._room
        with self._memory.locked() as data:
            (size,) = _SIZE.unpack_from(data, start)
            text = bytes(data[start + _SIZE.size : start + _SIZE.size + size])
        return msgspec.msgpack.decode(text, type=list[LogEntry]) if text else []


def statistics(entries: Iterable[LogEntry]) -> dict[str, Any]:
    """The number of entries by kind, and the average duration in milliseconds."""
    by_status: dict[str, int] = {}
    total = limited = 0
    duration = 0.0
    for entry in entries:
        total += 1
        limited += entry.limited
        duration += entry.duration
        kind = f"{entry.status // 100}xx"
        by_status[kind] = by_status.get(kind, 0) + 1
    return {
        "total": total,
        "rateLimited": limited,
        "byStatus": dict(sorted(by_status.items())),
        "avgDuration": round(duration / total, 3) if total else 0,
    }
