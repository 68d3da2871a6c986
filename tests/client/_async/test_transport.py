"""Answers as no server of ours gives them, cut and late: nothing is sent twice, or believed."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AsyncKv,
    ConnectionLost,
    InvalidResponse,
    KvError,
    OutcomeUnknown,
    Retries,
    ServerUnreachable,
    TooLarge,
)
from client._async.beside import Started, sleep, together, until
from client.hostile import Client, Hostile, always, answer, hostile, once
from support.waiting import PATIENCE

ENTRY = b'{"key":["a"],"value":1,"versionstamp":"v"}'
COMMITTED = b'{"ok":true,"versionstamp":"v"}'
SOON: dict[str, Any] = {"retries": 0, "timeout": "10s"}
MEGABYTE = 1024 * 1024

WAYS = pytest.mark.parametrize("way", ["own", "httpx2"])
"""Both of what may send a request."""


def client(server: Hostile, way: str = "own", **options: Any) -> AsyncKv:
    given = httpx2.AsyncHTTPTransport(trust_env=False) if way == "httpx2" else None
    return AsyncKv(server.url, transport=given, **{**SOON, **options})


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(content: bytes, size: int = 7, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    made = b"".join([b"%x%s\r\n%s\r\n" % (len(it), extension, it) for it in pieces])
    return made + b"0\r\n" + trailers + b"\r\n"


CHUNKED = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
UNUSUAL = {
    "plain": answer(ENTRY),
    "no reason": answer(ENTRY, "200 "),
    "large letters": answer(ENTRY).replace(b"content-length", b"CONTENT-LENGTH"),
    "no space": answer(ENTRY).replace(b"length: ", b"length:"),
    "much space": answer(ENTRY).replace(b"length: ", b"length: \t "),
    "the same length twice": answer(ENTRY, "200 OK", f"Content-Length: {len(ENTRY)}"),
    "a list of lengths": head("HTTP/1.1 200 OK", f"content-length: {len(ENTRY)}, {len(ENTRY)}")
    + ENTRY,
    "a folded line": answer(ENTRY, "200 OK", "x-long: a\r\n b"),
    "other letters": answer(ENTRY, "200 OK", "x-name: caf\xe9"),
    "keep-alive": answer(ENTRY, "200 OK", "Connection: Keep-Alive", "Keep-Alive: timeout=5"),
    "chunked": CHUNKED + chunked(ENTRY),
    "chunks with more": CHUNKED + chunked(ENTRY, 5, b';a="b;c"', b"x-sum: 1\r\ny: 2\r\n"),
    "one chunk": CHUNKED + chunked(ENTRY, 1000),
    "100 before": head("HTTP/1.1 100 Continue") + answer(ENTRY),
    "103 twice before": head("HTTP/1.1 103 Early Hints", "link: </a>") * 2 + answer(ENTRY),
    "gzip": answer(gzip.compress(ENTRY), "200 OK", "content-encoding: gzip"),
    "gzip in chunks": head(
        "HTTP/1.1 200 OK", "content-encoding: gzip", "transfer-encoding: chunked"
    )
    + chunked(gzip.compress(ENTRY), 3),
    "deflate": answer(zlib.compress(ENTRY), "200 OK", "content-encoding: deflate"),
    "bare deflate": answer(zlib.compress(ENTRY)[2:-4], "200 OK", "content-encoding: deflate"),
    "gzip by another name": answer(gzip.compress(ENTRY), "200 OK", "content-encoding: x-gzip"),
    "identity": answer(ENTRY, "200 OK", "content-encoding: identity"),
    "gzip twice": answer(
        gzip.compress(gzip.compress(ENTRY)), "200 OK", "content-encoding: gzip, gzip"
    ),
}
LAST = {
    "connection: close": answer(ENTRY, "200 OK", "Connection: close"),
    "HTTP/1.0": answer(ENTRY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "until the end": head("HTTP/1.1 200 OK", "content-type: application/json") + ENTRY,
    "HTTP/1.0 until the end": head("HTTP/1.0 200 OK") + ENTRY,
}
"""After which the connection is of no use."""


@WAYS
@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("piece", [None, 1, 5])
async def test_unusual_answers(way: str, name: str, piece: int | None) -> None:
    if way == "httpx2" and name in ("bare deflate", "gzip by another name"):
        return  # which it does not know, or not in pieces
    with hostile(always(UNUSUAL[name], piece)) as server:
        async with client(server, way) as kv:
            for _ in range(2):
                assert (await kv.get(["a"])).value == 1
        assert (server.connections, len(server.requests)) == (1, 2)


@WAYS
@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("piece", [None, 1])
async def test_answers_that_end_their_connection(way: str, name: str, piece: int | None) -> None:
    with hostile(once(LAST[name], piece)) as server:
        async with client(server, way) as kv:
            for _ in range(2):
                assert (await kv.get(["a"])).value == 1
        assert (server.connections, len(server.requests)) == (2, 2)


BROKEN = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n" * 3,
    "an empty line first": b"\r\n" + answer(ENTRY),
    "no status": b"HTTP/1.1 \r\n\r\n",
    "half a head": answer(ENTRY)[:30],
    "half a content": answer(ENTRY)[:-5],
    "a longer length": answer(ENTRY).replace(b"length: 4", b"length: 9"),
    "a negative length": head("HTTP/1.1 200 OK", "content-length: -1") + ENTRY,
    "a length with a sign": head("HTTP/1.1 200 OK", f"content-length: +{len(ENTRY)}") + ENTRY,
    "a length that is none": head("HTTP/1.1 200 OK", "content-length: many") + ENTRY,
    "a length beyond numbers": head("HTTP/1.1 200 OK", f"content-length: {'9' * 30}") + ENTRY,
    "two lengths": answer(ENTRY, "200 OK", "content-length: 5"),
    "a space in a name": answer(ENTRY, "200 OK", "content type: a"),
    "a space before the colon": answer(ENTRY, "200 OK", "x-name : a"),
    "no colon": answer(ENTRY, "200 OK", "nothing"),
    "a zero byte": answer(ENTRY, "200 OK", "x-name: a\0b"),
    "an unknown coding": head("HTTP/1.1 200 OK", "transfer-encoding: gzip, chunked"),
    "a chunk of no size": CHUNKED + b"x\r\n",
    "a chunk that is longer": CHUNKED + b"5\r\nabcdefgh\r\n0\r\n\r\n",
    "a chunk that is cut": CHUNKED + b"5\r\nabc",
    "no last chunk": CHUNKED + chunked(ENTRY)[:-5],
    "trailers that do not end": CHUNKED + chunked(ENTRY)[:-2] + b"x-sum: 1\r\n",
    "another protocol from now on": head("HTTP/1.1 101 Switching Protocols", "upgrade: x"),
    "103 and no more": head("HTTP/1.1 103 Early Hints"),
    "gzip that is none": answer(ENTRY, "200 OK", "content-encoding: gzip"),
    "gzip that is cut": answer(gzip.compress(ENTRY)[:-3], "200 OK", "content-encoding: gzip"),
}


def get(kv: AsyncKv) -> Any:
    return kv.get(["a"])


def put(kv: AsyncKv) -> Any:
    return kv.set(["a"], 1)


def put_much(kv: AsyncKv) -> Any:
    """More than a network takes that nobody reads from."""
    much = "x" * (9 * MEGABYTE)
    return kv.atomic().set(["a"], much).set(["b"], much).set(["c"], much).commit()


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("piece", [None, 1])
async def test_broken_answers(name: str, piece: int | None) -> None:
    with hostile(once(BROKEN[name], piece)) as server:
        async with client(server) as kv:
            with pytest.raises(ConnectionLost, match=r"no complete answer: ."):
                await get(kv)
            with pytest.raises(OutcomeUnknown, match=r"may have been applied or not: ."):
                await put(kv)
        assert (server.connections, len(server.requests)) == (2, 2)


@WAYS
@pytest.mark.parametrize("kind", ["plain", "chunked"])
async def test_an_answer_that_is_cut_at_each_byte(way: str, kind: str) -> None:
    """A write that may have been applied is sent once, and said to be so."""
    whole = {"plain": answer(COMMITTED), "chunked": CHUNKED + chunked(COMMITTED)}[kind]

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            connection.send(whole[: len(server.requests) - 1])

    with hostile(serve) as server:
        async with client(server, way) as kv:
            for cut in range(len(whole)):
                with pytest.raises(OutcomeUnknown):
                    await put(kv)
                assert (server.connections, len(server.requests)) == (cut + 1, cut + 1)


@WAYS
async def test_a_connection_that_is_cut_at_the_second_request(way: str) -> None:
    """It was fine before, and it was sent: whether it was applied nobody knows."""

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            connection.send(answer(COMMITTED))
            connection.request()

    with hostile(serve) as server:
        async with client(server, way) as kv:
            await put(kv)
            with pytest.raises(OutcomeUnknown):
                await put(kv)
        assert (server.connections, len(server.requests)) == (1, 2)


@WAYS
async def test_a_connection_that_was_closed_between_requests(way: str) -> None:
    """Nothing was sent on it, so the write goes over another one, once."""
    with hostile(once(answer(COMMITTED))) as server:
        async with client(server, way) as kv:
            for number in range(1, 6):
                await put(kv)
                assert (server.connections, len(server.requests)) == (number, number)
                await sleep(0.05)


async def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    """Neither what came with the answer before nor what came later."""
    for late in (False, True):

        def serve(connection: Client, late: bool = late) -> None:
            other = answer(ENTRY.replace(b"1", b'"of another"'))
            while connection.request() is not None:
                connection.send(answer(ENTRY) + (b"" if late else other))
                if late:
                    connection.send(other)

        with hostile(serve) as server:
            async with client(server) as kv:
                for _ in range(5):
                    assert (await kv.get(["a"])).value == 1
                    await sleep(0.02)
            assert (server.connections, len(server.requests)) == (5, 5)


async def test_an_answer_of_another_key_costs_the_connection() -> None:
    with hostile(always(answer(ENTRY))) as server:
        async with client(server) as kv:
            assert (await kv.get(["a"])).value == 1
            with pytest.raises(InvalidResponse, match="for the key"):
                await kv.get(["b"])
            assert (await kv.get(["a"])).value == 1
        assert (server.connections, len(server.requests)) == (2, 3)


async def test_an_error_costs_no_connection() -> None:
    with hostile(always(answer(b'{"error":"what"}', "400 Bad Request"))) as server:
        async with client(server) as kv:
            for _ in range(3):
                with pytest.raises(KvError, match="what"):
                    await kv.get(["a"])
        assert server.connections == 1


@WAYS
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("ends", [True, False])
async def test_an_answer_before_the_request_is_sent(way: str, reads: bool, ends: bool) -> None:
    """It is not waited for in vain that the server takes the rest."""
    if not ends and not reads and way == "httpx2":
        return  # it waits for the server to read

    def serve(connection: Client) -> None:
        if connection.head() is None:
            return
        connection.send(answer(b'{"error":"too large"}', "413 Content Too Large"))
        if reads or not ends:
            connection.gone() if reads else finish.wait(PATIENCE)

    finish = threading.Event()
    with hostile(serve) as server:
        async with client(server, way, timeout="5s") as kv:
            try:
                await put_much(kv)
            except TooLarge:
                pass
            except OutcomeUnknown:
                # A server that does not read what comes resets the connection, and what it said
                # before is lost with some luck of the network; it is never taken for a success.
                assert ends
                assert not reads
            else:
                pytest.fail("it was refused")
            finish.set()
        assert len(server.requests) == 1


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a head": (b"HTTP/1.1 200 OK\r\n", b"x-more: %s\r\n" % (b"y" * 1000)),
    "one header": (b"HTTP/1.1 200 OK\r\nx-more: ", b"y" * 1000),
    "a status": (b"HTTP/1.1 200 ", b"OK" * 500),
    "announcements": (b"", head("HTTP/1.1 103 Early Hints", "x: y") * 20),
    "what extends a chunk": (CHUNKED + b"5;a=", b"b" * 1000),
    "trailers": (CHUNKED + b"0\r\n", b"x-more: %s\r\n" % (b"y" * 1000)),
    "white space": (b"HTTP/1.1 200 OK\r\nx-more:", b" " * 1000),
    "folded lines": (b"HTTP/1.1 200 OK\r\nx-more: a\r\n", b" b\r\n" * 300),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_answers_that_do_not_end(name: str) -> None:
    """The client goes when it is enough, and the server cannot make it keep everything."""
    first, more = ENDLESS[name]

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            connection.send(first)
            connection.endlessly(more)

    with hostile(serve) as server:
        async with client(server) as kv:
            with pytest.raises(ConnectionLost):
                await kv.get(["a"])
    assert server.sent < 32 * MEGABYTE


async def test_a_server_that_says_nothing() -> None:
    def serve(connection: Client) -> None:
        while connection.request() is not None:
            pass

    with hostile(serve) as server:
        async with client(server, timeout="100ms") as kv:
            with pytest.raises(ConnectionLost, match="in time"):
                await get(kv)
            with pytest.raises(OutcomeUnknown, match="in time"):
                await put(kv)
        assert (server.connections, len(server.requests)) == (2, 2)


async def test_a_server_that_takes_nothing() -> None:
    finish = threading.Event()
    with hostile(lambda connection: finish.wait(PATIENCE)) as server:
        async with client(server, timeout="200ms") as kv:
            with pytest.raises(OutcomeUnknown, match="in time"):
                await put_much(kv)
        finish.set()


async def test_a_large_request_while_the_server_talks() -> None:
    """It is taken in turns, as it has to be where both have a full pipe."""
    value = "x" * (8 * MEGABYTE)
    content = json.dumps({"key": ["a"], "value": value, "versionstamp": "v"}).encode()

    def serve(connection: Client) -> None:
        while (request := connection.request()) is not None:
            sizes.append(len(request))
            connection.send(head("HTTP/1.1 103 Early Hints"))
            connection.send(answer(COMMITTED if request.startswith(b"PUT") else content))

    sizes: list[int] = []
    with hostile(serve) as server:
        async with client(server) as kv:
            await kv.set(["a"], value)
            assert (await kv.get(["a"])).value == value
            await kv.set(["a"], value)
        assert server.connections == 1
    assert sizes[0] > len(value)
    assert sizes[0] == sizes[2]


EVENTS = head("HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked")


def event(number: int) -> bytes:
    entry = b'[{"key":["a"],"value":%d,"versionstamp":"v%d"}]' % (number, number)
    return b"id: v%d\nevent: change\ndata: %s\n\n" % (number, entry)


@WAYS
@pytest.mark.parametrize("ends", ["clean", "cut", "reset"])
async def test_streams_whose_connection_ends(way: str, ends: str) -> None:
    """What was told is told, and another stream goes on."""

    def serve(connection: Client) -> None:
        if connection.request() is None:
            return
        number = server.connections
        connection.send(EVENTS + chunked(event(number))[:-5])
        if ends == "clean":
            connection.send(b"0\r\n\r\n")
        elif ends == "cut":
            connection.send(b"5\r\nid: ")

    seen: list[Any] = []
    with hostile(serve) as server:
        async with (
            client(server, way) as kv,
            kv.watch(["a"], on_error=lambda error: None) as watch,
        ):
            async for entries in watch:
                seen.extend(entry.value for entry in entries)
                if len(seen) >= 3:
                    break
        assert server.connections >= 3
    assert seen[:3] == [1, 2, 3]


@WAYS
async def test_a_stream_that_is_stopped_while_nothing_comes(way: str) -> None:
    finish = threading.Event()

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            connection.send(EVENTS + chunked(event(1))[:-5])
            connection.gone()
            finish.set()

    with hostile(serve) as server:
        async with client(server, way) as kv:
            watch = kv.watch(["a"])
            assert (await anext(watch))[0].value == 1
            await watch.stop()
            await until(finish.is_set)  # its connection is closed


async def test_what_goes_on_the_wire() -> None:
    with hostile(always(answer(COMMITTED))) as server:
        base = server.url.replace("localhost", "me:s%20ecret@LOCALHOST") + "/a b/ü/%7E"
        async with AsyncKv(base, headers={"X-Tenant": "a", "Accept": "*/*"}, **SOON) as kv:
            await kv.set(["x", "é", 1], 1)
    lines = server.requests[0].split("\r\n")
    port = server.url.rpartition(":")[2]
    assert lines[0] == "PUT /a%20b/%C3%BC/%7E/keys/x/%C3%A9/1 HTTP/1.1"
    sent = dict(line.split(": ") for line in lines[1:])
    assert len(sent) == len(lines) - 1, "no header comes twice"
    assert sent.pop("x-request-id")
    assert sent == {
        "host": f"localhost:{port}",
        "accept-encoding": "gzip, deflate",
        "accept": "*/*",
        "user-agent": "buntime-keyval",
        "x-tenant": "a",
        "authorization": "Basic bWU6cyBlY3JldA==",
        "content-type": "application/json",
        "content-length": "1",
    }


async def test_a_socket_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with hostile(always(answer(ENTRY)), path=path) as server:
        for way in ("own", "httpx2"):
            given = httpx2.AsyncHTTPTransport(uds=str(path)) if way == "httpx2" else None
            async with AsyncKv(
                "http://kv/api", unix_socket=str(path), transport=given, **SOON
            ) as kv:
                assert (await kv.get(["a"])).value == 1
    assert [it.split("\r\n")[1].lower() for it in server.requests] == ["host: kv", "host: kv"]
    async with AsyncKv("http://kv/api", unix_socket=str(tmp_path / "none"), **SOON) as kv:
        with pytest.raises(ServerUnreachable):
            await kv.get(["a"])


async def test_a_proxy_gets_the_whole_address() -> None:
    with hostile(always(answer(ENTRY))) as server:
        async with AsyncKv("http://kv.example/api", proxy=server.url, **SOON) as kv:
            assert (await kv.get(["a"])).value == 1
    assert server.requests[0].startswith("GET http://kv.example/api/keys/a HTTP/1.1\r\n")


async def test_places_that_become_free_go_to_who_waits_longest() -> None:
    going = threading.Event()

    def serve(connection: Client) -> None:
        while connection.request() is not None:
            going.wait(PATIENCE)
            connection.send(answer(COMMITTED))

    with hostile(serve) as server:
        async with client(server, max_connections=2) as kv:
            writes = [Started(lambda number=number: kv.set([number], 1)) for number in range(8)]
            await until(lambda: len(server.requests) == 2)
            assert server.connections == 2
            going.set()
            for write in writes:
                assert (await write.result()).ok
        assert (server.connections, len(server.requests)) == (2, 8)


async def test_closing_ends_what_is_under_way() -> None:
    finish = threading.Event()

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            finish.wait(PATIENCE)

    async def failing(kv: AsyncKv, write: Callable[[AsyncKv], Any]) -> BaseException | None:
        try:
            await write(kv)
        except KvError as error:
            return error
        return None

    with hostile(serve) as server:
        kv = client(server, max_connections=2, retries=Retries(times=2, first_delay=1))
        calls = [Started(failing, kv, call) for call in (get, put, get, put)]
        await until(lambda: len(server.requests) == 2)
        await kv.aclose()
        outcomes = [await call.result() for call in calls]
        assert all(isinstance(outcome, KvError) for outcome in outcomes), outcomes
        finish.set()


async def test_many_at_once_get_their_own_answers() -> None:
    def serve(connection: Client) -> None:
        while (request := connection.request()) is not None:
            number = int(request.split(b" ")[1].rpartition(b"/")[2])
            connection.send(
                answer(b'{"key":["n",%d],"value":%d,"versionstamp":"v"}' % (number, number))
            )

    with hostile(serve) as server:
        async with client(server, max_connections=7) as kv:

            def ask(number: int) -> Callable[[], Any]:
                return lambda: kv.get(["n", number])

            for _ in range(5):
                entries = await together(*[ask(number) for number in range(40)])
                assert [entry.value for entry in entries] == list(range(40))
        assert server.connections <= 7
