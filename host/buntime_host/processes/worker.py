"""One of several workers: a host that its parent starts and ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import msgspec
import uvicorn

from buntime_host.config import HostConfig
from buntime_host.connections.edge import Edge
from buntime_host.connections.protocol import HostProtocol
from buntime_host.errors import StartupError
from buntime_host.host import Host
from buntime_host.http.relay import RELAYED
from buntime_host.limits import EdgeLimits
from buntime_host.plugins.health import lacking_plugins
from buntime_host.processes.notify import STOPPING
from buntime_host.processes.server import NEW_DATE_TICK, HostServer, uvicorn_config
from buntime_host.workers import PULSE, Group, Workers

ADDED_HEADERS = 4
ADDED_HEADER_BYTES = 256
"""Bytes that a request may grow by on its way from worker to worker."""

LONGEST_PULSE_SECONDS = 1.0

SAID_BYTES = 4096
"""Most bytes of messages from the parent that are read at once."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end the parent and its workers."""

SERVE = b"serve"
"""Sent by the parent to a prepared worker."""

MAKE_WAY = b"make way"
"""Sent by the parent to a worker that has been replaced."""

STAND_IN = b"stand in"
STEP_BACK = b"step back"
"""Sent with the number of another worker: to accept from its socket, which comes with the message,
since it does not itself; and that it does so itself again."""

WAY_SECONDS = 2.0
"""How long such a worker answers on the connections that it has."""

HANDLED = (*SIGNALS, signal.SIGHUP, signal.SIGUSR2)
"""Signals that the parent has handlers for. They are blocked in a new worker until it listens."""

logger = logging.getLogger("App")


class WorkerPrepared(msgspec.Struct, tag="prepared"):
    """Sent by a worker that waits for `SERVE`, and accepts nothing before."""

    lacking: dict[str, str]
    """Plugins that should run and do not, or are not well, with the reasons."""


class WorkerReady(msgspec.Struct, tag="ready"):
    """Sent by a worker that serves from now on."""

    lines: list[str]
    """A summary of what is served where."""


class Failed(msgspec.Struct, tag="failed"):
    """Sent by a worker that cannot start."""

    reason: str


class WorkerEnding(msgspec.Struct, tag="ending"):
    """Sent by a worker that has stopped accepting."""


Word = WorkerPrepared | WorkerReady | Failed | WorkerEnding
"""Messages of a worker to its parent: a line of JSON each."""


class RelayedProtocol(HostProtocol):
    """A connection from another worker, for a client that is connected to that one."""

    def __init__(self, client: tuple[str, int] | None, **options: Any) -> None:
        super().__init__(**options)
        self._client = client

    def limits_of(self, edge: Edge) -> EdgeLimits:
        """Room for the headers that the other worker adds; it has checked the others."""
        limits = super().limits_of(edge)
        return msgspec.structs.replace(
            limits,
            headers=limits.headers + ADDED_HEADERS,
            header_bytes=limits.header_bytes + ADDED_HEADERS * ADDED_HEADER_BYTES,
        )

    def share_of(self) -> str | None:
        """None: the connection with the client counts in its own worker."""
        return None

    def connection_made(  # type: ignore[override] # as uvicorn narrows it
        self, transport: asyncio.Transport
    ) -> None:
        """Begin to serve, and remember the client."""
        super().connection_made(transport)
        self.client = self._client


class WorkerServer(HostServer):
    """Serves a host until its parent, or a signal, ends it."""

    def __init__(self, host: Host, config: uvicorn.Config, parent: socket.socket) -> None:
        super().__init__(host, config)
        self._parent = parent
        self._accepting: set[asyncio.Task[Any]] = set()
        self._leaving: asyncio.Task[None] | None = None
        self._heard = b""
        self._handed: list[socket.socket] = []
        """Sockets that came with messages of the parent whose end has not arrived yet."""
        self._stand_ins: dict[int, asyncio.Task[asyncio.Server]] = {}
        """Acceptors for sockets of other workers, by their numbers."""
        self._pulse = host.workers.numbers(PULSE, 1).own
        self._may_serve = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and listen to the parent and to signals, which have their handlers by now."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        asyncio.get_running_loop().add_reader(self._parent, self._parent_spoke)
        if self.host.config.hung_timeout:
            self._beat()
        await super().startup(sockets)
        self.host.workers.serve(RELAYED, self._serve_relayed)

    def _protocol(self, kind: Callable[..., HostProtocol]) -> Callable[[], HostProtocol]:
        return partial(
            kind,
            edge=self.host.edge,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    def _serve_relayed(self, sock: socket.socket, *address: str) -> None:
        """Serve a connection on which another worker hands over a request of this client."""
        client = (address[0], int(address[1])) if address else None
        protocol = self._protocol(partial(RelayedProtocol, client))
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(protocol, sock))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _beat(self) -> None:
        """Show that the loop turns, by which the parent recognises a worker that hangs."""
        self._pulse[0] = time.monotonic()
        pause = pulse_seconds(self.host.config.hung_timeout)
        asyncio.get_running_loop().call_later(pause, self._beat)

    async def prepared(self) -> None:
        """Tell the parent, and accept nothing until it says so.

        A worker that is less ready than those that it would replace is ended: their clients would
        be cut off for it.
        """
        lacking = await lacking_plugins(self.host.statuses, self.host.health_hooks)
        with suppress(OSError):  # it is gone, which `_parent_spoke` notices
            say(self._parent, WorkerPrepared(lacking))
        await self._may_serve.wait()

    def _abandon_start(self, blocked: threading.Timer) -> None:
        super()._abandon_start(blocked)
        self._may_serve.set()  # to end in order

    async def announce(self, lines: Sequence[str]) -> None:
        """Tell the parent, which announces it once all workers are up."""
        say(self._parent, WorkerReady(list(lines)))

    def tell_manager(self, state: str) -> None:
        """Leave the socket to the parent, so that others accept from it."""
        if state == STOPPING:
            self._accept_nothing()
            with suppress(OSError):  # it may be gone
                say(self._parent, WorkerEnding())

    def _accept_nothing(self) -> None:
        for number in [*self._stand_ins]:
            self._step_back(number)
        for server in self.servers:
            server.close()

    async def _make_way(self) -> None:
        """End unnoticed while others accept from the same socket.

        Clients are told with the next answer that the connection ends, and only idle connections
        are closed.
        """
        self._accept_nothing()
        self.config.encoded_headers.append((b"connection", b"close"))
        await self.on_tick(NEW_DATE_TICK)
        await asyncio.sleep(WAY_SECONDS)
        self.handle_exit(signal.SIGTERM, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down at the first SIGTERM.

        Where every process of a group gets the signal, the parent's message comes second: it must
        not end this one at once. SIGINT is left to the parent, which gets Ctrl-C as well.
        """
        if sig == signal.SIGTERM and not self.should_exit:
            super().handle_exit(sig, frame)

    def _parent_spoke(self) -> None:
        try:
            said, descriptors, _, _ = socket.recv_fds(self._parent, SAID_BYTES, 1)
        except ConnectionError:
            said, descriptors = b"", []
        if not said:  # the parent says so, or is gone
            asyncio.get_running_loop().remove_reader(self._parent)
            self.handle_exit(signal.SIGTERM, None)
            return
        self._handed += (socket.socket(fileno=descriptor) for descriptor in descriptors)
        *words, self._heard = (self._heard + said).split(b"\n")
        for text in words:
            word, _, number = text.partition(b"=")
            if word == SERVE:
                self._may_serve.set()
            elif word == STAND_IN:
                self._stand_in(int(number), self._handed.pop(0))
            elif word == STEP_BACK:
                self._step_back(int(number))
            else:
                self._leaving = asyncio.create_task(self._make_way())

    def _stand_in(self, number: int, listener: socket.socket) -> None:
        """Accept from the socket of a worker that does not: its clients would wait for it."""
        if self.should_exit or self._leaving is not None or number in self._stand_ins:
            listener.close()
            return
        loop = asyncio.get_running_loop()
        serving = loop.create_server(
            self._protocol(HostProtocol),
            sock=listener,
            ssl=self.config.ssl,
            backlog=self.config.backlog,
        )
        self._stand_ins[number] = loop.create_task(serving)

    def _step_back(self, number: int) -> None:
        standing_in = self._stand_ins.pop(number, None)
        if standing_in is not None:
            standing_in.add_done_callback(lambda done: done.result().close())


def pulse_seconds(patience: float) -> float:
    """Seconds between two signs of life of a worker, given how long it may be silent."""
    return min(LONGEST_PULSE_SECONDS, patience / 4)


def run_worker(
    config: HostConfig, number: int, group: Group, listener: socket.socket, parent: socket.socket
) -> int:
    """Serve as worker `number` until the parent says so; returns the exit code.

    It is 0, or 1 if it could not start, which the parent is told, or if shutdown exceeded its cap.
    """
    try:
        host = Host(config, workers=Workers(number, group))
        server = WorkerServer(host, uvicorn_config(host), parent)
        try:
            server.run(sockets=[listener])
        finally:
            server.disarm()
    except StartupError as error:
        say(parent, Failed(str(error)))
        return 1
    return 0 if server.in_time else 1


def say(parent: socket.socket, word: Word) -> None:
    """Send the parent a message."""
    parent.sendall(msgspec.json.encode(word) + b"\n")
