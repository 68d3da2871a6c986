"""The original server's own framing of its dialect over a websocket."""

from __future__ import annotations

from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host import HttpError
from starlette.websockets import WebSocket, WebSocketDisconnect

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.hrana.errors import RequestRefused, error_object
from buntime_plugin_database.faces.hrana.legacy import exact_error, legacy_result, needs_stream
from buntime_plugin_database.faces.hrana.streams import Stream, Streams
from buntime_plugin_database.faces.hrana.websocket import HranaSocket
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.shared.target import Target


class LegacyFrame(msgspec.Struct, frozen=True):
    """What a client sends."""

    request: msgspec.Raw
    request_id: int | str = 0


class LegacySocket:
    """The websocket endpoint `ws`: the dialect, or the standard for clients that ask for it."""

    def __init__(
        self, streams: Streams, targets: Targets, access: Access, *, standard: HranaSocket
    ) -> None:
        self._streams = streams
        self._targets = targets
        self._access = access
        self._standard = standard

    async def serve(self, socket: WebSocket) -> None:
        """Serve one websocket. Raises `HttpError` to refuse its handshake."""
        if socket.scope.get("subprotocols"):
            await self._standard.serve(socket)
            return
        self._access.check(socket, write=True)
        target = self._targets.of(socket)
        await socket.accept()
        conversation = _Conversation(self._streams, target)
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("text") or message.get("bytes") or b""
                reply = await conversation.reply(frame)
                await socket.send_text(msgspec.json.encode(reply).decode())
        except (WebSocketDisconnect, OSError):
            pass
        finally:
            await conversation.close()


class _Conversation:
    """One socket's session, which has a stream only while something needs it."""

    def __init__(self, streams: Streams, target: Target) -> None:
        self._streams = streams
        self._target = target
        self._stream: Stream | None = None

    async def reply(self, frame: str | bytes) -> dict[str, Any]:
        """The answer to one frame."""
        try:
            request = msgspec.json.decode(frame, type=LegacyFrame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = RequestRefused("PARSE_ERROR", str(error))
            return {"request_id": 0, "response": _failure(problem)}
        try:
            response = await self._response(request.request)
        except (DatabaseError, HttpError) as error:
            response = _failure(error)
        return {"request_id": request.request_id, "response": response}

    async def close(self) -> None:
        """Roll back what is open."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._streams.close_stream(stream)

    async def _response(self, raw: msgspec.Raw) -> dict[str, Any]:
        had_stream = self._stream is not None
        stream = self._stream or await self._streams.open(self._target, expires=False)
        self._stream = stream
        async with self._streams.using(stream):
            result = await legacy_result(self._streams, stream, raw)
        failed = result["type"] == "error"
        if not needs_stream(stream) and not (failed and had_stream and not stream.closed):
            await self.close()
        return result


def _failure(error: DatabaseError | HttpError) -> dict[str, Any]:
    return {"type": "error", "error": exact_error(error_object(error))}
