"""A GET that is answered without ASGI says the same, and goes on by ASGI where it has to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from proxy.conftest import Serve, client_for
from proxy.raw_target import RawTarget, raw_target
from proxy.upstream_app import MIB, SEEN
from support.database import wait_until
from support.live import LiveServer, add_looker
from support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def running() -> Iterator[RawTarget]:
    with raw_target() as target:
        target.ends_connections = False
        yield target


@pytest.fixture(scope="module")
def server(serve: Serve, running: RawTarget) -> Iterator[LiveServer]:
    rule = {"pattern": "^/", "target": running.url}
    with serve(rule, stored=True, readTimeout="600ms", keepAlive="30s") as it:
        yield it


@pytest.fixture
def client(server: LiveServer, running: RawTarget) -> Iterator[httpx2.Client]:
    """A client whose next GET finds a connection to the target, and so is answered directly."""
    with client_for(server) as made:
        running.answers = [OK]
        assert made.get("/warm").text == "ok"
        running.received.clear()
        yield made


def header_lines(request: bytes) -> list[bytes]:
    """What a target got, but for what is new each time."""
    lines = request.lower().split(b"\r\n")
    return sorted(line for line in lines[1:] if not line.startswith(b"x-request-id:"))


def test_the_target_gets_the_same_on_both_ways(
    client: httpx2.Client, running: RawTarget, server: LiveServer
) -> None:
    headers = {"x-own": "1", "accept": "text/plain", "authorization": "Basic dTpw"}
    running.answers = [OK] * 3
    client.get("/a?b", headers=headers)
    client.get("/a?b", headers={**headers, "if-none-match": '"x"'})  # goes by ASGI
    client.get("/c", headers={**headers, "x-request-id": "mine"})
    direct, by_asgi, named = running.received
    assert direct.startswith(b"GET /a?b HTTP/1.1\r\n")
    expected = [line for line in header_lines(by_asgi) if not line.startswith(b"if-none")]
    assert header_lines(direct) == header_lines(named) == expected
    assert named.lower().count(b"x-request-id: mine") == 1
    assert direct.lower().count(b"x-request-id:") == 1
    # The one thing that tells them apart: what is new each time comes last.
    last = [request.lower().split(b"\r\n")[-3].split(b":")[0] for request in (direct, by_asgi)]
    assert last == [b"x-request-id", b"x-buntime-hop"]


CHUNKED = (
    b"HTTP/1.1 404 X\r\nx-a: 1\r\ncontent-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n"
)
EMPTY = b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-type: a/b\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n", 204, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nok", 200, b"ok"),
        (EMPTY, 200, b""),
        (CHUNKED, 404, b"ok"),
    ],
)
def test_answers_are_the_same_on_both_ways(
    client: httpx2.Client, running: RawTarget, answer: bytes, status: int, body: bytes
) -> None:
    seen = []
    for headers in ({}, {"if-none-match": '"x"'}):
        running.answers = [answer]
        got = client.get("/x", headers=headers)
        assert (got.status_code, got.content, got.headers["x-a"]) == (status, body, "1")
        own = ("date", "x-request-id", "transfer-encoding", "content-length")
        seen.append({name: value for name, value in got.headers.items() if name not in own})
    assert seen[0] == seen[1]


def test_a_small_answer_in_parts_stays_on_the_direct_way(
    client: httpx2.Client, running: RawTarget
) -> None:
    parts = [
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncont",
        b"ent-length: 4\r\ncontent-type: a/b\r\n\r\n",
        b"ab",
        b"cd",
    ]

    def in_parts(connection: socket.socket, _: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)  # so that most are read alone

    def names(headers: dict[str, str]) -> list[str]:
        """Of the headers, in the order that tells both ways apart."""
        got = client.get("/x", headers=headers)
        assert (got.status_code, got.content) == (200, b"abcd")
        return [name for name, _ in got.headers.multi_items()]

    running.answers = [b"".join(parts), in_parts]
    whole, by_asgi = names({}), names({"if-none-match": '"x"'})
    assert whole != by_asgi

    def is_direct() -> bool:
        """On a busy machine the parts may come so slowly that it is no small answer any more."""
        running.answers = [in_parts]
        return names({}) == whole

    wait_until(is_direct)


HEAD = b"HTTP/1.1 200 OK\r\nx-b: 1\r\ncontent-type: a/b\r\ncontent-length: 4\r\n\r\n"


@pytest.mark.parametrize("parts", [[b"abcd"], [b"ab", b"cd"], [b"", b"a", b"bcd"]])
def test_a_known_head_that_comes_before_its_content(
    client: httpx2.Client, running: RawTarget, parts: list[bytes]
) -> None:
    def in_parts(connection: socket.socket, _: bytes) -> None:
        for part in (HEAD, *parts):
            connection.sendall(part)
            time.sleep(0.01)  # so that most are read alone

    running.answers = [in_parts, HEAD + b"abcd", in_parts, HEAD + b"efgh", in_parts, OK]
    got = [client.get("/x").text for _ in running.answers.copy()]
    assert got == ["abcd", "abcd", "abcd", "efgh", "abcd", "ok"]


def test_a_known_head_whose_content_is_late_or_never_comes(
    client: httpx2.Client, running: RawTarget
) -> None:
    go_on = threading.Event()

    def slowly(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD)
        go_on.wait(PATIENCE)
        connection.sendall(b"abcd")

    def never(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD)
        connection.shutdown(socket.SHUT_WR)

    running.answers = [HEAD + b"abcd", slowly, never]
    assert client.get("/x").text == "abcd"
    with client.stream("GET", "/x") as answer:
        assert answer.status_code == 200  # its head goes out before the target goes on
        go_on.set()
        assert answer.read() == b"abcd"
    before = len(running.received)
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/x")
    assert len(running.received) == before + 1  # it was answered, so nobody asks again


def test_what_comes_in_parts_goes_on(client: httpx2.Client, running: RawTarget) -> None:
    go_on = threading.Event()

    def slowly(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-")
        time.sleep(0.05)  # so that it is read in two parts
        connection.sendall(b"type: text/plain\r\ncontent-length: 6\r\n\r\nabc")
        go_on.wait(PATIENCE)
        connection.sendall(b"def")

    running.answers = [slowly, OK]
    with client.stream("GET", "/x") as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"abc"
        go_on.set()
        assert b"".join(parts) == b"def"
    assert client.get("/y").text == "ok"


def test_a_kept_connection_that_ended(client: httpx2.Client, running: RawTarget) -> None:
    def leave(connection: socket.socket, _: bytes) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    running.answers = [leave, OK]
    assert client.get("/again").text == "ok"
    assert [request.split(b" ")[1] for request in running.received] == [b"/again", b"/again"]


@pytest.mark.parametrize(
    "answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
def test_what_is_no_answer(client: httpx2.Client, running: RawTarget, answer: bytes) -> None:
    running.answers = [answer]
    got = client.get("/x")
    assert (got.status_code, got.json()["code"]) == (502, "BAD_GATEWAY")
    assert len(running.received) == 1


def test_a_target_that_says_nothing(client: httpx2.Client, running: RawTarget) -> None:
    running.answers = [lambda *_: None]
    got = client.get("/x")
    assert (got.status_code, got.json()["code"]) == (504, "GATEWAY_TIMEOUT")


def test_a_client_that_leaves_is_missed(
    client: httpx2.Client, running: RawTarget, serve: Serve
) -> None:
    """Before the target has said anything: nobody waits for `readTimeout` then."""
    gone = threading.Event()

    def wait(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(15)
        if connection.recv(1) == b"":
            gone.set()

    with serve({"pattern": "^/", "target": running.url}, readTimeout="60s") as patient:
        with client_for(patient) as leaving:
            running.answers = [OK, wait]
            assert leaving.get("/warm").text == "ok"
            with pytest.raises(httpx2.ReadTimeout):
                leaving.get("/x", timeout=0.2)
        assert gone.wait(15)


def test_rules_change_between_two_requests(client: httpx2.Client, running: RawTarget) -> None:
    rule = {"pattern": "^/keyval-like", "target": "http://127.0.0.1:9"}
    running.answers = [OK] * 3
    assert client.get("/moved").text == "ok"
    made = client.post("/redirects/api/rules", json={**rule, "pattern": "^/nothing"}).json()
    assert client.get("/moved").text == "ok"  # the rule of the configuration comes first
    client.delete(f"/redirects/api/rules/{made['id']}")


def test_bases_are_not_for_rules(server: LiveServer, client: httpx2.Client) -> None:
    for path in ("/health", "/keyval/api/keys/a", "/api/plugins", "/_/plugin-keyval/keys/a", "/"):
        client.get(path)
        client.get(path)


def test_events_and_large_contents(serve: Serve, target: str) -> None:
    with serve({"pattern": "^/", "target": target}) as server, client_for(server) as client:
        for _ in range(2):
            client.get("/x")
        with client.stream("GET", "/events") as answer:
            assert next(answer.iter_lines()) == "data: 0"
        wait_until(lambda: SEEN.open_streams == 0)
        client.get("/x")
        assert len(client.get("/big/3").content) == 3 * MIB


def test_who_looks_at_all_requests_sees_those_of_rules(
    serve: Serve, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Then all of them go by ASGI, and say the same."""
    folder = tmp_path_factory.mktemp("looking")
    options = {"folder": folder, "others": [add_looker(folder)]}
    rule = {"pattern": "^/", "target": target}
    with serve(rule, **options) as server, client_for(server) as client:
        for _ in range(2):
            assert client.get("/x").json()["path"] == "/x"


def test_a_stop_answers_what_waits(serve: Serve, running: RawTarget) -> None:
    """The target says nothing more: whoever waits for it is told so, and not left alone."""
    reached = threading.Event()

    def silent(connection: socket.socket, _: bytes) -> None:
        reached.set()
        connection.settimeout(20)
        connection.recv(1)

    environ = {"RUNTIME_DRAIN_TIMEOUT": "300ms"}
    with serve({"pattern": "^/", "target": running.url}, environ=environ) as server:
        with client_for(server) as client, ThreadPoolExecutor(1) as threads:
            running.answers = [OK, silent]
            assert client.get("/warm").text == "ok"
            waiting = threads.submit(client.get, "/x")
            assert reached.wait(PATIENCE)
            server.process.send_signal(15)
            answer = waiting.result(20)
            assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert server.process.wait(20) == 0
    assert '"level":"error"' not in server.output
