"""The original server's own dialect of pipelines, on the same streams as the standard.

A result is not wrapped in a response, a stream lives only while a transaction or a stored text
needs it, and a bad baton is an ordinary result.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.amounts import check_statements
from buntime_plugin_database.faces.bodies import json_response
from buntime_plugin_database.faces.hrana.errors import (
    InvalidBaton,
    RequestRefused,
    StreamBusy,
    StreamExpired,
    error_object,
)
from buntime_plugin_database.faces.hrana.messages import (
    Close,
    CloseSql,
    Describe,
    HttpRequest,
    StoreSql,
)
from buntime_plugin_database.faces.hrana.pipeline import MESSAGE, read_message
from buntime_plugin_database.faces.hrana.requests import serve
from buntime_plugin_database.faces.hrana.streams import Stream, Streams
from buntime_plugin_database.faces.large import hand_of
from buntime_plugin_database.faces.targets import Targets

_TYPES = frozenset(
    {
        "execute",
        "batch",
        "sequence",
        "describe",
        "store_sql",
        "close_sql",
        "get_autocommit",
        "close",
    }
)
_DDL = re.compile(
    r"(?:\s|--[^\n]*+\n|/\*(?>.*?\*/))*+(?:CREATE|DROP|ALTER)\b", re.IGNORECASE | re.DOTALL
)


class LegacyPipeline(msgspec.Struct, frozen=True):
    """Body of `POST pipeline`. Requests are read one by one: a bad one spoils no other."""

    requests: tuple[msgspec.Raw, ...] = ()
    baton: str | None = None


_PIPELINE = msgspec.json.Decoder(LegacyPipeline)
_REQUEST: msgspec.json.Decoder[HttpRequest] = msgspec.json.Decoder(HttpRequest)


class LegacyHttp:
    """The endpoint of the dialect."""

    def __init__(self, streams: Streams, targets: Targets) -> None:
        self._streams = streams
        self._targets = targets

    @described(body=MESSAGE)
    async def pipeline(self, request: Request) -> Response:
        """`POST pipeline`: the same in the dialect of the first server."""
        body = await read_message(request, _PIPELINE)
        check_statements(len(body.requests))
        if body.baton is None and not body.requests:
            return _answer(None, [])
        elsewhere = await self._streams.answer_elsewhere(body.baton, request)
        if elsewhere is not None:
            return elsewhere
        target = self._targets.of(request, needs="read")
        try:
            if body.baton is None:
                stream = await self._streams.open(target, request.scope)
            else:
                stream = self._streams.resume(body.baton, target)
        except (InvalidBaton, StreamExpired) as error:
            return _answer(None, [_error("INVALID_BATON", error.message)])
        except StreamBusy as error:
            return _answer(None, [_error(error.error_code, error.message)])
        async with self._streams.using(stream, hand_of(request)):
            results = [await legacy_result(self._streams, stream, raw) for raw in body.requests]
            failed = bool(results) and results[-1]["type"] == "error"
            if not needs_stream(stream) and not (failed and body.baton is not None):
                # After a failure the client still has to end the transaction that it believes in.
                await self._streams.close_stream(stream)
        return _answer(self._streams.baton(stream), results)


def needs_stream(stream: Stream) -> bool:
    """Whether anything would be lost with the stream."""
    return not stream.closed and (not stream.session.autocommit or len(stream.stored) > 0)


async def legacy_result(streams: Streams, stream: Stream, raw: msgspec.Raw) -> dict[str, Any]:
    """The result of one request, never an exception."""
    try:
        request = _read(raw)
        if stream.closed:
            raise RequestRefused("NO_SESSION", "an earlier request has closed the session")
        return {"type": "ok", **await _content(streams, stream, request)}
    except DatabaseError as error:
        return {"type": "error", "error": exact_error(error_object(error))}


def exact_error(error: dict[str, str]) -> dict[str, str]:
    """An error as the dialect has it: the most exact code, and none beside it."""
    return {"message": error["message"], "code": error.get("extended_code", error["code"])}


def _read(raw: msgspec.Raw) -> HttpRequest:
    try:
        return _REQUEST.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = str(error)
    try:
        kind = msgspec.json.decode(raw, type=dict[str, Any]).get("type")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        kind = None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise RequestRefused("UNKNOWN_REQUEST", f"Unknown request type: {str(kind)[:40]}")
    raise RequestRefused("PARSE_ERROR", message)


async def _content(streams: Streams, stream: Stream, request: HttpRequest) -> dict[str, Any]:
    match request:
        case StoreSql(sql_id=sql_id, sql=sql):
            stream.stored.forget(sql_id)  # the dialect lets a client store again
            stream.stored.store(sql_id, sql)
            return {}
        case CloseSql(sql_id=sql_id):
            stream.stored.forget(sql_id)
            return {}
        case Close():
            await streams.close_stream(stream)
            return {}
    response = await serve(stream, request, stream.stored)
    del response["type"]
    result = response.get("result", {})
    if isinstance(request, Describe):
        sql = stream.stored.resolve(request.sql, request.sql_id)
        result["is_ddl"] = _DDL.match(sql) is not None
    if "step_errors" in result:
        result["step_errors"] = [error and exact_error(error) for error in result["step_errors"]]
    for statement in (result, *result.get("step_results", ())):
        if statement is not None:
            statement.pop("query_duration_ms", None)
    return response


def _answer(baton: str | None, results: list[dict[str, Any]]) -> Response:
    return json_response({"base_url": None, "baton": baton, "results": results})


def _error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"code": code, "message": message}}
