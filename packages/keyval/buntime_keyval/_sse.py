"""Server-sent events out of chunks of bytes, wherever these were cut."""

from __future__ import annotations

from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event."""

    event: str
    data: bytes
    id: str | None
    """The last id that the stream named, None if it named none."""


class EventParser:
    """Takes the chunks of one stream in order.

    Lines end with LF, CR LF or CR, which may be in different chunks. An event that the stream does
    not finish is dropped, with its id.
    """

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._after_cr = False
        self._started = False
        self._event = ""
        self._data: list[bytes] = []
        self._new_id: str | None = None
        self.last_id: str | None = None
        """The id of the last finished event that had one."""
        self.position: str | None = None
        """The last position of its store that the stream has sent."""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that the chunk finishes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\n" not in chunk and b"\r" not in chunk:
            if chunk:
                self._unfinished.append(chunk)
            return []
        lines = b"".join([*self._unfinished, chunk]).splitlines(keepends=True)
        self._unfinished = []
        if not lines[-1].endswith((b"\n", b"\r")):
            self._unfinished.append(lines.pop())
        elif lines[-1].endswith(b"\r"):
            self._after_cr = True
        events = []
        for line in lines:
            event = self._take(line.rstrip(b"\r\n"))
            if event is not None:
                events.append(event)
        return events

    def _take(self, line: bytes) -> ServerEvent | None:
        if not self._started:
            self._started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._finish()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._new_id = value.decode("utf-8", "replace")
        elif name == b"position":
            self.position = value.decode("utf-8", "replace")
        return None  # comments, and unknown fields

    def _finish(self) -> ServerEvent | None:
        if self._new_id is not None:
            self.last_id, self._new_id = self._new_id, None
        event, data = self._event, self._data
        self._event, self._data = "", []
        if not event and not data:
            return None
        return ServerEvent(event or "message", b"\n".join(data), self.last_id)
