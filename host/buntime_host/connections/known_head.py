"""Heads of requests that need no parser, since it has judged the same bytes before.

A client sends the same head with each of its requests, but for method, path, length of the body,
and some values such as ids. The meaning of the rest does not depend on these. So a connection
remembers the last head without a body and the last one with a body, and a request that differs from
it in nothing else has the same meaning. The verdict of the parser on the path and the other values
follows from their characters, and a length counts only where exactly that many bytes have come with
the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from buntime_host.http.direct import Header, RepeatedHeaders
from buntime_host.routing.direct_way import NOTED

MOST_BYTES = 1024
"""Longer heads are not remembered: each connection has two."""

MOST_OTHERS = 8
"""Most values of a head that may differ from request to request."""

LESSONS = 4
"""Most heads of each kind that a connection remembers in a row before it gives up: its client sends
another one each time."""

DIRECT_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
"""The methods that the direct way takes, and so those that are remembered."""

_IDS = frozenset({b"idempotency-key", b"x-request-id"})
"""Each request has another value, which the dispatcher looks at."""
_MEANT = (NOTED - _IDS) | {
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
}
"""Headers whose values mean something to the parser or the protocol, or decide about access."""

_METHODS = {name.encode() + b" ": name for name in DIRECT_METHODS}
_LENGTH = b"content-length"
_VERSION = b" HTTP/1.1\r\n"
_END = b"\r\n\r\n"


def _only(allowed: bytes) -> bytes:
    """A table by which `translate` returns the same bytes if all of them are allowed.

    This takes half the time of dropping those that are.
    """
    other = allowed[0]
    return bytes(code if code in allowed else other for code in range(256))


_OF_PATHS = _only(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%"
)
_OF_VALUES = _only(bytes(range(ord(" "), ord("~") + 1)))
"""Besides blanks at an end, the parser takes these characters as they are, and some more."""


class Meaning(NamedTuple):
    """The parser's and the protocol's result for a head."""

    headers: RepeatedHeaders
    noted: list[Header] | None
    """Headers that the dispatcher wants to see, each time."""
    host: bytes | None


Repeated = tuple[str, bytes, list[Header], list[Header] | None, bytes | None, bytes]
"""A request with a known head: method, path with query, headers, those to be noted, host, body."""


class Gap(NamedTuple):
    """A place where the value differs from head to head."""

    value: bytes
    """The value of the remembered head."""
    behind: bytes
    """The bytes between this value and the next one, or the end of the head."""
    place: int
    """Its index among the headers."""
    noted_place: int | None
    """Its index among those that are to be noted."""


class HeadWithGaps(NamedTuple):
    """A head without its method, its path, and some of its values."""

    before: bytes
    """The bytes between the path and the first of these values."""
    gaps: Sequence[Gap]
    length_place: int | None
    """The index of the header with the length of the body, if there is one."""
    meaning: Meaning

    def read(self, data: bytes) -> Repeated | None:
        """Return the one request that these bytes are, if this is its head."""
        before, gaps, length_place, (same, noted, host) = self
        headers: list[Header] = same
        begin = data.find(b" ") + 1
        end_of_url = data.find(b" ", begin)
        if not data.startswith(before, end_of_url):
            return None
        at = end_of_url + len(before)
        length = b""
        for known, behind, place, noted_place in gaps:
            end = data.find(b"\r", at)
            if not data.startswith(behind, end):
                return None
            value = data[at:end]
            at = end + len(behind)
            if place == length_place:
                length = value
            if value != known:
                if not value or value.translate(_OF_VALUES) != value or value.strip() != value:
                    return None
                if headers is same:
                    headers = same.copy()  # no `RepeatedHeaders` any more
                pair = headers[place] = (headers[place][0], value)
                if noted_place is not None and noted is not None:
                    noted = noted.copy()
                    noted[noted_place] = pair
        body = data[at:]
        if body if length_place is None else length != b"%d" % len(body):
            return None
        method = _METHODS.get(data[:begin])
        url = data[begin:end_of_url]
        if method is None or url.translate(_OF_PATHS) != url:
            return None
        return method, url, headers, noted, host, body


class KnownHeads:
    """The heads that one connection remembers."""

    __slots__ = ("_bare", "_last", "_lessons", "_may_differ", "_rest", "_with_gaps")

    def __init__(self, *, may_differ: bool = True) -> None:
        """`may_differ` says whether values may differ, and so have any length that fits a read."""
        self._may_differ = may_differ
        self._rest: bytes | None = None
        """A whole head without a body, from behind its path, where it has no gaps."""
        self._bare = Meaning(RepeatedHeaders(()), None, None)
        """Its meaning."""
        self._with_gaps: tuple[HeadWithGaps, ...] = ()
        self._last: list[HeadWithGaps | None] = [None, None]
        """The last heads that were remembered without a length, and with one."""
        self._lessons = [LESSONS, LESSONS]
        """How many more may be remembered."""

    def find(self, data: bytes) -> Repeated | None:
        """Return the one request that these bytes are, if its head is known."""
        rest = self._rest
        if rest is not None and data.endswith(rest):
            begin = data.find(b" ") + 1
            url = data[begin : -len(rest)]
            method = _METHODS.get(data[:begin])
            if method is None or url.translate(_OF_PATHS) != url:
                return None
            headers, noted, host = self._bare
            return method, url, headers, noted, host, b""
        for head in self._with_gaps:
            found = head.read(data)
            if found is not None:
                return found
        return None

    def wants(self, *, has_body: bool) -> bool:
        """Whether another head of that kind is worth a look."""
        return self._lessons[has_body] > 0

    def remember(self, data: bytes, method: str, url: bytes, meaning: Meaning) -> None:
        """Remember the head of the one whole request that these bytes are, if that is
        worthwhile.
        """
        begin = len(method) + 1 + len(url)
        end = data.find(_END) + len(_END)
        if end - begin > MOST_BYTES or not data.startswith(
            b"%b %b%b" % (method.encode(), url, _VERSION)
        ):
            return
        has_length = any(name == _LENGTH for name, _ in meaning.headers)
        before = self._last[has_length]
        others = self._others(meaning.headers, before) if self._may_differ else set()
        head = _taken_apart(data[begin:end], meaning, others)
        if head is None or not self.wants(has_body=has_length):
            return
        if head.read(data) is None:
            return  # its body is not as long as it says, or the length is unknown
        self._lessons[has_length] -= 1
        self._last[has_length] = head
        bare, sized = self._last
        self._rest = None
        if bare is not None and not bare.gaps:
            self._rest, self._bare = bare.before, bare.meaning
            bare = None
        self._with_gaps = tuple(head for head in (sized, bare) if head is not None)

    def _others(self, headers: list[Header], before: HeadWithGaps | None) -> set[int]:
        """The headers that may have another value in the next head, given the previous one."""
        others = {i for i, (name, _) in enumerate(headers) if name in _IDS}
        if before is None:
            return others
        known = before.meaning.headers
        if [name for name, _ in known] == [name for name, _ in headers]:
            others |= {gap.place for gap in before.gaps}
            others |= {i for i, pair in enumerate(headers) if pair != known[i]}
        others = {i for i in others if headers[i][0] not in _MEANT}
        return others if len(others) <= MOST_OTHERS else set()


def _taken_apart(rest: bytes, meaning: Meaning, others: set[int]) -> HeadWithGaps | None:
    """A head, from the end of its path on, with gaps at these headers and at its length.

    None where it is not written in the usual way, so that its parts cannot be located.
    """
    headers, noted = meaning.headers, meaning.noted or ()
    lines = rest.split(b"\r\n")  # the first piece is that of the path, and the last two have none
    if len(lines) != len(headers) + 3:
        return None
    parts: list[bytes] = []
    begun = lines[0] + b"\r\n"
    found: list[tuple[bytes, int, int | None]] = []
    length_place = None
    seen = 0
    for place, ((name, value), line) in enumerate(zip(headers, lines[1:-2], strict=True)):
        noted_place = None
        if seen < len(noted) and noted[seen] == (name, value):
            noted_place = seen
            seen += 1
        start = line[: len(name) + 2]
        is_plain = line == start + value and start.lower() == name + b": "
        if name == _LENGTH:
            if length_place is not None or not is_plain:
                return None
            length_place = place
        elif place not in others or not is_plain:
            begun += line + b"\r\n"
            continue
        parts.append(begun + start)
        found.append((value, place, noted_place))
        begun = b"\r\n"
    before, *behind = [*parts, begun + b"\r\n"]
    gaps = [
        Gap(value, after, place, noted_place)
        for (value, place, noted_place), after in zip(found, behind, strict=True)
    ]
    return HeadWithGaps(before, gaps, length_place, meaning)
