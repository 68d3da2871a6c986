"""The product and its databases as processes that can be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from support.live import LiveServer
from support.sqld import Sqld, free_port, running_sqld

from buntime_soak.caller import Place
from buntime_soak.checks.expiry import Clocks
from buntime_soak.history import History
from buntime_soak.proxy import Proxy, proxy_to
from buntime_soak.wallclock import WallClock

Mode = Literal["one", "workers", "hosts", "libsql"]
MODES: tuple[Mode, ...] = ("one", "workers", "hosts", "libsql")

LOCK_DURATION = "2s"
KEPT_CHANGES = 3000
"""So few that watchers who come back are now and then told to start again."""
KEYVAL = {
    "cleanupInterval": "2s",
    "changes": {"maxCount": KEPT_CHANGES},
    "queue": {"lockDuration": LOCK_DURATION, "cleanupInterval": "1s", "heartbeat": "1s"},
    "watch": {"heartbeat": "1s"},
}
OPERATION_TIMEOUT_MS = 3000
WORKERS = 2
PATIENCE_SECONDS = 90.0
"""For a process to start or to end, on a machine that is busy."""
_PIDS = re.compile(r"process ids (\d+), (\d+)")
_BACK = re.compile(r"Worker (\d) is back, with process id (\d+)")


class Host:
    """One `buntime serve`, always on the same port."""

    def __init__(
        self,
        name: str,
        folder: Path,
        config: Mapping[str, Any],
        environ: Mapping[str, str],
        *,
        workers: int = 1,
    ) -> None:
        self.name = name
        self.workers = workers
        self.setting: Hashable = 0.0
        """By which time it goes: see `Clocks`."""
        self.outputs: list[str] = []
        """What earlier processes have said."""
        self._folder = folder
        self._port = free_port()
        self._environ = environ
        self._server: LiveServer | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "buntime.jsonc").write_text(json.dumps(config))

    @property
    def place(self) -> Place:
        return Place(self.name, f"http://127.0.0.1:{self._port}")

    @property
    def output(self) -> str:
        """All that it has said."""
        return "".join([*self.outputs, self._server.output if self._server else ""])

    async def start(self) -> None:
        """Start it and wait until it serves."""
        self._server = LiveServer(self._process(), self._folder)
        await asyncio.to_thread(self._server.wait_until_listening, PATIENCE_SECONDS)

    def _process(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "buntime_host", "serve"),
                *("--config", str(self._folder / "buntime.jsonc"), "--port", str(self._port)),
            ],
            cwd=self._folder,
            env={
                **os.environ,
                "RUNTIME_LOG_FORMAT": "json",
                "RUNTIME_WORKERS": str(self.workers),
                **self._environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run, which then ends its servers
        )

    async def kill(self) -> None:
        """End all its processes as a power cut would."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for pid in (server.process.pid, *_worker_pids(server)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(server.process.wait)
        self.outputs.append(server.output)

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await asyncio.to_thread(server.stop, PATIENCE_SECONDS)
        self.outputs.append(server.output)

    async def kill_worker(self, number: int) -> None:
        """End one worker as a power cut would, and wait until another one has its place."""
        assert self._server is not None
        before = len(_BACK.findall(self._server.output))
        with suppress(ProcessLookupError):
            os.kill(_worker_pids(self._server)[number], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(_BACK.findall(self._server.output)) == before:  # noqa: ASYNC110 - another process says so
                await asyncio.sleep(0.02)

    def pause(self, number: int) -> None:
        """Stop a process, the worker with this number where there are workers, as it is."""
        self._signal(number, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let it go on."""
        self._signal(number, signal.SIGCONT)

    def _signal(self, number: int, what: signal.Signals) -> None:
        if self._server is None:
            return
        pids = _worker_pids(self._server) or [self._server.process.pid]
        with suppress(ProcessLookupError):
            os.kill(pids[number % len(pids)], what)


def _worker_pids(server: LiveServer) -> list[int]:
    """The processes that serve now, where there are workers."""
    first = _PIDS.findall(server.output)
    if not first:
        return []
    pids = [int(pid) for pid in first[0]]
    for number, pid in _BACK.findall(server.output):
        pids[int(number)] = int(pid)
    return pids


class Servers:
    """All processes of a mode."""

    def __init__(
        self,
        mode: Mode,
        hosts: Sequence[Host],
        clock: WallClock,
        history: History,
        *,
        databases: Sequence[Sqld] = (),
        proxies: Sequence[Proxy] = (),
    ) -> None:
        self.mode = mode
        self.hosts = hosts
        self.clock = clock
        self.databases = databases
        self.proxies = proxies
        self._history = history
        self._settings: list[tuple[float, frozenset[Hashable]]] = []
        self._served: list[float] = []
        self._lead = 0.0
        """How far the clock was ahead at most when a host was started."""

    @property
    def places(self) -> list[Place]:
        return [host.place for host in self.hosts]

    @property
    def primary_proxies(self) -> Sequence[Proxy]:
        """Those before the database that writes, one for each host."""
        return self.proxies[:: len(self.databases)]

    @property
    def clocks(self) -> Clocks:
        """When processes were started, and under which settings of the clock."""
        return Clocks(self._settings, self._served)

    async def start(self, host: Host) -> None:
        """Start a host that does not run."""
        offset, number = self.clock.offset, len(self._settings)
        host.setting = (offset, number) if offset < self._lead else offset
        self._lead = max(self._lead, offset)
        settings = frozenset(host.setting for host in self.hosts)
        self._settings.append((self._history.now(), settings))
        await host.start()
        self._served.append(self._history.now())


@asynccontextmanager
async def running(
    mode: Mode,
    folder: Path,
    clock: WallClock,
    history: History,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Servers]:
    """The servers of a mode, all of them ended afterwards. `environ` is for hosts alone."""
    own = {**clock.environ(), **(environ or {})}
    async with AsyncExitStack() as stack:
        stack.callback(clock.clear)
        databases: list[Sqld] = []
        proxies: list[Proxy] = []
        if mode == "libsql":
            pair = running_sqld(folder / "sqld", replicas=1)
            databases = await asyncio.to_thread(pair.__enter__)
            stack.push_async_callback(asyncio.to_thread, pair.__exit__, None, None, None)
        hosts = []
        for number in range(2 if mode in ("hosts", "libsql") else 1):
            adapter: dict[str, Any] = {"type": "sqlite", "baseDir": str(folder / "data")}
            if mode == "libsql":
                mine = [await stack.enter_async_context(proxy_to(db.url)) for db in databases]
                proxies += mine
                urls = [proxy.address for proxy in mine]
                adapter = {"type": "libsql", "urls": urls, "operationTimeout": OPERATION_TIMEOUT_MS}
            config = {
                "plugins": [
                    ["@buntime/plugin-database", {"adapters": [adapter]}],
                    ["@buntime/plugin-keyval", KEYVAL],
                ]
            }
            workers = WORKERS if mode == "workers" else 1
            hosts.append(Host(f"h{number}", folder / f"h{number}", config, own, workers=workers))
        servers = Servers(mode, hosts, clock, history, databases=databases, proxies=proxies)
        for host in hosts:
            stack.push_async_callback(host.kill)
            await servers.start(host)
        yield servers
