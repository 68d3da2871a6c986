"""Hrana over HTTP: pipelines of versions 2 and 3, cursors, and the stateless calls of version 1."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import msgspec
from buntime_database import DatabaseError
from buntime_host import HttpError, NotFound
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.amounts import check_statements, check_values
from buntime_plugin_database.faces.bodies import doubled_member, json_response
from buntime_plugin_database.faces.hrana.cursor import entries
from buntime_plugin_database.faces.hrana.errors import InvalidMessage, RequestRefused, error_object
from buntime_plugin_database.faces.hrana.messages import (
    Close,
    CloseSql,
    CursorBody,
    ExecuteBody,
    HranaBatchBody,
    HttpRequest,
    Pipeline,
    StoreSql,
)
from buntime_plugin_database.faces.hrana.requests import run_batch, run_statement, serve
from buntime_plugin_database.faces.hrana.streams import Stream, Streams
from buntime_plugin_database.faces.large import Hand, hand_of
from buntime_plugin_database.faces.targets import Targets

T = TypeVar("T")
_CHUNK_BYTES = 64 * 1024
_encode_lines = msgspec.json.Encoder().encode_lines


_PIPELINE = msgspec.json.Decoder(Pipeline)
_CURSOR = msgspec.json.Decoder(CursorBody)
_EXECUTE = msgspec.json.Decoder(ExecuteBody)
_BATCH = msgspec.json.Decoder(HranaBatchBody)


MESSAGE = {"type": "object", "description": "A message of Hrana, see its specification"}


@described(media_type="")
async def version(_: Request) -> Response:
    """`GET v2`, `GET v3`: the version is supported, in its JSON encoding."""
    return Response(status_code=200)


async def no_protobuf(_: Request) -> Response:
    """`GET v3-protobuf`: clients then fall back to JSON."""
    raise NotFound("Only the JSON encoding is supported")


class HranaHttp:
    """The endpoints of the standard."""

    def __init__(self, streams: Streams, targets: Targets) -> None:
        self._streams = streams
        self._targets = targets

    @described(body=MESSAGE)
    async def pipeline(self, request: Request) -> Response:
        """`POST v2/pipeline`, `POST v3/pipeline`: all requests are tried, in order."""
        body = await read_message(request, _PIPELINE)
        check_statements(len(body.requests))
        elsewhere = await self._streams.answer_elsewhere(body.baton, request)
        if elsewhere is not None:
            return elsewhere
        stream = await self._stream(request, body.baton)
        async with self._streams.using(stream, hand_of(request)):
            results = [await self._result(stream, item) for item in body.requests]
        return json_response(
            {"baton": self._streams.baton(stream), "base_url": None, "results": results}
        )

    @described(body=MESSAGE)
    async def cursor(self, request: Request) -> Response:
        """`POST v3/cursor`: the results of a batch, one JSON object to the line."""
        body = await read_message(request, _CURSOR)
        elsewhere = await self._streams.answer_elsewhere(body.baton, request)
        if elsewhere is not None:
            return elsewhere
        stream = await self._stream(request, body.baton)
        hand = hand_of(request)
        return hand.in_pieces(
            self._lines(stream, body, hand),
            lambda error: _line({"type": "error", "error": error_object(error)}),
        )

    @described(body=MESSAGE)
    async def execute(self, request: Request) -> Response:
        """`POST v1/execute`: one statement on a connection of its own."""
        body = await read_message(request, _EXECUTE)
        stream = await self._stream(request, None)
        async with self._streams.only_once(stream, hand_of(request)):
            return json_response({"result": await run_statement(stream, body.stmt, stream.stored)})

    @described(body=MESSAGE)
    async def batch(self, request: Request) -> Response:
        """`POST v1/batch`: one batch on a connection of its own."""
        body = await read_message(request, _BATCH)
        stream = await self._stream(request, None)
        async with self._streams.only_once(stream, hand_of(request)):
            return json_response({"result": await run_batch(stream, body.batch, stream.stored)})

    async def _stream(self, request: Request, baton: str | None) -> Stream:
        target = self._targets.of(request, needs="read")
        if baton is None:
            return await self._streams.open(target, request.scope)
        return self._streams.resume(baton, target)

    async def _result(self, stream: Stream, request: HttpRequest) -> dict[str, Any]:
        try:
            return {"type": "ok", "response": await self._response(stream, request)}
        except DatabaseError as error:
            return {"type": "error", "error": error_object(error)}

    async def _response(self, stream: Stream, request: HttpRequest) -> dict[str, Any]:
        if stream.closed:
            raise RequestRefused("STREAM_EXPIRED", "an earlier request has closed the stream")
        match request:
            case StoreSql(sql_id=sql_id, sql=sql):
                stream.stored.store(sql_id, sql)
                return {"type": "store_sql"}
            case CloseSql(sql_id=sql_id):
                stream.stored.forget(sql_id)
                return {"type": "close_sql"}
            case Close():
                await self._streams.close_stream(stream)
                return {"type": "close"}
            case _:
                return await serve(stream, request, stream.stored)

    async def _lines(
        self, stream: Stream, body: CursorBody, hand: Hand
    ) -> AsyncGenerator[bytes, None]:
        # The baton goes out before the work, and is good once the work is done.
        lines = [_line({"baton": self._streams.baton(stream), "base_url": None})]
        size = len(lines[0])
        stream.reserved = True
        found = entries(stream, body.batch, stream.stored)
        try:
            while line := await self._next(stream, found, hand):
                lines.append(line)
                size += len(line)
                del line  # unread results are there once, in its connection
                if size >= _CHUNK_BYTES:
                    yield _taken(lines)
                    size = 0
        except HttpError as error:
            lines.append(_line({"type": "error", "error": error_object(error)}))
        finally:
            await found.aclose()
            stream.reserved = False
        yield _taken(lines)

    async def _next(
        self, stream: Stream, found: AsyncGenerator[dict[str, Any], None], hand: Hand
    ) -> bytes | None:
        """The next entry; while the client takes its time to read, the stream's clock runs."""
        async with self._streams.using(stream, hand):
            entry = await anext(found, None)
            return None if entry is None else _line(entry)


async def read_message(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body of a request of the protocol. Raises `InvalidMessage` and `TooMuch`."""
    body = await request.body()
    await check_values(body)
    return decode(body, decoder)


def decode(body: bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
    """A message of the protocol. Raises `InvalidMessage`."""
    try:
        message = decoder.decode(body)
        doubled = doubled_member(body.encode() if isinstance(body, str) else body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidMessage(f"not a message of the protocol: {error}") from None
    if doubled is not None:
        raise InvalidMessage(doubled)
    return message


def _line(entry: dict[str, Any]) -> bytes:
    return _encode_lines([entry])


def _taken(lines: list[bytes]) -> bytes:
    """All lines, which are no longer in the list then."""
    joined = b"".join(lines)
    lines.clear()
    return joined
