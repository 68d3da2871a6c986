"""The direct way as the dispatcher sees it: its mounts, what was admitted, how answers begin."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from buntime_host.access import EVERYONE, Principal
from buntime_host.http.direct import DirectRequest, Header, PromisedWork, Reply
from buntime_host.http.noticed import Noticed
from buntime_host.http.statuses import STATUS_LINES

CONTROLS = bytes([*range(9), *range(10, 32), 127])
"""All characters but the tab. Dropping them takes a quarter of the time of searching for them."""
HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MEANT = frozenset({b"connection", b"content-length", b"transfer-encoding", b"x-request-id"})
"""Names of headers that concern the connection, or are written anyway."""
_MOST_NAMES = 256


RouteOf = Callable[[str, bytes], str]
"""Returns the template of a request's route, by method and raw path below the base."""


class Answering(Protocol):
    """A `DirectApp`, or one behind a passage."""

    def is_direct(self, method: str, path: bytes) -> bool: ...

    def answer(self, request: DirectRequest) -> Reply | PromisedWork: ...


class DirectMount(NamedTuple):
    """A plugin that answers requests without ASGI."""

    app: Answering
    body_bytes: int
    """The largest body of such a request."""
    route_of: RouteOf
    asks_for: str | None = None
    """See `Mount`."""
    only_reads: bool = False
    """Whether requests that may write go by ASGI, where they are audited."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """The information in the headers of a request on the direct way."""

    request_id: bytes
    """The id that the request came with; empty if it has no valid one."""
    noticed: Noticed
    principal: Principal = EVERYONE


class Heads:
    """The first lines of answers, cached for a second, since that is how often their date
    changes.
    """

    def __init__(self, always: Sequence[Header], *, behind_passage: bool = False) -> None:
        """`always` are headers of every answer."""
        self.always = always
        self.behind_passage = behind_passage
        self._names: set[bytes] = set()
        self._of: object = None
        self._heads: dict[tuple[int, str], bytes] = {}

    def lines(self, headers: Sequence[Header]) -> bytes | None:
        """Headers of one answer as they go out; None if they have to be checked."""
        names = self._names
        for name, _ in headers:
            if name not in names and not self._is_plain(name):
                return None
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        more = len(lines) - len(lines.translate(None, CONTROLS))
        return lines if more == 2 * len(headers) else None

    def _is_plain(self, name: bytes) -> bool:
        """Whether a header of this name is an ordinary line here."""
        if (
            name in _MEANT
            or not HEADER_NAME.fullmatch(name)
            or (self.always and not self.behind_passage)
        ):
            return False
        if len(self._names) < _MOST_NAMES:
            self._names.add(bytes(name))
        return True

    def head(self, default: list[Header], status: int, content_type: str) -> bytes:
        """The head up to the number of the content-length; `default` are the headers of the
        server.
        """
        if default is not self._of:
            self._of = default
            self._heads.clear()
        try:
            return self._heads[status, content_type]
        except KeyError:
            pairs = [*default, *self.always, (b"content-type", content_type.encode("latin-1"))]
            lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
            head = STATUS_LINES[status] + lines + b"content-length: "
            self._heads[status, content_type] = head
            return head
