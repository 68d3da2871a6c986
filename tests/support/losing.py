"""A proxy before a database server that loses commits, or their answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from support.waiting import PATIENCE

COMMITS = b"BEGIN IMMEDIATE"
"""What the commits of an engine hold, and its reads do not: libSQL's."""
QUESTIONS = b"fence = excluded.fence"
"""What is in those that ask what became of a commit, after which it cannot happen any more."""
PASSED = ("authorization", "content-type", "host", "x-namespace-bin")


class Losing:
    """Forwards to `upstream`, and does to one request what it was told to."""

    def __init__(self, upstream: str, commits: bytes) -> None:
        self._commits = commits
        self._upstream = urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self._wanted: tuple[bytes, str] | None = None
        self._is_away = False
        self._stays_away = False
        self._refuses = False
        self._more_answers = 0
        self._released = threading.Event()
        self.stop_listening: Callable[[], None] | None = None
        self.hit = threading.Event()
        """Set when the commit came that was waited for, and is done with."""
        self.seen = 0
        """Requests so far that were forwarded."""

    def lose_answer(
        self,
        marker: str,
        *,
        then_away: bool = False,
        then_refusing: bool = False,
        then_answers: int = 0,
    ) -> None:
        """Carry out the next commit that holds `marker`, and cut its connection after that.

        With `then_away` nothing passes any more until `come_back`, with `then_refusing` nobody
        listens any more, and `then_answers` further ones are lost the same way.
        """
        self._expect(marker, "answer", then_away)
        self._refuses, self._more_answers = then_refusing, then_answers

    def lose_request(self, marker: str, *, then_away: bool = False) -> None:
        """The same, but the commit goes nowhere."""
        self._expect(marker, "request", then_away)

    def hold_request(self, marker: str) -> None:
        """Cut the connection of the next such commit at once, and carry it out at `release`."""
        self._expect(marker, "hold", False)

    def release(self) -> None:
        """Let the request that is held reach the server; returns when it was answered."""
        self.hit.clear()
        self._released.set()
        assert self.hit.wait(PATIENCE), "the request that was held was not carried out"

    def come_back(self) -> None:
        """Let everything pass again, once what was lost has happened.

        Whoever waited for the answer may have given up before the server was done with the request.
        """
        assert self.hit.wait(PATIENCE), "the commit that was to be lost did not come"
        self._is_away = False

    def _expect(self, marker: str, what: str, then_away: bool) -> None:
        self.hit.clear()
        self._released.clear()
        self._stays_away = then_away
        self._refuses, self._more_answers = False, 0
        self._wanted = (marker.encode(), what)

    def _fate(self, body: bytes) -> str:
        with self._lock:
            if self._is_away:
                return "away"
            if self._wanted is None:
                if self._commits in body and self._more_answers:
                    self._more_answers -= 1
                    return "answer"
                return "pass"
            if QUESTIONS in body and self._stays_away:
                # The commit is on its way: for so long did the machine stand still.
                return "away"
            if self._commits not in body or self._wanted[0] not in body:
                return "pass"
            fate = self._wanted[1]
            self._wanted = None
            self._is_away = self._stays_away
            return fate

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any, bytes]:
        self.seen += 1
        connection = http.client.HTTPConnection(self._upstream, timeout=PATIENCE)
        try:
            headers = {name: request.headers[name] for name in PASSED if name in request.headers}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type"), answer.read()
        finally:
            connection.close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """One request of one connection."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        fate = self._fate(body)
        if fate == "pass":
            status, kind, content = self._forward(request, body)
            request.send_response(status)
            request.send_header("content-type", kind or "application/json")
            request.send_header("content-length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)
            return
        request.close_connection = True
        if fate == "away":
            return  # it is none of those that are waited for
        if fate == "answer":
            self._forward(request, body)
            if self._refuses and self.stop_listening is not None:
                self.stop_listening()
        elif fate == "hold":
            request.connection.shutdown(2)
            self.hit.set()
            assert self._released.wait(PATIENCE)
            self._forward(request, body)
        self.hit.set()


@contextmanager
def losing_proxy(upstream: str, commits: bytes = COMMITS) -> Iterator[tuple[Losing, str]]:
    """A running proxy, and its URL."""
    losing = Losing(upstream, commits)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            losing.serve(self)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    losing.stop_listening = server.socket.close
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield losing, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
