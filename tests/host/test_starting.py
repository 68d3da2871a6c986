"""A signal while plugins start: real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Process, Serve

    Poll = Callable[[Callable[[], Any], str], Any]

PLUGIN = """
import asyncio, os, pathlib, time
class Plugin:
    def __init__(self, options):
        self.options = options
    def note(self, text):
        with open(self.options["log"], "a") as log:
            log.write(text + "\\n")
    @hookimpl
    async def on_init(self, ctx):
        self.note("init " + self.options["tag"] + f" {os.getpid()}")
        if self.options.get("init") == "wait":
            await asyncio.Event().wait()
        if self.options.get("init") == "block":
            time.sleep(3600)
    @hookimpl
    def on_shutdown(self):
        self.note("shutdown " + self.options["tag"])
"""


@pytest.fixture
def start(
    add_plugin: AddPlugin, serve: Serve, tmp_path: Path, poll: Poll
) -> Callable[..., Process]:
    """Starts a host whose second plugin does not come up, and returns when it is at it."""

    def start(init: str, *arguments: str) -> Process:
        for name in ("a", "b"):
            add_plugin(name, PLUGIN)
        log = str(tmp_path / "log.txt")
        plugins = [
            ["a", {"log": log, "tag": "a"}],
            ["b", {"log": log, "tag": "b", "init": init}],
        ]
        # Nothing here ends by itself before the test does.
        config = {"plugins": plugins, "initTimeout": "1h", "shutdownTimeout": "2h"}
        process = serve(*arguments, config=config)
        poll(lambda: "init b" in read(tmp_path), "the start of the second plugin")
        return process

    return start


def read(folder: Path) -> str:
    log = folder / "log.txt"
    return log.read_text() if log.exists() else ""


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_start_that_waits_ends_with_the_signal(
    start: Callable[..., Process], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    process = start("wait", *arguments)
    process.signal()
    assert process.wait() == 0
    # What is up is shut down, and what was at it too, last first.
    assert read(tmp_path).splitlines()[2:] == ["shutdown b", "shutdown a"]
    assert process.err == ""


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_plugin_that_blocks_its_thread_is_named_and_ended(
    start: Callable[..., Process], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    process = start("block", *arguments)
    process.signal()
    assert process.wait() == 1
    assert "b blocks the process while it starts" in process.err
    pid = int(read(tmp_path).split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_second_signal_does_not_wait(start: Callable[..., Process]) -> None:
    process = start("block")
    process.signal()
    process.signal(signal.SIGINT)
    assert process.wait() in (1, 128 + signal.SIGINT, 128 + signal.SIGTERM)
