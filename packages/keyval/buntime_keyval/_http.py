"""What both shells know about httpx2: settings, headers, and the mapping of its exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2

from buntime_keyval._core import (
    EVENT_STREAM,
    IDEMPOTENCY_KEY,
    JSON_CONTENT,
    REQUEST_ID,
    Call,
    Reply,
    StreamCall,
    error_of,
    invalid_response,
)
from buntime_keyval._errors import (
    ConnectionLost,
    KvError,
    OutcomeUnknown,
    PoolExhausted,
    ServerUnreachable,
)
from buntime_keyval._exchange import Observer
from buntime_keyval._network import (
    VERIFIED,
    Tls,
    checked_proxy,
    find_proxy,
    make_context,
    of_environment,
)
from buntime_keyval._positions import POSITION, LastPosition
from buntime_keyval._retries import Retries, seconds
from buntime_keyval.wire import Duration, InvalidInput
from buntime_keyval.wire.idempotency import checked_idempotency_key

# Servers commonly close idle connections after 5 seconds. A write on a connection that the server
# is just closing has an unknown outcome, so the client lets go of them first.
KEEPALIVE_SECONDS = 3.0

R = TypeVar("R")

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)
"""What httpx2 raises for a request without a complete answer."""

# Nothing of the request left: whatever it is, it was not applied.
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


class Settings:
    """The checked options of a client, and what it remembers of the store."""

    def __init__(
        self,
        base_url: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        timeout: Duration | None = "10s",
        connect_timeout: Duration | None = "5s",
        idle_timeout: Duration | None = "95s",
        retries: Retries | int = 4,
        max_connections: int | None = 100,
        tls: Tls = VERIFIED,
        proxy: str | None = None,
        unix_socket: str | None = None,
        on_exchange: Observer | None = None,
    ) -> None:
        base_url, token = of_environment(base_url, token)
        parts = urlsplit(base_url)
        if parts.netloc.count(":") > 1 and "[" not in parts.netloc and "@" not in parts.netloc:
            raise InvalidInput(
                "base_url needs brackets around an IPv6 address, such as http://[::1]:8000,"
                f" received {base_url!r}"
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidInput(
                f"base_url must be absolute, such as http://127.0.0.1:8000/keyval/api, "
                f"received {base_url!r}"
            )
        if parts.query or parts.fragment:
            raise InvalidInput(f"base_url must have no query and no fragment: {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self.headers = {"accept": JSON_CONTENT, **(headers or {})}
        if token is not None:
            if not (token.isascii() and token.isprintable()):
                # Without the token in the message: it is a secret.
                raise InvalidInput("token must be printable ASCII, in one line")
            self.headers["authorization"] = f"Bearer {token}"
        connect = _seconds_or_none(connect_timeout)
        self.timeout = httpx2.Timeout(_seconds_or_none(timeout), connect=connect, pool=connect)
        self.stream_timeout = httpx2.Timeout(
            _seconds_or_none(timeout), connect=connect, read=_seconds_or_none(idle_timeout)
        )
        self.retries = Retries(times=retries) if isinstance(retries, int) else retries
        self.max_connections = max_connections
        self.on_exchange = on_exchange
        self._position = LastPosition()
        self._unix_socket = unix_socket
        if unix_socket is not None and proxy is not None:
            raise InvalidInput("a unix_socket is reached without a proxy: give one of them")
        found = None
        if proxy is not None:
            found = checked_proxy(proxy, "proxy")
        elif unix_socket is None:
            found = find_proxy(parts)
        self._proxy = None if found is None else found.url
        self.via = "" if found is None else f" through the proxy of {found.source}"
        """Says how the server is reached, in messages."""
        encrypted = parts.scheme == "https" or (found is not None and found.is_encrypted)
        self.verify = make_context(tls, encrypted=encrypted)

    def transport_options(self, *, for_streams: bool) -> dict[str, Any]:
        """The way to the server; event streams have no limit, and take nothing from the calls."""
        most = None if for_streams else self.max_connections
        limits = httpx2.Limits(
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=KEEPALIVE_SECONDS,
        )
        return {
            "verify": self.verify,
            "trust_env": False,
            "limits": limits,
            "proxy": self._proxy,
            "uds": self._unix_socket,
        }

    def keyed(self, call: Call[R], key: str | None) -> Call[R]:
        """The call with its idempotency key: the caller's, or a new one if it may be repeated.

        Raises `InvalidInput`.
        """
        if key is not None:
            return replace(call, idempotency_key=checked_idempotency_key(key))
        if call.repeatable or call.method == "GET" or not self.retries.times:
            return call
        return replace(call, idempotency_key=str(uuid4()))

    def request(self, call: Call[Any]) -> tuple[str, str, dict[str, Any]]:
        """Method, URL, and further arguments of a request."""
        headers = {}
        if call.body is not None:
            headers["content-type"] = JSON_CONTENT
        if not call.repeatable:
            # If the answer is lost, the log of the server can be searched for this.
            headers[REQUEST_ID] = str(uuid4())
        if call.idempotency_key is not None:
            headers[IDEMPOTENCY_KEY] = call.idempotency_key
        if self._position.newest is not None:
            headers[POSITION] = str(self._position.newest)
        return (
            call.method,
            self.base_url + call.target,
            {"content": call.body, "headers": headers},
        )

    def heard(self, response: httpx2.Response) -> None:
        """Remember how far the store was that answered, for the next requests."""
        told = response.headers.get(POSITION)
        if told is not None:
            self._position.heard(response.request.headers.get(POSITION), told)

    def heard_of(self, position: str | None) -> None:
        """The same of what an event told, if it told anything."""
        self._position.heard(None, position)

    def stream_request(self, call: StreamCall) -> tuple[str, str, dict[str, Any]]:
        """The same for an event stream."""
        headers = {"accept": EVENT_STREAM, "accept-encoding": "identity"}
        if call.last_event_id is not None:
            headers["last-event-id"] = call.last_event_id
        options = {"headers": headers, "timeout": self.stream_timeout}
        return "GET", self.base_url + call.target, options


def reply_of(response: httpx2.Response, base_url: str = "") -> Reply:
    """A response that was read to its end; `base_url` for what is said of a wrong one."""
    return Reply(response.status_code, response.headers, response.content, base_url)


def refused_stream(response: httpx2.Response) -> KvError | None:
    """Why a response is no event stream, or None if it is one; read it before, unless it is 200."""
    if response.status_code != 200:
        return error_of(reply_of(response))
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != EVENT_STREAM:
        reply = Reply(response.status_code, response.headers, b"")
        return invalid_response(reply, f"content type {kind!r} is no event stream")
    return None


def no_answer(
    error: httpx2.HTTPError | httpx2.InvalidURL | httpx2.StreamError,
    call: Call[Any] | None,
    request_id: str | None = None,
    *,
    via: str = "",
) -> KvError:
    """The exception for a request without a complete answer; `call` None stands for a stream.

    `via` says how the server is reached, where that is not directly.
    """
    reason = str(error) or type(error).__name__
    shown = "event stream" if call is None else f"{call.method} {call.target.partition('?')[0]}"
    if isinstance(error, httpx2.PoolTimeout):
        return PoolExhausted(
            f"{shown}: no connection became free in time: raise max_connections, or send less at"
            " once"
        )
    if isinstance(error, (*_NOT_SENT, httpx2.InvalidURL)):
        return ServerUnreachable(f"{shown}: could not connect{via}: {reason}")
    if call is None or call.repeatable:
        return ConnectionLost(f"{shown}: no complete answer: {reason}")
    return OutcomeUnknown(
        f"{shown}: no answer, so it may have been applied or not: {reason}",
        request_id=request_id,
    )


def _seconds_or_none(duration: Duration | None) -> float | None:
    return None if duration is None else seconds(duration)
