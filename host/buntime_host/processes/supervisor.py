"""`buntime serve --workers n`: a parent that starts the workers, watches them, and ends them.

The parent loads no plugin and serves nothing. It holds the sockets, forks, and waits for messages
of the workers, for the end of one, and for signals. A worker is told to end through the socket that
connects it with the parent; the end of that socket means the same.

Each worker has a listening socket of its own on the same port, and Linux spreads connections over
them evenly. With one socket for all, the worker that happens to be awake takes most of them. Linux
also assigns connections to a worker that is dead while its successor starts. So the parent keeps
the socket, and the other workers accept from it meanwhile.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import msgspec

from buntime_host.config import HostConfig
from buntime_host.errors import BindError, ConfigError, StartupError
from buntime_host.observe import logs
from buntime_host.processes import server
from buntime_host.processes.handover import (
    HandedWorker,
    Handover,
    become_successor,
    listeners_of,
    problem_of_new_code,
    take_over,
)
from buntime_host.processes.notify import READY, STOPPING, notify
from buntime_host.processes.server import FORCE_EXIT_SLACK_SECONDS
from buntime_host.processes.worker import (
    HANDLED,
    MAKE_WAY,
    SERVE,
    SIGNALS,
    STAND_IN,
    STEP_BACK,
    Failed,
    Word,
    WorkerEnding,
    WorkerPrepared,
    WorkerReady,
    pulse_seconds,
    run_worker,
)
from buntime_host.workers import Group

MAX_RESTARTS = 10
"""Deaths of one worker in a row before everything ends."""

STEADY_SECONDS = 60.0
"""Seconds after which a worker had a good start: its earlier deaths are forgotten."""

RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first restart in a row, the second, and so on."""

logger = logging.getLogger("App")
_WORDS = msgspec.json.Decoder(Word)


def supervise(config: HostConfig) -> int:
    """Serve with `config.workers` processes until a signal; return the exit code.

    It is 0, or 1 if a worker exceeded the cap for shutdown, or died too often. Raises
    `StartupError` with nothing left running.
    """
    if not hasattr(os, "fork"):
        raise ConfigError("several workers need a system that can fork: use one")
    server.raise_file_limit()
    left = take_over()
    listeners = bind_all(config) if left is None else listeners_of(left)
    if len(listeners) != config.workers:
        logger.warning("workers: a successor has as many as its predecessor: %d", len(listeners))
        config = msgspec.structs.replace(config, workers=len(listeners))
    supervisor = Supervisor(config, listeners, left)
    try:
        return supervisor.run()
    finally:
        supervisor.close()
        server.remove_path(config)


def bind_all(config: HostConfig) -> list[socket.socket]:
    """Return a socket for each worker, all on one address. Raises `BindError`.

    Where the system does not spread connections over several sockets, it is the same for all.
    """
    # Bound alone at first: if sockets share a port from the start, a second host is not refused.
    first, count = server.listen(config), config.workers
    if not sys.platform.startswith("linux") or config.socket_path is not None:
        return [first] * count
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listeners = []
    try:
        for _ in range(count):
            sock = socket.socket(first.family, first.type, first.proto)
            listeners.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(first.getsockname())
            sock.listen(server.BACKLOG)
    except OSError as error:
        for sock in listeners:
            sock.close()
        where = f"{config.host} port {config.port}"
        raise BindError(f"cannot listen on {where}: {error.strerror}") from None
    finally:
        first.close()
    return listeners


class _Place:
    """A worker's place: its socket, and its present process."""

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener = listener
        self.pid = 0
        """0 while there is no process."""
        self.channel: socket.socket | None = None
        self.received = b""
        self.prepared: WorkerPrepared | None = None
        """The process's message when its plugins were up."""
        self.ready: WorkerReady | None = None
        """The process's message when it was ready."""
        self.accepts = False
        """Whether the process accepts from the socket."""
        self.failed: str | None = None
        """Why the process could not start."""
        self.started_at = 0.0
        self.deaths = 0
        self.restart_at: float | None = None

    def __str__(self) -> str:
        return f"Worker {self.number}"

    def tell(self, word: bytes, sock: socket.socket | None = None) -> None:
        """Send the process a message, if it is there to hear it."""
        if self.channel is not None:
            with suppress(OSError):
                socket.send_fds(self.channel, [word + b"\n"], [sock.fileno()] if sock else [])


class Supervisor:
    """The parent. Not reusable."""

    def __init__(
        self, config: HostConfig, listeners: list[socket.socket], left: Handover | None = None
    ) -> None:
        """`left` is the inheritance from a predecessor in this process."""
        self._config = config
        self._group = Group(len(listeners))
        self._places = [_Place(number, sock) for number, sock in enumerate(listeners)]
        self._selector = selectors.DefaultSelector()
        self._signal: int | None = None
        self._has_to_reload = self._has_to_restart = False
        self._leaving = [self._handed(worker) for worker in (left.workers if left else ())]
        """Workers of the predecessor, which serve until there are others."""
        self._lacked = frozenset(left.lacking if left else ())
        """Plugins that do not run in those either."""
        self._in_time = True
        self._serving = False
        """Whether all workers have been ready once."""
        self._looked_at = self._awake_since = time.monotonic()

    def _handed(self, worker: HandedWorker) -> _Place:
        place = _Place(worker.number, self._places[worker.number].listener)
        place.pid, place.channel = worker.pid, socket.socket(fileno=worker.channel)
        place.started_at, place.accepts = time.monotonic(), True
        self._selector.register(place.channel, selectors.EVENT_READ, place)
        return place

    def run(self) -> int:
        """Start the workers, keep them running, end them; see `supervise`."""
        with self._signals():
            try:
                self._start_or_go_on()
                while self._signal is None:
                    self._reload_if_asked()
                    self._restart_if_asked()
                    self._restart_what_is_due()
                    self._wait(self._pause())
                    self._end_what_hangs()
            except StartupError:
                self._end()
                raise
            except _DiedTooOften:
                self._in_time = False
            self._end()
        return 0 if self._in_time else 1

    def close(self) -> None:
        """Release everything. Workers that are still there are killed."""
        self._kill()
        for place in self._places:
            place.listener.close()
        self._selector.close()
        self._group.close()

    def _start_or_go_on(self) -> None:
        """Start; if that fails and a predecessor has left workers, continue with those."""
        try:
            self._start()
        except StartupError as error:
            if not any(place.pid for place in self._leaving):
                raise
            logger.error("The new workers do not start; the old ones continue: %s", error)  # noqa: TRY400 - told
            self._kill()
            for place in self._places:
                if place.channel is not None:
                    self._selector.unregister(place.channel)
                    place.channel.close()
            self._places, self._leaving = self._leaving, []
            self._serving = True
            return
        for place in self._leaving:
            place.tell(MAKE_WAY)

    def _start(self) -> None:
        """Start the first worker, then all others. Raises `StartupError`.

        The first one does everything that is done once, such as bringing a schema up to date; and
        if it cannot start, there is one message.
        """
        for places in (self._places[:1], self._places[1:]):
            if self._signal is not None:
                return
            for place in places:
                self._fork(place)
            while self._signal is None and not all(place.prepared for place in places):
                self._wait_for_start()
            self._compare(places)
        if self._signal is not None:
            return
        for place in self._places:
            place.tell(SERVE)
        while self._signal is None and not all(place.ready for place in self._places):
            self._wait_for_start()
        self._serving = True
        first = self._places[0].ready
        if self._signal is None and first is not None:
            for line in first.lines:
                logger.info("%s", line)
            pids = ", ".join(str(place.pid) for place in self._places)
            notify(READY)
            logger.info("%d workers, with the process ids %s", len(self._places), pids)

    def _wait_for_start(self) -> None:
        """Wait for an event. Raises `StartupError` for a worker that does not start."""
        self._wait(None)
        for place in self._places:
            if place.failed is not None or (place.started_at and not place.pid):
                raise StartupError(place.failed or f"{place} died during its start")

    def _compare(self, places: list[_Place]) -> None:
        """Raise `StartupError` if the new workers are less ready than those that still serve."""
        if not self._leaving:
            return
        for name, reason in self._lacking(places).items():
            if name not in self._lacked:
                raise StartupError(f"plugin {name}, which runs in those, is not ready: {reason}")

    def _lacking(self, places: list[_Place]) -> dict[str, str]:
        found: dict[str, str] = {}
        for place in places:
            found |= place.prepared.lacking if place.prepared is not None else {}
        return found

    def _fork(self, place: _Place) -> None:
        ours, theirs = socket.socketpair()
        place.prepared = place.ready = place.failed = place.restart_at = None
        place.accepts = False
        place.received = b""
        place.started_at = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        # Until the new process has handlers of its own, a signal would run the parent's in it. It
        # unblocks them once it has: a SIGTERM that came before is not lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_worker(place, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        theirs.close()
        place.pid, place.channel = pid, ours
        self._selector.register(ours, selectors.EVENT_READ, place)

    def _be_worker(self, place: _Place, channel: socket.socket) -> None:
        """In the new process: serve, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            for other in (*self._places, *self._leaving):
                if other.channel is not None:
                    other.channel.close()
                if other.listener is not place.listener:
                    other.listener.close()
            logs.name_worker(place.number)
            code = run_worker(self._config, place.number, self._group, place.listener, channel)
        except BaseException:
            logger.exception("%s failed", place)
        finally:
            logging.shutdown()
            os._exit(code)

    def _wait(self, seconds: float | None) -> None:
        """Wait for an event, and handle it."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, _Place):
                self._listen_to(key.data)
            else:
                key.fileobj.recv(4096)  # type: ignore[union-attr] # that of the signals

    def _listen_to(self, place: _Place) -> None:
        if place.channel is None:
            return
        try:
            data = place.channel.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._ended(place)
            return
        *words, place.received = (place.received + data).split(b"\n")
        for text in words:
            word = _WORDS.decode(text)
            if isinstance(word, Failed):
                place.failed = word.reason
            elif isinstance(word, WorkerEnding):
                self._accepts_no_more(place)
            elif isinstance(word, WorkerPrepared):
                place.prepared = word
                if self._serving:
                    place.tell(SERVE)
            else:
                place.ready = word
                self._accepts(place)
                if place.deaths:
                    logger.info("%s is back, with process id %d", place, place.pid)

    def _accepts(self, place: _Place) -> None:
        place.accepts = True
        if self._serving:
            for other in self._places:
                other.tell(b"%b=%d" % (STEP_BACK, place.number))
                if not other.accepts:
                    _stand_in(place, other)

    def _accepts_no_more(self, place: _Place) -> None:
        """Let other workers accept from its socket: clients in its queue would wait for a start."""
        place.accepts = False
        if self._serving and self._signal is None and place in self._places:
            for other in self._places:
                if other.accepts:
                    _stand_in(other, place)

    def _ended(self, place: _Place) -> None:
        """A process has ended."""
        if place.channel is not None:
            self._selector.unregister(place.channel)
            place.channel.close()
            place.channel = None
        _, status = os.waitpid(place.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        pid, place.pid = place.pid, 0
        self._accepts_no_more(place)
        if place in self._leaving:
            self._leaving.remove(place)
            logger.info("%s of before (process id %d) has left, with status %d", place, pid, code)
        elif self._signal is not None:
            self._in_time = self._in_time and code == 0
        elif self._serving:
            self._count_death(place, pid, code)

    def _count_death(self, place: _Place, pid: int, code: int) -> None:
        """Log that a worker died, and when the next one will take its place."""
        now = time.monotonic()
        if now - place.started_at >= STEADY_SECONDS:
            place.deaths = 0
        place.deaths += 1
        if code == 0:  # as it does for a signal that was sent to itself
            logger.warning(
                "%s (process id %d) has ended in order, unasked by its parent", place, pid
            )
        else:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
            why = f": {place.failed}" if place.failed is not None else ""
            logger.error("%s (process id %d) %s%s", place, pid, how, why)
        if place.deaths > MAX_RESTARTS:
            logger.error("%s died %d times in a row: giving up", place, place.deaths)
            raise _DiedTooOften
        pause = RESTART_PAUSES[min(place.deaths, len(RESTART_PAUSES)) - 1]
        place.restart_at = now + pause

    def _pause(self) -> float | None:
        """Seconds until the next restart, or the next check for workers that hang."""
        due = [place.restart_at for place in self._places if place.restart_at is not None]
        pauses = [max(0.0, min(due) - time.monotonic())] if due else []
        if self._config.hung_timeout:
            pauses.append(pulse_seconds(self._config.hung_timeout))
        return min(pauses, default=None)

    def _end_what_hangs(self) -> None:
        """Kill workers whose event loop does not turn any more; others take their places."""
        patience = self._config.hung_timeout
        now = time.monotonic()
        if now - self._looked_at > pulse_seconds(patience) + patience / 2:
            self._awake_since = now  # this process did not run either: the machine slept
        self._looked_at = now
        for place in self._places if patience else ():
            if not place.pid or place.ready is None:
                continue
            seen = max(self._group.pulse(place.number), place.started_at, self._awake_since)
            if now - seen > patience:
                logger.error(
                    "%s (process id %d) has hung for %.0f s: it is replaced",
                    place,
                    place.pid,
                    now - seen,
                )
                os.kill(place.pid, signal.SIGKILL)
                place.ready = None

    def _reload_if_asked(self) -> None:
        """Forward SIGHUP to the workers, each of which reads the settings again."""
        if self._has_to_reload:
            self._has_to_reload = False
            for place in self._places:
                if place.pid and place.ready is not None:
                    with suppress(ProcessLookupError):
                        os.kill(place.pid, signal.SIGHUP)

    def _restart_if_asked(self) -> None:
        """At SIGUSR2, replace all workers by new ones, with the present code."""
        if not self._has_to_restart:
            return
        self._has_to_restart = False
        if self._leaving:
            logger.warning("Not restarted: workers of the last time have not left")
            return
        problem = problem_of_new_code(self._config.path)
        if problem is not None:
            logger.error("Not restarted: %s", problem)
            return
        logger.info("Restarting with new code")
        become_successor(
            [place.listener for place in self._places],
            [
                (place.number, place.pid, place.channel)
                for place in self._places
                if place.pid and place.channel is not None
            ],
            self._lacked if self._places[0].prepared is None else self._lacking(self._places),
            HANDLED,
        )

    def _restart_what_is_due(self) -> None:
        for place in self._places:
            if place.restart_at is not None and place.restart_at <= time.monotonic():
                self._fork(place)

    def _end(self) -> None:
        """Let all workers end, and kill those that do not within the cap for shutdown."""
        self._signal = self._signal or signal.SIGTERM
        notify(STOPPING)
        for place in (*self._places, *self._leaving):
            place.listener.close()  # new connections are refused, not left waiting
            if place.pid:
                # A worker stopped by a terminal or a debugger would hear nothing.
                with suppress(ProcessLookupError):
                    os.kill(place.pid, signal.SIGCONT)
            if place.channel is not None:
                with suppress(OSError):
                    place.channel.shutdown(socket.SHUT_WR)
            if place.pid and place.ready is None:
                # A plugin may block the start, and its worker does not hear messages meanwhile.
                with suppress(ProcessLookupError):
                    os.kill(place.pid, signal.SIGTERM)
        # A worker ends itself by force before this.
        cap = self._config.shutdown_timeout + 2 * FORCE_EXIT_SLACK_SECONDS
        deadline = time.monotonic() + cap
        while (
            any(place.pid for place in (*self._places, *self._leaving))
            and time.monotonic() < deadline
        ):
            self._wait(deadline - time.monotonic())
        if any(place.pid for place in self._places):
            logger.error("Shutdown takes too long, exiting")
            self._in_time = False
            self._kill()

    def _kill(self) -> None:
        for place in self._places if self._signal is None else (*self._places, *self._leaving):
            if place.pid:
                # A signal may arrive when shutdown is over and not noted yet.
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(place.pid, signal.SIGKILL)
                    os.waitpid(place.pid, 0)
                place.pid = 0

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Install handlers of signals, which end the waiting."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            self._selector.register(ours, selectors.EVENT_READ)
            wakeup = signal.set_wakeup_fd(theirs.fileno())
            before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
            before[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, self._on_restart)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(wakeup)

    def _on_hangup(self, _: int, __: FrameType | None) -> None:
        self._has_to_reload = True

    def _on_restart(self, _: int, __: FrameType | None) -> None:
        self._has_to_restart = True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """First signal: end. Second: leave at once."""
        if self._signal is not None:
            self._kill()
            logging.shutdown()
            os._exit(128 + number)
        self._signal = number


def _stand_in(place: _Place, other: _Place) -> None:
    """Let a worker accept for another one, unless both have the same socket anyway."""
    if place.listener is not other.listener:
        place.tell(b"%b=%d" % (STAND_IN, other.number), other.listener)


class _DiedTooOften(Exception):
    """A worker cannot be kept running."""
