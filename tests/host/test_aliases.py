"""Older paths of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from host.test_dispatch import ECHO

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

ALIASES = """
@hookimpl
def aliases():
    return {RETURNED}
"""
PLUGIN = f"""{ECHO}
    @hookimpl
    def aliases(self):
        return {{"/_/old-kv": "/api"}}
    @hookimpl
    def on_response(self, response, app, request):
        response.headers["x-seen"] = request.url.path
"""


@pytest.mark.parametrize("prefix", ["", "/_"])
async def test_an_old_path_is_the_new_one_for_everybody(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, prefix: str
) -> None:
    add_plugin("kv", PLUGIN, base="/kv", maxBodySize="1kb")
    async with make_host({"apiPrefix": prefix}) as host:
        for old, new in [
            ("/_/old-kv/keys/a%2Fb?x=1", "/kv/api/keys/a/b"),
            ("/_/old-kv", "/kv/api"),
            ("/_/old-kv/", "/kv/api/"),
        ]:
            answer = await call(host, "POST", old, body=b"1")
            assert answer.status == 200
            assert answer.json["path"] == new == answer.headers["x-seen"]
            assert answer.json["root"] == "/kv"
            raw = old.partition("?")[0].replace("/_/old-kv", "/kv/api")
            assert answer.json["raw"] == raw
        too_large = await call(host, "POST", "/_/old-kv/a", body=b"x" * 2000)
        assert too_large.status == 413
        for path in ("/_/old-kvx", "/_/old%2Dkv/a", "/_", "/_/other"):
            assert (await call(host, path=path)).code == "NOT_FOUND"
        assert (await call(host, path=f"{prefix}/api/health")).status == 200


async def test_below_a_root_path(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    add_plugin("kv", PLUGIN, base="/kv")
    async with make_host() as host:

        async def below(scope, receive, send):  # type: ignore[no-untyped-def]
            await host({**scope, "root_path": "/app"}, receive, send)

        answer = await call(below, path="/app/_/old-kv/x")
        assert answer.json["path"] == "/app/kv/api/x"
        assert answer.json["raw"] == "/app/kv/api/x"


@pytest.mark.parametrize(
    "returned",
    ['{"/one": "/api"}', '{"/a/b": "api"}', '{"/a/b/": ""}', '["/a/b"]', '{"/a/%20": ""}'],
)
async def test_what_is_no_alias_is_refused(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, returned: str
) -> None:
    add_plugin("kv", ALIASES.replace("{RETURNED}", returned), base="/kv")
    add_plugin("other")
    async with make_host() as host:
        assert "aliases()" in str(host.statuses["kv"].reason)
