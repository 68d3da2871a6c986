"""Requests of this process to a plugin of a host, without a server."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from starlette.types import Message, Scope
from uuid_utils import uuid4

from buntime_host.errors import HttpError, NotFound, PayloadTooLarge, ServiceUnavailable
from buntime_host.host import Host
from buntime_host.http.direct import Answer, DirectRequest, Header, Promised, failed
from buntime_host.http.noticed import NOTHING, Noticed
from buntime_host.http.problem import problem_of, send_problem
from buntime_host.observe.logs import REQUEST_ID
from buntime_host.routing.mounts import Mount

T = TypeVar("T")

HELD_CHUNKS = 16
"""Chunks that a stream sends ahead of its reader."""

logger = logging.getLogger("App")


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: list[Header]
    content: bytes


class InProcess:
    """Sends requests to one plugin of a host, in the event loop in which that was started.

    They come from the process of the host, so they need no credential.
    """

    def __init__(self, host: Host, base: str) -> None:
        """`base` is the path of the plugin. The host may be started later."""
        self._host = host
        self._base = base.encode("ascii")
        self._mount: Mount | None = None
        self._running: set[asyncio.Future[Any]] = set()

    async def answer(
        self, method: str, target: str, headers: Iterable[Header] = (), body: bytes | None = None
    ) -> Response:
        """The whole answer to a request; `target` is the raw path with the query.

        A cancelled caller is like a client that closes its connection: work that the request began
        is finished, and leases in its answer are given back. Raises `TypeError` if the plugin
        answers by ASGI alone.
        """
        path, _, query = target.encode("ascii").partition(b"?")
        mount = self._found(path)
        if mount.direct is None:
            raise TypeError(f"{mount.base} answers no whole requests")
        pairs = list(headers)
        keys = tuple(value for name, value in pairs if name == b"idempotency-key")
        noticed = Noticed(idempotency_keys=keys) if keys else NOTHING
        request = _Request(method, path[len(self._base) :], query, pairs, noticed)
        request_id = str(uuid4())
        REQUEST_ID.set(request_id)
        try:
            if body is not None:
                if len(body) > mount.limit:
                    raise PayloadTooLarge
                request.body = body
            reply = mount.direct.answer(request)
            answer = reply if isinstance(reply, Answer) else await self._awaited(request, reply)
        except Exception as error:  # whatever a plugin raises becomes a response
            answer = failed(error)
            if answer.status == HttpError.status:
                logger.exception("Unhandled exception at %s %s", method, mount.base)
        finally:
            request.leave()
        content = answer.content()
        told = [*answer.all_headers(len(content)), (b"x-request-id", request_id.encode())]
        return Response(answer.status, told, content)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Iterable[Header] = ()
    ) -> AsyncIterator[Streamed]:
        """An answer that is read as it comes, until the context ends."""
        path, _, query = target.encode("ascii").partition(b"?")
        mount = self._found(path)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": None,
            "client": None,
            "scheme": "http",
            "method": method,
            "root_path": mount.root_path,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "headers": list(headers),
        }
        exchange = _Exchange()
        task = self._begun(self._run(mount, scope, exchange))
        try:
            await exchange.started.wait()
            yield Streamed(exchange.status, exchange.headers, exchange.read)
        finally:
            exchange.leave()
            await asyncio.wait({task})

    async def finish(self) -> None:
        """Wait for running requests; the host is told before to close its streams."""
        while self._running:
            await asyncio.wait(self._running)

    def _found(self, path: bytes) -> Mount:
        mount = self._mount
        if mount is None:
            table = self._host.table
            if table is None:
                raise ServiceUnavailable
            mount = self._mount = table.at(self._base.decode())
        if not path.startswith(mount.raw_prefix):
            raise NotFound
        return mount

    async def _awaited(
        self, request: _Request, reply: Promised | Coroutine[Any, Any, Answer]
    ) -> Answer:
        if not isinstance(reply, Promised):
            reply = Promised(asyncio.get_running_loop().create_task(reply), asyncio.Future.result)
        future = reply.future
        self._keep(future)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                # The caller is cancelled; its request goes on, or has ended in this turn.
                future.add_done_callback(partial(_give_back, request, reply))
                raise
        except Exception:  # noqa: BLE001, S110 - how it ended is for the answer to tell
            pass
        return reply.answer(future)

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._keep(task)
        return task

    def _keep(self, running: asyncio.Future[Any]) -> None:
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, mount: Mount, scope: Scope, exchange: _Exchange) -> None:
        try:
            await mount.app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - as above
            await send_problem(exchange.send, problem_of(error))
        finally:
            exchange.end()


def _give_back(request: _Request, reply: Promised, future: asyncio.Future[Any]) -> None:
    """Give back leases in an answer that nobody reads."""
    with suppress(Exception, asyncio.CancelledError):
        reply.answer(future)
    if request.unwanted is not None:
        request.unwanted()


class Streamed(NamedTuple):
    """The head of an answer, and its content as it comes."""

    status: int
    headers: list[Header]
    read: Callable[[], Awaitable[bytes | None]]
    """The next part of it; None when there is no more."""


class _Request(DirectRequest):
    """One whole request."""

    _gone: asyncio.Future[None] | None = None

    async def gone(self) -> None:
        """Wait until the caller has gone."""
        if not self.disconnected:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone

    def leave(self) -> None:
        """The caller has gone."""
        self.disconnected = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)


class _Exchange:
    """A stream, between ASGI and its reader."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.started = asyncio.Event()
        self._chunks: deque[bytes] = deque()
        self._is_read = False
        self._gone = asyncio.Event()
        self._ended = False
        self._news = asyncio.Event()
        """Set when there is a chunk, or when there will be none."""
        self._room = asyncio.Event()
        self._room.set()

    async def receive(self) -> Message:
        """ASGI's receive: the body once, then a wait until the reader has left."""
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            self.started.set()
        elif not self._gone.is_set() and (chunk := message.get("body", b"")):
            self._chunks.append(chunk)
            self._news.set()
            if len(self._chunks) >= HELD_CHUNKS:
                self._room.clear()
                await self._room.wait()

    async def read(self) -> bytes | None:
        """The next part of the content, or None when there is no more."""
        while not self._chunks:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._chunks.popleft()

    def end(self) -> None:
        """The stream has ended."""
        self._ended = True
        self.started.set()
        self._news.set()

    def leave(self) -> None:
        """The reader has gone."""
        self._gone.set()
        self._room.set()
