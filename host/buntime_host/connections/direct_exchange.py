"""One request on the direct way, and its answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from uuid_utils import uuid4

from buntime_host.access.gate import unauthorized
from buntime_host.connections.exchange import refusal, said_to_page
from buntime_host.connections.transport import MAX_HELD_BYTES, GatheringTransport
from buntime_host.errors import HttpError, ServiceUnavailable
from buntime_host.http.cors import with_answer_headers, without
from buntime_host.http.direct import (
    BODILESS,
    Answer,
    DirectRequest,
    Header,
    NotDirect,
    Promised,
    PromisedWork,
    Reply,
    failed,
    pairs_of,
)
from buntime_host.http.direct_mounts import Admitted, DirectMount, Heads
from buntime_host.http.noticed import NOTHING
from buntime_host.observe.logs import REQUEST_ID

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from buntime_host.connections.edge import Edge

_PROMISES = (Promised, PromisedWork)

logger = logging.getLogger("App")


class DirectConnection(Protocol):
    """The part of a connection that such a request needs."""

    heads: Heads
    edge: Edge
    server_state: ServerState
    tasks: set[asyncio.Task[None]]
    loop: asyncio.AbstractEventLoop
    client: tuple[str, int] | None

    @property
    def gathering(self) -> GatheringTransport: ...

    async def hung_up(self) -> None:
        """Wait until the client has closed its half of the connection."""
        ...

    def answered_at_once(self) -> None:
        """Called when the answer was written before the next request was looked at."""
        ...

    def on_response_complete(self) -> None:
        """Called when the answer was written later."""
        ...

    def answer_uncommon(
        self, request: DirectExchange, status: int, headers: list[Header], body: bytes
    ) -> None:
        """Write an answer in the form of those of ASGI."""
        ...

    def go_by_asgi(self, request: DirectExchange) -> None:
        """Hand the request over to ASGI."""
        ...


class DirectExchange(DirectRequest):
    """A request of the direct way; the protocol calls the methods that `AsgiExchange` has, too."""

    keep_alive = True
    response_started = False
    response_complete = False
    waiting_bytes = 0
    """Nothing is held back: such bodies are small."""
    noticed = NOTHING
    _id = b""
    """Its id, if the head was looked at; otherwise it is made when the request runs."""
    _parts: list[bytes] | None = None
    """What has come of a body that came behind the head."""
    _gone: asyncio.Future[None] | None = None
    _is_late = False
    """Whether the answer comes in another turn of the loop than the request."""

    def __init__(
        self,
        connection: DirectConnection,
        mount: DirectMount,
        method: str,
        path: bytes,
        query: bytes,
        headers: list[Header],
        admitted: Admitted | None,
        url: bytes,
    ) -> None:
        # Without the other `__init__`, since each call costs as much as all that it sets.
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.url = url
        self.client = connection.client
        self._connection = connection
        self._mount = mount
        self._app = mount.app  # a lookup less where it is asked
        if admitted is not None:
            self._id = admitted.request_id
            self.noticed = admitted.noticed
            self.principal = admitted.principal

    def add_body(self, part: bytes) -> None:
        """Take in a part of the body."""
        if self._parts is None:
            self._parts = [part]
        else:
            self._parts.append(part)

    def run(self) -> None:
        """Answer, now that the request is whole."""
        parts = self._parts
        if parts is not None:
            self.body = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._id:
            request_id = self._id.decode()
        else:
            request_id = str(uuid4())
            self._id = request_id.encode()
        REQUEST_ID.set(request_id)
        try:
            if parts is not None and self.principal.life.over:
                raise unauthorized()  # it was valid when the head came, before the body
            reply: Reply | PromisedWork = self._app.answer(self)
        except NotDirect:
            self._go_by_asgi()
            return
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises becomes a response
            reply = self._failed(error)
        # `isinstance` costs five times as much for the common answer.
        if type(reply) is Answer:
            self._say(reply)
        else:
            self._wait_for(reply)

    async def gone(self) -> None:
        """Wait until the client has gone."""
        if not self.disconnected:
            self._gone = self._connection.loop.create_future()
            await self._gone

    async def hung_up(self) -> None:
        """See `DirectRequest`."""
        await self._connection.hung_up()

    def leave(self) -> None:
        """The client has gone: work in progress is finished, and not answered."""
        self.disconnected = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def refuse(self, error: HttpError) -> None:
        """Answer with an error that no plugin raised, and let the connection end."""
        self.keep_alive = False
        self.response_started = self.response_complete = True
        connection = self._connection
        said = said_to_page(connection.edge, self.headers)
        headers = [*connection.server_state.default_headers, *said]
        connection.gathering.write(refusal(error, headers, bodiless=self.method == "HEAD"))

    def _go_by_asgi(self) -> None:
        self._connection.go_by_asgi(self)

    def _wait_for(self, reply: Any) -> None:
        connection = self._connection
        if type(reply) not in _PROMISES:
            reply = Promised(connection.loop.create_task(reply), asyncio.Future.result)
        self._is_late = True
        future = reply.future
        # Among the tasks, so that the host waits for it when it shuts down.
        connection.tasks.add(future)
        future.add_done_callback(partial(self._kept, reply.answer))

    def _kept(
        self,
        make: Callable[[asyncio.Future[Any]], Answer | Coroutine[Any, Any, Answer]],
        future: asyncio.Future[Any],
    ) -> None:
        connection = self._connection
        connection.tasks.discard(future)
        try:
            answer = make(future)
        except NotDirect:
            if not self._is_over():
                self._go_by_asgi()
            return
        except asyncio.CancelledError:
            self.keep_alive = False
            answer = failed(ServiceUnavailable("The host is shutting down"))
        except Exception as error:  # noqa: BLE001 - what a plugin's work raises becomes one, too
            answer = self._failed(error)
        if not isinstance(answer, Answer):
            self._wait_for(answer)
        elif not self._is_over():
            self._say(answer)
        elif self.unwanted is not None:
            self.unwanted()

    def _is_over(self) -> bool:
        """Whether the client has gone."""
        if self.disconnected:
            self.response_complete = True
        return self.response_complete

    def _failed(self, error: BaseException) -> Answer:
        answer = failed(error)
        if answer.status == HttpError.status:
            path = self.url.partition(b"?")[0].decode("latin-1")
            logger.error("Unhandled exception at %s %s", self.method, path, exc_info=error)
        return answer

    def _say(self, answer: Answer) -> None:
        connection = self._connection
        body = answer.body
        if isinstance(body, str):
            body = body.encode()
        size = len(body)
        if (
            self.method == "HEAD"
            or size > MAX_HELD_BYTES
            or answer.status in BODILESS
            or not self.keep_alive
        ):
            self._say_uncommon(answer, body)
            return
        heads = connection.heads
        more = answer.lines + self.lines
        if headers := answer.headers:
            if self.settled:
                headers = tuple(without(headers, self.settled))
            lines = heads.lines(headers)
            if lines is None:
                self._say_uncommon(answer, body)
                return
            more += lines
        default = connection.server_state.default_headers
        head = heads.head(default, answer.status, answer.content_type)
        if tag := answer.tag:
            whole = b'%b%d\r\netag: "%b"\r\n%bx-request-id: %b\r\n\r\n%b' % (
                head,
                size,
                tag.encode(),
                more,
                self._id,
                body,
            )
        else:
            whole = b"%b%d\r\n%bx-request-id: %b\r\n\r\n%b" % (head, size, more, self._id, body)
        self.response_complete = True
        connection.gathering.write_whole(whole)
        if self._is_late:
            connection.on_response_complete()
        else:
            connection.answered_at_once()

    def _say_uncommon(self, answer: Answer, body: bytes) -> None:
        connection = self._connection
        headers = answer.all_headers(len(body))
        if self.settled:
            headers = without(headers, self.settled)
        headers += [*pairs_of(self.lines), (b"x-request-id", self._id)]
        always = connection.heads.always
        if always:
            # A passage has already dealt with the plugin's headers about origins.
            is_seen = connection.heads.behind_passage
            headers = [*headers, *always] if is_seen else with_answer_headers(headers, always)
        connection.answer_uncommon(self, answer.status, headers, body)
