"""Answers of targets that are wrong, or can be read in two ways, and connections that end."""

from __future__ import annotations

import gzip
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from buntime_plugin_proxy.config import ProxyConfig
from buntime_plugin_proxy.upstream.origin import Origin
from buntime_plugin_proxy.upstream.pool import UpstreamPool
from proxy.conftest import Serve, client_for
from proxy.raw_target import RawTarget, raw_target
from support.database import wait_until
from support.live import LiveServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def running() -> Iterator[RawTarget]:
    with raw_target() as target:
        yield target


@pytest.fixture(scope="module")
def server(serve: Serve, running: RawTarget) -> Iterator[LiveServer]:
    page = {"pattern": "^/page", "target": running.url, "base": "/p"}
    with serve(page, {"pattern": "^/", "target": running.url}, maxHtmlSize="100kb") as started:
        yield started


@pytest.fixture(scope="module")
def shared_client(server: LiveServer) -> Iterator[httpx2.Client]:
    with client_for(server) as client:
        yield client


@pytest.fixture
def raw(running: RawTarget) -> RawTarget:
    running.answers.clear()
    running.received.clear()
    running.ends_connections = True
    return running


@pytest.fixture
def client(shared_client: httpx2.Client) -> httpx2.Client:
    return shared_client


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nx-a: b\x01c\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx a: b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: %s\r\ncontent-length: 0\r\n\r\n" % (b"a" * 70_000),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 30 + OK,
        b"HTTP/1.1 200 OK\r\nconte",
    ],
)
def test_what_is_no_answer(client: httpx2.Client, raw: RawTarget, answer: bytes) -> None:
    raw.answers = [answer]
    got = client.get("/x")
    assert (got.status_code, got.json()["code"]) == (502, "BAD_GATEWAY")
    assert ("more than 65536 bytes" in got.json()["error"]) == (len(answer) > 65_536)
    assert len(raw.received) == 1


def test_answers_up_to_the_end_of_the_connection(client: httpx2.Client, raw: RawTarget) -> None:
    raw.answers = [b"HTTP/1.1 200 OK\r\n\r\nall of it", b"HTTP/1.0 200 OK\r\n\r\nold"]
    assert client.get("/x").content == b"all of it"
    assert client.get("/x").content == b"old"


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\nxx\r\n",
    ],
)
def test_a_cut_answer_is_seen_as_one(
    client: httpx2.Client, raw: RawTarget, server: LiveServer, cut: bytes
) -> None:
    raw.answers = [cut]
    told = server.output.count("broke off")
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/x")
    wait_until(lambda: server.output.count("broke off") == told + 1)
    assert "The answer to GET /x broke off: rule static-1: Proxy error" in server.output
    assert "without completing" not in server.output
    assert "Unhandled" not in server.output


def test_what_has_no_content_has_no_length(client: httpx2.Client, raw: RawTarget) -> None:
    for _ in range(2):  # on a new connection, and on one that was kept
        raw.answers = [b"HTTP/1.1 204 No Content\r\nx-a: b\r\ncontent-length: 5\r\n\r\n", OK]
        raw.ends_connections = False
        answer = client.get("/x")
        assert (answer.status_code, answer.headers["x-a"]) == (204, "b")
        assert "content-length" not in answer.headers
        assert client.get("/x").content == b"ok"


def test_what_is_said_before_the_answer_is_passed_over(
    client: httpx2.Client, raw: RawTarget
) -> None:
    raw.answers = [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK]
    answer = client.get("/x")
    assert (answer.status_code, answer.content, "link" in answer.headers) == (200, b"ok", False)


def test_what_nobody_asked_for_is_nobodys_answer(client: httpx2.Client, raw: RawTarget) -> None:
    """A second answer behind the first must not be taken for that of the next request."""
    raw.ends_connections = False
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    raw.answers = [OK + evil, OK, OK]
    before = raw.connections
    for _ in range(3):
        answer = client.get("/x")
        assert (answer.status_code, answer.content) == (200, b"ok")
    assert raw.connections == before + 2
    raw.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", OK]
    assert client.head("/x").status_code == 200
    assert client.get("/x").content == b"ok"


def test_an_answer_that_begins_as_another_did_is_read_as_a_new_one(
    client: httpx2.Client, raw: RawTarget
) -> None:
    """Only what is whole at once, and no longer than its head says, goes without a parser."""

    def in_parts(connection: socket.socket, _: bytes) -> None:
        connection.sendall(OK[:-1])
        connection.sendall(b"k")

    raw.ends_connections = False
    raw.answers = [OK, OK.replace(b"ok", b"no")]
    assert [client.get("/x").content for _ in range(2)] == [b"ok", b"no"]
    raw.answers = [in_parts, OK.replace(b"ok", b"so")]
    assert [client.get("/x").content for _ in range(2)] == [b"ok", b"so"]
    # It has no body here, and what came is nobody's.
    raw.answers = [OK, OK]
    assert (client.head("/x").status_code, client.get("/x").content) == (200, b"ok")
    # Somebody else's answer is not in what is longer than it says.
    before = raw.connections
    raw.answers = [OK + b"\r\n" + OK.replace(b"ok", b"no"), OK]
    assert [client.get("/x").content for _ in range(2)] == [b"ok", b"ok"]
    assert raw.connections == before + 1
    raw.ends_connections = True
    raw.answers = [OK[:-1]]
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/x")


def test_a_known_head_is_what_the_rule_at_hand_makes_of_it(
    client: httpx2.Client, raw: RawTarget
) -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: /to\r\ncontent-type: a/b\r\n"
    raw.ends_connections = False
    for path, location in (("/x", "/to"), ("/page", "/p/to"), ("/x", "/to")):
        raw.answers = [moved + b"content-length: 0\r\n\r\n"]
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, location)


def test_connections_are_used_again(client: httpx2.Client, raw: RawTarget) -> None:
    raw.ends_connections = False
    raw.answers = [OK] * 4
    before = raw.connections
    for _ in range(4):
        assert client.get("/x").content == b"ok"
    assert raw.connections <= before + 1  # there may be one from before


def test_a_connection_that_ended_is_noticed(client: httpx2.Client, raw: RawTarget) -> None:
    """A request that changes nothing is sent again, on a new connection; others are not."""

    def leave(connection: socket.socket, _: bytes) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    raw.ends_connections = False
    raw.answers = [OK, leave, OK, leave]
    assert client.get("/first").content == b"ok"
    assert client.get("/again").content == b"ok"
    lines = [request.split(b" ")[1] for request in raw.received]
    assert lines == [b"/first", b"/again", b"/again"]
    answer = client.post("/once", content=b"x")
    assert answer.status_code == 502
    assert [request.split(b" ")[1] for request in raw.received][3:] == [b"/once"]


def test_an_answer_before_the_body_is_whole(client: httpx2.Client, raw: RawTarget) -> None:
    """What the target says counts, although it does not want the rest."""

    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    def parts() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x" * 65536

    raw.answers = [refuse]
    assert client.post("/x", content=parts()).status_code == 413


def test_chunks_become_chunks(client: httpx2.Client, raw: RawTarget) -> None:
    raw.answers = [OK]
    client.post("/x", content=iter([b"ab", b"c"]))
    (request,) = raw.received
    head, _, _ = request.partition(b"\r\n\r\n")
    assert head.lower().count(b"transfer-encoding: chunked") == 1
    assert b"content-length" not in head.lower()


def page_answer(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in headers)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), lines, body)


def test_pages_are_rewritten_whatever_they_are_sent_as(
    client: httpx2.Client, raw: RawTarget
) -> None:
    html = b"content-type: text/html"
    page = b"<head><title>\xe4</title></head>"
    based = page.replace(b"<head>", b'<head><base href="/p/">')
    raw.answers = [page_answer(gzip.compress(page), html, b"content-encoding: gzip")]
    answer = client.get("/page")
    assert (answer.content, "content-encoding" in answer.headers) == (based, False)
    assert b"accept-encoding: identity" in raw.received[-1]

    wide = "<head></head>".encode("utf-16")
    raw.answers = [page_answer(wide, html + b"; charset=utf-16")]
    assert client.get("/page").content.decode("utf-16") == '<head><base href="/p/"></head>'

    # What cannot be read, or is too much, passes as it is.
    broken = page_answer(b"no gzip", html, b"content-encoding: gzip")
    raw.answers = [broken]
    with client.stream("GET", "/page") as stream:
        assert b"".join(stream.iter_raw()) == b"no gzip"
    parts = gzip.compress(page) + gzip.compress(b"the rest")
    raw.answers = [page_answer(parts, html, b"content-encoding: gzip")]
    assert client.get("/page").content.startswith(page)
    bomb = gzip.compress(b"<head>" + b" " * 1_000_000)
    raw.answers = [page_answer(bomb, html, b"content-encoding: gzip")]
    with client.stream("GET", "/page") as stream:
        assert b"".join(stream.iter_raw()) == bomb
    large = b"<head>" + b" " * 300_000
    for answered in (
        page_answer(large, html),
        page_answer(page, html, b"content-encoding: br"),
        page_answer(page, b"content-type: text/plain"),
        page_answer(page, html).replace(b"200 OK", b"206 Part"),
    ):
        raw.answers = [answered]
        with client.stream("GET", "/page") as stream:
            assert b"".join(stream.iter_raw()) == answered.partition(b"\r\n\r\n")[2]

    # Also where the target gives parts to whoever does not ask for any.
    raw.answers = [answered, answered]
    assert client.get("/page", headers={"range": "bytes=0-9"}).content == page
    assert b"\r\nrange:" not in raw.received[-1]


@pytest.mark.parametrize("status", [520, 600, 999])
def test_statuses_that_nobody_has_named_are_passed_on(
    client: httpx2.Client, raw: RawTarget, status: int
) -> None:
    """Some servers have their own, also beyond those of HTTP."""
    answered = b"HTTP/1.1 %d Odd\r\ncontent-type: text/html\r\nconnection: close\r\n" % status
    for path, method in (("/x", "GET"), ("/x", "POST"), ("/page", "GET")):
        raw.answers = [answered + b"content-length: 2\r\n\r\nok"]
        got = client.request(method, path)
        assert (got.status_code, got.content) == (status, b"ok"), (path, method)


def test_a_target_is_not_told_the_framing_of_another_hop(
    client: httpx2.Client, raw: RawTarget
) -> None:
    raw.answers = [OK]
    headers = {"connection": "x-secret, close", "x-secret": "1", "te": "trailers"}
    client.get("/x", headers={**headers, "proxy-authorization": "Basic x", "keep-alive": "5"})
    (request,) = raw.received
    for gone in (b"\r\nconnection:", b"x-secret", b"\r\nte:", b"proxy-auth", b"keep-alive"):
        assert gone not in request.lower()


async def test_what_nobody_took_of_an_answer_is_never_part_of_the_next(raw: RawTarget) -> None:
    """Whoever asked may have left at the moment when the last of it came."""
    raw.ends_connections = False
    raw.answers += [OK, OK.replace(b"ok", b"no")]
    pool = UpstreamPool(ProxyConfig(), logging.getLogger())
    origin = Origin(False, "127.0.0.1", urlsplit(raw.url).port or 0, True)
    for taken in (False, True):
        connection = await pool.take(origin)
        connection.begin(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", head_only=False)
        while not connection.ended:
            await connection.news()
        if taken:
            assert connection.taken() == b"no"
        pool.give_back(connection)
        assert pool.idle == taken
    await pool.close()
