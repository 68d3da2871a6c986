"""uvicorn, with our order of shutting down and our exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from buntime_host.config import HostConfig
from buntime_host.connections.protocol import HostProtocol
from buntime_host.connections.websocket_protocol import HostWebSocket
from buntime_host.errors import BindError, StartupError
from buntime_host.host import Host
from buntime_host.observe.log_output import write_in_background
from buntime_host.processes.notify import READY, STOPPING, notify
from buntime_host.processes.reread import reload_settings
from buntime_host.version import __version__

DRAIN_POLL_SECONDS = 0.01
CANCEL_GRACE_SECONDS = 1.0

DATE_SECONDS = 1.0
"""Seconds between two updates of the date in answers."""
NEW_DATE_TICK = 0
"""The tick of uvicorn's that updates it."""

RENEWAL_SECONDS = 10
"""Seconds between two checks whether the certificate's files have changed."""

DRAIN_SHARE = 0.5
"""Share of the cap for shutdown; the rest is for the plugins, however long `drainTimeout` is."""

FORCE_EXIT_SLACK_SECONDS = 2.0
"""Seconds past the cap for shutdown: only code that blocks the process makes it this far."""

GC_THRESHOLDS = (10_000, 20, 20)
"""When Python collects garbage, in the terms of `gc.set_threshold`.

Its default, after every 700 new objects, is meant for small programs: under load it took a
tenth of the time, and the rare collection over everything that was ever loaded held up requests
for 10 ms."""

SWITCH_SECONDS = 0.00007
"""How long a thread waits for Python's lock before its holder is asked to give it up.

With Python's default, 5 ms, the loop waits that long each time that it gives the lock up while a
thread is busy, several times in a request. Conversely, threads wait for as long as the loop is busy
with work that gives the lock up for moments more often than that: each time they are woken too
late, and begin to wait again. A loop that answers small requests does so every 0.1 ms: with 1 ms a
commit waited for up to 0.7 s until its thread began, with 0.2 ms for 0.15 s. With 0.05 ms and less
the processor time of reads that are mixed with writes grows."""

M_MMAP_THRESHOLD = -3
"""For `mallopt`: the size from which a block is memory of its own. Once set, it does not grow."""

LARGE_BLOCK_BYTES = 256 * 1024

BLOCKED_START_SECONDS = 3.0
"""Seconds that a signal waits for a start that does not give way: a plugin blocks its thread."""

BACKLOG = 512
"""Connections that wait to be accepted. All of them are accepted in one turn of the loop, at 40 µs
each."""

LAST_WORDS_SECONDS = 1.0
"""Seconds that a forced exit waits for its log line: the reader of the log may have stopped."""

MAX_FILES = 65_536
"""Most open files to request; systems without a limit have to name one."""

logger = logging.getLogger("App")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, which does not listen yet. Raises `BindError`.

    It is bound before any plugin runs, so that a second host fails before it touches their files.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise BindError(f"cannot listen on {host}: {error}") from None
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Without this, two sockets with SO_REUSEADDR may both be bound until one listens.
        sock.listen(1)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise BindError(f"cannot listen on {host} port {port}: {reason}") from None
    return sock


def listen(config: HostConfig) -> socket.socket:
    """Return the socket of the configuration. Raises `BindError`."""
    path = config.socket_path
    return bind(config.host, config.port) if path is None else bind_path(path)


def bind_path(path: Path) -> socket.socket:
    """The same for a Unix socket; one that a host has left behind is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                    path.unlink()
        sock.bind(str(path))
        sock.listen(1)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot listen on {path}: {error.strerror or error}") from None
    return sock


def remove_path(config: HostConfig) -> None:
    """Remove the Unix socket when no process listens on it any more."""
    if config.socket_path is not None:
        config.socket_path.unlink(missing_ok=True)


def raise_file_limit() -> None:
    """Request all the file descriptors that the system allows: a stream needs one for its life."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def give_back_large_blocks() -> None:
    """Let the C library return memory of large answers and bodies once it is free.

    Otherwise it keeps ever larger blocks for the next time, in each thread: several times the
    memory in use. Only the GNU library has this setting.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def spare_the_collector() -> None:
    """Exclude everything that start-up has loaded from garbage collection, and collect less
    often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def share_the_lock() -> None:
    """Let threads and the loop have Python's lock in shorter turns."""
    sys.setswitchinterval(SWITCH_SECONDS)


class HostServer(uvicorn.Server):
    """Serves a host; at the end it announces closing, drains, then shuts the plugins down."""

    def __init__(self, host: Host, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.host = host
        self._reloading: asyncio.Task[None] | None = None
        self.in_time = True
        """Whether shutdown stayed within its cap."""
        self._force_exit_timer: threading.Timer | None = None
        self._starting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the plugins, then listen, then tell the plugins. Raises `StartupError`.

        A signal ends the start where it is: plugins that run by then are shut down again, and the
        socket never listens for just a moment.
        """
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, _no_restart)
        self._starting = asyncio.create_task(self.host.start())
        await asyncio.wait({self._starting})
        if self._starting.cancelled():
            logger.info("Bye, before the start was over")
            return
        self._starting.result()
        self.host.edge.start()
        write_in_background()
        # Straight to the dispatcher: the host's own layer is only for lifespan.
        self.config.loaded_app = self.host.dispatcher
        spare_the_collector()
        share_the_lock()
        give_back_large_blocks()
        await self.prepared()
        if self.should_exit:
            self.servers = []
            self.started = True  # far enough that there is something to shut down
            return
        await super().startup(sockets)
        await self.host.server_started(self)
        for listener in sockets or ():
            await self.announce(started_lines(self.host, listener))

    async def prepared(self) -> None:
        """Called when the plugins are up, before the socket listens."""

    async def announce(self, lines: Sequence[str]) -> None:
        """Report that the plugins are up and the socket listens."""
        for line in lines:
            logger.info("%s", line)
        self.tell_manager(READY)

    def _reload(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(reload_settings(self.host))

    async def main_loop(self) -> None:
        """Keep the date of answers right until the host closes.

        uvicorn's loop checks for a signal ten times a second, while this one is ended by the
        signal. The cap for shutdown runs from the signal on, and up to 100 ms of it were lost; and
        the checks were most of an idle host's work.
        """
        closing = asyncio.create_task(self.host.closing.wait())
        certificate, seconds = self.host.certificate, 0
        try:
            while not closing.done() and not await self.on_tick(NEW_DATE_TICK):
                await asyncio.wait((closing,), timeout=DATE_SECONDS)
                seconds += 1
                if certificate is not None and seconds % RENEWAL_SECONDS == 0:
                    certificate.renew()
        finally:
            closing.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down in order; uvicorn's own way would wait for open streams forever."""
        config = self.host.config
        self.host.announce_closing()
        logger.info("Shutting down")
        self.tell_manager(STOPPING)
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        # Connections accepted just now are set up only in the next turn of the loop, after all
        # others were told to end: they would not be told, and the drain would wait for them.
        self.host.edge.close()
        await self.host.close_websockets()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._drain(min(config.drain_timeout, config.shutdown_timeout * DRAIN_SHARE))
        self.host.edge.stop()
        self.in_time = await self.host.stop()
        if self.in_time:
            logger.info("Bye")

    def tell_manager(self, state: str) -> None:
        """Notify the process that started this one; with several workers their parent does that."""
        notify(state)

    async def _drain(self, timeout: float) -> None:
        """Wait for requests to finish, then cancel those that did not."""
        state = self.server_state
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (state.tasks or state.connections) and loop.time() < deadline:  # noqa: ASYNC110 - uvicorn has no event for this
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        if state.tasks:
            logger.warning("Cancelling %d requests that are still running", len(state.tasks))
            tasks = list(state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_GRACE_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: announce closing. Second: leave at once."""
        if self.should_exit:
            _leave(128 + sig, lambda: None)
        super().handle_exit(sig, frame)
        # uvicorn would raise the signal again at the end; we exit with a code of our own.
        self._captured_signals.clear()
        cap = self.host.config.shutdown_timeout + FORCE_EXIT_SLACK_SECONDS
        self._force_exit_timer = _start_timer(cap, _exit_now)
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(self.host.announce_closing)
            if not self.started:
                blocked = _start_timer(BLOCKED_START_SECONDS, self._leave_blocked_start)
                loop.call_soon_threadsafe(self._abandon_start, blocked)

    def _abandon_start(self, blocked: threading.Timer) -> None:
        blocked.cancel()
        if self._starting is not None:
            self._starting.cancel()

    def _leave_blocked_start(self) -> None:
        who = self.host.loading or "a plugin"
        _leave(1, partial(logger.error, "%s blocks the process while it starts, exiting", who))

    def disarm(self) -> None:
        """Shutdown is complete: the process need not be forced to end."""
        if self._force_exit_timer is not None:
            self._force_exit_timer.cancel()


def _no_restart() -> None:
    logger.warning("Not restarted: SIGUSR2 is for the parent of several workers (--workers)")


def _start_timer(seconds: float, action: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    return timer


def _exit_now() -> None:
    _leave(1, partial(logger.error, "Shutdown takes too long, exiting"))


def _leave(code: int, last_words: Callable[[], None]) -> NoReturn:
    """End the process at once, even if the log is not read and its writers are stuck."""

    def speak() -> None:
        last_words()
        logging.shutdown()

    speaking = threading.Thread(target=speak, daemon=True)
    speaking.start()
    speaking.join(LAST_WORDS_SECONDS)
    os._exit(code)


def started_lines(host: Host, listener: socket.socket) -> list[str]:
    """A summary of what is served where."""
    scheme = "http" if host.certificate is None else "https"
    name = listener.getsockname()
    if isinstance(name, str):
        url = f"{scheme}+unix:{name}"
    else:
        address, port = name[:2]
        url = f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}"
    url += host.config.base_path
    lines = [f"Buntime {__version__} listening on {url}"]
    for status in host.statuses.values():
        if status.state == "loaded":
            where = f"at {url}{status.base}" if status.served else "(serves nothing itself)"
            lines.append(f"{status.name} {status.version} {where}")
    lines.append(f"API at {url}{host.config.api_path}, readiness at {url}/health/ready")
    if host.gate.is_open:
        lines.append("There are no keys: everyone who can reach this address may do everything")
    return lines


def _not_a_refused_handshake(record: logging.LogRecord) -> bool:
    # uvicorn takes a handshake that was refused with a response for a forgotten one.
    return record.msg != "ASGI callable returned without completing handshake."


def uvicorn_config(host: Host) -> uvicorn.Config:
    """uvicorn's configuration for a host."""
    logging.getLogger("uvicorn.error").addFilter(_not_a_refused_handshake)
    certificate = host.certificate
    return uvicorn.Config(
        host,
        http=partial(HostProtocol, host.edge),  # type: ignore[arg-type] # it is called, no more
        ws=partial(HostWebSocket, host.edge),  # type: ignore[arg-type] # so is this
        lifespan="off",
        interface="asgi3",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
    )


def serve(host: Host) -> int:
    """Serve until a signal; return the exit code: 0, or 1 if shutdown exceeded its cap.

    Raises `StartupError` with nothing left running.
    """
    raise_file_limit()
    listener = listen(host.config)
    server = HostServer(host, uvicorn_config(host))
    try:
        server.run(sockets=[listener])
    except StartupError:
        listener.close()
        raise
    finally:
        server.disarm()
        remove_path(host.config)
    return 0 if server.in_time else 1
