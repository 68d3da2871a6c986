"""A plugin from a folder uses the store in process, beside its clients over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.live import DEFAULT_PLUGINS, live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

PLUGINS = Path(__file__).parent / "plugins"
CONFIG: dict[str, Any] = {
    "pluginDirs": [str(PLUGINS)],
    # First in the list, last in the order of dependencies.
    "plugins": ["@example/guestbook", *DEFAULT_PLUGINS],
}


def test_it_reads_writes_and_serves(tmp_path: Path) -> None:
    for start in (1, 2):
        with live_server(tmp_path, CONFIG) as server, httpx2.Client(timeout=PATIENCE) as client:
            page = f"{server.url}/guestbook/entries"
            assert client.get(page).json()["starts"] == start
            assert f"guestbook: start {start}" in server.output
            for text in ("hello", {"from": "afar"}):
                assert client.post(page, json=text).status_code == 201
            shown = client.get(page).json()
            assert shown["entries"] == ["hello", {"from": "afar"}] * start
            assert shown["changed"] == ["set", "set"]

            starts = client.get(f"{server.api}/keys/guestbook/starts").json()
            assert starts["key"] == ["guestbook", "starts"]
            assert starts["value"] == start
            listed = client.get(f"{server.api}/keys", params={"prefix": "guestbook/entries"})
            assert [entry["value"] for entry in listed.json()] == shown["entries"]

            key = listed.json()[0]["key"]
            gone = client.delete(f"{server.api}/keys/{'/'.join(key)}")
            assert gone.json() == {"deletedCount": 1}
            after = client.get(page).json()
            assert after["changed"] == ["set", "set", "delete"]
            assert after["entries"] == shown["entries"][1:]
            put = client.put(f"{server.api}/keys/guestbook/entries/{key[-1]}", json="hello")
            assert put.json()["ok"] is True
            assert client.get(page).json()["entries"] == shown["entries"]
