"""Heads of requests that need no parser, since it has judged the same bytes before.

A client says the same in each of its requests, but for the path: the same host, the same headers.
What they mean does not depend on the path, so a connection remembers the last such head. A request
that differs from it in the path alone has the same meaning, and what the parser would say of the
path is told by its characters.
"""

from __future__ import annotations

from typing import NamedTuple

from buntime_host.http.direct import Header, RepeatedHeaders

METHOD = b"GET "
_VERSION = b" HTTP/1.1\r\n"
_END = b"\r\n\r\n"

MOST_BYTES = 1024
"""Longer heads are not remembered: each connection has one."""

LESSONS = 4
"""So many heads are remembered, one after the other, before a connection gives up: its client says
something else each time."""

_OF_PATHS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%"


class KnownHead(NamedTuple):
    """A head without what is between the method and the version."""

    rest: bytes
    """All of it behind the path, to its end."""
    headers: RepeatedHeaders
    noted: list[Header] | None
    """Those that the dispatcher wants to see, each time."""
    host: bytes | None

    def path_in(self, data: bytes) -> bytes | None:
        """The path and query of a request that has this head and nothing else; None for others."""
        if not data.startswith(METHOD):
            return None
        path = data[len(METHOD) : len(data) - len(self.rest)]
        return None if path.translate(None, _OF_PATHS) else path


def rest_of(data: bytes, url: bytes) -> bytes | None:
    """What to remember of one whole request for that URL; None if it is not worth it."""
    begin = len(METHOD) + len(url)
    if (
        len(data) - begin > MOST_BYTES
        or not data.startswith(METHOD + url + _VERSION)
        or data.find(_END) != len(data) - len(_END)
    ):
        return None
    return data[begin:]
