"""The origin of a page in a head that is refused before all of it has come.

A browser shows a page of another origin only refusals that name the origin, and sends the origin
behind the URL. So the host reads on a little from a client that may be such a page.
"""

from __future__ import annotations

import re

LONGEST_ORIGIN = 256

_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([\x21-\x7e]{1,%d})[ \t]*\r\n" % LONGEST_ORIGIN, re.I)
_HEAD_END = b"\r\n\r\n"
_KEPT = LONGEST_ORIGIN + len(b"\r\norigin: \r\n")


class OriginSearch:
    """Looks for the header Origin in the rest of a head."""

    def __init__(self, most: int) -> None:
        """Looks at `most` bytes."""
        self._left = most
        self._kept = b""
        self.origin: bytes | None = None
        self.over = False
        """Whether it was found, or can no longer come."""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        text = self._kept + data
        head, end, _ = text.partition(_HEAD_END)
        found = _ORIGIN.search(head + b"\r\n" if end else text)
        if found is not None:
            self.origin = found[1]
        self._left -= len(data)
        self.over = found is not None or bool(end) or self._left < 0
        self._kept = text[-_KEPT:]
