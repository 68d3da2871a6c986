"""The interface between a client and its transport: independent of async or blocking, no I/O."""

from __future__ import annotations

import ssl
import time
from typing import NamedTuple

_LEAST_S = 0.001
"""Seconds left of a time that is over: zero would not be waited for in the same way."""


class OutgoingRequest(NamedTuple):
    """One request, without the headers that all requests of a client have."""

    method: str
    target: str
    """Path and query as they are on the wire."""
    headers: dict[str, str]
    """Names in small letters; they win over those of all requests."""
    body: bytes | None = None
    ends: float | None = None
    """When the caller stops waiting, by the monotonic clock."""


class Timeouts(NamedTuple):
    """Seconds; None for no bound."""

    connect: float | None
    """To make a connection, and to get one."""
    pause: float | None
    """Longest pause of an answer, and of a server that reads a request."""
    silence: float | None
    """Longest silence of an event stream."""


def within(seconds: float | None, ends: float | None) -> float | None:
    """That many seconds, but not beyond an end by the monotonic clock; None for no bound."""
    if ends is None:
        return seconds
    left = max(_LEAST_S, ends - time.monotonic())
    return left if seconds is None else min(seconds, left)


class Address(NamedTuple):
    """The address of a server."""

    host: str
    """A name or an address, also where `path` is used: certificates are for it."""
    port: int
    path: str | None
    """The path of a unix socket."""
    tls: ssl.SSLContext | None
    is_remote_name: bool = False
    """Whether the host may have several addresses, of which some may not answer."""


class Failure(Exception):
    """No complete answer. Of the request anything from nothing to all may have been taken."""


class NotSent(Failure):
    """Nothing of the request was sent, so it was certainly not applied."""


class NoneFree(NotSent):
    """All connections were in use for too long."""


def reason_of(error: BaseException) -> str:
    """An exception in words; some have none of their own."""
    return str(error) or type(error).__name__
