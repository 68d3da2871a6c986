"""The plugin of the guide keeps files in the store, where everybody else sees them too."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from buntime_host import Host
from buntime_host.config import parse_config

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
FILES = dict(re.findall(r"<!-- files: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL))


async def test_the_documented_plugin(tmp_path: Path) -> None:
    assert list(FILES) == ["manifest.yaml", "plugin.py"]
    folder = tmp_path / "plugins" / "files"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    database = {"adapters": [{"type": "sqlite", "baseDir": str(tmp_path)}]}
    plugins = [
        ["@buntime/plugin-database", database], "@buntime/plugin-keyval", "@example/files",
    ]  # fmt: skip
    config = {"plugins": plugins, "pluginDirs": [str(tmp_path / "plugins")]}
    async with (
        Host(parse_config(config, tmp_path)) as host,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=host), base_url="http://127.0.0.1"
        ) as client,
    ):
        assert (await client.get("/files/a")).status_code == 404
        for content in (b"\x00\xff", b"text"):
            assert (await client.put("/files/a", content=content)).status_code == 204
            answer = await client.get("/files/a")
            assert (answer.content, answer.headers["content-type"]) == (
                content, "application/octet-stream",
            )  # fmt: skip
        shown = (await client.get("/keyval/api/keys/files/a")).json()["value"]
        refused = await client.put(f"/files/{'a' * 1025}", content=b"x")
        assert (refused.status_code, "too long" in refused.text) == (400, True)
        refused = await client.put("/files/large", content=b"x" * 9_000_000)
        assert (refused.status_code, "too large" in refused.text) == (400, True)
        assert shown == {"__type": "uint8array", "value": "dGV4dA=="}
        for value in ({"n": 1}, shown):
            await client.put("/keyval/api/keys/files/b", json=value)
            answer = await client.get("/files/b")
            expected = (b'{"n":1}', "application/json") if value != shown else (
                b"text", "application/octet-stream",
            )  # fmt: skip
            assert (answer.content, answer.headers["content-type"]) == expected
