"""What is refused below all plugins says so to pages of trusted origins, too.

Their browsers would hide it otherwise, and show them an error of the network.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from host.edge.conftest import CODE, PATIENT, Answer, Edge, end, request, start, used

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "https://app.example"
OF_PAGE = f"Origin: {PAGE}"
CHUNKED = "transfer-encoding: chunked"
LONG = "/edge/early?" + "a" * 5_000
ALLOWED = "access-control-allow-origin"

PASSAGE = """
    from buntime_host import Answer

    class Passage:
        def trusts(self, origin):
            if origin == b"https://fault.example":
                raise ValueError("faulty passage")
            return origin == b"https://app.example"

        def takes_cookies(self, origin):
            return False

        def preflight(self, request):
            return None

        def arrives(self, request):
            return Answer(200, "") if request.whole_path.endswith(b"/trusted-by-plugin") else None

    @hookimpl
    def passage():
        return Passage()
"""

REFUSED = {
    "long URL": (414, request("GET", LONG, OF_PAGE)),
    "long headers": (431, request("GET", "/edge/early", f"x: {'a' * 9_000}", OF_PAGE)),
    "long headers behind": (431, request("GET", "/edge/early", OF_PAGE, f"x: {'a' * 9_000}")),
    "very long headers": (431, request("GET", "/edge/early", f"x: {'a' * 20_000}", OF_PAGE)),
    "many headers": (431, request("GET", "/edge/early", *["x: a"] * 60, OF_PAGE)),
    "very many headers": (431, request("GET", "/edge/early", *["x: a"] * 1_000, OF_PAGE)),
    "wrong header": (400, request("GET", "/edge/early", "x y: a", OF_PAGE)),
    "wrong header behind": (400, request("GET", "/edge/early", OF_PAGE, "x y: a")),
    "two hosts": (400, request("GET", "/edge/early", "host: a", OF_PAGE)),
    "foreign host": (421, request("GET", "/edge/early", OF_PAGE).replace(b": a", b": b.c")),
    "wrong chunk": (
        400,
        request("PUT", "/edge/body", CHUNKED, OF_PAGE) + b"?",
    ),
}


@pytest.fixture(scope="module", params=["host", "passage"])
def _trusting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    is_passage = request.param == "passage"
    config = PATIENT if is_passage else PATIENT | {"trustedOrigins": [PAGE]}
    folder = tmp_path_factory.mktemp("trusting")
    process = start(folder, config, CODE + PASSAGE if is_passage else CODE)
    yield process
    end(process)


@pytest.fixture
def trusting(_trusting: Any) -> Iterator[Edge]:
    """A server that trusts pages of one other origin, by its configuration or by a plugin."""
    with used(_trusting) as edge:
        yield edge


def names_page(answer: Answer) -> bool:
    assert answer.headers["vary"] == "origin"
    assert ("access-control-expose-headers" in answer.headers) == (ALLOWED in answer.headers)
    return answer.headers.get(ALLOWED) == PAGE


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("size", [None, 1_000])
def test_a_trusted_page_is_named(
    trusting: Edge, status: int, sent: bytes, size: int | None
) -> None:
    line = trusting.line()
    for begin in range(0, len(sent), size or len(sent)):
        line.send(sent[begin : begin + (size or len(sent))])
    answer = line.answer()
    assert answer.status == status
    assert answer.code
    assert names_page(answer)
    assert line.rest() == b""


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("origin", ["https://else.example", "null", ""])
def test_nobody_else_is(trusting: Edge, status: int, sent: bytes, origin: str) -> None:
    line = f"\r\norigin: {origin}" if origin else ""
    answer = trusting.answer(sent.replace(f"\r\n{OF_PAGE}".encode(), line.encode()))
    assert answer.status == status
    assert not names_page(answer)
    assert ALLOWED not in answer.headers


def test_cookies_count_where_the_plugin_says_so(trusting: Edge) -> None:
    by_plugin = (
        trusting.answer(request("GET", "/edge/trusted-by-plugin", "connection: close")).status
        == 200
    )
    answer = trusting.answer(request("GET", LONG, OF_PAGE))
    assert ("access-control-allow-credentials" in answer.headers) is not by_plugin


def test_a_plugin_that_fails_names_nobody(tmp_path: Path) -> None:
    process = start(tmp_path, PATIENT, CODE + PASSAGE)
    answer = Edge(process).answer(request("GET", LONG, "Origin: https://fault.example"))
    assert answer.status == 414
    assert not names_page(answer)
    end(process)
    assert "The passage of edge failed" in process.out + process.err


def test_what_a_page_writes_is_no_origin(trusting: Edge) -> None:
    body = f"\r\n{OF_PAGE}\r\n".encode()
    assert not names_page(trusting.answer(request("PUT", LONG, body=body)))


def test_it_comes_before_the_end_of_a_head_that_does_not_end(trusting: Edge) -> None:
    line = trusting.line(f"GET {LONG}".encode())
    assert not names_page(line.answer())  # after two seconds
    line = trusting.line(f"GET {LONG}".encode())
    line.socket.shutdown(socket.SHUT_WR)
    assert line.answer().status == 414
    line = trusting.line(f"GET {LONG}".encode())
    for _ in range(20):
        line.send(b"a" * 1_000)
    assert line.answer().status == 414


def test_the_answers_before_it_come_first(trusting: Edge) -> None:
    line = trusting.line(request("GET", "/edge/slow") + f"GET {LONG}".encode())
    assert line.answer().body == b"slow"
    line.send(f" HTTP/1.1\r\nHost: a\r\n{OF_PAGE}\r\n".encode())
    answer = line.answer()
    assert answer.status == 414
    assert names_page(answer)
    assert line.rest() == b""
