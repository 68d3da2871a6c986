# Made by scripts/unasync from _async/transport.py: change that one.
"""The seam between a client and what sends its requests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._transport import OutgoingRequest
from buntime_keyval.embedded import Embedded

if TYPE_CHECKING:
    import httpx2

R = TypeVar("R")


class Opened(Protocol):
    """The answer to a request for an event stream."""

    reply: Reply
    """Its head; with its content, unless it is a 200."""

    def chunks(self) -> Generator[bytes, None]:
        """The content of a 200, as it comes. Raises `Failure`."""

    def interrupt(self) -> None:
        """Wake the waiter for the next chunk; the stream is unusable afterwards."""


class Transport(Protocol):
    """Connections to one server, of one event loop or one process."""

    def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        """Send a request and return its answer, converted by `read`. Raises `Failure`, and the
        exceptions of `read`.

        The request is sent once, or not at all. Where the answer makes no sense, which `read` says
        by `InvalidResponse`, nothing else that its connection brings is believed.
        """

    def stream(self, request: OutgoingRequest) -> AbstractContextManager[Opened]:
        """An event stream, on a connection that is no other call's. Raises `Failure`."""

    def close(self) -> None:
        """Close all connections. Running requests fail."""


def transport_of(settings: Settings, given: httpx2.BaseTransport | Embedded | None) -> Transport:
    """Return the transport of a client; `given` replaces the network."""
    if isinstance(given, Embedded):
        from buntime_keyval._sync.through_process import ThroughProcess

        return ThroughProcess(settings, given)
    if given is None and settings.server.proxy is None:
        from buntime_keyval._sync.pool import Pool  # brings h11

        return Pool(settings)
    from buntime_keyval._sync.through_httpx import ThroughHttpx

    return ThroughHttpx(settings, given)
