"""What only shows in a process of its own: terminals, signals, closed pipes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from buntime_keyval import Kv
from client.cli.conftest import Commands, interrupt
from client.proxy import proxy_to
from support.waiting import PATIENCE


def test_tables_are_for_terminals(run: Commands, store: Kv) -> None:
    store.set(["users", 1], {"name": "[bold]Ada\x1b[31m\x9b"})
    store.set(["users", 2], "x" * 1000)
    done = run.at_terminal("list")
    assert done.status == 0
    assert "┃ key " in re.sub(r"\x1b\[\d*m", "", done.out)
    assert "users/1" in done.out
    assert "[bold]Ada\\u001b[31m\\u009b" in done.out
    assert done.out.count("x") == 499  # with the quotation mark in front, 500 characters
    assert json.loads(run.at_terminal("get", "users/1").out) == store.get(["users", 1]).value
    assert "\x9b" not in run.at_terminal("get", "users/1").out
    lines = run.at_terminal("list", "--json").out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == [["users", 1], ["users", 2]]


def test_a_prefix_is_deleted_after_a_yes(run: Commands, store: Kv) -> None:
    store.set(["a", 1], 1)
    done = run.at_terminal("delete", "a", typed="n\n", awaited="[y/N]")
    assert done.status == 1
    assert "Delete a, and everything below? [y/N]" in done.out
    assert "nothing was deleted" in done.out
    assert store.count() == 1
    done = run.at_terminal("delete", "--everything", typed="\n", awaited="[y/N]")
    assert (done.status, store.count()) == (1, 1)
    done = run.at_terminal("delete", "a", typed="y\n", awaited="[y/N]")
    assert (done.status, store.count()) == (0, 0)
    assert done.out.endswith("\n1\n")
    assert run.at_terminal("delete", "a", "--yes").out == "0\n"
    assert run.at_terminal("delete", "a", "--exact").out == "0\n"


def test_progress_at_a_terminal(run: Commands, store: Kv, tmp_path: Path) -> None:
    store.set(["a"], 1)
    file = str(tmp_path / "x")
    done = run.at_terminal("export", "-o", file)
    assert "export" in done.out
    assert "100%" in done.out
    assert "1 entry exported" in done.out
    done = run.at_terminal("import", file)
    assert "100%" in done.out
    assert "1 entry imported" in done.out


def test_watch(run: Commands, store: Kv) -> None:
    store.set(["a"], 1)
    with run.process("watch", "a", "b") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["set\ta\t1\n", "gone\tb\n"]
        store.set(["b"], {"x": 2})
        assert process.stdout.readline() == 'set\tb\t{"x":2}\n'
        store.delete(["a"])
        assert process.stdout.readline() == "gone\ta\n"
        assert interrupt(process) == 130
        assert process.stderr.read() == ""


def test_watch_of_a_prefix_in_json(run: Commands, store: Kv) -> None:
    store.set(["a", 1], 1)
    arguments = ("watch", "a", "--prefix", "--json", "--limit", "3")
    with run.process(*arguments) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["key"] == ["a", 1]
        store.set(["a", 2], 2)
        assert json.loads(process.stdout.readline())["value"] == 2
        store.delete(("a", 1))
        assert json.loads(process.stdout.readline())["versionstamp"] is None
        assert process.wait(PATIENCE) == 0


def test_watch_of_changes_alone(run: Commands, store: Kv) -> None:
    store.set(["a"], 0)
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.05):
            store.atomic().sum(["a"], 1).commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = run.ok("watch", "a", "--changes", "--limit", "1")
    finally:
        stop.set()
        writer.join()
    assert int(done.out.split("\t")[2]) > 0


def test_listen(run: Commands, store: Kv) -> None:
    with run.process("queue", "listen") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for value in range(3):
            sent = store.enqueue(value).id
            assert process.stdout.readline() == f"{sent}\t1\t{value}\n"
        assert interrupt(process) == 130
        assert process.stderr.read() == ""


def test_a_lost_connection_is_told_and_made_again(run: Commands, store: Kv, api: str) -> None:
    with proxy_to(api) as proxy, run.process("watch", "a", "--url", proxy.api) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "gone\ta\n"
        proxy.cut()
        assert "trying again" in process.stderr.readline()
        store.set(["a"], 1)
        assert process.stdout.readline() == "set\ta\t1\n"
        assert interrupt(process) == 130


def test_a_closed_pipe_is_no_traceback(run: Commands, store: Kv) -> None:
    atomic = store.atomic()
    for number in range(1000):
        atomic.set(["n", number], "x" * 500)
    atomic.commit()
    for command in ("list", "export"):
        with run.process(command) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(PATIENCE) == 1
            assert process.stderr.read() == ""


def test_the_module_works_without_the_host(run: Commands) -> None:
    code = "import sys, buntime_keyval; sys.exit('click' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "buntime_keyval.cli", "count"],
        env=run.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "0\n"


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[str | None]]]:
    """The URL of a server that answers any count, and the tokens that it was sent."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"count": 1}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_the_token_is_sent(run: Commands, tokens: tuple[str, list[str | None]]) -> None:
    url, seen = tokens
    run.ok("count", "--url", url, "--token", "a")
    run.ok("--url", url, "--token", "b", "count")
    run.environ["BUNTIME_KV_TOKEN"] = "c"
    with run.process("count", "--url", url) as process:
        assert process.wait(PATIENCE) == 0
    assert seen == ["Bearer a", "Bearer b", "Bearer c"]
