"""How several workers start, and that none of them serves before all of them may."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from host.conftest import WAITS_AT_START

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Serve

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="several workers of a fork"),
    pytest.mark.slow,
]

Poll = Callable[[Callable[[], Any], str], Any]


FAILS = """
@hookimpl
def on_init(ctx):
    if ctx.workers.number == {number}:
        {act}
"""


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_cannot_start_ends_everything(
    add_plugin: AddPlugin, serve: Serve, number: int
) -> None:
    add_plugin("bad", FAILS.format(number=number, act="raise OSError('disk')"))
    process = serve("--workers", "3", "--strict", config={"plugins": ["bad"]})
    assert process.wait() == 1
    assert process.err.startswith(
        "buntime: error: required plugin bad: on_init failed: OSError: disk ("
    )
    assert "listening on" not in process.out


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_dies_during_its_start_ends_everything(
    add_plugin: AddPlugin, serve: Serve, number: int
) -> None:
    add_plugin("bad", FAILS.format(number=number, act="import os; os._exit(7)"))
    process = serve("--workers", "2", config={"plugins": ["bad"]})
    assert process.wait() == 1
    assert process.err == f"buntime: error: Worker {number} died during its start\n"


def test_a_plugin_may_refuse_the_start(add_plugin: AddPlugin, serve: Serve) -> None:
    code = """
    from buntime_host import StartupError
    @hookimpl
    def on_init(ctx):
        if ctx.workers.count > 1:
            raise StartupError("one worker only")
    """
    add_plugin("one", code)
    add_plugin("two")
    config = {"plugins": ["one", "two"]}
    process = serve("--workers", "2", config=config)
    assert process.wait() == 1
    assert process.err == "buntime: error: one worker only\n"
    assert serve(config=config).port


def test_a_signal_during_the_start(
    add_plugin: AddPlugin, serve: Serve, log: Path, poll: Poll
) -> None:
    add_plugin("slow", WAITS_AT_START.replace("LOG", repr(str(log))))
    process = serve("--workers", "2", config={"plugins": ["slow"]})
    poll(lambda: log.read_text() == "init", "on_init")
    process.signal()
    assert process.wait() == 0
    assert log.read_text() == "shutdown"
    assert "listening on" not in process.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_that_wait_to_serve_end_in_order(
    add_plugin: AddPlugin, serve: Serve, log: Path, poll: Poll, number: signal.Signals
) -> None:
    """Be it that all are told to end, or that their parent is gone; nobody has listened."""
    waiting = """
    import asyncio, pathlib
    log = pathlib.Path(LOG)
    def record(text):
        with log.open("a") as file:
            file.write(text + "\\n")
    @hookimpl
    def on_init(ctx):
        global own
        own = ctx.workers.number
    @hookimpl
    async def health():
        record(f"health {own}")
        await asyncio.sleep(own)
    @hookimpl
    def on_server_start():
        record("serves")
    @hookimpl
    def on_shutdown():
        record(f"shutdown {own}")
    """
    add_plugin("waiting", waiting.replace("LOG", repr(str(log))))
    process = serve("--workers", "2", config={"plugins": ["waiting"]})
    poll(lambda: "health 1" in log.read_text(), "the second worker")
    process.signal(number)
    assert process.wait() == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    poll(lambda: log.read_text().count("shutdown") == 2, "the end of the workers")
    assert sorted(log.read_text().split()) == [*"0011", "health", "health", "shutdown", "shutdown"]
    assert "listening on" not in process.out
    assert "Traceback" not in process.out + process.err
