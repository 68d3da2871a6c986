"""Hrana over a websocket: many streams on one connection, each in its own order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host import BadRequest, HttpError, principal_of
from starlette.websockets import WebSocket, WebSocketDisconnect

from buntime_plugin_database.faces.access import Access, token_of
from buntime_plugin_database.faces.amounts import TooMuch, check_values
from buntime_plugin_database.faces.hrana.cursor import entries, size_of
from buntime_plugin_database.faces.hrana.errors import (
    SERVER_ERROR,
    InvalidMessage,
    RequestRefused,
    error_object,
)
from buntime_plugin_database.faces.hrana.lasting import POLICY_VIOLATION, while_valid
from buntime_plugin_database.faces.hrana.messages import (
    ClientMessage,
    CloseCursor,
    CloseSql,
    CloseStream,
    FetchCursor,
    Hello,
    OpenCursor,
    OpenStream,
    SocketMessage,
    SocketRequest,
    StoreSql,
)
from buntime_plugin_database.faces.hrana.pipeline import decode
from buntime_plugin_database.faces.hrana.requests import serve
from buntime_plugin_database.faces.hrana.resolved import with_texts
from buntime_plugin_database.faces.hrana.streams import StoredSql, Stream, Streams
from buntime_plugin_database.faces.large import Hand, LargeResults
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.shared.target import Target

SUBPROTOCOLS = ("hrana3", "hrana2", "hrana1")
"""Supported subprotocols, the best first. Later ones only add messages."""
PROTOCOL_ERROR = 1002
MAX_WAITING = 100
"""Requests of one stream that wait for their turn; then the socket is not read any further."""
MAX_STORED_TEXTS = 150
MAX_FETCH_ENTRIES = 1000
MAX_FETCH_BYTES = 256 * 1024
"""Most bytes of the entries of one answer: further ones are left to the next answer."""

_MESSAGE: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
logger = logging.getLogger("plugin:@buntime/plugin-database")


class HranaSocket:
    """The websocket endpoint of the standard."""

    def __init__(
        self, streams: Streams, targets: Targets, access: Access, large: LargeResults
    ) -> None:
        self._streams = streams
        self._targets = targets
        self._access = access
        self._large = large

    async def serve(self, socket: WebSocket) -> None:
        """Serve one websocket. Raises `HttpError` to refuse its handshake."""
        if not self._access.needs_token:
            self._access.check(socket, write=True)
        offered = socket.scope.get("subprotocols") or []
        chosen = next((name for name in SUBPROTOCOLS if name in offered), None)
        if offered and chosen is None:
            raise BadRequest(f"None of the subprotocols is one of {', '.join(SUBPROTOCOLS)}")
        target = None
        if not waits_for_hello(socket, self._access):
            target = self._targets.of(socket, needs="read")
        await socket.accept(subprotocol=chosen)
        connection = _Connection(
            socket, self._streams, self._targets, self._access, self._large, target
        )
        try:
            await while_valid(socket, connection.run())
        finally:
            await connection.close()


def waits_for_hello(socket: WebSocket, access: Access) -> bool:
    """Whether the client is still unknown: its token may come with `hello`."""
    principal = principal_of(socket.scope)
    return access.needs_token and not principal.id and not principal.unlimited


class _Violation(Exception):
    """The client does not follow the protocol, so nothing it says can be trusted to be in order."""


class _Connection:
    def __init__(
        self,
        socket: WebSocket,
        streams: Streams,
        targets: Targets,
        access: Access,
        large: LargeResults,
        target: Target | None,
    ) -> None:
        """`target` is None where `hello` has to identify the client first."""
        self._targets = targets
        self._socket = socket
        self._large = large
        self._streams = streams
        self._access = access
        self._target = target or Target(None, None)
        self._admitted = (
            not access.needs_token
            or bool(principal_of(socket.scope).id)
            or access.knows(token_of(socket))
        )
        self._stored = StoredSql(max_texts=MAX_STORED_TEXTS)
        self._lanes: dict[int, _Lane] = {}
        self._cursors: dict[int, _Lane] = {}
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Read messages until the client leaves or breaks the rules."""
        try:
            while True:
                text = await self._receive()
                await check_values(text)
                message = decode(text, _MESSAGE)
                if isinstance(message, Hello):
                    await self._hello(message)
                elif not self._admitted:
                    await self._socket.close(POLICY_VIOLATION, "hello with a token comes first")
                    return
                else:
                    await self._request(message)
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self._socket.close(POLICY_VIOLATION, "no hello came in time")
        except (InvalidMessage, TooMuch, _Violation) as error:
            await self._socket.close(PROTOCOL_ERROR, str(error)[:100])

    async def _receive(self) -> str:
        # A client that may do anything may also be silent for as long as it likes.
        patience = None if self._admitted else self._streams.idle_seconds
        async with asyncio.timeout(patience):
            message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        if text is None:
            raise _Violation("only text messages are understood")
        return str(text)

    async def close(self) -> None:
        """End all streams."""
        await asyncio.gather(*(lane.close() for lane in [*self._lanes.values()]))

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message. Silent when the client is gone, which the reader notices."""
        text = msgspec.json.encode(message).decode()
        async with self._sending:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._socket.send_text(text)

    async def _hello(self, hello: Hello) -> None:
        if self._access.needs_token and hello.jwt is not None:
            self._admitted = self._access.lets_in(self._socket, hello.jwt)
            if self._admitted:
                try:
                    self._target = self._targets.of(self._socket, needs="read")
                except HttpError:
                    self._admitted = False
                else:
                    principal_of(self._socket.scope).life.when_over(self._key_ended)
        if self._admitted:
            await self.send({"type": "hello_ok"})
            return
        error = {"message": "The token is missing or wrong", "code": "AUTH_REQUIRED"}
        await self.send({"type": "hello_error", "error": error})
        await self._socket.close(POLICY_VIOLATION, "not authenticated")
        raise WebSocketDisconnect(POLICY_VIOLATION)

    def _key_ended(self) -> None:
        """The client's credential is no longer valid."""
        close = self._socket.close(POLICY_VIOLATION, "the key is not valid any more")
        self._closing = asyncio.ensure_future(close)

    async def _request(self, message: SocketMessage) -> None:
        """Answer what concerns the connection; hand the rest to the stream's lane."""
        request = message.request
        try:
            match request:
                case StoreSql(sql_id=sql_id, sql=sql):
                    self._stored.store(sql_id, sql)
                    await self.answer(message.request_id, {"type": "store_sql"})
                case CloseSql(sql_id=sql_id):
                    self._stored.forget(sql_id)
                    await self.answer(message.request_id, {"type": "close_sql"})
                case _:
                    lane = self._lane(request)
                    # Texts are looked up now: the client may drop them right after this message.
                    await lane.put(message.request_id, with_texts(request, self._stored))
        except DatabaseError as error:
            await self.fail(message.request_id, error)

    def _lane(self, request: SocketRequest) -> _Lane:
        match request:
            case FetchCursor(cursor_id=cursor_id):
                lane = self._cursors.get(cursor_id)
                if lane is None:
                    raise RequestRefused("CURSOR_NOT_OPEN", f"cursor {cursor_id} is not open")
                return lane
            case CloseCursor(cursor_id=cursor_id):
                lane = self._cursors.pop(cursor_id, None)
                if lane is None:
                    raise RequestRefused("CURSOR_NOT_OPEN", f"cursor {cursor_id} is not open")
                return lane
        if request.stream_id is None:
            raise _Violation(f"{type(request).__name__} needs a stream_id")
        if isinstance(request, OpenStream):
            if request.stream_id in self._lanes:
                raise _Violation(f"stream {request.stream_id} is open already")
            lane = _Lane(self, self._streams, self._target, self._socket.scope)
            self._lanes[request.stream_id] = lane
            return lane
        lane = self._lanes.get(request.stream_id)
        if lane is None:
            raise RequestRefused("STREAM_NOT_OPEN", f"stream {request.stream_id} is not open")
        if isinstance(request, CloseStream):
            del self._lanes[request.stream_id]
            self._cursors = {key: it for key, it in self._cursors.items() if it is not lane}
        elif isinstance(request, OpenCursor):
            if request.cursor_id in self._cursors:
                raise _Violation(f"cursor {request.cursor_id} is open already")
            self._cursors[request.cursor_id] = lane
        return lane

    async def answer(self, request_id: int, response: dict[str, Any]) -> None:
        """Send the response to a request."""
        await self.send({"type": "response_ok", "request_id": request_id, "response": response})

    def hand(self) -> Hand:
        """The results that a request has when it begins."""
        return self._large.hand()

    async def fail(self, request_id: int, error: DatabaseError | HttpError) -> None:
        """Send the error of a request."""
        await self.send(
            {"type": "response_error", "request_id": request_id, "error": error_object(error)}
        )


class _Lane:
    """One stream of the connection: its requests wait in line and are served one by one."""

    def __init__(
        self, connection: _Connection, streams: Streams, target: Target, scope: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._streams = streams
        self._target = target
        self._stream: Stream | None = None
        self._cursor: AsyncGenerator[dict[str, Any], None] | None = None
        self._waiting: asyncio.Queue[tuple[int, SocketRequest]] = asyncio.Queue(MAX_WAITING)
        self._server = asyncio.get_running_loop().create_task(self._serve())

    async def put(self, request_id: int, request: SocketRequest) -> None:
        """Let a request wait for its turn."""
        if self._server.done():  # the stream was closed by the request before
            await self._connection.fail(
                request_id, RequestRefused("STREAM_NOT_OPEN", "the stream is not open")
            )
            return
        await self._waiting.put((request_id, request))

    async def close(self) -> None:
        """Interrupt what runs and roll back."""
        self._server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._server

    async def _serve(self) -> None:
        try:
            while True:
                request_id, request = await self._waiting.get()
                hand = self._connection.hand()
                try:
                    response = await self._response(request, hand)
                except (DatabaseError, HttpError) as error:
                    await self._connection.fail(request_id, error)
                except Exception:
                    logger.exception("Unhandled exception in a Hrana stream")
                    failure = RequestRefused(SERVER_ERROR, "internal server error")
                    await self._connection.fail(request_id, failure)
                else:
                    await hand.send(self._connection.answer(request_id, response))
                    del response
                finally:
                    hand.empty()
                if isinstance(request, CloseStream):
                    return
        finally:
            await self._end()

    async def _response(self, request: SocketRequest, hand: Hand) -> dict[str, Any]:
        if isinstance(request, OpenStream):
            self._stream = await self._streams.open(self._target, self._scope, expires=False)
            return {"type": "open_stream"}
        if isinstance(request, CloseStream):
            await self._end()
            return {"type": "close_stream"}
        if self._stream is None:
            raise RequestRefused("STREAM_NOT_OPEN", "the stream could not be opened")
        async with self._streams.using(self._stream, hand):
            match request:
                case OpenCursor(batch=batch):
                    self._refuse_cursor()
                    self._cursor = entries(self._stream, batch, self._stream.stored)
                    return {"type": "open_cursor"}
                case FetchCursor(max_count=max_count):
                    async with hand.fetching():
                        return await self._fetch(max_count)
                case CloseCursor():
                    await self._end_cursor()
                    return {"type": "close_cursor"}
                case StoreSql() | CloseSql():
                    raise RequestRefused(SERVER_ERROR, "served by the connection")
                case _:
                    self._refuse_cursor()
                    return await serve(self._stream, request, self._stream.stored)

    def _refuse_cursor(self) -> None:
        if self._cursor is not None:
            raise RequestRefused("STREAM_BUSY", "a cursor is open on the stream: close it first")

    async def _fetch(self, max_count: int) -> dict[str, Any]:
        if self._cursor is None:
            raise RequestRefused("CURSOR_NOT_OPEN", "the cursor is not open")
        found: list[dict[str, Any]] = []
        left = MAX_FETCH_BYTES
        done = False
        while len(found) < min(max_count, MAX_FETCH_ENTRIES) and left > 0:
            entry = await anext(self._cursor, None)
            if entry is None:
                done = True
                break
            found.append(entry)
            left -= size_of(entry)
        return {"type": "fetch_cursor", "entries": found, "done": done}

    async def _end_cursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            await cursor.aclose()

    async def _end(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await self._end_cursor()
            await self._streams.close_stream(stream)
