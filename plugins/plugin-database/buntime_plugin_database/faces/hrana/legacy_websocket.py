"""The original server's own framing of its dialect over a websocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host import HttpError
from starlette.websockets import WebSocket, WebSocketDisconnect

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.amounts import TooMuch, check_values
from buntime_plugin_database.faces.hrana.errors import RequestRefused, error_object
from buntime_plugin_database.faces.hrana.lasting import while_valid
from buntime_plugin_database.faces.hrana.legacy import exact_error, legacy_result, needs_stream
from buntime_plugin_database.faces.hrana.streams import Stream, Streams
from buntime_plugin_database.faces.hrana.websocket import HranaSocket
from buntime_plugin_database.faces.large import Hand, LargeResults
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.shared.target import Target


class LegacyFrame(msgspec.Struct, frozen=True):
    """A client's message."""

    request: msgspec.Raw
    request_id: int | str = 0


class LegacySocket:
    """The websocket endpoint `ws`: the dialect, or the standard for clients that ask for it."""

    def __init__(
        self,
        streams: Streams,
        targets: Targets,
        access: Access,
        large: LargeResults,
        *,
        standard: HranaSocket,
    ) -> None:
        self._streams = streams
        self._targets = targets
        self._access = access
        self._large = large
        self._standard = standard

    async def serve(self, socket: WebSocket) -> None:
        """Serve one websocket. Raises `HttpError` to refuse its handshake."""
        if socket.scope.get("subprotocols"):
            await self._standard.serve(socket)
            return
        self._access.check(socket, write=True)
        target = self._targets.of(socket, needs="read")
        await socket.accept()
        conversation = _Conversation(self._streams, target, socket.scope)
        try:
            await while_valid(socket, self._converse(socket, conversation))
        finally:
            await conversation.close()

    async def _converse(self, socket: WebSocket, conversation: _Conversation) -> None:
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("text") or message.get("bytes") or b""
                hand = self._large.hand()
                try:
                    reply = await conversation.reply(frame, hand)
                    text = msgspec.json.encode(reply).decode()
                    await hand.send(socket.send_text(text))
                finally:
                    hand.empty()
        except (WebSocketDisconnect, OSError):
            pass


class _Conversation:
    """One socket's session, which has a stream only while it is needed."""

    def __init__(self, streams: Streams, target: Target, scope: Mapping[str, Any]) -> None:
        self._streams = streams
        self._scope = scope
        self._target = target
        self._stream: Stream | None = None

    async def reply(self, frame: str | bytes, hand: Hand) -> dict[str, Any]:
        """The answer to one frame."""
        try:
            await check_values(frame)
            request = msgspec.json.decode(frame, type=LegacyFrame)
        except TooMuch as error:
            return {"request_id": 0, "response": _failure(error)}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = RequestRefused("PARSE_ERROR", str(error))
            return {"request_id": 0, "response": _failure(problem)}
        try:
            response = await self._response(request.request, hand)
        except (DatabaseError, HttpError) as error:
            response = _failure(error)
        return {"request_id": request.request_id, "response": response}

    async def close(self) -> None:
        """Roll back an open transaction."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._streams.close_stream(stream)

    async def _response(self, raw: msgspec.Raw, hand: Hand) -> dict[str, Any]:
        had_stream = self._stream is not None
        stream = self._stream or await self._streams.open(self._target, self._scope, expires=False)
        self._stream = stream
        async with self._streams.using(stream, hand):
            result = await legacy_result(self._streams, stream, raw)
        failed = result["type"] == "error"
        if not needs_stream(stream) and not (failed and had_stream and not stream.closed):
            await self.close()
        return result


def _failure(error: DatabaseError | HttpError) -> dict[str, Any]:
    return {"type": "error", "error": exact_error(error_object(error))}
