"""Observed requests, on both ways. A host without an observer uses none of this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from starlette.types import Message, Receive, Scope, Send

from buntime_host.access import principal_of
from buntime_host.connections.direct_exchange import DirectConnection, DirectExchange
from buntime_host.errors import Forbidden, HttpError
from buntime_host.http.direct import BODILESS, Answer, Header
from buntime_host.http.direct_mounts import Admitted, DirectMount
from buntime_host.http.passage import WEBSOCKET, raw_path_of
from buntime_host.observe.http_numbers import (
    NO_ROUTE,
    HttpNumbers,
    at_once,
    ended,
    waits,
    withdrawn,
)
from buntime_host.observe.observer import CLIENT_GONE, ObservedRequest, Observer
from buntime_host.routing.dispatch import SWITCHING, RequestDispatcher
from buntime_host.routing.mounts import Mount

if TYPE_CHECKING:
    from buntime_host.workers import Doubles

_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start"})
_BODIES = frozenset({"http.response.body", "websocket.http.response.body"})


class CountedConnection(DirectConnection, Protocol):
    """The part of a connection that such a request needs where requests are counted."""

    numbers: HttpNumbers


class CountedExchange(DirectExchange):
    """A request of the direct way where requests are counted, and not otherwise observed.

    Most are answered at once: they are counted when they end, and never seen as running. To save
    time on these it is made as one that is not counted, and calls no method by `super()`.
    """

    _connection: CountedConnection
    _begun = 0.0
    """When the first part of its body, or all of it, had arrived."""
    _row: Doubles | None = None
    """The row that counts it, once it runs for others to see."""
    _is_counted = False
    """Whether it was counted as ended."""

    def add_body(self, part: bytes) -> None:
        """See `DirectExchange`."""
        self._begin_to_wait()
        super().add_body(part)

    def run(self) -> None:
        """See `DirectExchange`."""
        if not self._begun:
            self._begun = perf_counter()
        DirectExchange.run(self)

    def leave(self) -> None:
        """See `DirectExchange`."""
        super().leave()
        self._count(CLIENT_GONE)

    def refuse(self, error: HttpError) -> None:
        """See `DirectExchange`."""
        super().refuse(error)
        self._count(error.status)

    def _wait_for(self, reply: Any) -> None:
        self._begin_to_wait()
        super()._wait_for(reply)

    def _go_by_asgi(self) -> None:
        if self._row is not None and not self._is_counted:
            withdrawn(self._row)
        self._is_counted = True
        super()._go_by_asgi()

    def _say(self, answer: Answer) -> None:
        if self._row is None and not self._is_counted:  # the common one: without a call
            self._is_counted = True
            row = self._connection.numbers.row(
                self.method, self._mount.route_of(self.method, self.path)
            )
            at_once(row, answer.status, perf_counter() - self._begun)
        else:
            self._count(answer.status)
        DirectExchange._say(self, answer)

    def _begin_to_wait(self) -> None:
        if self._row is None and not self._is_counted:
            self._begun = self._begun or perf_counter()
            self._row = self._find_row()
            waits(self._row)

    def _count(self, status: int) -> None:
        if self._is_counted:
            return
        self._is_counted = True
        seconds = perf_counter() - self._begun if self._begun else 0.0
        if self._row is None:
            at_once(self._find_row(), status, seconds)
        else:
            ended(self._row, status, seconds)

    def _find_row(self) -> Doubles:
        method = self.method
        return self._connection.numbers.row(method, self._mount.route_of(method, self.path))


class ObservedExchange(DirectExchange):
    """A request of the direct way."""

    def __init__(
        self,
        observer: Observer,
        connection: DirectConnection,
        mount: DirectMount,
        method: str,
        path: bytes,
        query: bytes,
        headers: list[Header],
        admitted: Admitted | None,
        url: bytes,
    ) -> None:
        super().__init__(connection, mount, method, path, query, headers, admitted, url)
        route = mount.route_of(method, path)
        self._seen = observer.begin(method, url.partition(b"?")[0], route, headers)
        self._sent_headers = headers
        if self._seen.traced is not None:
            self.headers = self._seen.traced.passed_on(headers)

    def run(self) -> None:
        """See `DirectExchange`."""
        traced = self._seen.traced
        with nullcontext() if traced is None else traced.entered():
            super().run()

    def leave(self) -> None:
        """See `DirectExchange`."""
        super().leave()
        self._end()

    def refuse(self, error: HttpError) -> None:
        """See `DirectExchange`."""
        super().refuse(error)
        self._seen.answered(error.status)
        self._end()

    def _go_by_asgi(self) -> None:
        self.headers = self._sent_headers
        self._seen.withdraw()
        super()._go_by_asgi()

    def _say(self, answer: Answer) -> None:
        seen = self._seen
        seen.answered(answer.status)
        if self.method != "HEAD" and answer.status not in BODILESS:
            seen.size = len(answer.content())
        super()._say(answer)
        self._end()

    def _end(self) -> None:
        self._seen.end(self._id.decode(), self.peer, self.principal.id)


def observed_exchange(observer: Observer) -> Callable[..., DirectExchange]:
    """Makes the observed requests of the direct way."""
    if observer.numbers is not None and observer.only_counts:
        return CountedExchange
    return partial(ObservedExchange, observer)


class ObservedDispatcher(RequestDispatcher):
    """The dispatcher of a host that observes requests."""

    def __init__(self, observer: Observer, mounts: Mapping[str, Mount], **options: Any) -> None:
        """`options` are those of `RequestDispatcher`."""
        super().__init__(mounts, **options)
        self.observer = observer
        self._see = observer.begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket, and observe it from its head to its end."""
        method = scope.get("method", WEBSOCKET)
        sent = raw_path_of(scope)
        seen = self._see(method, sent, self._route_of(method, sent), scope["headers"])
        traced = seen.traced
        if traced is not None:
            scope["headers"] = traced.passed_on(scope["headers"])

        def seen_send(message: Message) -> Awaitable[None]:
            _note(seen, method, message)
            return send(message)

        try:
            with nullcontext() if traced is None else traced.entered():
                await super().__call__(scope, receive, seen_send)
        except Exception:
            seen.answered(HttpError.status)
            raise
        finally:
            seen.end(scope["state"]["request_id"], scope, principal_of(scope).id)

    def _route_of(self, method: str, sent: bytes) -> str:
        path = self.below.rest_of(sent)
        if self.below.base_path and path == sent:
            return NO_ROUTE  # it is not below the base path
        asked: Scope = {"path": unquote(path.decode("latin-1")), "raw_path": path}
        mount = self.table.find(asked)
        if mount is None:
            return NO_ROUTE
        return mount.route_of(method, asked["raw_path"][len(mount.root_path) :])


def _note(seen: ObservedRequest, method: str, message: Message) -> None:
    """Note one message of an answer."""
    kind = message["type"]
    if kind in _BEGINNINGS:
        seen.answered(message["status"])
    elif kind in _BODIES:
        if method != "HEAD":
            seen.size += len(message.get("body", b""))
    elif kind == "websocket.accept":
        seen.answered(SWITCHING)
    elif kind == "websocket.close":
        seen.answered(Forbidden.status)  # which is what a server makes of it before it accepts
