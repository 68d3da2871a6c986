"""An event stream over a bare socket: what arrives is kept as bytes, chunk by chunk."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from support.waiting import PATIENCE


class Event(NamedTuple):
    """One event; `data` is decoded JSON, None where there is none."""

    event: str
    data: Any
    id: str | None


class EventStream:
    """An open stream. Reading blocks, and fails an assertion after `PATIENCE`."""

    def __init__(
        self,
        base: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        receive_buffer: int | None = None,
        connection: socket.socket | None = None,
    ) -> None:
        url = urlsplit(base)
        self.socket = connection or socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        if connection is None:
            self.socket.connect((url.hostname, url.port))
        target = url.path + path
        if query:
            target += "?" + urlencode(query, doseq=True, quote_via=quote)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {url.netloc}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._bytes = b""
        self.chunks: list[bytes] = []
        head = self._until(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        self._text = b""

    def chunk(self, timeout: float = PATIENCE) -> bytes | None:
        """The next chunk of the body, None at its end. Raises `TimeoutError`."""
        self.socket.settimeout(timeout)
        try:
            # Taken when it is whole: who waits in vain may wait again.
            while (end := self._bytes.find(b"\r\n")) < 0:
                self._receive()
            size = int(self._bytes[:end], 16)
            begin = end + 2
            while len(self._bytes) < begin + size + 2:
                self._receive()
        finally:
            self.socket.settimeout(PATIENCE)
        data = self._bytes[begin : begin + size]
        self._bytes = self._bytes[begin + size + 2 :]
        if not size:
            return None
        self.chunks.append(data)
        return data

    def next(self, timeout: float = PATIENCE, *, pings: bool = False) -> Event | None:
        """The next event, None at the end of the stream. Raises `TimeoutError`."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\n\n" in self._text:
                text, self._text = self._text.split(b"\n\n", 1)
                event = parse_event(text.decode())
                if pings or event.event != "ping":
                    return event
            data = self.chunk(max(0.01, deadline - time.monotonic()))
            if data is None:
                return None
            self._text += data

    def is_quiet(self, seconds: float) -> bool:
        """Whether no event but pings comes within so many seconds."""
        try:
            self.next(seconds)
        except TimeoutError:
            return True
        return False

    def json(self) -> Any:
        """The body of an answer that is no stream."""
        return json.loads(self._exactly(int(self.headers["content-length"])))

    def close(self) -> None:
        self.socket.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self._bytes:
            self._receive()
        found, self._bytes = self._bytes.split(end, 1)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._bytes) < size:
            self._receive()
        found, self._bytes = self._bytes[:size], self._bytes[size:]
        return found

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._bytes += data


def parse_event(text: str) -> Event:
    """The event that the lines of a frame make."""
    fields = dict(line.split(": ", 1) for line in text.split("\n"))
    data = fields["data"]
    return Event(
        fields.get("event", "message"), json.loads(data) if data else None, fields.get("id")
    )


@contextmanager
def event_stream(base: str, path: str, **options: Any) -> Iterator[EventStream]:
    """A stream that is closed at the end."""
    stream = EventStream(base, path, **options)
    try:
        yield stream
    finally:
        stream.close()
