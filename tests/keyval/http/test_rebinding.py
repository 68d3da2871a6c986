"""A page on the web whose name was made to mean this machine, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from buntime_keyval import Kv
from support.browser import open_browser
from support.live import live_server

pytestmark = pytest.mark.slow

NAME = "evil.example"
TRIES = """async (base) => {
    const found = {};
    for (const [name, path, init] of [
        ["read", "/keyval/api/keys/a", {}],
        ["write", "/keyval/api/keys/b", {method: "PUT", body: "2"}],
        ["delete", "/keyval/api/keys/a", {method: "DELETE"}],
        ["take", "/keyval/api/queue/poll", {}],
        ["sql", "/database/api/tables", {}],
        ["keys", "/api/keys", {method: "POST", body: '{"name":"k","role":"admin"}'}],
    ]) {
        const answer = await fetch(base + path, init);
        found[name] = answer.status;
    }
    found.events = await new Promise((done) => {
        const source = new EventSource(base + "/keyval/api/watch?prefix=%5B%5D");
        source.onopen = () => done("open");
        source.onerror = () => { source.close(); done("refused"); };
    });
    found.socket = await new Promise((done) => {
        const socket = new WebSocket(base.replace("http", "ws") + "/database/api");
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    });
    return found;
}"""


def test_it_reads_and_writes_nothing(tmp_path: Path) -> None:
    with live_server(tmp_path) as server:
        base = f"http://{NAME}:{server.url.rpartition(':')[2]}"
        with Kv(server.api) as kv:
            kv.set(["a"], 1)
            with open_browser(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as browser:
                page = browser.new_page()
                answer = page.goto(f"{base}/health")
                assert answer is not None
                assert answer.status == 421
                found = page.evaluate(TRIES, base)
            assert found == {
                **dict.fromkeys(("read", "write", "delete", "take", "sql", "keys"), 421),
                "events": "refused",
                "socket": "refused",
            }
            entry = kv.get(["a"])
            assert entry is not None
            assert entry.value == 1
            assert kv.count([]) == 1
