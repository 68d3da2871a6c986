"""A restart with new code, which nobody notices who asks or watches meanwhile."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import AsyncKv
from host.conftest import HEADER
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

VERSION = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route


@hookimpl
def routes():
    return [Route("/", lambda request: PlainTextResponse("{version}"))]
"""
CONFIG: dict[str, Any] = {"plugins": [*DEFAULT_PLUGINS, "version"]}
LEFT = "of before (process id"
"""What is logged of each of the old workers in the end."""
RESTART_SECONDS = 60.0
"""On a busy machine; it takes three."""
ASKING = 5
PAUSE_SECONDS = ASKING / 200
"""Between two requests of each who asks: 200 a second of all together."""


def write_version(folder: Path, version: str, name: str = "version") -> None:
    """Versions differ in length: of two of the same second Python tells no others apart."""
    plugin = folder / "plugins" / name
    plugin.mkdir(parents=True, exist_ok=True)
    (plugin / "manifest.yaml").write_text(f"name: {name}\nbase: /{name}\n")
    (plugin / "plugin.py").write_text(HEADER + VERSION.format(version=version))


class Asking:
    """Requests without an end, of which none may fail: nothing is asked twice."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._over = asyncio.Event()
        self.asked = 0
        self.written: list[int] = []
        self.failed: list[str] = []

    async def ask(self, number: int) -> None:
        async with httpx2.AsyncClient(base_url=self._server.api, timeout=PATIENCE) as client:
            while not self._over.is_set():
                self.asked += 1
                one = self.asked
                try:
                    if one % 2:
                        answer = await client.put(f"/keys/n/{one}", json=one)
                        self.written.append(one)
                    else:
                        answer = await client.get(f"/keys/n/{one - 1}")
                except httpx2.HTTPError as error:
                    self.failed.append(f"{one}: {error!r}")
                else:
                    if answer.status_code not in (200, 404):
                        self.failed.append(f"{one}: {answer.status_code} {answer.text}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), PAUSE_SECONDS)

    def end(self) -> None:
        self._over.set()


async def test_nobody_notices_a_restart(tmp_path: Path) -> None:
    write_version(tmp_path, "old")
    with live_server(tmp_path, CONFIG, workers=2) as server:
        old = server.worker_pids()
        assert httpx2.get(f"{server.url}/version/").text == "old"
        asking = Asking(server)
        followed: list[Any] = []
        watched: set[Any] = set()
        async with AsyncKv(server.api) as kv:

            async def follow() -> None:
                async for record in kv.stream.follow(prefix=["n"]):
                    followed.append(record.key[1])  # noqa: PERF401 - it has no end

            async def watch() -> None:
                async for entries in kv.watch(["n"], emit_initial=False):
                    watched.update(entry.key[1] for entry in entries)

            async with asyncio.TaskGroup() as group:
                streams = [group.create_task(follow()), group.create_task(watch())]
                askers = [group.create_task(asking.ask(number)) for number in range(ASKING)]
                await until(lambda: len(asking.written) > 50 and followed and watched)
                # What is asked for from now on is watched. Of what came before not even the
                # numbers tell: those who ask at the same time overtake each other.
                first = asking.asked + 1
                write_version(tmp_path, "newer")
                server.process.send_signal(signal.SIGUSR2)
                await until(lambda: server.output.count(LEFT) == 2, RESTART_SECONDS)
                count = asking.asked
                await until(lambda: asking.asked > count + 50)
                asking.end()
                await asyncio.gather(*askers)
                written = set(asking.written)
                await until(lambda: set(followed) >= written)
                await until(lambda: watched >= {n for n in written if n >= first})
                for stream in streams:
                    stream.cancel()
        assert asking.failed == []
        assert len(followed) == len(set(followed))
        assert httpx2.get(f"{server.url}/version/").text == "newer"
        told = re.findall(r"process ids ([0-9, ]+)", server.output)
        new = [int(pid) for pid in told[-1].split(",")]
        assert not {*old} & {*new}
        assert server.stop() == 0


async def test_code_that_does_not_start_changes_nothing(tmp_path: Path) -> None:
    write_version(tmp_path, "old")
    with live_server(tmp_path, {**CONFIG, "strict": True}, workers=2) as server:
        server.worker_pids()
        plugin = tmp_path / "plugins" / "version" / "plugin.py"
        plugin.write_text("nonsense(")
        server.process.send_signal(signal.SIGUSR2)
        await until(lambda: "Not restarted: " in server.output, RESTART_SECONDS)
        # What only a start can tell: here the old workers go on, under the new parent.
        plugin.write_text(f"{HEADER}@hookimpl\ndef on_init(ctx):\n    raise ValueError('no')\n")
        server.process.send_signal(signal.SIGUSR2)
        refusal = "do not start; the old ones continue: "
        await until(lambda: refusal in server.output, RESTART_SECONDS)
        assert httpx2.get(f"{server.url}/version/").text == "old"
        write_version(tmp_path, "newer")
        server.process.send_signal(signal.SIGUSR2)
        await until(lambda: server.output.count(LEFT) == 2, RESTART_SECONDS)
        assert httpx2.get(f"{server.url}/version/").text == "newer"
        assert server.stop() == 0


SLOW_HEALTH = """
async def health():
    import asyncio
    await asyncio.sleep(0.3)
    return 'the cupboard is bare'
"""


async def test_workers_that_are_less_ready_replace_nobody(tmp_path: Path) -> None:
    """Also where a plugin that fails keeps no host from starting; nor do they answer anybody."""
    write_version(tmp_path, "old")
    write_version(tmp_path, "old", "other")
    plugin = tmp_path / "plugins" / "version" / "plugin.py"
    with live_server(tmp_path, {"plugins": ["version", "other"]}, workers=2) as server:
        server.worker_pids()
        refusals = (
            ("def on_init(ctx):\n    raise ValueError('no')", "on_init failed: ValueError: no"),
            (SLOW_HEALTH, "the cupboard is bare"),
        )
        answers: list[str] = []

        async def ask() -> None:
            while True:
                async with httpx2.AsyncClient(timeout=PATIENCE, verify=False) as client:
                    answers.append((await client.get(f"{server.url}/version/")).text)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for hook, reason in refusals:
            plugin.write_text(f"{HEADER}{VERSION.format(version='newer')}\n\n@hookimpl\n{hook}\n")
            server.process.send_signal(signal.SIGUSR2)
            refusal = f"continue: plugin version, which runs in those, is not ready: {reason}"
            await until(partial(server.has_said, refusal), RESTART_SECONDS)
            assert {*answers} == {"old"}
            answers.clear()
            await until(lambda: len(answers) > 8)
            assert {*answers} == {"old"}
        for task in asking:
            assert not task.done() or task.exception() is None
            task.cancel()
        write_version(tmp_path, "newer")
        server.process.send_signal(signal.SIGUSR2)
        await until(lambda: server.output.count(LEFT) == 2, RESTART_SECONDS)
        assert httpx2.get(f"{server.url}/version/").text == "newer"
        assert server.stop() == 0
