"""The methods that a server of HTTP/1.1 accepts."""

from __future__ import annotations

import difflib

METHODS = frozenset(
    {
        "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK",
        "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS",
        "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT",
        "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
    }
)  # fmt: skip
WEBSOCKET = "WEBSOCKET"
"""Stands for the method of a handshake."""


def like(name: str, known: frozenset[str]) -> str:
    """A hint with the known name most similar to another one; empty if none is."""
    close = difflib.get_close_matches(name[:50].upper(), sorted(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
