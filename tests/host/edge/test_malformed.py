"""What is not HTTP/1.1, or can be read in two ways, is refused in the form of all errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from host.edge.conftest import request

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.edge.conftest import Edge


def head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def put(*headers: str) -> bytes:
    return head("PUT /edge/body HTTP/1.1", "host: a", *headers)


CHUNKED = put("transfer-encoding: chunked")
GET = "GET /health HTTP/1.1"
MALFORMED = {
    "no method": b"NONSENSE / HTTP/1.1\r\nhost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2.0": head("GET /health HTTP/2.0", "host: a"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/1.2": head("GET /health HTTP/1.2", "host: a"),
    "no host": head(GET),
    "two hosts": head(GET, "host: a", "host: a"),
    "host with a user": head(GET, "host: user@a"),
    "host with a path": head(GET, "host: a/b"),
    "hosts in one": head(GET, "host: a, b"),
    "host with a wrong port": head(GET, "host: a:b"),
    "two origins": head(GET, "host: a", "origin: http://a", "origin: http://b"),
    "folded header": head(GET, "host: a", "x: a", " b"),
    "bare LF": b"GET /health HTTP/1.1\nhost: a\n\n",
    "bare LF in a header": head(GET, "host: a\nx: b"),
    "bare CR in a header": head(GET, "host: a", "x: a\rb"),
    "NUL in a header": head(GET, "host: a", "x: a\0b"),
    "control character": head(GET, "host: a", "x: a\x01b"),
    "blank before the colon": head(GET, "host : a"),
    "no name": head(GET, "host: a", ": a"),
    "blank in the URL": head("GET /a b HTTP/1.1", "host: a"),
    "NUL in the URL": head("GET /a\0b HTTP/1.1", "host: a"),
    "URL beyond ASCII": head("GET /\xff HTTP/1.1", "host: a"),
    "URL without a slash": head("GET a HTTP/1.1", "host: a"),
    "URL with a user": head("GET http://user@a/health HTTP/1.1", "host: a"),
    "URL of another host": head("GET http://b/health HTTP/1.1", "host: a"),
    "length below 0": put("content-length: -1"),
    "length with a sign": put("content-length: +1"),
    "empty length": put("content-length: "),
    "huge length": put("content-length: 99999999999999999999999"),
    "two lengths": put("content-length: 1", "content-length: 1"),
    "lengths in one": put("content-length: 1, 1"),
    "length and chunks": put("content-length: 1", "transfer-encoding: chunked"),
    "chunks and length": put("transfer-encoding: chunked", "content-length: 1"),
    "other coding": put("transfer-encoding: gzip, chunked"),
    "no coding": put("transfer-encoding: identity"),
    "coding that begins so": put("transfer-encoding: chunked2"),
    "chunked twice": put("transfer-encoding: chunked", "transfer-encoding: chunked"),
    "chunks of HTTP/1.0": head("PUT /edge/body HTTP/1.0", "host: a", "transfer-encoding: chunked"),
    "huge chunk": CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\n",
    "chunk below 0": CHUNKED + b"-1\r\na\r\n",
    "chunk with 0x": CHUNKED + b"0x1\r\na\r\n",
    "chunk with a bare LF": CHUNKED + b"1\na\n0\n\n",
    "chunk that is longer": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_it_is_refused_and_counted(edge: Edge, sent: bytes) -> None:
    before = edge.metrics()["malformed"]
    answer = edge.answer(sent)
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.headers["connection"] == "close"
    assert edge.metrics()["malformed"] == before + 1


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", ["two hosts", "chunk that is longer", "other coding"])
def test_in_pieces_too(edge: Edge, name: str, size: int) -> None:
    sent = MALFORMED[name]
    line = edge.line()
    for first in range(0, len(sent), size):
        line.send(sent[first : first + size])
    assert line.answer().code == "BAD_REQUEST"
    assert line.rest() == b""


def test_a_tunnel(edge: Edge) -> None:
    answer = edge.answer(head("CONNECT a:443 HTTP/1.1", "host: a"))
    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"].upper()


@pytest.mark.parametrize(
    "sent",
    [
        head("GET http://a/edge/early HTTP/1.1", "host: a", "connection: close"),
        head("GET http://A:80/edge/early HTTP/1.1", "host: a", "connection: close"),
        head("GET http://[::1]:8000/edge/early HTTP/1.1", "host: [::1]:8000", "connection: close"),
        b"\r\n\r\n" + request("GET", "/edge/early", "connection: close"),
        request("GET", "/edge/early#there", "connection: close"),
        head("GET /edge/early HTTP/1.1", "host:", "connection: close"),
        head("GET /edge/early HTTP/1.1", "HOST: a", "Connection: Close"),
        head("GET /edge/early HTTP/1.0"),
        put("transfer-encoding: Chunked", "connection: close").replace(b"body", b"early")
        + b"1;a=b\r\na\r\n0\r\nx: y\r\n\r\n",
    ],
)
def test_what_is_unusual_and_right(edge: Edge, sent: bytes) -> None:
    answer = edge.answer(sent)
    assert (answer.status, answer.body) == (200, b"early")


def test_options_of_the_whole_server(edge: Edge) -> None:
    answer = edge.answer(head("OPTIONS * HTTP/1.1", "host: a", "connection: close"))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_the_answers_before_it_come_first(edge: Edge) -> None:
    line = edge.line(request("GET", "/edge/slow") * 2 + b"NONSENSE / HTTP/1.1\r\n\r\n")
    assert [line.answer().body for _ in range(2)] == [b"slow", b"slow"]
    assert line.answer().code == "BAD_REQUEST"
    assert line.rest() == b""


def test_a_wrong_chunk_of_a_request_that_waits(edge: Edge) -> None:
    line = edge.line(request("GET", "/edge/slow") + MALFORMED["chunk that is longer"])
    assert line.answer().body == b"slow"
    assert line.answer().code == "BAD_REQUEST"
    assert line.rest() == b""


def test_nothing_runs_twice_after_an_unknown_upgrade(edge: Edge) -> None:
    headers = ("connection: upgrade", "upgrade: h2c")
    line = edge.line(
        request("GET", "/edge/early", *headers) + request("GET", "/edge/slow", "connection: close")
    )
    assert (line.answer().body, line.answer().body) == (b"early", b"slow")
    assert line.rest() == b""


def test_trailers_are_no_headers(edge: Edge) -> None:
    sent = put("transfer-encoding: chunked", "connection: close").replace(b"body", b"headers")
    answer = edge.answer(sent + b"1\r\na\r\n0\r\nx-identity: me\r\n\r\n")
    assert b"x-identity" not in answer.body


def test_no_chunks_for_http_1_0(edge: Edge) -> None:
    line = edge.line(head("GET /edge/stream?parts=3 HTTP/1.0", "host: a"))
    answer = line.answer()
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert answer.body == b"a" * 150_000


@pytest.mark.parametrize(
    "lines",
    [["HTTP/1.0", "host: a"], ["HTTP/1.1", "host: a", "connection: close"]],
    ids=["HTTP/1.0", "close"],
)
def test_a_connection_that_ends_is_not_said_to_stay(edge: Edge, lines: list[str]) -> None:
    version, *headers = lines
    line = edge.line(head(f"GET /edge/stream?parts=1 {version}", *headers))
    told = line.rest().partition(b"\r\n\r\n")[0].lower()
    assert told.count(b"connection:") == told.count(b"connection: close") == 1


def test_a_client_that_leaves_at_once(edge: Edge) -> None:
    for _ in range(30):
        line = edge.line(request("GET", "/edge/stream?parts=20") * 5)
        line.socket.close()
    edge.still_well()
