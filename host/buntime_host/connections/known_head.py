"""Heads of requests that need no parser, since it has judged the same bytes before.

A client says the same in each of its requests, but for method, path and length of the body: the
same host, the same headers. What they mean does not depend on these three, so a connection
remembers the last such head without a body and the last one with a body. A request that differs
from it in nothing else has the same meaning. What the parser would say of the path is told by its
characters; and a length counts only where exactly that many bytes have come with the head.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from buntime_host.http.direct import Header, RepeatedHeaders

MOST_BYTES = 1024
"""Longer heads are not remembered: each connection has two."""

LESSONS = 4
"""So many heads of each kind are remembered, one after the other, before a connection gives up: its
client says something else each time."""

DIRECT_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
"""What the direct way takes, and so what is remembered."""

_METHODS = {name.encode() + b" ": name for name in DIRECT_METHODS}
_VERSION = b" HTTP/1.1\r\n"
_END = b"\r\n\r\n"
_OF_PATHS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%"
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


class Meaning(NamedTuple):
    """What the parser and the protocol have made of a head."""

    headers: RepeatedHeaders
    noted: list[Header] | None
    """Those that the dispatcher wants to see, each time."""
    host: bytes | None


class Sized(NamedTuple):
    """A head of a request with a body, without its method, its path and the length of the body."""

    before: bytes
    """What is between the path and that length."""
    behind: bytes
    size: int
    """The length that it came with."""
    place: int
    """Which of the headers says it."""
    meaning: Meaning

    def headers(self, size: int) -> list[Header]:
        """Its headers with this length: `RepeatedHeaders` only where they are the same."""
        headers = self.meaning.headers
        if size == self.size:
            return headers
        others = headers.copy()
        others[self.place] = (b"content-length", b"%d" % size)
        return others


Repeated = tuple[str, bytes, list[Header], list[Header] | None, bytes | None, bytes]
"""A request of which the head is known: method, path with query, headers, those to be noted, host,
body."""


class KnownHeads:
    """What one connection remembers."""

    __slots__ = ("_bare", "_lessons", "_rest", "_sized")

    def __init__(self) -> None:
        self._rest: bytes | None = None
        """All of a head without a body, behind its path."""
        self._bare = Meaning(RepeatedHeaders(()), None, None)
        """What that means."""
        self._sized: Sized | None = None
        self._lessons = [LESSONS, LESSONS]
        """So many more are remembered without a body, and with one."""

    def find(self, data: bytes) -> Repeated | None:
        """The one request that these bytes are, if its head is known."""
        rest = self._rest
        if rest is not None and data.endswith(rest):
            begin = data.find(b" ") + 1
            url = data[begin : -len(rest)]
            method = _METHODS.get(data[:begin])
            if method is None or url.translate(None, _OF_PATHS):
                return None
            headers, noted, host = self._bare
            return method, url, headers, noted, host, b""
        sized = self._sized
        if sized is None:
            return None
        end = data.find(_END) + len(_END)
        size = len(data) - end
        rest = b"%b%d%b" % (sized.before, size, sized.behind)
        if not data.endswith(rest, 0, end):
            return None
        begin = data.find(b" ") + 1
        url = data[begin : end - len(rest)]
        method = _METHODS.get(data[:begin])
        if method is None or url.translate(None, _OF_PATHS):
            return None
        _, noted, host = sized.meaning
        return method, url, sized.headers(size), noted, host, data[end:]

    def wants(self, *, has_body: bool) -> bool:
        """Whether one more of that kind is worth a look."""
        return self._lessons[has_body] > 0

    def remember(self, data: bytes, method: str, url: bytes, meaning: Meaning) -> None:
        """Remember the head of the one whole request that these bytes are, if it is worth it."""
        begin = len(method) + 1 + len(url)
        end = data.find(_END) + len(_END)
        rest = data[begin:end]
        if len(rest) > MOST_BYTES or not data.startswith(
            b"%b %b%b" % (method.encode(), url, _VERSION)
        ):
            return
        places = [i for i, (name, _) in enumerate(meaning.headers) if name == b"content-length"]
        if not places:
            if end == len(data):
                self._rest, self._bare = rest, meaning
                self._lessons[False] -= 1
            return
        size = len(data) - end
        length = _LENGTH.search(rest)
        if length is not None and length[1] == b"%d" % size:
            before, behind = rest[: length.start(1)], rest[length.end(1) :]
            self._sized = Sized(before, behind, size, places[0], meaning)
            self._lessons[True] -= 1
