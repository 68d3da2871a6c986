"""Rules for the head of a request, beyond those of its parser.

Plain functions over bytes: they know no connection, and raise `Refused`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Any

import httptools

from buntime_host.errors import (
    BadRequest,
    HeadersTooLarge,
    HttpError,
    MethodNotAllowed,
    UpgradeRequired,
    UrlTooLong,
)
from buntime_host.limits import EdgeLimits

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
WEBSOCKET_HEADERS = 128
WEBSOCKET_LINE_BYTES = 8_190
"""Limits of the websocket library on a handshake."""

_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?\])(?::[0-9]{0,5})?"
)


class Refused(Exception):
    """Raised in a callback of the parser, which stops it."""

    def __init__(self, error: HttpError, reason: str = "malformed") -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason


def url_too_long(limits: EdgeLimits) -> Refused:
    """The refusal of a URL that is too long."""
    most = limits.url_bytes
    return Refused(UrlTooLong(f"A URL may have {most} bytes (limits.maxUrlBytes)"), "url")


def headers_too_large(limits: EdgeLimits) -> Refused:
    """The refusal of headers that are too large."""
    most = limits.header_bytes
    error = HeadersTooLarge(f"Headers may have {most} bytes in all (limits.maxHeaderBytes)")
    return Refused(error, "headers")


def too_many_headers(limits: EdgeLimits) -> Refused:
    """The refusal of too many headers."""
    most = limits.headers
    return Refused(
        HeadersTooLarge(f"A request may have {most} headers (limits.maxHeaders)"), "headers"
    )


def check_older_version(version: str, *, is_chunked: bool) -> None:
    """Refuse a version other than 1.1, unless it is 1.0 without features of 1.1."""
    if version != "1.0":
        raise Refused(BadRequest(f"HTTP/{version} is not supported here, only HTTP/1.1"))
    if is_chunked:
        raise Refused(BadRequest("HTTP/1.0 has no Transfer-Encoding"))


def check_host_and_port(host: bytes) -> None:
    """Refuse a header Host that is not valid."""
    if not _HOST.fullmatch(host):
        raise Refused(BadRequest("The header Host is not a host and a port"))


def target_of(method: str, target: bytes, host: bytes | None) -> tuple[Any, bytes]:
    """The URL of a request, taken apart, and its path; `host` is that of the header."""
    if method == "CONNECT":
        raise Refused(MethodNotAllowed("This server is not a proxy", headers={"Allow": METHODS}))
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise Refused(BadRequest("The URL is not valid")) from None
    if url.host is not None:
        _check_authority(url, host)
    return url, url.path or b"/"


def _check_authority(url: Any, header: bytes | None) -> None:
    """Check a URL with a host, as proxies get it, against the header Host."""
    if url.userinfo is not None:
        raise Refused(BadRequest("A URL with a user is not valid here"))
    authority = url.host if url.port in (None, 80) else url.host + b":%d" % url.port
    host = (header or b"").removesuffix(b":80")
    if b"[" in host:
        host = host.replace(b"[", b"").replace(b"]", b"")
    if header is not None and authority.lower() != host.lower():
        raise Refused(BadRequest("The host of the URL is not that of the header Host"))


def handshake_problem(
    method: str,
    version: str,
    url: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    has_body: bool,
    has_to_wait: bool,
) -> HttpError | None:
    """Return what is wrong with a handshake of a websocket, or beyond the limits of its library.

    With `has_to_wait` there are requests before it that are not answered yet.
    """
    if method != "GET" or version != "1.1":
        return BadRequest("The handshake of a websocket is a GET of HTTP/1.1")
    if has_body:
        return BadRequest("The handshake of a websocket has no body")
    if has_to_wait:
        return BadRequest("The handshake of a websocket has to wait for the answers before it")
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_websocket_key(keys[0]):
        return BadRequest("Sec-WebSocket-Key has to be 16 bytes in base64")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        return UpgradeRequired(
            "Sec-WebSocket-Version has to be 13", headers={"Sec-WebSocket-Version": "13"}
        )
    lines = [len(name) + len(value) + 4 for name, value in headers]
    if len(lines) > WEBSOCKET_HEADERS or max(*lines, len(url)) > WEBSOCKET_LINE_BYTES:
        return HeadersTooLarge(
            f"The handshake of a websocket has at most {WEBSOCKET_HEADERS} headers, and"
            f" {WEBSOCKET_LINE_BYTES} bytes in each and in the URL"
        )
    return None


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _is_websocket_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
