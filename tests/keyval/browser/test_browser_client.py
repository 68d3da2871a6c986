"""The client for pages, in node and in Chromium; its types are checked with those of the pages."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page
from support.browser import open_browser
from support.examples import parse_documents
from support.live import LiveServer, live_server
from support.nginx import running_nginx
from support.npm import NODE_SECONDS, node_program

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
UI = ROOT / "plugins" / "plugin-keyval" / "ui"
DOCS = ROOT / "docs" / "browser-client.md"
MASTER = "k" * 44
BELOW = """
server {
    listen 127.0.0.1:PORT;
    location /below/ {
        proxy_pass SERVER/;
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_read_timeout 500ms;
        proxy_set_header Host $http_host;
    }
}
"""


def test_in_node(shared_server: LiveServer) -> None:
    node = node_program()
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", Path(__file__).with_name("client.mjs")],
        env={**os.environ, "KV": shared_server.api, "CLIENT": (UI / "client.js").as_uri()},
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_the_examples_of_its_page(page: Page, shared_server: LiveServer) -> None:
    text = DOCS.read_text("utf-8")
    printed = "\n".join(re.findall(r"^```json\n(.*?)^```$", text, re.M | re.S))
    script = "\n".join(re.findall(r"^```js\n(.*?)^```$", text, re.M | re.S))
    script = re.sub(
        r'^import (\{.*\}) from ("[^"]+");$', r"const \1 = await import(\2);", script, flags=re.M
    )
    page.goto(f"{shared_server.url}/health")
    told = page.evaluate(
        f"""async () => {{
            const told = [];
            const console = {{ log: (...values) => told.push(...structuredClone(values)) }};
            {script}
            return told;
        }}"""
    )
    assert told == parse_documents(printed)


FOLLOWING = """
async ([module, key, target]) => {
    const { KeyVal } = await import(module);
    Object.assign(window, { steps: [], states: [], failure: null });
    const kv = new KeyVal({ key });
    window.watch = kv.watch(target, { onState: (state) => states.push(state) });
    (async () => {
        for await (const changes of watch) {
            steps.push(changes.map((it) => [it.key, it.value, it.versionstamp === null]));
        }
    })().catch((error) => { window.failure = [error.code, error.status]; });
}
"""


def test_a_watch_of_a_page_with_a_key_below_a_prefix(page: Page, tmp_path: Path) -> None:
    environ = {"RUNTIME_MASTER_KEY": MASTER}
    with (
        live_server(tmp_path, environ=environ) as server,
        running_nginx(tmp_path, BELOW.replace("SERVER", server.url)) as port,
        httpx2.Client(base_url=server.url, headers={"x-api-key": MASTER}) as other,
    ):

        def write(key: str, value: object) -> None:
            assert other.put(f"/keyval/api/keys/{key}", json=value).status_code == 200

        def follow(key: str, target: object) -> None:
            page.evaluate(FOLLOWING, [f"{origin}/below/keyval/client.js", key, target])

        grant = {"name": "page", "permissions": ['keyval:read:["rooms"]']}
        key = other.post("/api/keys", json=grant).json()["data"]["key"]
        origin = f"http://127.0.0.1:{port}"
        page.goto(f"{origin}/below/health")
        write("rooms/a", 1)
        follow(key, {"prefix": ["rooms"]})
        page.wait_for_function("steps.length === 1")
        write("rooms/b", 2)
        page.wait_for_function("steps.length === 2")

        # The proxy ends a stream that is silent for half a second.
        page.wait_for_function("states.filter((state) => state === 'waiting').length === 2")
        other.delete("/keyval/api/keys/rooms/a")
        page.wait_for_function("states.filter((state) => state === 'waiting').length === 3")
        write("rooms/c", 3)
        page.wait_for_function("steps.length === 4")
        assert page.evaluate("steps") == [
            [[["rooms", "a"], 1, False]],
            [[["rooms", "b"], 2, False]],
            [[["rooms", "a"], None, True]],
            [[["rooms", "c"], 3, False]],
        ]
        assert page.evaluate("states.slice(0, 4)") == [
            "connecting",
            "open",
            "waiting",
            "connecting",
        ]
        page.evaluate("watch.stop()")
        assert page.evaluate("[watch.state, failure]") == ["ended", None]

        for refused, target, failure in (
            (key, {"keys": [["secret"]]}, ["PERMISSION_DENIED", 403]),
            ("btk_wrong", {"keys": [["rooms", "a"]]}, ["AUTH_REQUIRED", 401]),
            (key, {"keys": []}, ["INVALID_INPUT", 400]),
        ):
            follow(refused, target)
            page.wait_for_function("failure !== null")
            assert page.evaluate("[failure, watch.state]") == [failure, "ended"]
