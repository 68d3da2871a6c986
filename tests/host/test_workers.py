"""`buntime serve --workers n` as real processes: start, signals, deaths, restarts."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host import __version__
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Process, Serve

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
    pytest.mark.slow,
]

Poll = Callable[[Callable[[], Any], str], Any]

PLUGIN = """
import asyncio, os, pathlib
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
class Plugin:
    def __init__(self, options):
        self.log = pathlib.Path(options["log"])
    def record(self, text):
        with self.log.open("a") as file:
            file.write(text + "\\n")
    @hookimpl
    def on_init(self, ctx):
        self.ctx = ctx
        self.number = ctx.workers.number
        self.calls = ctx.workers.numbers("p.calls", 1)
        self.record(f"init {self.number}")
    @hookimpl
    def routes(self):
        return [Route("/who", self.who), Route("/stream", self.stream), Route("/die", self.die),
                Route("/hang", self.hang)]
    async def who(self, request):
        self.calls.own[0] += 1
        workers = self.ctx.workers
        return JSONResponse({"pid": os.getpid(), "worker": self.number, "count": workers.count,
                             "calls": self.calls.totals()[0]})
    async def stream(self, request):
        async def events():
            yield "data: open\\n\\n"
            await self.ctx.closing.wait()
        return StreamingResponse(events(), media_type="text/event-stream")
    async def die(self, request):
        os._exit(3)
    async def hang(self, request):
        self.record("hangs")
        await asyncio.sleep(3600)
    @hookimpl
    def on_shutdown(self):
        self.record(f"shutdown {self.number}")
"""


@pytest.fixture
def start(add_plugin: AddPlugin, serve: Serve, log: Path) -> Callable[..., Process]:
    """Starts two workers, by default with the plugin above."""

    def start_workers(*arguments: str, **more: Any) -> Process:
        add_plugin("p", PLUGIN, base="/p")
        config = {"plugins": [["p", {"log": str(log)}]], **more}
        return serve("--workers", "2", *arguments, config=config)

    return start_workers


def get(process: Process, path: str) -> Any:
    """A request on a connection of its own; None if the connection broke."""
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def workers_of(process: Process, count: int = 2) -> dict[int, int]:
    """The process id of each worker, once every one of them has answered."""
    found: dict[int, int] = {}
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found} answered"
        answer = get(process, "/p/who")
        if answer is not None:
            found[answer["worker"]] = answer["pid"]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def streams(process: Process, count: int) -> Iterator[list[socket.socket]]:
    """Open streams, on connections of their own."""
    opened = []
    try:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE)
            opened.append(sock)
            sock.sendall(b"GET /p/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b"data: open" not in received:
                received += sock.recv(4096)
        yield opened
    finally:
        for sock in opened:
            sock.close()


def messages(text: str) -> list[str]:
    """What is logged, but for installed plugins that no test here lists."""
    logged = [json.loads(line)["message"] for line in text.splitlines()]
    return [message for message in logged if not message.startswith("Found, but not in plugins")]


def test_all_workers_serve_and_it_is_said_once(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start()
    port = process.port
    assert sorted(log.read_text().split()) == ["0", "1", "init", "init"]  # before the announcement
    found = workers_of(process)
    assert set(found) == {0, 1}
    assert len({process.process.pid, *found.values()}) == 3
    assert get(process, "/p/who")["count"] == 2
    poll(lambda: "2 workers" in process.out, "the last line")
    assert messages(process.out) == [
        f"Buntime {__version__} listening on http://127.0.0.1:{port}",
        f"p 0.0.0 at http://127.0.0.1:{port}/p",
        f"API at http://127.0.0.1:{port}/api, readiness at http://127.0.0.1:{port}/health/ready",
        "There are no keys: everyone who can reach this address may do everything",
        f"2 workers, with the process ids {found[0]}, {found[1]}",
    ]
    assert process.err == ""


def test_health_says_which_worker_answers(start: Callable[..., Process]) -> None:
    process = start()
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE)
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert set(json.loads(response.read())) == {"ok", "status", "version"}
    number = response.headers["x-buntime-worker"]
    connection.request("GET", "/p/who")  # on the same connection
    assert str(json.loads(connection.getresponse().read())["worker"]) == number
    connection.close()


def test_connections_are_spread(start: Callable[..., Process]) -> None:
    process = start()
    port = process.port
    connections = [
        http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for _ in range(64)
    ]
    try:
        for connection in connections:
            connection.connect()  # all at once, as a load generator does
        found = []
        for connection in connections:
            connection.request("GET", "/p/who")
            found.append(json.loads(connection.getresponse().read())["worker"])
    finally:
        for connection in connections:
            connection.close()
    # Fair coins give fewer than 12 heads of 64 once in five million times.
    assert 12 <= found.count(0) <= 52


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_end_and_all_exit(
    start: Callable[..., Process], log: Path, number: int
) -> None:
    process = start(drainTimeout="1h", shutdownTimeout="2h")
    pids = workers_of(process).values()
    with streams(process, 8):
        process.signal(number)
        assert process.wait() == 0  # long before the drain would end them
    assert not any(map(is_alive, pids))
    assert sorted(log.read_text().split("\n")[2:]) == ["", "shutdown 0", "shutdown 1"]
    assert process.err == ""


def test_a_signal_for_the_whole_group_is_no_second_signal(
    start: Callable[..., Process], log: Path
) -> None:
    process = start()
    pids = workers_of(process).values()
    with streams(process, 8):
        for pid in (*pids, process.process.pid, *pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert process.wait() == 0
    assert sorted(log.read_text().split("\n")[2:]) == ["", "shutdown 0", "shutdown 1"]


def test_the_second_signal_exits_at_once(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start(drainTimeout="1h", shutdownTimeout="2h")
    pids = workers_of(process).values()
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /p/hang HTTP/1.1\r\nHost: x\r\n\r\n")
        poll(lambda: "hangs" in log.read_text(), "the request")
        process.signal()
        poll(lambda: "Shutting down" in process.out, "the shutdown")
        process.signal()
        assert process.wait() == 128 + signal.SIGTERM
    poll(lambda: not any(map(is_alive, pids)), "the end of the workers")


def test_exceeding_the_cap_is_exit_code_1(add_plugin: AddPlugin, serve: Serve) -> None:
    slow = """
    import asyncio
    @hookimpl
    async def on_shutdown():
        await asyncio.sleep(3600)
    """
    add_plugin("slow", slow)
    config = {"plugins": ["slow"], "shutdownTimeout": 200}
    process = serve("--workers", "2", config=config)
    assert process.port
    process.signal()
    assert process.wait() == 1


def test_a_killed_worker_is_replaced_and_the_others_go_on(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start()
    before = workers_of(process)
    calls = get(process, "/p/who")["calls"]
    os.kill(before[1], signal.SIGKILL)
    poll(lambda: log.read_text().count("init 1") == 2, "the next one")
    after = workers_of(process)
    assert after[0] == before[0]
    assert after[1] != before[1]
    # What the dead one counted is not forgotten.
    assert get(process, "/p/who")["calls"] > calls
    poll(lambda: f"is back, with process id {after[1]}" in process.out, "the log")
    (line,) = messages(process.err)
    assert line == f"Worker 1 (process id {before[1]}) was killed by signal 9"
    process.signal()
    assert process.wait() == 0


def test_a_worker_can_be_replaced_gracefully(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start()
    before = workers_of(process)
    os.kill(before[0], signal.SIGTERM)
    poll(lambda: log.read_text().count("init 0") == 2, "the next one")
    assert "shutdown 0" in log.read_text()
    assert workers_of(process)[1] == before[1]
    process.signal()
    assert process.wait() == 0


LATE = """
import asyncio, pathlib
LOG, GO = map(pathlib.Path, {paths})
@hookimpl
async def on_init(ctx):
    if ctx.workers.took_over:
        with LOG.open("a") as file:
            file.write("begins anew\\n")
        while not GO.exists():
            await asyncio.sleep(0.02)
"""


def test_a_worker_that_somebody_ends_is_replaced_and_no_error(
    start: Callable[..., Process], poll: Poll
) -> None:
    process = start()
    before = workers_of(process)
    os.kill(before[1], signal.SIGTERM)
    poll(lambda: "is back" in process.out, "the next one")
    assert workers_of(process)[1] != before[1]
    assert f"(process id {before[1]}) has ended in order" in process.out
    assert process.err == ""  # which has the errors


@pytest.fixture
def start_late(start: Callable[..., Process], add_plugin: AddPlugin, log: Path) -> Any:
    """Starts workers, and says how to let the next one in a place of one that died start."""
    go = log.with_name("go")
    add_plugin("late", LATE.format(paths=[str(log), str(go)]))

    def start_workers(*arguments: str) -> tuple[Process, Callable[[], None]]:
        plugins = ["late", ["p", {"log": str(log)}]]
        return start(*arguments, plugins=plugins, hungTimeout=0), go.touch

    return start_workers


def connections(process: Process, count: int) -> list[http.client.HTTPConnection]:
    """Several, of which every worker gets some."""
    opened = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE)
        connection.request("GET", "/p/who")
        opened.append(connection)
    return opened


def answering(opened: list[http.client.HTTPConnection]) -> list[int | None]:
    """Which worker has answered on each."""
    found = []
    for connection in opened:
        found.append(json.loads(connection.getresponse().read()).get("worker"))
        connection.close()
    return found


def test_others_serve_for_a_worker_that_is_dead(
    start_late: Callable[..., Any], log: Path, poll: Poll
) -> None:
    process, let_start = start_late()
    before = workers_of(process)
    os.kill(before[1], signal.SIGSTOP)
    waiting = connections(process, 32)  # about half of them in the queue of a socket of its own
    os.kill(before[1], signal.SIGKILL)
    assert answering(waiting) == [0] * 32
    poll(lambda: "begins anew" in log.read_text(), "the start of the next one")
    assert answering(connections(process, 32)) == [0] * 32
    let_start()
    poll(lambda: "is back" in process.out, "the next one")
    os.kill(before[0], signal.SIGSTOP)  # so that nobody else can answer
    waiting = connections(process, 32)
    sockets = [connection.sock for connection in waiting]
    assert select.select(sockets, [], [], PATIENCE)[0]
    os.kill(before[0], signal.SIGCONT)
    assert set(answering(waiting)) == {0, 1}


def test_others_serve_for_a_worker_that_drains(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start(drainTimeout="1h", shutdownTimeout="2h")
    before = workers_of(process)
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE)
        connection.request("GET", "/p/who")
        if json.loads(connection.getresponse().read())["worker"] == 1:
            break
        connection.close()
    connection.request("GET", "/p/hang")
    poll(lambda: "hangs" in log.read_text(), "the request")
    os.kill(before[1], signal.SIGTERM)
    poll(lambda: "Shutting down" in process.out, "the end of the worker")
    poll(lambda: answering(connections(process, 32)) == [0] * 32, "the other one alone")
    assert is_alive(before[1])
    connection.close()
    process.signal()
    poll(lambda: process.out.count("Shutting down") == 2, "the shutdown")
    process.signal()
    assert process.wait() == 128 + signal.SIGTERM


def test_the_last_worker_serves_for_all(
    start_late: Callable[..., Any], log: Path, poll: Poll
) -> None:
    """Whoever comes back first accepts for those that do not, too."""
    process, let_start = start_late("--workers", "3")
    before = workers_of(process, 3)
    for number in (1, 2):
        os.kill(before[number], signal.SIGKILL)
    poll(lambda: log.read_text().count("begins anew") == 2, "the start of two")
    assert answering(connections(process, 32)) == [0] * 32
    os.kill(before[0], signal.SIGKILL)
    poll(lambda: log.read_text().count("begins anew") == 3, "the start of the third")
    waiting = connections(process, 32)
    let_start()
    assert len(answering(waiting)) == 32
    assert len(workers_of(process, 3)) == 3


def test_a_worker_that_hangs_is_replaced(start: Callable[..., Process], poll: Poll) -> None:
    process = start(hungTimeout="2s")
    before = workers_of(process)
    os.kill(before[1], signal.SIGSTOP)
    poll(lambda: not is_alive(before[1]), "the end of the worker that hangs")
    poll(lambda: "is back" in process.out, "the next one")
    after = workers_of(process)
    assert after[0] == before[0]
    assert after[1] != before[1]
    hung, killed = messages(process.err)
    assert re.fullmatch(
        rf"Worker 1 \(process id {before[1]}\) has hung for \d s: it is replaced", hung
    )
    assert killed == f"Worker 1 (process id {before[1]}) was killed by signal 9"
    process.signal()
    assert process.wait() == 0


def test_a_stopped_worker_ends_with_the_others(start: Callable[..., Process], log: Path) -> None:
    process = start(hungTimeout=0, shutdownTimeout="1h")
    os.kill(workers_of(process)[1], signal.SIGSTOP)
    process.signal()
    assert process.wait() == 0
    assert sorted(log.read_text().split("\n")[2:]) == ["", "shutdown 0", "shutdown 1"]


def test_a_parent_that_was_stopped_blames_nobody(start: Callable[..., Process], poll: Poll) -> None:
    """As when the machine sleeps: everybody stood still."""
    process = start(hungTimeout="2s")
    before = workers_of(process)
    everybody = [process.process.pid, *before.values()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)  # that long nothing can be waited for
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert workers_of(process) == before
    assert process.err == ""


def test_the_first_worker_has_started_before_the_others(
    start: Callable[..., Process], log: Path
) -> None:
    assert start().port
    assert log.read_text().split("\n")[:2] == ["init 0", "init 1"]


def test_a_worker_that_dies_again_and_again(
    add_plugin: AddPlugin, tmp_path: Path, log: Path, child_environ: dict[str, str], poll: Poll
) -> None:
    add_plugin("bad", PLUGIN, base="/p")
    (tmp_path / "buntime.jsonc").write_text(json.dumps({"plugins": [["bad", {"log": str(log)}]]}))
    code = (
        "from buntime_host.processes import supervisor\n"
        "from buntime_host.cli import cli\n"
        "supervisor.RESTART_PAUSES, supervisor.MAX_RESTARTS = (0.0, 0.01), 3\n"
        "cli(['serve', '--port', '0', '--workers', '2'])\n"
    )
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=child_environ,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        poll(lambda: "2 workers" in out.read_text(), "the start")
        port = int(messages(out.read_text())[0].rpartition(":")[2])
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            assert time.monotonic() < deadline
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 15) as connection:
                connection.sendall(b"GET /p/die HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.recv(1)
    finally:
        process.kill()
    assert process.wait() == 1
    lines = messages(err.read_text())
    assert any("exited with status 3" in line for line in lines)
    assert lines[-1].endswith("died 4 times in a row: giving up")


def test_workers_end_with_their_parent(
    start: Callable[..., Process], log: Path, poll: Poll
) -> None:
    process = start()
    pids = workers_of(process).values()
    process.signal(signal.SIGKILL)
    process.wait()
    poll(lambda: not any(map(is_alive, pids)), "the end of the workers")
    assert sorted(log.read_text().split("\n")[2:]) == ["", "shutdown 0", "shutdown 1"]


def test_port_in_use(start: Callable[..., Process], serve: Serve, log: Path) -> None:
    first = start()
    port = str(first.port)
    text = log.read_text()
    for count in ("1", "2"):
        second = serve("--workers", count, "--port", port)
        assert second.wait() == 1
        assert second.err == (
            f"buntime: error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        )
    assert log.read_text() == text


def test_the_number_of_workers(serve: Serve, add_plugin: AddPlugin) -> None:
    add_plugin("p")
    for config, environ, problem in (
        ({"workers": 0}, {}, "workers: must be at least 1"),
        ({"workers": 65}, {}, "workers: must be at most 64"),
        ({"workers": 1.5}, {}, "workers: Expected `int`, got `float`"),
        ({"workers": "two"}, {}, "workers: must be a number"),
        ({}, {"RUNTIME_WORKERS": "x"}, "workers: RUNTIME_WORKERS"),
    ):
        process = serve(config={"plugins": ["p"], **config}, **environ)
        assert process.wait() == 1
        assert problem in process.err
    process = serve("--workers", "0")
    assert process.wait() == 2
    process = serve(config={"plugins": ["p"], "workers": 3}, RUNTIME_WORKERS="2")
    assert process.port
    poll_text = "2 workers, with the process ids"
    deadline = time.monotonic() + PATIENCE
    while poll_text not in process.out:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_log_lines_of_workers_say_which(start: Callable[..., Process]) -> None:
    process = start()
    assert process.port
    process.signal()
    assert process.wait() == 0
    lines = [json.loads(line) for line in process.out.splitlines()]
    goodbyes = [line.get("worker") for line in lines if line["message"] == "Bye"]
    assert sorted(goodbyes) == [0, 1]
    assert not any("worker" in line for line in lines if "listening on" in line["message"])
