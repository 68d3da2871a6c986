"""The shared use of httpx2, which sends requests through proxies and in tests.

It is imported here and in `through_httpx` alone, and only where it is needed.
"""

from __future__ import annotations

from typing import Any

import httpx2

from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._transport import Failure, NoneFree, NotSent, OutgoingRequest, Timeouts, within

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)
"""Translate an exception of httpx2 for a request without a complete answer."""

KEEPALIVE_SECONDS = 3.0

# Nothing of the request was sent, so it was not applied.
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


def transport_options(settings: Settings, *, for_streams: bool) -> dict[str, Any]:
    """The way to the server; event streams have no limit, and take nothing from the calls."""
    most = None if for_streams else settings.max_connections
    limits = httpx2.Limits(
        max_connections=most, max_keepalive_connections=most, keepalive_expiry=KEEPALIVE_SECONDS
    )
    return {
        "verify": settings.server.verify,
        "trust_env": False,
        "limits": limits,
        "proxy": settings.server.proxy,
        "uds": settings.server.unix_socket,
    }


def client_options(settings: Settings) -> dict[str, Any]:
    """Options of a client of httpx2 for all requests."""
    return {"headers": settings.headers, "timeout": timeout(settings.timeouts), "trust_env": False}


def timeout(
    timeouts: Timeouts, *, of_stream: bool = False, ends: float | None = None
) -> httpx2.Timeout:
    """The bounds of a request, which has until `ends`: each of them is, and not all together."""
    connect, pause = within(timeouts.connect, ends), within(timeouts.pause, ends)
    if of_stream:
        return httpx2.Timeout(pause, connect=connect, read=timeouts.silence)
    return httpx2.Timeout(pause, connect=connect, pool=connect)


def url_of(settings: Settings, request: OutgoingRequest) -> str:
    """The URL of a request."""
    return settings.server.origin + request.target


def reply_of(response: httpx2.Response, base_url: str, content: bytes) -> Reply:
    """The answer that a response is."""
    return Reply(response.status_code, response.headers, content, base_url)


def failure_of(error: Exception) -> Failure:
    """The failure that an exception of httpx2 stands for."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx2.PoolTimeout):
        return NoneFree(reason)
    return NotSent(reason) if isinstance(error, _NOT_SENT) else Failure(reason)
