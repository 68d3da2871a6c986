"""The examples run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from buntime_host.testing import running_host
from buntime_keyval import Kv
from support.live import live_server
from support.waiting import PATIENCE, until

EXAMPLES = Path(__file__).parents[2] / "examples"
STORE = (
    ("@buntime/plugin-database", {"adapters": [{"type": "sqlite", "url": "sqlite://:memory:"}]}),
    "@buntime/plugin-keyval",
)


def test_all_of_them_are_tried_and_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {"chat", "fastapi_notes", "short_links", "worker"}
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert all(f"[{name}]({name}/" in text for name in folders)


async def test_short_links(tmp_path: Path) -> None:
    async with running_host(*STORE, EXAMPLES / "short_links", folder=tmp_path) as client:
        assert (await client.get("/go/docs")).status_code == 404
        refused = await client.put("/go/docs", content=b"example.com")
        assert "such as https://example.com" in refused.json()["error"]
        assert (await client.put("/go/docs", content=b"https://example.com/a")).status_code == 200
        followed = await client.get("/go/docs")
        assert followed.status_code == 307
        assert followed.headers["location"] == "https://example.com/a"
        assert (await client.get("/go/docs/uses")).json() == {"uses": 1}


async def test_the_chat(tmp_path: Path) -> None:
    async with running_host(*STORE, EXAMPLES / "chat", folder=tmp_path) as client:
        page = await client.get("/chat/", headers={"accept": "text/html"})
        assert '<base href="' in page.text
        script = (await client.get("/chat/page.js")).text
        assert 'from "../keyval/client.js"' in script
        assert (await client.get("/keyval/client.js")).status_code == 200
        refused = await client.post("/chat/api/messages", json={"who": "Ada"})
        assert "text" in refused.json()["error"]
        for text in ("first", "second"):
            said = await client.post("/chat/api/messages", json={"who": "Ada", "text": text})
            assert said.status_code == 201
        kv = client.host.service("@buntime/plugin-keyval")
        entries = [entry async for entry in kv.list(["chat"])]
        assert [entry.value["text"] for entry in entries] == ["first", "second"]


@pytest.mark.slow
async def test_notes_and_worker_beside_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_server(tmp_path) as server:
        monkeypatch.setenv("KEYVAL_URL", server.api)
        await notes()
        await worker(server.api)


async def notes() -> None:
    app = load(EXAMPLES / "fastapi_notes" / "app.py").app
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://notes") as client,
    ):
        assert (await client.get("/notes/a")).status_code == 404
        assert (await client.put("/notes/a", params={"text": "buy milk"})).status_code == 204
        found = (await client.get("/notes/a")).json()
        assert found == {"name": "a", "text": "buy milk", "done": False}
        assert (await client.get("/notes")).json() == ["a"]


async def worker(url: str) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220 - it is only started
        [sys.executable, EXAMPLES / "worker" / "worker.py"],
        env={**os.environ, "KEYVAL_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with Kv(url) as kv:
            kv.enqueue({"to": "ada@example.com"}, queue="mails")
            await until(lambda: kv.get(["sent", "ada@example.com"]).value is not None)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert log.splitlines()[-1] == "done"
    finally:
        process.kill()
        process.wait()


def load(path: Path) -> ModuleType:
    """A file as a module of its own."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where types are looked for that are named in texts
    spec.loader.exec_module(module)
    return module
