"""The direct way: requests that a plugin answers by a plain call, without ASGI.

An application that has `answer` beside its ASGI call gets requests of `buntime serve` this way: one
lean object in, an answer or the promise of one out. An immediate answer takes no task, and head and
body leave in one write.

Where a plugin looks at all requests (middleware, `on_request`, `on_response`), and under any other
server, the same application is called by ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final, runtime_checkable

import msgspec
from starlette.types import Message, Receive, Scope, Send

from buntime_host.access import EVERYONE, Principal, principal_of
from buntime_host.http.noticed import NOTHING, Noticed, noticed_of
from buntime_host.http.problem import problem_of

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")

BODILESS = frozenset({204, 304})
"""Statuses of answers without a body, whatever was requested."""
JSON = "application/json"

Header = tuple[bytes, bytes]


@final
class Answer(msgspec.Struct, frozen=True, gc=False):
    """A complete answer."""

    status: int
    body: str | bytes
    """Text goes out as UTF-8."""
    content_type: str = JSON
    length: int | None = None
    """The size of a body that was not made, since it is not sent: the answer to a `HEAD`."""
    headers: tuple[Header, ...] = ()
    """Further headers, their names in lower case."""
    tag: str = ""
    """The entity tag of the answer, without its quotes; empty for none."""
    lines: bytes = b""
    """Further headers as they go out, each with its end of line, for applications that send the
    same in many answers. They are not looked at again, so they must not name a header that this
    class has a field for."""

    def content(self) -> bytes:
        """The body as it goes out."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    def all_headers(self, size: int) -> list[Header]:
        """The headers for a body of this size. Without a body they have no length."""
        headers: list[Header] = []
        if self.status not in BODILESS:
            headers.append((b"content-type", self.content_type.encode("latin-1")))
            headers.append((b"content-length", b"%d" % (self.length or size)))
        if self.tag:
            headers.append((b"etag", b'"%b"' % self.tag.encode("latin-1")))
        headers += self.headers
        if self.lines:
            headers += pairs_of(self.lines)
        return headers


def pairs_of(lines: bytes) -> list[Header]:
    """The headers that are written as lines."""
    pairs = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        pairs.append((name, value))
    return pairs


# Structs, since many requests make one: named tuples take four times as long to create.
class Promised(msgspec.Struct, frozen=True):
    """An answer that is made from the result of a future: no task waits for it."""

    future: asyncio.Future[Any]
    answer: Callable[[asyncio.Future[Any]], Answer]
    """Called with the future once it is done, also when it failed or was cancelled, as it is when
    the host ends and waits no longer. May raise the same errors as `DirectApp.answer`."""


class PromisedWork(msgspec.Struct, frozen=True):
    """The same where a companion sees the answer, which may take longer still: then in a task."""

    future: asyncio.Future[Any]
    answer: Callable[[asyncio.Future[Any]], Answer | Coroutine[Any, Any, Answer]]


HUNG_UP = "buntime.hung_up"
"""The ASGI extension by which `AsgiRequest.hung_up` works."""


TAG = "buntime.tag"
"""In the head of an ASGI answer, the `Answer.tag`: passages see the same on both ways."""


BEGUN = "buntime.begun"
"""See `DirectRequest.begun`."""


class NotDirect(Exception):
    """Raised when a request turns out to need ASGI: it is served again, that way."""


@final
class RepeatedHeaders(list[Header]):
    """Headers that one connection sends again and again, letter for letter."""

    __slots__ = ("found",)

    def __init__(self, headers: Iterable[Header]) -> None:
        super().__init__(headers)
        self.found: dict[object, Any] = {}
        """Notes of plugins, derived from these headers and the client's address, which hold for all
        requests that have them; by the plugin's own key."""


class DirectRequest:
    """One whole request, of the direct way or made from an ASGI one."""

    body: bytes = b""
    disconnected = False
    """Whether the client has gone."""
    begun: object = None
    """Work begun before it turned out that the request needs ASGI: the ASGI request finds it in its
    state, by the name `BEGUN`."""
    client: tuple[str, int] | None = None
    principal: Principal = EVERYONE
    """The sender."""
    whole_path: bytes = b""
    """Raw path with the base of the plugin. Only passages have it, see `RequestPassage`."""
    companion: Any = None
    """The companion that a passage sent along."""
    lines: bytes = b""
    """Headers of its answer, from whatever source: as in `Answer.lines`, for passages to add to. It
    costs less than a companion that makes another answer."""
    settled: frozenset[bytes] = frozenset()
    """Names of headers that a passage has set in `lines`: further ones of such names are dropped
    from the answer."""
    is_refused = False
    """Whether the host refuses it; passages see it all the same."""
    unwanted: Callable[[], object] | None = None
    """Takes back what the answer gives, such as a lease: set by the endpoint, and called if the
    host knows that the client has gone before the answer."""

    def __init__(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: list[Header],
        noticed: Noticed = NOTHING,
    ) -> None:
        self.method = method
        self.path = path
        """Raw path below the base of the plugin, still percent-encoded."""
        self.query = query
        self.headers = headers
        """Headers, their names in lower case. Not to be changed: the next request may have the same
        list, which is then a `RepeatedHeaders`."""
        self.noticed = noticed

    @property
    def peer(self) -> Mapping[str, Any]:
        """The scope that `PluginContext.client_of` needs."""
        return {"client": self.client, "headers": self.headers}

    async def gone(self) -> None:
        """Wait until the client has gone."""
        raise NotImplementedError  # each way has its own

    async def hung_up(self) -> None:
        """Wait until the client closes its half: it has gone, or waits for this answer.

        For work that has to stop at once if the client may be gone; `gone` comes up to a second
        later.
        """
        await self.gone()


class AsgiRequest(DirectRequest):
    """The same for an ASGI request. The application may read the body if it needs it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(
            scope["method"],
            scope["raw_path"][len(scope.get("root_path", "")) :],
            scope["query_string"],
            scope["headers"],
            noticed_of(scope),
        )
        self.client = scope.get("client")
        self.principal = principal_of(scope)
        self._scope = scope
        self._receive = receive

    async def whole_body(self) -> bytes:
        """The body, which the host limits. Raises `ClientDisconnect` of Starlette."""
        from starlette.requests import Request

        return await Request(self._scope, self._receive).body()

    async def gone(self) -> None:
        """Wait until the client has gone; only once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def hung_up(self) -> None:
        """See `DirectRequest`; under another server the same as `gone`."""
        extension = (self._scope.get("extensions") or {}).get(HUNG_UP)
        await (self.gone() if extension is None else extension["wait"]())

    def whole(self) -> Request:
        """The request as Starlette has it, with the body that was read."""
        from starlette.requests import Request

        async def receive() -> Message:
            return {"type": "http.request", "body": self.body, "more_body": False}

        return Request(self._scope, receive)


Reply = Answer | Promised | Coroutine[Any, Any, Answer]
"""An application's answer to a request: now, or later. A coroutine gets a task."""


@runtime_checkable
class DirectApp(Protocol):
    """An ASGI application that answers whole requests as well."""

    def is_direct(self, method: str, path: bytes) -> bool:
        """Whether requests for a raw path below the base are answered without ASGI.

        Streams are not. Called before the body has arrived; must neither raise nor take long.
        """

    def answer(self, request: DirectRequest) -> Reply:
        """Answer a request, on the event loop: work that takes long belongs in a coroutine.

        May raise an `HttpError`, which the host answers, or `NotDirect`.
        """


async def settled(reply: Answer | Promised | Coroutine[Any, Any, T]) -> Answer | T:
    """Resolve an answer for an application that answers by ASGI."""
    if isinstance(reply, Answer):
        return reply
    if not isinstance(reply, Promised):
        return await reply
    with suppress(
        Exception, asyncio.CancelledError
    ):  # which the future has, for the answer to tell of
        await reply.future
    if not reply.future.done():
        reply.future.cancel()
    return reply.answer(reply.future)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer by ASGI."""
    body = answer.content()
    headers = answer.all_headers(len(body))
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send({**start, TAG: answer.tag})
    await send({"type": "http.response.body", "body": body})


def failed(error: BaseException) -> Answer:
    """The host's answer when an application raised."""
    problem = problem_of(error)
    headers = tuple(
        (name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in problem.headers
    )
    return Answer(problem.status, problem.body(), headers=headers)


def at_once(work: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
    """Run work up to where it waits; return its result, or the rest to be awaited.

    No task is current meanwhile, so it must not ask for one, as `asyncio.timeout` does. Raises what
    the work raises.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # what the coroutine returned
    return _rest(work, waits_for)


async def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> T:
    return await _Begun(work, waits_for)


class _Begun(Generator[Any, Any, T]):
    """A coroutine that has already returned what it waits for; it passes that to its awaiter."""

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for
        self._is_told = False

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        if self._is_told:
            return self._work.send(value)
        self._is_told = True
        return self._waits_for

    def throw(self, *error: Any) -> Any:
        self._is_told = True
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()
