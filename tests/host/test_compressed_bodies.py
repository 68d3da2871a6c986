"""Bodies that were compressed: plugins get them plain, and never more than the limit."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from buntime_host.errors import BadRequest, PayloadTooLarge
from buntime_host.http.inflate import PIECE_BYTES, Inflated
from starlette.types import Message, Receive
from support.live import live_server

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

ECHO = """
import hashlib, json
class Plugin:
    def __init__(self, options):
        pass
    @hookimpl
    def routes(self):
        return self.app
    async def app(self, scope, receive, send):
        body = b""
        error = None
        try:
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        except Exception as caught:
            if scope["path"].endswith("careless"):
                error = repr(caught)
            else:
                raise
        answer = {
            "headers": {k.decode(): v.decode() for k, v in scope["headers"]},
            "size": len(body), "digest": hashlib.sha256(body).hexdigest(), "error": error,
        }
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"""
LIMIT = 1024 * 1024
GZIP = {"content-encoding": "gzip"}
TEXT = b"some text that repeats, " * 20_000
RANDOM = random.Random(7).randbytes(300_000)


@pytest.fixture
def echo(make_host: MakeHost, add_plugin: AddPlugin) -> Any:
    add_plugin("echo", ECHO, base="/echo", maxBodySize=LIMIT)
    return make_host()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("plain", [b"", b"x", TEXT, RANDOM, b"0" * LIMIT])
@pytest.mark.parametrize("encoding", ["gzip", "GZip", "x-gzip", "identity, gzip"])
async def test_a_plugin_gets_the_plain_body(
    echo: Any, call: Call, plain: bytes, encoding: str
) -> None:
    packed = gzip.compress(plain)
    async with echo as host:
        for body in (packed, cut(packed, 7 if len(packed) < 5000 else 4096)):
            answer = await call(host, "POST", "/echo/", {"content-encoding": encoding}, body)
            got = answer.json
            assert (answer.status, got["size"]) == (200, len(plain))
            wanted = await call(host, "POST", "/echo/", {}, plain)
            assert got["digest"] == wanted.json["digest"]
            assert not {"content-encoding", "content-length"} & got["headers"].keys()


@pytest.mark.parametrize("encoding", ["identity", "", " Identity "])
async def test_what_is_not_compressed_stays_as_it_is(echo: Any, call: Call, encoding: str) -> None:
    async with echo as host:
        answer = await call(host, "POST", "/echo/", {"content-encoding": encoding}, b"plain")
        assert (answer.status, answer.json["size"]) == (200, 5)
        assert answer.json["headers"]["content-length"] == "5"


@pytest.mark.parametrize(
    "encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress", "gzip;q=1"]
)
async def test_other_encodings_are_refused_with_those_that_are_understood(
    echo: Any, call: Call, encoding: str
) -> None:
    async with echo as host:
        for body in (b"data", [b"data"]):
            answer = await call(host, "POST", "/echo/", {"content-encoding": encoding}, body)
            assert answer.status == 415
            assert answer.headers["accept-encoding"] == "gzip, identity"
            assert answer.code == "UNSUPPORTED_ENCODING"
            assert "use one of gzip, identity" in answer.json["error"]
        answer = await call(host, "GET", "/echo/", {"content-encoding": encoding})
        assert answer.status == 200, "there is no body to understand"


BROKEN = {
    "cut off": gzip.compress(TEXT)[:-1],
    "without an end": gzip.compress(TEXT)[: len(gzip.compress(TEXT)) // 2],
    "garbage": b"garbage",
    "plain": TEXT,
    "zlib": zlib.compress(TEXT),
    "a wrong sum": gzip.compress(TEXT)[:-8] + b"12345678",
    "two of them": gzip.compress(TEXT) * 2,
    "something behind it": gzip.compress(TEXT) + b"\0",
}


@pytest.mark.parametrize("path", ["/echo/", "/echo/careless"])
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_whole_gzip_is_refused(
    echo: Any, call: Call, body: bytes, path: str
) -> None:
    async with echo as host:
        for sent in (body, cut(body, 1000)):
            answer = await call(host, "POST", path, GZIP, sent)
            assert (answer.status, answer.code) == (400, "INVALID_ENCODING")
            assert answer.json["error"].startswith("The body is not whole gzip: ")


@pytest.mark.parametrize("path", ["/echo/", "/echo/careless"])
async def test_the_limit_is_for_what_comes_out(echo: Any, call: Call, path: str) -> None:
    bomb = gzip.compress(b"0" * (200 * LIMIT))
    assert len(bomb) < LIMIT
    async with echo as host:
        for body in (bomb, cut(bomb, 4096), gzip.compress(b"0" * (LIMIT + 1))):
            answer = await call(host, "POST", path, GZIP, body)
            assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_compressed_bytes_that_nothing_comes_of_are_counted(echo: Any, call: Call) -> None:
    nothing = b"\0\0\0\xff\xff" * (LIMIT // 5 + 1)  # stored blocks of no bytes
    head = gzip.compress(b"")[:10]
    async with echo as host:
        answer = await call(host, "POST", "/echo/", GZIP, [head, *cut(nothing, 65536), b"\3\0"])
        assert answer.status == 413


def of(chunks: list[bytes]) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    return receive


async def test_no_more_is_inflated_than_is_read() -> None:
    bomb = gzip.compress(b"0" * (200 * LIMIT))
    tracemalloc.start()
    try:
        body = Inflated(LIMIT, of([bomb]))
        for _ in range(10):
            assert len((await body.receive())["body"]) == PIECE_BYTES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * PIECE_BYTES


async def test_nothing_is_inflated_before_the_whole_of_it_is_there() -> None:
    bomb = gzip.compress(b"0" * LIMIT)
    messages: asyncio.Queue[Message] = asyncio.Queue()
    body = Inflated(LIMIT, messages.get)
    messages.put_nowait({"type": "http.request", "body": bomb[:-1], "more_body": True})
    reading = asyncio.create_task(body.receive())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reading.done(), "a client may stop here, and would have a megabyte kept for it"
    messages.put_nowait({"type": "http.request", "body": bomb[-1:], "more_body": False})
    assert len((await reading)["body"]) == PIECE_BYTES


async def test_others_have_their_turn_while_a_body_is_inflated() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    body = Inflated(LIMIT, of([gzip.compress(b"0" * (16 * PIECE_BYTES))]))
    while (await body.receive())["more_body"]:
        pass
    task.cancel()
    assert turns >= 16


async def test_who_leaves_is_gone_and_refusals_have_their_errors() -> None:
    async def left() -> Message:
        return {"type": "http.disconnect"}

    assert await Inflated(LIMIT, left).receive() == {"type": "http.disconnect"}
    with pytest.raises(BadRequest):
        await Inflated(LIMIT, of([b"garbage"])).receive()
    with pytest.raises(PayloadTooLarge):
        await Inflated(3, of([gzip.compress(b"")])).receive()


def test_every_plugin_has_it(tmp_path: Path) -> None:
    config = {
        "plugins": [
            [
                "@buntime/plugin-database",
                {"adapters": [{"type": "sqlite", "baseDir": "data"}], "api": {"write": True}},
            ],
            "@buntime/plugin-keyval",
        ]
    }
    with live_server(tmp_path, config) as server, httpx2.Client() as client:

        def send(method: str, path: str, body: bytes) -> Any:
            packed = gzip.compress(body)
            response = client.request(method, server.url + path, content=packed, headers=GZIP)
            assert response.status_code == 200, response.text
            return response.json()

        send("PUT", "/keyval/api/keys/a", b'{"big": true}')
        send("PUT", "/keyval/api/keys/a/1", b"1")
        assert send("DELETE", "/keyval/api/keys/a", b'{"exact": true}') == {"deletedCount": 1}
        query = b'{"sql": "SELECT count(*) AS n FROM kv_entries"}'
        assert send("POST", "/database/api/query", query)["rows"] == [{"n": 1}]
        pipeline = b'{"baton": null, "requests": [{"type": "close"}]}'
        assert send("POST", "/database/v2/pipeline", pipeline)["results"][0]["type"] == "ok"
        bomb = gzip.compress(b'"' + b"0" * (64 * LIMIT) + b'"')
        response = client.put(f"{server.api}/keys/bomb", content=bomb, headers=GZIP)
        assert (response.status_code, response.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
