"""The direct way as the dispatcher sees it: who is on it, what was admitted, how answers begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from buntime_host.access import EVERYONE, Principal
from buntime_host.direct import DirectApp, Header
from buntime_host.noticed import Noticed


class DirectMount(NamedTuple):
    """A plugin that answers requests without ASGI."""

    app: DirectApp
    body_bytes: int
    """The largest body of such a request."""
    asks_for: str | None = None
    """See `Mount`."""
    only_reads: bool = False
    """Whether what may write goes by ASGI, where it is remembered."""


class Admitted(NamedTuple):
    """What the headers of a request on the direct way say."""

    request_id: bytes
    """The one that it came with; empty if there is none that is valid."""
    noticed: Noticed
    principal: Principal = EVERYONE


class Heads:
    """How answers begin; the same for a second, since that is how often their date changes."""

    def __init__(self, always: Sequence[Header]) -> None:
        """`always` are headers of every answer."""
        self.always = always
        self._of: object = None
        self._heads: dict[tuple[int, str], bytes] = {}

    def head(self, default: list[Header], status: int, content_type: str) -> bytes:
        """All up to the number of the content-length; `default` are the headers of the server."""
        if default is not self._of:
            self._of = default
            self._heads.clear()
        try:
            return self._heads[status, content_type]
        except KeyError:
            # The library of servers is none of a store that is opened without one.
            from uvicorn.protocols.http.httptools_impl import STATUS_LINE

            pairs = [*default, *self.always, (b"content-type", content_type.encode("latin-1"))]
            lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
            head = STATUS_LINE[status] + lines + b"content-length: "
            self._heads[status, content_type] = head
            return head
