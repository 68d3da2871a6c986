"""What comes from a node, or from a proxy before it, and is no answer."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from buntime_database import DatabaseUnavailable, OutcomeUnknown
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.nodes import _results

STRANGE = [
    b"",
    b"<html>busy</html>",
    b"\xff\xfe",
    b'{"results": [{"error": "\xff"}], "nodes": [{"api_addr": "\xff"}]}',
    b"[]",
    b"7",
    b'{"results": 7, "nodes": 7}',
    b'{"results": [7], "nodes": [7]}',
    b'{"results": null, "nodes": [{"api_addr": 7}]}',
    b"[" * 100_000,
    b'{"results": [{"values": ' + b"[" * 100_000,
]


@pytest.mark.parametrize("content", STRANGE)
def test_what_is_no_answer_is_an_error_of_the_database(content: bytes) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"^node: the answer"):
        _results("node", 200, content, wrote=False)
    with pytest.raises(OutcomeUnknown, match="may have been carried out"):
        _results("node", 200, content, wrote=True)


@pytest.mark.parametrize("content", STRANGE)
async def test_who_does_not_tell_of_nodes_is_passed_over(content: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=content)

    app = web.Application()
    app.router.add_get("/nodes", answer)
    async with TestServer(app) as server:
        adapter = RqliteAdapter([str(server.make_url("")).rstrip("/")])
        try:
            await adapter._nodes._find_leader()
            assert adapter._nodes.leaders == 0
        finally:
            await adapter.close()
