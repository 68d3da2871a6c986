"""What goes between a client and whatever sends its requests: no colour, no I/O."""

from __future__ import annotations

import ssl
import time
from typing import NamedTuple

_LEAST_S = 0.001
"""What is left of a time that is over: none at all would not be waited for in the same way."""


class OutgoingRequest(NamedTuple):
    """One request, without the headers that all requests of a client have."""

    method: str
    target: str
    """Path and query as they are on the wire."""
    headers: dict[str, str]
    """Names in small letters; they win over those of all requests."""
    body: bytes | None = None
    ends: float | None = None
    """When whoever asks does not wait any more, by the monotonic clock."""


class Timeouts(NamedTuple):
    """Seconds; None for no bound."""

    connect: float | None
    """To make a connection, and to get one."""
    pause: float | None
    """Of an answer, and of who takes a request."""
    silence: float | None
    """Of an event stream."""


def within(seconds: float | None, ends: float | None) -> float | None:
    """So many seconds, but not beyond an end by the monotonic clock; None for no bound."""
    if ends is None:
        return seconds
    left = max(_LEAST_S, ends - time.monotonic())
    return left if seconds is None else min(seconds, left)


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    """A name or an address, also where `path` is used: certificates are for it."""
    port: int
    path: str | None
    """Of a unix socket."""
    tls: ssl.SSLContext | None
    is_remote_name: bool = False
    """Whether the host may have several addresses, of which some may not answer."""


class Failure(Exception):
    """No complete answer. Of the request anything from nothing to all may have been taken."""


class NotSent(Failure):
    """Nothing of the request has left, so whatever it is, it was not applied."""


class NoneFree(NotSent):
    """All connections were in use for too long."""


def reason_of(error: BaseException) -> str:
    """An exception in words; some have none of their own."""
    return str(error) or type(error).__name__
