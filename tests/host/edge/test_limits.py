"""How much of a request is taken in, how long it is waited for, and what a client may hold."""

from __future__ import annotations

import json
import select
import socket
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from host.conftest import wait_for
from host.edge.conftest import LIMITS, PATIENT, Edge, Line, end, request, start

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
CHUNKED = request("PUT", "/edge/body", "transfer-encoding: chunked")


# Size


@pytest.mark.parametrize("size", [3_000, 60_000])
def test_long_headers(edge: Edge, size: int) -> None:
    answer = edge.answer(request("GET", "/edge/early", *(f"x-{n}: {'a' * size}" for n in range(3))))
    assert (answer.status, answer.code) == (431, "HEADERS_TOO_LARGE")
    assert "limits.maxHeaderBytes" in answer.body.decode()


def test_long_headers_that_just_fit(edge: Edge) -> None:
    head = "GET", "/edge/early", "connection: close"
    spent = len("hostaconnectionclosex")
    answer = edge.answer(request(*head, f"x: {'a' * (8 * 1024 - spent)}"))
    assert answer.status == 200
    answer = edge.answer(request(*head, f"x: {'a' * (8 * 1024 - spent + 1)}"))
    assert answer.status == 431


def test_a_header_without_end(edge: Edge) -> None:
    line = edge.line(request("GET", "/health")[:-2] + b"x: ")
    for _ in range(200):
        line.send(b"a" * 65_536)
    assert line.answer().code == "HEADERS_TOO_LARGE"
    assert edge.metrics()["headers"] > 0


def test_many_headers(edge: Edge) -> None:
    answer = edge.answer(request("GET", "/edge/early", *["x: a"] * 50))
    assert (answer.status, answer.code) == (431, "HEADERS_TOO_LARGE")
    assert "limits.maxHeaders" in answer.body.decode()
    ended = "connection: close"
    assert edge.answer(request("GET", "/edge/early", ended, *["x: a"] * 48)).status == 200


def test_headers_without_end(edge: Edge) -> None:
    line = edge.line(request("GET", "/health")[:-2])
    for _ in range(200):
        line.send(b"x: a\r\n" * 1_000)
    assert line.answer().code == "HEADERS_TOO_LARGE"


@pytest.mark.parametrize("size", [4_097, 100_000, 10 * MIB])
def test_long_url(edge: Edge, size: int) -> None:
    answer = edge.answer(request("GET", "/" + "a" * size))
    assert (answer.status, answer.code) == (414, "URL_TOO_LONG")
    assert "limits.maxUrlBytes" in answer.body.decode()


@pytest.mark.parametrize(
    "endless",
    [b"a: b\r\n" * 1_000, b"a: " + b"b" * 65_536],
    ids=["trailers", "trailer"],
)
def test_trailers_without_end(edge: Edge, endless: bytes) -> None:
    line = edge.line(CHUNKED + b"1\r\n1\r\n0\r\n")
    for _ in range(200):
        line.send(endless)
    assert line.answer().code == "HEADERS_TOO_LARGE"
    assert edge.metrics()["trailers"] > 0


def test_an_extension_without_end(edge: Edge) -> None:
    line = edge.line(CHUNKED + b"1;")
    for _ in range(200):
        line.send(b"a" * 65_536)
    assert line.answer().code == "HEADERS_TOO_LARGE"


def test_long_extensions_of_short_chunks(edge: Edge) -> None:
    line = edge.line(CHUNKED)
    for _ in range(200):
        line.send((b"1;" + b"a" * 1_000 + b"\r\n1\r\n") * 60)
    assert line.answer().code == "HEADERS_TOO_LARGE"


def test_chunks_of_one_byte_are_right(edge: Edge) -> None:
    count = 100_000
    line = edge.line(request("PUT", "/edge/body", "transfer-encoding: chunked"))
    line.send(b"1\r\n1\r\n" * count + b"0\r\n\r\n")
    assert line.answer().body == b"%d" % count
    line.send(request("GET", "/edge/early"))
    assert line.answer().body == b"early"


def test_bodies_of_all_sizes_in_pieces(edge: Edge) -> None:
    line = edge.line()
    for size in (1, 2_047, 2_048, 2_049, 70_000, 3 * MIB):
        line.send(request("PUT", "/edge/body", body=b"a" * size) + request("GET", "/edge/early"))
        assert line.answer().body == b"%d" % size
        assert line.answer().body == b"early"


def test_the_date_is_that_of_the_answer(edge: Edge) -> None:
    whole = request("PUT", "/edge/body", "connection: close", body=b"ab")
    line = edge.line(whole[:-1])

    def date() -> datetime:
        answer = edge.answer(request("GET", "/health", "connection: close"))
        return parsedate_to_datetime(answer.headers["date"])

    begun = date()
    later = edge.wait(lambda: (now := date()) > begun and now, "another second begins")
    line.send(whole[-1:])
    assert parsedate_to_datetime(line.answer().headers["date"]) >= later
    line.socket.close()


def test_a_body_that_is_too_large_is_answered_before_it_is_there(edge: Edge) -> None:
    line = edge.line(request("PUT", "/edge/body", f"content-length: {40 * MIB}"))
    answer = line.answer()
    assert answer.code == "PAYLOAD_TOO_LARGE"
    assert answer.headers["connection"] == "close"
    for _ in range(20):
        line.send(b"a" * MIB)
    assert line.rest() == b""


def test_an_answer_before_the_body_ends_the_connection(edge: Edge) -> None:
    line = edge.line(request("PUT", "/edge/early", f"content-length: {MIB}") + b"a" * 1_000)
    answer = line.answer()
    assert (answer.body, answer.headers["connection"]) == (b"early", "close")
    assert line.rest() == b""


def test_continue_is_said_when_the_body_is_wanted(edge: Edge) -> None:
    expect = ("expect: 100-continue", "content-length: 3")
    line = edge.line(request("PUT", "/edge/body", *expect))
    assert line.answer(bodiless=True).status == 100
    line.send(b"abc")
    assert line.answer().body == b"3"
    answer = edge.answer(request("PUT", "/edge/early", *expect))
    assert (answer.body, answer.headers["connection"]) == (b"early", "close")


def test_continue_is_not_said_to_older_clients(edge: Edge) -> None:
    """They do not know it, and would take it for the answer."""
    head = b"PUT /edge/body HTTP/1.0\r\nhost: localhost\r\nexpect: 100-continue\r\n"
    line = edge.line(head + b"content-length: 3\r\n\r\nabc")
    answer = line.answer()
    assert (answer.status, answer.body) == (200, b"3")


@pytest.mark.parametrize("wanted", ["200-ok", "100-continue, 200-ok", "100-continue;now"])
def test_other_expectations_are_not_met(edge: Edge, wanted: str) -> None:
    """Whoever has them may wait for a sign that never comes, so it is said at once."""
    answer = edge.answer(request("PUT", "/edge/body", f"expect: {wanted}", "content-length: 3"))
    assert (answer.status, answer.code) == (417, "EXPECTATION_FAILED")
    assert answer.headers["connection"] == "close"


# Time


@pytest.mark.parametrize("sent", [b"GET / HT", request("GET", "/health")[:-2], b"G"])
def test_half_a_head(hasty: Edge, sent: bytes) -> None:
    answer = hasty.line(sent).answer()
    assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
    assert "headerTimeout" in answer.body.decode()
    assert hasty.metrics()["header_timeout"] > 0


def test_a_head_that_trickles(hasty: Edge) -> None:
    line = hasty.line(request("GET", "/health")[:-2])
    line.socket.settimeout(0.05)

    def answered() -> bool:
        line.send(b"x")
        try:
            return line._more()
        except TimeoutError:
            return False

    wait_for(answered, "an answer to a slow head")
    line.socket.settimeout(15)
    assert line.answer().status == 408


def test_a_connection_on_which_nothing_comes(hasty: Edge) -> None:
    assert hasty.line().rest() == b""
    assert hasty.line(b"\r\n\r\n").rest() == b""


def test_a_connection_that_rests(hasty: Edge) -> None:
    line = hasty.line(request("GET", "/edge/early"))
    assert line.answer().body == b"early"
    assert line.rest() == b""


@pytest.mark.parametrize("framing", ["content-length: 1000", "transfer-encoding: chunked"])
def test_half_a_body(hasty: Edge, framing: str) -> None:
    answer = hasty.line(request("PUT", "/edge/body", framing) + b"1").answer()
    assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
    assert "bodyTimeout" in answer.body.decode()
    assert hasty.metrics()["body_timeout"] > 0


def test_a_body_that_trickles(hasty: Edge) -> None:
    line = hasty.line(request("PUT", "/edge/body", "content-length: 1000"))
    line.socket.settimeout(0.05)

    def answered() -> bool:
        line.send(b"x")
        try:
            return line._more()
        except TimeoutError:
            return False

    wait_for(answered, "an answer to a slow body")
    line.socket.settimeout(15)
    assert "256 bytes per second" in line.answer().body.decode()


@pytest.mark.parametrize("path", ["/edge/large?bytes=20000000", "/edge/stream?parts=400"])
def test_a_client_that_does_not_read(hasty: Edge, path: str) -> None:
    before = hasty.metrics()["send_timeout"]
    hasty.line(request("GET", path), small=True)
    wait_for(lambda: hasty.metrics()["send_timeout"] > before, "the end of the connection")
    wait_for(lambda: hasty.metrics()["buntime_unsent_bytes"] == 0, "its bytes back")


def test_a_client_that_reads_slowly(hasty: Edge) -> None:
    line = hasty.line(request("GET", "/edge/stream?parts=20"), small=True)
    found = b""
    while len(found) < 900_000:
        found += line.socket.recv(20_000)
    line._received = found
    assert line.answer().body == b"a" * 1_000_000


def test_half_closed(hasty: Edge) -> None:
    for sent in (b"", b"GET / ", request("PUT", "/edge/body", "content-length: 9")):
        line = hasty.line(sent)
        line.socket.shutdown(1)
        assert line.rest() == b""


def test_half_closed_behind_whole_requests(edge: Edge) -> None:
    line = edge.line(request("PUT", "/edge/body", body=b"a" * 5_000) * 3)
    line.socket.shutdown(socket.SHUT_WR)
    for _ in range(3):
        assert line.answer().body == b"5000"
    assert line.rest() == b""
    line = edge.line(request("GET", "/edge/slow") + request("GET", "/edge/early"))
    line.socket.shutdown(socket.SHUT_WR)
    assert [line.answer().body, line.answer().body] == [b"slow", b"early"]
    assert line.rest() == b""


def test_half_closed_is_gone_where_the_answer_takes_long(edge: Edge) -> None:
    line = edge.line(request("GET", "/edge/waits"))
    line.socket.shutdown(socket.SHUT_WR)
    assert line.rest() == b""
    wait_for(lambda: edge.answer(request("GET", "/edge/left")).body == b"1", "its end")


# Shares


def test_unfinished_bodies_share_their_room(edge: Edge) -> None:
    begun = request("PUT", "/edge/body", f"content-length: {4 * MIB}")
    first = edge.line(begun + b"a" * (3 * MIB))
    wait_for(lambda: edge.metrics()["buntime_upload_bytes"] >= 3 * MIB, "the first body")
    second = edge.line(begun)
    second.send(b"a" * (2 * MIB))
    # The one that asks for more gets nothing, unless the other has not moved for 2 seconds by now.
    readable, _, _ = select.select([first.socket, second.socket], [], [], 15)
    if second.socket in readable:
        answer = second.answer()
        assert (answer.status, answer.code) == (503, "TOO_MANY_UPLOADS")
        assert answer.headers["retry-after"] == "1"
        first.send(b"a" * MIB)
        assert first.answer().body == b"%d" % (4 * MIB)
    else:
        assert first.answer().code == "REQUEST_TIMEOUT"
        second.send(b"a" * (2 * MIB))
        assert second.answer().body == b"%d" % (4 * MIB)
    assert edge.metrics()["uploads"] > 0
    wait_for(lambda: edge.metrics()["buntime_upload_bytes"] == 0, "its bytes back")


def test_answers_share_their_room(edge: Edge) -> None:
    size = 15_000_000
    lines = [edge.line(request("GET", f"/edge/large?bytes={size}"), small=True) for _ in range(2)]
    wait_for(lambda: edge.metrics()["buntime_unsent_bytes"] > size, "two answers")
    answer = edge.line(request("GET", f"/edge/large?bytes={size}")).answer()
    # Those that did not read for 2 seconds by now have made room for it.
    if answer.status != 200:
        assert (answer.status, answer.code) == (503, "TOO_MANY_ANSWERS")
        assert "x-request-id" in answer.headers
    assert all(line.socket.recv(16).startswith(b"HTTP/1.1 200 ") for line in lines)
    assert edge.metrics()["unsent"] > 0


@pytest.mark.parametrize(
    ("method", "said"), [("GET", "try again"), ("PUT", "the request was carried out")]
)
def test_an_answer_without_room_says_what_became_of_the_request(
    edge: Edge, method: str, said: str
) -> None:
    size = 40_000_000  # more than there ever is
    answer = edge.line(request(method, f"/edge/large?bytes={size}")).answer()
    assert (answer.status, answer.code) == (503, "TOO_MANY_ANSWERS")
    assert json.loads(answer.body)["message"].endswith(f"; {said}")
    assert ("retry-after" in answer.headers) == (method == "GET")


def test_the_next_answer_is_made_when_the_one_before_has_left(edge: Edge) -> None:
    size = 8_000_000

    def count() -> int:
        return int(edge.line(request("GET", "/edge/begun")).answer().body)

    before = count()

    def begun() -> int:
        return count() - before

    line = edge.line(request("GET", f"/edge/large?bytes={size}") * 3, small=True)

    assert line.socket.recv(16).startswith(b"HTTP/1.1 200 ")
    assert [begun() for _ in range(10)] == [1] * 10
    # Another one that comes later waits, too.
    line.send(request("GET", f"/edge/large?bytes={size}"))
    assert [begun() for _ in range(10)] == [1] * 10
    line.until(b"\r\n\r\n")
    assert line.exactly(size) == b"a" * size
    for _ in range(3):
        assert line.answer().body == b"a" * size
    assert begun() == 4


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Edge]:
    """A server that takes few connections, of which few of one client."""
    limits = {**LIMITS, "maxConnections": 6, "maxConnectionsPerClient": 3}
    more = {"limits": limits}
    process = start(tmp_path, PATIENT | more | {"trustedProxies": []})
    edge = Edge(process)
    yield edge
    for line in edge.opened:
        line.socket.close()
    end(process)


def test_connections_of_one_client(small: Edge) -> None:
    for _ in range(3):
        line = small.line(request("GET", "/edge/early"))
        assert line.answer().body == b"early"
    answer = small.line().answer()
    assert (answer.status, answer.code) == (429, "TOO_MANY_CONNECTIONS")
    line.socket.close()

    def free() -> bool:
        return small.line(request("GET", "/edge/early")).answer().status == 200

    wait_for(free, "room for another one")


def test_a_connection_that_rests_makes_room(tmp_path: Path) -> None:
    more = {"limits": {"maxConnections": 6}}
    process = start(tmp_path, PATIENT | more)
    edge = Edge(process)
    resting = [Line(edge.port) for _ in range(6)]
    for line in resting[:3]:
        line.send(request("GET", "/edge/early"))
        assert line.answer().body == b"early"
    half = request("GET", "/edge/early")[:-2]
    busy = [edge.line(half) for _ in range(3)]
    for line in resting[3:]:
        assert line.rest() == b""
    # Those that were used just now stay for a moment, and go as well.
    answer = edge.line().answer()
    assert (answer.status, answer.code) == (503, "TOO_MANY_CONNECTIONS")

    def answered() -> bool:
        return edge.line(request("GET", "/edge/early", "connection: close")).answer().status == 200

    wait_for(answered, "the end of a connection that rests")
    for line in resting[:3]:
        assert line.rest() == b""
    for line in busy:
        line.send(b"\r\n")
        assert line.answer().body == b"early"
    for line in (*resting, *edge.opened):
        line.socket.close()
    end(process)


# Fairness


def test_requests_in_a_row_are_all_answered(edge: Edge) -> None:
    count = 3_000
    line = edge.line()
    line.socket.setblocking(True)
    line.socket.settimeout(15)
    sent = request("GET", "/edge/early") * count
    for first in range(0, len(sent), 8_192):
        line.send(sent[first : first + 8_192])
    assert [line.answer().body for _ in range(count)] == [b"early"] * count


def test_a_client_that_never_reads_is_not_read_for_ever(edge: Edge) -> None:
    line = edge.line(small=True)
    line.socket.settimeout(0.3)
    sent = request("GET", "/edge/large?bytes=50000") * 100
    with pytest.raises((TimeoutError, ConnectionError)):
        line.socket.sendall(sent * 5_000)
