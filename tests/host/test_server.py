"""`buntime serve` as a real process: signals, streams, websockets, and how it refuses to start."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import uvicorn
import websockets
from buntime_host import __version__
from buntime_host.processes.server import GC_THRESHOLDS, SWITCH_SECONDS, HostServer
from host.conftest import WAITS_AT_START
from support.waiting import PATIENCE
from websockets.asyncio.client import connect

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import AddPlugin, MakeHost, Process, Serve

Poll = Callable[[Callable[[], Any], str], Any]

STREAMS = """
import asyncio, pathlib
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
class Plugin:
    def __init__(self, options):
        self.log = pathlib.Path(options["log"])
        self.shutdown = options.get("shutdown", "")
    def record(self, text):
        with self.log.open("a") as file:
            file.write(text + "\\n")
    @hookimpl
    def on_init(self, ctx):
        self.closing = ctx.closing
        self.name = ctx.name
    @hookimpl
    def on_server_start(self, server):
        self.record("listening" if server.started else "too early")
    @hookimpl
    def routes(self):
        return [Route("/polite", self.polite), Route("/rude", self.rude),
                Route("/slow", self.slow), WebSocketRoute("/echo", self.echo)]
    async def polite(self, request):
        async def events():
            yield "data: open\\n\\n"
            await self.closing.wait()
            self.record("stream ended")
        return StreamingResponse(events(), media_type="text/event-stream")
    async def rude(self, request):
        async def events():
            try:
                yield "data: open\\n\\n"
                await asyncio.sleep(3600)
            finally:
                self.record("stream cancelled")
        return StreamingResponse(events(), media_type="text/event-stream")
    async def slow(self, request):
        self.record("slow")
        await asyncio.sleep(0.5)
        from starlette.responses import PlainTextResponse
        return PlainTextResponse("slow but whole")
    async def echo(self, websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(self.name + " " + text)
    @hookimpl
    async def on_shutdown(self):
        self.record("shutdown " + self.name)
        if self.shutdown == "raise":
            raise RuntimeError("no")
        if self.shutdown == "hang":
            await asyncio.sleep(3600)
        if self.shutdown == "block":
            import time
            time.sleep(3600)
"""


PATIENT = {"drainTimeout": "60s", "shutdownTimeout": "120s"}
"""A host that would wait for longer than tests wait for its end."""


def config(*names: str, log: Path, **more: Any) -> dict[str, Any]:
    return {"plugins": [[name, {"log": str(log), "shutdown": ""}] for name in names], **more}


def get(process: Process, path: str) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{process.port}{path}", timeout=PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_open_stream_ends_and_the_host_exits_quickly(
    add_plugin: AddPlugin, serve: Serve, log: Path, number: int
) -> None:
    add_plugin("p", STREAMS, base="/p")
    process = serve(config=config("p", log=log, **PATIENT))
    with httpx2.stream("GET", f"http://127.0.0.1:{process.port}/p/polite") as response:
        parts = response.iter_text()  # its end would close the connection
        assert next(parts) == "data: open\n\n"
        process.signal(number)
        assert process.wait() == 0
    assert log.read_text().split("\n") == ["listening", "stream ended", "shutdown p", ""]
    assert process.err == ""


def test_a_stream_that_ignores_closing_is_cancelled(
    add_plugin: AddPlugin, serve: Serve, log: Path
) -> None:
    add_plugin("p", STREAMS, base="/p")
    process = serve(config=config("p", log=log, drainTimeout=200))
    with httpx2.stream("GET", f"http://127.0.0.1:{process.port}/p/rude") as response:
        parts = response.iter_text()
        assert next(parts) == "data: open\n\n"
        process.signal()
        assert process.wait() == 0
    assert log.read_text().split("\n")[1:] == ["stream cancelled", "shutdown p", ""]


def test_a_running_request_is_finished(
    add_plugin: AddPlugin, serve: Serve, log: Path, poll: Poll
) -> None:
    add_plugin("p", STREAMS, base="/p")
    process = serve(config=config("p", log=log))
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET /p/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        poll(lambda: "slow" in log.read_text(), "the request")
        process.signal()
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert received.endswith(b"slow but whole")
    assert process.wait() == 0


def test_plugins_stop_in_reverse_whatever_one_does(
    add_plugin: AddPlugin, serve: Serve, log: Path
) -> None:
    for name, before in (("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["c"])):
        add_plugin(name, STREAMS, dependencies=before)
    plugins = [
        ["a", {"log": str(log)}],
        ["b", {"log": str(log), "shutdown": "raise"}],
        ["c", {"log": str(log), "shutdown": "hang"}],
        ["d", {"log": str(log)}],
    ]
    process = serve(config={"plugins": plugins, "hookTimeout": 200})
    assert process.port
    process.signal()
    assert process.wait() == 0
    stopped = [line for line in log.read_text().split("\n") if line.startswith("shutdown")]
    assert stopped == ["shutdown d", "shutdown c", "shutdown b", "shutdown a"]
    errors = [json.loads(line)["message"] for line in process.err.splitlines()]
    assert errors == [
        "Plugin c: on_shutdown timed out after 200ms",
        "Plugin b: on_shutdown failed: RuntimeError: no",
    ]


def test_what_was_loaded_is_left_out_of_the_search_for_garbage(
    add_plugin: AddPlugin, serve: Serve
) -> None:
    reporting = """
    import gc
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    class Plugin:
        def __init__(self, options): pass
        @hookimpl
        def routes(self):
            return [Route("/garbage", self.report)]
        async def report(self, request):
            return JSONResponse([gc.get_freeze_count(), *gc.get_threshold()])
    """
    add_plugin("p", reporting, base="/p")
    process = serve()
    frozen, *thresholds = get(process, "/p/garbage").json()
    assert frozen > 10_000
    assert tuple(thresholds) == GC_THRESHOLDS


def test_threads_and_the_loop_have_the_lock_in_short_turns(
    add_plugin: AddPlugin, serve: Serve
) -> None:
    reporting = """
    import sys
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    class Plugin:
        def __init__(self, options): pass
        @hookimpl
        def routes(self):
            return [Route("/lock", self.report)]
        async def report(self, request):
            return JSONResponse(sys.getswitchinterval())
    """
    add_plugin("p", reporting, base="/p")
    assert get(serve(), "/p/lock").json() == pytest.approx(SWITCH_SECONDS)


def test_exceeding_the_cap_is_exit_code_1(add_plugin: AddPlugin, serve: Serve, log: Path) -> None:
    add_plugin("a", STREAMS)
    add_plugin("b", STREAMS)
    plugins = [["a", {"log": str(log)}], ["b", {"log": str(log), "shutdown": "hang"}]]
    process = serve(config={"plugins": plugins, "shutdownTimeout": 200})
    assert process.port
    process.signal()
    assert process.wait() == 1


def test_the_second_signal_exits_at_once(
    add_plugin: AddPlugin, serve: Serve, log: Path, poll: Poll
) -> None:
    add_plugin("a", STREAMS)
    plugins = [["a", {"log": str(log), "shutdown": "hang"}]]
    process = serve(config={"plugins": plugins, **PATIENT, "hookTimeout": "60s"})
    assert process.port
    process.signal()
    poll(lambda: "shutdown a" in log.read_text(), "the shutdown hook")
    process.signal()
    assert process.wait() == 128 + signal.SIGTERM


def test_a_hook_that_blocks_the_process_is_ended_by_force(
    add_plugin: AddPlugin, serve: Serve, log: Path
) -> None:
    add_plugin("a", STREAMS)
    plugins = [["a", {"log": str(log), "shutdown": "block"}]]
    process = serve(config={"plugins": plugins, "shutdownTimeout": 1000})
    assert process.port
    process.signal()
    assert process.wait() == 1
    assert "Shutdown takes too long" in process.err


def test_a_log_that_nobody_reads_does_not_hold_up_the_forced_exit(
    add_plugin: AddPlugin, tmp_path: Path, child_environ: dict[str, str]
) -> None:
    blocks = """
    import logging, pathlib
    @hookimpl
    def on_shutdown():
        pathlib.Path(LOG).write_text("shutdown")
        while True:  # until the pipe is full, and then for ever, holding the lock of the log
            logging.getLogger("p").error("x" * 10_000)
    """
    log = tmp_path / "log.txt"
    add_plugin("p", blocks.replace("LOG", repr(str(log))))
    (tmp_path / "buntime.jsonc").write_text('{"plugins": ["p"], "shutdownTimeout": 1000}')
    process = subprocess.Popen(
        [sys.executable, "-m", "buntime_host", "serve", "--port", "0"],
        cwd=tmp_path, env=child_environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "listening on" in line:
                    break
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 1
            assert log.read_text() == "shutdown"
        finally:
            process.kill()


async def test_shutdown_begins_with_the_signal_and_not_at_the_next_tick(
    make_host: MakeHost, add_plugin: AddPlugin
) -> None:
    add_plugin("p")
    server = HostServer(make_host(), uvicorn.Config("unused"))
    running = asyncio.create_task(server.main_loop())
    await asyncio.sleep(0)
    server.host.announce_closing()
    async with asyncio.timeout(15):
        await running  # no tick would end it: that `should_exit` is set is for the handler


def test_a_signal_during_the_start_shuts_down_what_has_started(
    add_plugin: AddPlugin, serve: Serve, log: Path, poll: Poll
) -> None:
    add_plugin("slow", WAITS_AT_START.replace("LOG", repr(str(log))))
    process = serve(config={"plugins": ["slow"]})
    poll(lambda: log.read_text() == "init", "on_init")
    process.signal()
    assert process.wait() == 0
    assert log.read_text() == "shutdown"


async def test_websockets(add_plugin: AddPlugin, serve: Serve, log: Path) -> None:
    add_plugin("p", STREAMS, base="/p")
    add_plugin("q", STREAMS, base="/q")
    process = serve(config=config("p", "q", log=log, **PATIENT))
    url = f"ws://127.0.0.1:{process.port}"
    async with connect(f"{url}/p/echo") as one, connect(f"{url}/q/echo") as two:
        await one.send("x")
        await two.send("y")
        # Each socket belongs to one plugin only.
        assert await one.recv() == "p x"
        assert await two.recv() == "q y"
        for origin in ("http://evil.example", "null", "https://127.0.0.1:1"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(f"{url}/p/echo", origin=websockets.Origin(origin))
            response = refused.value.response
            assert response.status_code == 403
            assert json.loads(response.body or b"")["code"] == "ORIGIN_NOT_ALLOWED"
        own = websockets.Origin(f"http://127.0.0.1:{process.port}")
        async with connect(f"{url}/p/echo", origin=own) as same:
            await same.send("z")
            assert await same.recv() == "p z"
        for path in ("/none", "/p/none", "/health"):
            with pytest.raises(websockets.InvalidStatus) as missing:
                await connect(f"{url}{path}")
            assert missing.value.response.status_code == 404
        process.signal()
        for client in (one, two):
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
    assert await asyncio.to_thread(process.wait) == 0
    assert process.err == ""


def test_what_is_served_where_is_logged(add_plugin: AddPlugin, serve: Serve, log: Path) -> None:
    add_plugin("p", STREAMS, base="/p", version="1.2.3")
    process = serve(config=config("p", log=log))
    port = process.port
    assert get(process, "/health/ready").status_code == 200
    first, *messages = (json.loads(line)["message"] for line in process.out.splitlines())
    assert first.startswith("Found, but not in plugins of the configuration: ")
    assert messages == [
        f"Buntime {__version__} listening on http://127.0.0.1:{port}",
        f"p 1.2.3 at http://127.0.0.1:{port}/p",
        f"API at http://127.0.0.1:{port}/api, readiness at http://127.0.0.1:{port}/health/ready",
        "There are no keys: everyone who can reach this address may do everything",
    ]
    assert "server" not in get(process, "/").headers


def test_text_logs(add_plugin: AddPlugin, serve: Serve, poll: Poll) -> None:
    add_plugin("p")
    process = serve(config={"plugins": ["p"]}, RUNTIME_LOG_FORMAT="text")
    poll(lambda: "readiness at" in process.out, "the start")
    assert f" INF [App] Buntime {__version__} listening on http://127.0.0.1:" in process.out
    assert "[App] p 0.0.0 (serves nothing itself)" in process.out


def fails(serve: Serve, *arguments: str, content: dict[str, Any] | None = None, **env: str) -> str:
    """The one line that a host prints that cannot start."""
    process = serve(*arguments, config=content, **env)
    assert process.wait() == 1
    (line,) = process.err.splitlines()
    assert line.startswith("buntime: error: ")
    assert "Traceback" not in process.out
    return line.removeprefix("buntime: error: ")


def test_broken_jsonc(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "buntime.jsonc").write_text('{"plugins": [}')
    assert fails(serve).startswith("[buntime.jsonc] Failed to parse: line 1, column 14")


def test_bad_settings(serve: Serve) -> None:
    assert "environment: must be one of" in fails(serve, NODE_ENV="live")


def test_unknown_plugin(serve: Serve) -> None:
    assert "@me/none was not found" in fails(serve, content={"plugins": ["@me/none"]})


def test_bad_manifest(serve: Serve, add_plugin: AddPlugin) -> None:
    (add_plugin("p") / "manifest.yaml").write_text("name: p\nbase: /a/b\nenabled: 5")
    text = fails(serve, content={"plugins": ["p"]})
    assert "plugins/p/manifest.yaml: base: must be" in text
    assert "enabled: must be true or false" in text


def test_base_collision(serve: Serve, add_plugin: AddPlugin) -> None:
    add_plugin("a", base="/x")
    add_plugin("b", base="/x")
    text = fails(serve, content={"plugins": ["a", "b"]})
    assert text == "Route collision: a and b both want base /x"


def test_port_in_use(serve: Serve, add_plugin: AddPlugin, tmp_path: Path) -> None:
    add_plugin("p", f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text = fails(serve, "--port", port, content={"plugins": ["p"]})
    assert text == f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert not (tmp_path / "ran").exists()


def test_required_strict_and_nothing_at_all(serve: Serve, add_plugin: AddPlugin) -> None:
    add_plugin("bad", "@hookimpl\ndef on_init():\n    raise OSError('disk')")
    add_plugin("good")
    both = ["bad", "good"]
    expected = "required plugin bad: on_init failed: OSError: disk"
    required = fails(serve, content={"plugins": both, "required": ["bad"]})
    assert required.startswith(f"{expected} (")
    assert fails(serve, "--strict", content={"plugins": both}) == required
    assert fails(serve, content={"plugins": ["bad"]}).startswith("no plugin could be loaded: bad")


def test_a_failing_plugin_is_one_line_and_a_traceback_only_at_debug(
    serve: Serve, add_plugin: AddPlugin
) -> None:
    add_plugin("bad", "@hookimpl\ndef on_init():\n    raise OSError('disk')")
    add_plugin("good")
    content = {"plugins": ["bad", "good"]}
    process = serve(config=content)
    ready = get(process, "/health/ready")
    assert ready.status_code == 503
    assert ready.json()["plugins"]["good"]["ready"] is True
    (line,) = process.err.splitlines()
    assert "OSError: disk" in json.loads(line)["message"]
    assert "stack" not in json.loads(line)
    process.signal()
    process.wait()
    process = serve(config=content, RUNTIME_LOG_LEVEL="debug")
    assert process.port
    assert "Traceback (most recent call last)" in process.out


def test_other_machines_need_a_key(serve: Serve, add_plugin: AddPlugin) -> None:
    add_plugin("p")
    content = {"plugins": ["p"]}
    text = fails(serve, "--host", "0.0.0.0", content=content)
    assert text.startswith("refusing to listen on 0.0.0.0 without a key")
    for arguments, env in ((["--insecure"], {}), ([], {"RUNTIME_MASTER_KEY": "k"})):
        process = serve("--host", "0.0.0.0", *arguments, config=content, **env)
        assert get(process, "/health").status_code == 200
        process.signal()
        assert process.wait() == 0


def test_an_address_that_is_not_ours(serve: Serve) -> None:
    text = fails(serve, "--host", "192.0.2.1", "--insecure", content={"plugins": []})
    assert text.startswith("cannot listen on 192.0.2.1 port 0: ")


def test_plain_uvicorn_works_too(
    add_plugin: AddPlugin, tmp_path: Path, log: Path, child_environ: dict[str, str], poll: Poll
) -> None:
    add_plugin("p", STREAMS.replace("server.started", "server is None"), base="/p")
    (tmp_path / "my.jsonc").write_text(json.dumps(config("p", log=log)))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = ("buntime_host:create_app", "--factory", "--port", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *arguments, "--log-level", "warning"],
        cwd=tmp_path,
        env={**child_environ, "BUNTIME_CONFIG": "my.jsonc"},
    )

    def answer() -> httpx2.Response | None:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/health/ready")
        except httpx2.TransportError:
            return None

    try:
        assert poll(answer, "uvicorn").status_code == 200
        process.terminate()
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert log.read_text().split("\n") == ["listening", "shutdown p", ""]
