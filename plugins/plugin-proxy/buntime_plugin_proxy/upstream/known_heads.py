"""Heads of answers that have come before, byte for byte, and need not be parsed again.

A target sends the same head for the same resource, at least until its date changes. The meaning of
a head follows from its bytes alone, so an answer that begins with a known one, and has a body of
its length, is complete.
"""

from __future__ import annotations

from typing import Any

Headers = list[tuple[bytes, bytes]]

MOST_KNOWN = 512
"""The most heads that are remembered; when there are more, all are forgotten."""
LONGEST_KNOWN = 2 * 1024
"""Longer heads are not remembered."""
LARGEST = 64 * 1024
"""The most bytes of an answer; in a larger one the head costs little compared with the rest."""
END_OF_HEAD = b"\r\n\r\n"


class KnownAnswerHead:
    """The meaning of a whole answer's head."""

    __slots__ = ("found", "headers", "length", "status")

    def __init__(self, status: int, headers: Headers, length: int) -> None:
        self.status = status
        self.headers = headers
        """Must not be changed, since the next answer may share them."""
        self.length = length
        """Bytes of its body."""
        self.found: Any = None
        """Notes derived from it, for the next reader."""


class TargetHeads:
    """The known heads of all targets of a process."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownAnswerHead] = {}

    def find(self, data: bytes) -> tuple[KnownAnswerHead, bytes] | None:
        """The head and body of an answer, if the data is complete and begins with a known head."""
        if len(data) > LARGEST:
            return None
        head, _, body = data.partition(END_OF_HEAD)
        known = self._known.get(head)
        return None if known is None or known.length != len(body) else (known, body)

    def has(self, data: bytes) -> bool:
        """Whether the data is a known head, and nothing more."""
        return data.endswith(END_OF_HEAD) and data[: -len(END_OF_HEAD)] in self._known

    def learn(self, data: bytes, status: int, headers: Headers) -> KnownAnswerHead | None:
        """Remember the head of a complete answer to a request other than `HEAD`.

        None for an answer without a declared length.
        """
        head, _, body = data.partition(END_OF_HEAD)
        lengths = [value for name, value in headers if name == b"content-length"]
        if lengths != [b"%d" % len(body)] or len(head) > LONGEST_KNOWN or len(data) > LARGEST:
            return None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        known = self._known[head] = KnownAnswerHead(status, headers, len(body))
        return known
