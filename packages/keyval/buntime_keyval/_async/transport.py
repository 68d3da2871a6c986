"""The seam between a client and what sends its requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._transport import OutgoingRequest
from buntime_keyval.embedded import Embedded

if TYPE_CHECKING:
    import httpx2

R = TypeVar("R")


class AsyncOpened(Protocol):
    """The answer to a request for an event stream."""

    reply: Reply
    """Its head; with its content, unless it is a 200."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The content of a 200, as it comes. Raises `Failure`."""

    def interrupt(self) -> None:
        """Wake the waiter for the next chunk; the stream is unusable afterwards."""


class AsyncTransport(Protocol):
    """Connections to one server, of one event loop or one process."""

    async def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        """Send a request and return its answer, converted by `read`. Raises `Failure`, and the
        exceptions of `read`.

        The request is sent once, or not at all. Where the answer makes no sense, which `read` says
        by `InvalidResponse`, nothing else that its connection brings is believed.
        """

    def stream(self, request: OutgoingRequest) -> AbstractAsyncContextManager[AsyncOpened]:
        """An event stream, on a connection that is no other call's. Raises `Failure`."""

    async def close(self) -> None:
        """Close all connections. Running requests fail."""


def transport_of(
    settings: Settings, given: httpx2.AsyncBaseTransport | Embedded | None
) -> AsyncTransport:
    """Return the transport of a client; `given` replaces the network."""
    if isinstance(given, Embedded):
        from buntime_keyval._async.through_process import AsyncThroughProcess

        return AsyncThroughProcess(settings, given)
    if given is None and settings.server.proxy is None:
        from buntime_keyval._async.pool import AsyncPool  # brings h11

        return AsyncPool(settings)
    from buntime_keyval._async.through_httpx import AsyncThroughHttpx

    return AsyncThroughHttpx(settings, given)
