"""Tools for tests of plugins: a host with plugins in memory, its client, and a clock to set.

With pytest, in a test module or the topmost conftest:

    pytest_plugins = ["buntime_host.testing"]

    async def test_count(start_host):
        client = await start_host(InMemory(Counter, base="/counter"))
        assert (await client.post("/counter/api/count")).json() == {"count": 1}

Needs `buntime[testing]`: pytest, and httpx2 for the client. A module may both import from here and
name it as a plugin: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from buntime_host.config import parse_config
from buntime_host.errors import ManifestError
from buntime_host.host import Host
from buntime_host.plugins.discovery import FoundPlugin
from buntime_host.plugins.manifest import find_manifest, parse_manifest, read_manifest

TURNS = 20
"""Turns of the event loop after which a woken task waits again."""


class FakeClock:
    """A clock that a test moves. See `buntime_host.plugins.task_clock.TaskClock`."""

    def __init__(self, wall: float = 1_700_000_040.0) -> None:
        """`wall` is the time to begin with, seconds since 1970: by default a full minute."""
        self._wall = wall
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._numbers), woken))
        await woken

    def step(self, seconds: float) -> None:
        """Set the wall clock, forwards or backwards; no sleeper is woken."""
        self._wall += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass. Sleepers are woken at their times, one after the other.

        Each of them runs until it sleeps again, or waits for something other than this clock.
        """
        await _turn()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            self._pass(moment)
            if not woken.done():
                woken.set_result(None)
            await _turn()
        self._pass(end)

    def _pass(self, moment: float) -> None:
        self._wall += moment - self._monotonic
        self._monotonic = moment


async def _turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass(frozen=True, kw_only=True)
class InMemory:
    """A plugin within a test: a factory, a module or an object with hooks."""

    entry: Any = field(kw_only=False)
    name: str = "@test/plugin"
    base: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """As `buntime.jsonc` would give them."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the manifest, such as `dependencies`."""


GivenPlugin = InMemory | Path | str | tuple[str, Mapping[str, Any]]
"""A plugin in memory, the folder of one, or the name of an installed one, perhaps with options."""


class HostClient(httpx2.AsyncClient):
    """A client of a host in this process, as in httpx2; streams need a real server."""

    def __init__(self, host: Host, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(
            transport=httpx2.ASGITransport(app=host),
            base_url="http://127.0.0.1",
            headers=dict(headers or {}),
        )
        self.host = host
        """The host itself: `client.host.service(name)` is the service of a plugin."""


@asynccontextmanager
async def running_host(
    *plugins: GivenPlugin,
    folder: Path,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: FakeClock | None = None,
) -> AsyncIterator[HostClient]:
    """A host that runs these plugins and no others, and its client.

    `folder` stands for that of `buntime.jsonc`: relative paths in options begin there. `config` has
    further settings of the host. `environ` is all of the environment, empty by default. A plugin
    that does not start fails the test: `AssertionError` with its reason.
    """
    named = [_named(plugin, folder) for plugin in plugins]
    found = [one for one, _ in named if one is not None]
    entries = [entry for _, entry in named]
    settings = {"pluginDirs": [], **(config or {}), "plugins": entries}
    variables = dict(environ or {})
    host = Host(
        parse_config(settings, folder, environ=variables),
        environ=variables,
        clock=clock,
        given=found,
    )
    async with host:
        for status in host.statuses.values():
            if status.state != "loaded":
                raise AssertionError(f"plugin {status.name} {status.state}: {status.reason}")
        async with HostClient(host) as client:
            yield client


def _named(plugin: GivenPlugin, folder: Path) -> tuple[FoundPlugin | None, str | list[Any]]:
    """A plugin's location if it is not installed, and its entry in `plugins` of the
    configuration.
    """
    if isinstance(plugin, str):
        return None, plugin
    if isinstance(plugin, tuple):
        return None, [plugin[0], dict(plugin[1])]
    if isinstance(plugin, InMemory):
        content = {"name": plugin.name, **plugin.manifest}
        if plugin.base is not None:
            content["base"] = plugin.base
        manifest = parse_manifest(content, folder / "manifest.yaml")
        given = FoundPlugin(manifest=manifest, source="given", entry=plugin.entry)
        return given, [plugin.name, dict(plugin.options)]
    path = find_manifest(plugin)
    if path is None:
        raise ManifestError(f"{plugin} has no manifest.yaml")
    manifest = read_manifest(path)
    return FoundPlugin(manifest=manifest, source="directory"), manifest.name


class StartHost(Protocol):
    """See `running_host`."""

    def __call__(
        self,
        *plugins: GivenPlugin,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: FakeClock | None = None,
    ) -> Awaitable[HostClient]:
        """Starts a host, which ends with the test."""


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run under asyncio, as the host does."""
    return "asyncio"


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock for `start_host(…, clock=fake_clock)`."""
    return FakeClock()


@pytest.fixture
async def start_host(tmp_path: Path) -> AsyncIterator[StartHost]:
    """Starts hosts as `running_host` does, in a folder of the test; they end with it."""
    async with AsyncExitStack() as stack:

        async def start(*plugins: GivenPlugin, **settings: Any) -> HostClient:
            running = running_host(*plugins, folder=tmp_path, **settings)
            return await stack.enter_async_context(running)

        yield start
