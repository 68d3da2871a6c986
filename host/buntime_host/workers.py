"""The worker processes of one host, as plugins see them: shared numbers, and signals.

Workers share nothing but a piece of memory. Each writes its own numbers there and all may read
them, so any worker can report the sums without asking. The memory outlives a worker: its successor
continues counting where it ended.

A signal tells the others that something happened, not what: they look for themselves. It wakes only
workers that listen for it and have not been woken by it already, so a busy worker costs the others
one look in some milliseconds, and an idle one costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.synchronize import BoundedSemaphore

    Doubles = memoryview[float]

REGION_BYTES = 256 * 1024
"""Memory of each worker; untouched pages take none."""

PACE_SECONDS = 0.002
"""Least seconds between two calls of a listener: one look finds everything written meanwhile."""

CONNECT_ATTEMPTS = 500
"""How often a worker is asked to take a connection, with a pause of `PACE_SECONDS` between."""

COMMON_BYTES = 64 * 1024 * 1024
"""Memory that all workers of a host share; untouched pages take none."""

LOCK_SECONDS = 0.1
"""How long to wait for memory that another worker has locked. After that it was killed: work under
a lock takes microseconds."""

logger = logging.getLogger("App")

_WAKE = b"!"
_MESSAGE_BYTES = 256
_NAME_BYTES = 64
_COMMON_NAMES = 16
_DOUBLE = 8
_HEADER = _NAME_BYTES // _DOUBLE + 1  # the name, and how many numbers follow
_WANTED, _SENT = 0, 1


PULSE = "host.pulse"
"""A number of each worker: when its event loop last turned, in the system's monotonic seconds."""


class Numbers:
    """Some numbers of this worker, and the same numbers of the others."""

    def __init__(self, shared_counters: _SharedCounters, worker: int, name: str, size: int) -> None:
        self.own = shared_counters.allocate(worker, name, size)
        """Only this worker writes them; those of a dead predecessor are still there."""
        self._shared_counters = shared_counters
        self._worker = worker
        self._name = name

    def others(self) -> Iterator[tuple[int, Doubles]]:
        """The same numbers of each other worker that has them."""
        for worker in range(self._shared_counters.count):
            if worker != self._worker:
                numbers = self._shared_counters.find(worker, self._name)
                if numbers is not None:
                    yield worker, numbers

    def totals(self) -> list[float]:
        """The sums over all workers."""
        totals: list[float] = [*self.own]
        for _, numbers in self.others():
            totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        return totals


class SharedMemory:
    """Bytes that all workers of a host read and write, zeros at first. Made by `Workers.memory`.

        with memory.locked() as data:
            data[0] += 1

    Under the lock nobody else is there; it is for some microseconds, as the event loop waits.
    Memory of a process alone has no lock.
    """

    def __init__(self, data: memoryview, lock: BoundedSemaphore | None) -> None:
        self._data = data
        self._lock = lock

    def seen(self) -> memoryview:
        """The bytes, for reading only; others may be changing them."""
        return self._data.toreadonly()

    @contextmanager
    def locked(self) -> Iterator[memoryview]:
        """The bytes, for this worker alone."""
        lock = self._lock
        if lock is None:
            yield self._data
            return
        if not lock.acquire(timeout=LOCK_SECONDS):
            logger.warning("Memory of a worker that was killed is taken over")
        try:
            yield self._data
        finally:
            with suppress(ValueError):  # its holder was killed, and two have left it now
                lock.release()


class Signal:
    """Tells the other workers that something happened. Made by `Workers.signal`."""

    def __init__(self, workers: Workers, name: str) -> None:
        self._workers = workers
        self._numbers = workers.numbers(name, 2)
        self._call: Callable[[], None] | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.listen(None)  # a predecessor may have died while it listened

    def listen(self, call: Callable[[], None] | None) -> None:
        """Have `call` called on the event loop when another worker signals; None ends that."""
        self._call = call
        self._numbers.own[_SENT] = 0
        self._numbers.own[_WANTED] = call is not None

    def send(self) -> None:
        """Wake the workers that listen. Costs some microseconds and never waits."""
        for worker, numbers in self._numbers.others():
            if numbers[_WANTED] and not numbers[_SENT]:
                numbers[_SENT] = 1
                self._workers.wake(worker)

    def check(self) -> None:
        """Call the listener, now or when it is time, if a signal was sent."""
        if self._timer is None and self._numbers.own[_SENT]:
            loop = asyncio.get_running_loop()
            pause = self._heard_at + PACE_SECONDS - loop.time()
            if pause <= 0:
                self._hear()
            else:
                self._timer = loop.call_later(pause, self._hear)

    def _hear(self) -> None:
        self._timer = None
        self._heard_at = asyncio.get_running_loop().time()
        # First this, then the look: later commits are signalled again.
        self._numbers.own[_SENT] = 0
        if self._call is not None:
            self._call()


class Workers:
    """The workers of this host, one of which is this process."""

    def __init__(self, number: int, group: Group) -> None:
        self.number = number
        """Number of this worker, from 0; the successor of a dead one has its number."""
        self.count = group.count
        self.took_over = group.shared_counters.is_used(number)
        """Whether this number had another process before."""
        self._group = group
        self.secret = group.secret
        """Random bytes that only the workers of this host share."""
        self._signals: list[Signal] = []
        self._serving: dict[str, Callable[..., None]] = {}
        """Handlers of connections from other workers, by the name that these ask for."""
        self._door_is_open = False

    @classmethod
    def alone(cls) -> Workers:
        """The workers of a host that has only this process."""
        return cls(0, Group(1))

    def numbers(self, name: str, size: int) -> Numbers:
        """`size` floating point numbers under a name that is the same in every worker.

        They start at 0, or where the predecessor of this worker ended. Raises `ValueError` for a
        name that is too long, `MemoryError` when the shared memory is full.
        """
        return Numbers(self._group.shared_counters, self.number, name, size)

    def memory(self, name: str, size: int) -> SharedMemory:
        """`size` bytes under a name that is the same in every worker, as is the size.

        Raises `ValueError` for another size than before, `MemoryError` when there is no room.
        """
        return self._group.memory(name, size)

    def names(self, prefix: str) -> list[str]:
        """Names with this prefix of numbers that any worker has, sorted."""
        return sorted(self._group.shared_counters.names(prefix))

    def signal(self, name: str) -> Signal:
        """A signal of this name, once in a worker; with several workers it needs the event loop."""
        signal = Signal(self, name)
        self._open_door()
        self._signals.append(signal)
        return signal

    def wake(self, worker: int) -> None:
        """Let a worker look at its signals."""
        # If its queue is full of calls, it has not even heard the first.
        with suppress(BlockingIOError):
            self._group.doors[worker].outside.send(_WAKE)

    async def connect(self, worker: int, name: str, *about: object) -> socket.socket:
        """A connection to what another worker serves under a name, see `serve`.

        Raises `ConnectionError` if the worker does not take it in time. One that serves nothing of
        that name closes it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        message = " ".join((name, *map(str, about))).encode()
        outside = self._group.doors[worker].outside
        with theirs:
            for _ in range(CONNECT_ATTEMPTS):
                try:
                    socket.send_fds(outside, [message], [theirs.fileno()])
                except BlockingIOError:  # it is busy, or starts just now
                    await asyncio.sleep(PACE_SECONDS)
                else:
                    return ours
        ours.close()
        raise ConnectionError(f"worker {worker} does not answer")

    def serve(self, name: str, take: Callable[..., None] | None) -> None:
        """Have `take` called with each connection of another worker that asks for this name, and
        with the message about it. None ends that.
        """
        if take is None:
            self._serving.pop(name, None)
        else:
            self._serving[name] = take
            self._open_door()

    def _open_door(self) -> None:
        if self.count > 1 and not self._door_is_open:
            asyncio.get_running_loop().add_reader(
                self._group.doors[self.number].inside, self._knocked
            )
            self._door_is_open = True

    def _knocked(self) -> None:
        inside = self._group.doors[self.number].inside
        with suppress(BlockingIOError):
            while True:
                message, descriptors, _, _ = socket.recv_fds(inside, _MESSAGE_BYTES, 1)
                for descriptor in descriptors:
                    self._accept(socket.socket(fileno=descriptor), message.decode())
        for signal in self._signals:
            signal.check()

    def _accept(self, sock: socket.socket, message: str) -> None:
        name, *about = message.split(" ")
        take = self._serving.get(name)
        if take is None:
            sock.close()
            return
        sock.setblocking(False)
        take(sock, *about)


class Door(NamedTuple):
    """The ear of a worker: other workers send messages there."""

    inside: socket.socket
    outside: socket.socket
    """The end that the others hold."""


class Group:
    """The shared parts of the workers of a host. Made before them, and inherited."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.secret = secrets.token_bytes(32)
        self.shared_counters = _SharedCounters(count)
        self._common = _Common() if count > 1 else None
        self._alone: dict[str, bytearray] = {}
        self.doors: list[Door] = []
        """One for each worker, if there are several."""
        for _ in range(count if count > 1 else 0):
            door = Door(*socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
            for end in door:
                end.setblocking(False)
            self.doors.append(door)

    def memory(self, name: str, size: int) -> SharedMemory:
        """See `Workers.memory`."""
        if self._common is None:
            data = self._alone.setdefault(name, bytearray(size))
            _check_size(name, len(data), size)
            return SharedMemory(memoryview(data), None)
        return self._common.memory(name, size)

    def pulse(self, worker: int) -> float:
        """When the event loop of a worker last turned; 0 before it did."""
        numbers = self.shared_counters.find(worker, PULSE)
        return numbers[0] if numbers is not None else 0.0

    def close(self) -> None:
        """Close the sockets; the memory goes with its last user."""
        for door in self.doors:
            for end in door:
                end.close()
        self.doors = []


class _Common:
    """The shared memory of all workers, which begins with a table of its contents."""

    _ROW = struct.Struct(f"<{_NAME_BYTES}sQQ")

    def __init__(self) -> None:
        self._data = memoryview(mmap.mmap(-1, COMMON_BYTES))
        # One for each name, and one for the table, made before the workers and inherited.
        import multiprocessing  # for several workers alone

        context = multiprocessing.get_context("fork")
        self._locks = [context.BoundedSemaphore(1) for _ in range(_COMMON_NAMES + 1)]

    def memory(self, name: str, size: int) -> SharedMemory:
        text = name.encode()
        if len(text) > _NAME_BYTES:
            raise ValueError(f"a name has at most {_NAME_BYTES} bytes, not {name!r}")
        row = self._ROW
        end = row.size * _COMMON_NAMES
        with SharedMemory(self._data, self._locks[-1]).locked() as data:
            for number in range(_COMMON_NAMES):
                known, start, length = row.unpack_from(data, number * row.size)
                if not length:
                    start = end
                    if start + size > len(data):
                        break
                    row.pack_into(data, number * row.size, text, start, size)
                elif known.rstrip(b"\0") != text:
                    end = start + length
                    continue
                else:
                    _check_size(name, length, size)
                return SharedMemory(data[start : start + size], self._locks[number])
        raise MemoryError(f"no room for the memory {name!r} that workers share")


def _check_size(name: str, known: int, size: int) -> None:
    if known != size:
        raise ValueError(f"the memory {name!r} has {known} bytes, not {size}")


class _SharedCounters:
    """Memory with one region for each worker, in which names stand before their numbers.

    The first number of a region says how much of it is used, and is written last: so work that a
    killed worker has left half done is never found.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        size = REGION_BYTES if count > 1 else REGION_BYTES // 4
        memory = memoryview(mmap.mmap(-1, count * size)).cast("d")
        length = size // _DOUBLE
        self._regions = [memory[i * length : (i + 1) * length] for i in range(count)]
        self._found: dict[tuple[int, str], Doubles] = {}

    def is_used(self, worker: int) -> bool:
        return bool(self._regions[worker][0])

    def allocate(self, worker: int, name: str, size: int) -> Doubles:
        found = self.find(worker, name)
        if found is not None:
            return found
        text = name.encode()
        if len(text) > _NAME_BYTES:
            raise ValueError(f"a name has at most {_NAME_BYTES} bytes, not {name!r}")
        region = self._regions[worker]
        start = int(region[0]) or 1
        end = start + _HEADER + size
        if end > len(region):
            raise MemoryError(f"no room for the numbers {name!r} that workers share")
        region[start : start + _HEADER - 1].cast("B")[: len(text)] = text
        region[start + _HEADER - 1] = size
        region[0] = end
        return self._found.setdefault((worker, name), region[start + _HEADER : end])

    def find(self, worker: int, name: str) -> Doubles | None:
        found = self._found.get((worker, name))
        if found is None:
            for known, numbers in self._rows(worker):
                self._found[worker, known] = numbers
            found = self._found.get((worker, name))
        return found

    def names(self, prefix: str) -> set[str]:
        rows = (row for worker in range(self.count) for row in self._rows(worker))
        return {name for name, _ in rows if name.startswith(prefix)}

    def _rows(self, worker: int) -> Iterator[tuple[str, Doubles]]:
        region = self._regions[worker]
        place, used = 1, int(region[0])
        while place < used:
            name = region[place : place + _HEADER - 1].tobytes().rstrip(b"\0").decode()
            size = int(region[place + _HEADER - 1])
            place += _HEADER + size
            yield name, region[place - size : place]
