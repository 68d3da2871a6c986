"""HTTP/1.1 for a client: requests to bytes, and bytes to an answer. No I/O.

h11 reads answers. The plain ones, which nearly all are, are read here in a tenth of the time: one
pattern matches heads that leave no doubt, which came in one piece, in the usual letters, with one
length and no other framing. All others go to h11 from the first byte on.
`tests/client/test_answers_like_h11.py` compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import h11

from buntime_keyval._inflate import ACCEPTED, Inflater, inflaters
from buntime_keyval._transport import Failure, NotSent, OutgoingRequest

LONGEST_HEAD = 64 * 1024
"""Bytes of a head, of the size of a chunk with what extends it, of trailers."""
LARGEST_ANSWER = 1 << 30
"""Bytes of a content, before and after decompression; far more than a server sends."""
MOST_INFORMATIONAL = 20
"""Most answers such as 103 before the final one."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE = r"(?:[!-~]++(?: ++[!-~]++)*+)?+"
_FIELD = re.compile(rf"({_NAME}): ?+({_VALUE})\r\n")
_PLAIN = re.compile(
    rf"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*+\r\n((?:{_NAME}: ?+{_VALUE}\r\n)++)\r\n".encode()
)
_LENGTH = re.compile(r"[0-9]{1,15}")
_TARGET = re.compile(r"/[!-~]*")
_WITH_LENGTH = ("POST", "PUT", "PATCH")
"""Methods whose requests have a content, even an empty one."""


class RequestHeads:
    """Writes the requests of one client."""

    def __init__(self, host: str, headers: Mapping[str, str]) -> None:
        """`host` is that of the header; `headers`, with names in small letters, go with all
        requests.
        """
        self._common = {"host": host, "accept-encoding": ACCEPTED, **headers}
        self._lines = _lines(self._common)

    def written(self, request: OutgoingRequest) -> bytes:
        """All of a request. Raises `NotSent` for one that cannot be written."""
        method, target, headers, body, _ = request
        if not _TARGET.fullmatch(target):
            raise NotSent(f"a path that no request can have: {target!r}")
        common = self._lines
        if not self._common.keys().isdisjoint(headers):
            common = _lines({name: it for name, it in self._common.items() if name not in headers})
        own = _lines(headers)
        if body is not None:
            own += f"content-length: {len(body)}\r\n"
        elif method in _WITH_LENGTH:
            own += "content-length: 0\r\n"
        head = f"{method} {target} HTTP/1.1\r\n{common}{own}\r\n".encode("ascii")
        return head + body if body else head


class AnswerReader:
    """Takes what arrives after one request, in order, until it is complete."""

    def __init__(self, method: str, most: int | None = LARGEST_ANSWER) -> None:
        """`most` bounds the content in bytes; None for an event stream."""
        self.status = 0
        """0 until the head is there."""
        self.headers: dict[str, str] = {}
        """Names in small letters; what came several times is joined by commas."""
        self.complete = False
        self.reusable = False
        """Whether the connection may carry another request."""
        self._method = method
        self._most = most
        self._size = 0
        self._missing = 0
        self._parts: list[bytes] = []
        self._reader: h11.Connection | None = None
        self._informational = 0
        self._inflaters: Sequence[Inflater] = ()

    def feed(self, data: bytes) -> bool:
        """Add received bytes, none for the end of the connection; return whether the answer is
        complete.

        Raises `Failure` if they are no answer, or if it was cut.
        """
        if self._reader is not None:
            self._read(self._reader, data)
        elif self.status:
            if not data:
                raise Failure("the connection was closed before the whole answer was there")
            self._take(data)
        elif not data:
            raise Failure("the connection was closed without an answer")
        elif not self._begin_plain(data):
            self._reader = _reader(self._method)
            self._read(self._reader, data)
        return self.complete

    def content(self) -> bytes:
        """The part of the content that has arrived since the last call. Raises `Failure`."""
        parts, self._parts = self._parts, []
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._inflaters:
            most = LARGEST_ANSWER if self._most is None else self._most
            for inflater in self._inflaters:
                data = inflater.take(data, most)
                if self.complete:
                    inflater.end()
        return data

    def _begin_plain(self, data: bytes) -> bool:
        """Take the beginning of an answer that is beyond doubt; else it is untouched."""
        match = _PLAIN.match(data)
        if match is None or self._method == "HEAD":
            return False
        headers = {}
        fields = _FIELD.findall(match[2].decode("ascii"))
        for name, value in fields:
            headers[name.lower()] = value
        length = headers.get("content-length", "")
        if (
            len(headers) != len(fields)
            or not _LENGTH.fullmatch(length)
            or "transfer-encoding" in headers
            or headers.get("connection", "keep-alive").lower() != "keep-alive"
            or match[1] in (b"204", b"304")
        ):
            return False
        self._missing = int(length)
        self._admit(self._missing)
        self._begin(int(match[1]), headers)
        self.reusable = True
        self._take(data[match.end() :])
        return True

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        encoding = headers.get("content-encoding")
        if encoding is not None:
            self._inflaters = inflaters(encoding)

    def _take(self, data: bytes) -> None:
        """The next part of a content whose length is known."""
        if len(data) > self._missing:  # unrequested bytes follow
            data = data[: self._missing]
            self.reusable = False
        self._missing -= len(data)
        self._parts.append(data)
        self.complete = self._missing == 0

    def _read(self, reader: h11.Connection, data: bytes) -> None:
        try:
            reader.receive_data(data)
            while not self.complete:
                event = reader.next_event()
                if event is h11.NEED_DATA:
                    return
                self._take_event(reader, event)
        except h11.RemoteProtocolError as error:
            raise Failure(f"no answer of HTTP/1.1: {error}") from error

    def _take_event(self, reader: h11.Connection, event: object) -> None:
        if isinstance(event, h11.Data):
            self._size += len(event.data)
            self._admit(self._size)
            self._parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self.complete = True
            unasked, closed = reader.trailing_data
            ended = unasked or closed or reader.their_state is not h11.DONE
            self.reusable = not ended and reader.our_state is h11.DONE
        elif isinstance(event, h11.Response):
            headers: dict[str, str] = {}
            for raw_name, raw_value in event.headers:
                name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            self._begin(event.status_code, headers)
        elif isinstance(event, h11.InformationalResponse):
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                raise Failure("the server announces its answer for ever")
        else:  # the end of the connection, or a change of the protocol
            raise Failure("the connection was closed before the whole answer was there")

    def _admit(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise Failure(f"an answer of more than {self._most} bytes")


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _reader(method: str) -> h11.Connection:
    """Return the reader of the answer to a request that was written without h11."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    reader.send(h11.Request(method=method, target="/", headers=[("host", "-")]))
    reader.send(h11.EndOfMessage())
    return reader
