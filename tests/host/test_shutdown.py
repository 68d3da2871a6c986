"""Shutdown has a bound in each of its parts, whatever comes in at the moment of the signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buntime_host.http.websockets import OpenSockets, SocketGone
from buntime_host.processes.server import HostServer, uvicorn_config
from host.conftest import AddPlugin, MakeHost, Serve
from starlette.types import Message
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

Poll = Callable[[Callable[[], Any], str], Any]

forking = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork")


async def test_a_connection_that_is_accepted_at_the_last_moment_is_sent_away(
    make_host: MakeHost, add_plugin: AddPlugin
) -> None:
    """It becomes one after all others were told to end, and a client may keep it for ever."""
    add_plugin("p")
    host = make_host({"drainTimeout": "1h", "shutdownTimeout": "2h"})
    server = HostServer(host, uvicorn_config(host))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([_listener()])
    client, accepted = socket.socketpair()
    close_websockets = host.close_websockets

    async def accept_one() -> None:
        loop = asyncio.get_running_loop()
        make: Any = server.config.http_protocol_class

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = make(
                config=server.config, server_state=server.server_state, app_state={}
            )
            return made

        # As a listening socket does it: the connection is made in later turns of the loop.
        accepting.append(loop.create_task(loop.connect_accepted_socket(protocol, accepted)))
        await close_websockets()

    accepting: list[asyncio.Task[Any]] = []
    host.close_websockets = accept_one  # type: ignore[method-assign] # the moment that matters
    client.setblocking(False)
    with client:
        async with asyncio.timeout(PATIENCE):
            await server.shutdown()
            await accepting[0]
            answer = b""
            while data := await asyncio.get_running_loop().sock_recv(client, 65536):
                answer += data
    assert b" 503 " in answer.partition(b"\r\n")[0]
    assert b"shutting down" in answer


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


HANGS = """
import asyncio, pathlib
from starlette.routing import Route
log = pathlib.Path(LOG)
async def hang(request):
    log.write_text("hangs")
    await asyncio.sleep(3600)
@hookimpl
def routes():
    return [Route("/hang", hang)]
@hookimpl
def on_shutdown():
    log.write_text("shutdown")
"""


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=forking)])
def test_requests_do_not_take_the_time_of_the_plugins(
    add_plugin: AddPlugin, serve: Serve, tmp_path: Path, poll: Poll, workers: str
) -> None:
    log = tmp_path / "log.txt"
    log.touch()
    add_plugin("p", HANGS.replace("LOG", repr(str(log))), base="/p")
    config = {"plugins": ["p"], "drainTimeout": "1h", "shutdownTimeout": "4s"}
    process = serve("--workers", workers, config=config)
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE) as client:
        client.sendall(b"GET /p/hang HTTP/1.1\r\nHost: x\r\n\r\n")
        poll(lambda: log.read_text() == "hangs", "the request")
        process.signal()
        assert process.wait() == 0
    assert log.read_text() == "shutdown"


async def test_a_client_that_takes_no_goodbye_is_not_waited_for() -> None:
    sockets = OpenSockets()
    heard: list[str] = []

    async def deaf(message: Message) -> None:
        if message["type"] == "websocket.close":
            await asyncio.Event().wait()

    async def hears(message: Message) -> None:
        heard.append(message["type"])

    for send in (deaf, hears):
        await sockets.track({}, send).send({"type": "websocket.accept"})
    async with asyncio.timeout(PATIENCE):
        await sockets.close_all()
    assert heard == ["websocket.accept", "websocket.close"]


async def test_a_websocket_that_is_accepted_too_late_hears_it_at_once() -> None:
    sockets = OpenSockets()
    await sockets.close_all()
    heard: list[Message] = []

    async def hears(message: Message) -> None:
        heard.append(message)

    late = sockets.track({}, hears)
    await late.send({"type": "websocket.accept"})
    assert [(it["type"], it.get("code")) for it in heard] == [
        ("websocket.accept", None),
        ("websocket.close", 1001),
    ]
    with pytest.raises(SocketGone):
        await late.send({"type": "websocket.send", "text": "x"})


JUST_FORKED = """
import os, signal, socket, sys, time
from pathlib import Path
from buntime_host.processes import supervisor
from buntime_host.config import parse_config

def wait_for_signal(config, number, group, listener, channel):
    channel.sendall(b'{"type":"failed","reason":"begun"}\\n')
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if signal.SIGTERM in signal.sigpending():
            return 7
        time.sleep(0.01)
    return 1

supervisor.run_worker = wait_for_signal
listener = socket.create_server(("127.0.0.1", 0))
config = parse_config({"plugins": ["none"]}, Path("."), environ={})
parent = supervisor.Supervisor(config, [listener])
place = parent._places[0]
parent._fork(place)
while place.failed is None:
    parent._wait(DEADLINE)
place.channel.close()
os.kill(place.pid, signal.SIGTERM)
_, status = os.waitpid(place.pid, 0)
place.pid = 0
parent.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@forking
def test_a_signal_for_a_worker_that_was_just_forked_is_not_lost(tmp_path: Path) -> None:
    """It has no handlers yet, and a plugin may block it before it listens to its parent.

    In a process of its own: a fork has none of the threads of this one, and may wait for them.
    """
    program = JUST_FORKED.replace("DEADLINE", str(PATIENCE))
    args = [sys.executable, "-c", program]
    ended = subprocess.run(args, cwd=tmp_path, timeout=4 * PATIENCE, check=False)
    assert ended.returncode == 7


SECOND_START = """
import asyncio, os, pathlib, time
from starlette.routing import Route
log = pathlib.Path(LOG)
def record(text):
    with log.open("a") as file:
        file.write(text + "\\n")
@hookimpl
async def on_init(ctx):
    again = ctx.workers.took_over
    record(f"again {os.getpid()}" if again else f"init {os.getpid()}")
    if again:
        ACT
@hookimpl
def on_shutdown():
    record(f"shutdown {os.getpid()}")
"""


@forking
@pytest.mark.parametrize(
    ("act", "status"), [("await asyncio.sleep(3600)", 0), ("time.sleep(3600)", 1)]
)
def test_a_worker_that_starts_during_the_stop_is_stopped_too(
    add_plugin: AddPlugin, serve: Serve, tmp_path: Path, poll: Poll, act: str, status: int
) -> None:
    log = tmp_path / "log.txt"
    log.touch()
    code = SECOND_START.replace("LOG", repr(str(log))).replace("ACT", act)
    add_plugin("p", code)
    process = serve("--workers", "2", config={"plugins": ["p"], "shutdownTimeout": "1h"})
    poll(lambda: "2 workers" in process.out, "the start")
    first, second = (int(line.split()[1]) for line in log.read_text().splitlines())
    os.kill(second, signal.SIGKILL)
    again = _pid_of(poll, log, "again")
    # A signal between its last instruction and its sleep would be told to Python an hour later.
    poll(lambda: _state_of(again) == "S", "a worker that sleeps")
    process.signal()
    assert process.wait() == status
    for pid in (first, again):
        assert not Path(f"/proc/{pid}").exists()
    assert f"shutdown {first}" in log.read_text()


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _pid_of(poll: Poll, log: Path, word: str) -> int:
    def found() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.startswith(f"{word} ")]

    return int(poll(found, word)[-1].split()[1])
