"""The ASGI application below the plugin's base: one answer, one mapping of errors.

A request goes through it in three steps: the path is looked up in `routes.py`; the whole request
is read by the route's shape, and by its endpoint, into what it asks for; that is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import buntime_database
import msgspec
import starlette.requests
from buntime_database import demand
from buntime_host import (
    HttpError,
    NotFound,
    ServiceUnavailable,
    hand_over,
    noticed_of,
    refuse_foreign,
)
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.canonical import WHOLE
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.faces.http.bodies import ClientGone, read_body
from buntime_plugin_keyval.faces.http.positions import demand_of, position_headers, told_positions
from buntime_plugin_keyval.faces.http.routes import Table
from buntime_plugin_keyval.faces.http.scans import is_scan, run_scan
from buntime_plugin_keyval.features.feature import AnyFeature
from buntime_plugin_keyval.model.errors import (
    ConditionsNotSupported,
    KeyValError,
    KeyValUnavailable,
    LimitExceeded,
    OutcomeUnknown,
    RequestTooLong,
    RequestUnderWay,
    TooManyScans,
    TooManyStreams,
    TooManyStreamsOfClient,
    database_down,
    outcome_unknown,
)
from buntime_plugin_keyval.requests.answers import Answer, Elsewhere, Frames
from buntime_plugin_keyval.requests.asked import Request, read_large
from buntime_plugin_keyval.requests.sse import send_events
from buntime_plugin_keyval.service import FEATURES, KeyValService

API_PATH = b"/api"
REPLAYED = (b"idempotent-replayed", b"true")
RETRY_SOON = (b"retry-after", b"1")
_MAY_PASS_SOON = (RequestUnderWay, TooManyScans, TooManyStreams, TooManyStreamsOfClient)


class KeyValApp:
    """Serves a key-value service below `/api`; answers 503 while there is none."""

    def __init__(self, features: Sequence[AnyFeature] = FEATURES) -> None:
        self._table = Table(features)
        self.service: KeyValService | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotFound
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        if not isinstance(answer, Answer):
            await send_events(receive, send, answer)
            return
        body = answer.body
        if isinstance(body, str):
            body = body.encode()
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", b"%d" % (answer.length or len(body))),
        ]
        if answer.allow:
            headers.append((b"allow", answer.allow.encode()))
        headers += answer.headers
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | Frames | Response:
        # The raw path, since %2F in a key must not become a separator.
        path = scope["raw_path"][len(scope["root_path"]) :]
        if not path.startswith(API_PATH):
            return Answer(404, error_json("Not found"))
        path = path[len(API_PATH) :]
        method = scope["method"]
        head = method == "HEAD"
        if head:
            method = "GET"
        methods = self._table.find(path, method)
        route = methods.get(method)
        if route is None:
            if not methods:
                return Answer(404, error_json("Not found"))
            allow = ", ".join(sorted(methods))
            body = error_json(f"Method {method} not allowed, use {allow}")
            return Answer(405, body, allow=allow)
        service = self.service
        once = demanded = None
        try:
            if service is None:
                raise KeyValUnavailable
            noticed = noticed_of(scope)
            if noticed.precondition is not None:
                raise ConditionsNotSupported(noticed.precondition)
            has_body = route.has_body or noticed.unasked_body
            content = await read_body(receive) if has_body else b""
            query = scope["query_string"]
            if len(content) <= WHOLE:
                given = route.read(query, content)
            else:
                given = await read_large(service, service.store, route, query, content)
            if noticed.idempotency_keys and method != "GET":
                said = (method.encode(), path, query, content)
                once = _once(noticed.idempotency_keys, *said)
            asked = route.ask(service, Request(path, given, content, head, scope, once))
            cost = asked.cost
            if cost.conditions:
                _check_conditions(cost.conditions, service)
            if asked.access != "read":
                refuse_foreign(scope)
            if service.has_replicas:
                demanded = demand_of(scope["headers"], given)
                demand(demanded)
            try:
                if cost.entries is None and is_scan(asked):
                    answer = await run_scan(service, asked, scope, receive)
                else:
                    answer = await asked.run()
            except asyncio.CancelledError:
                if asked.access == "read":
                    raise
                # What was begun is done before the store closes, or fails.
                raise OutcomeUnknown("the host is shutting down") from None
            except Elsewhere as elsewhere:
                return await _relayed(service, elsewhere, scope, content)
        except ClientGone:
            raise  # as it is: an error that its own traceback holds keeps what was received
        except Exception as error:  # noqa: BLE001 - every error has an answer, see the mapping
            answer = _answer_error(error, service)
        if isinstance(answer, (str, bytes)):
            answer = Answer(200, answer)
        if once is not None and once.replayed and isinstance(answer, Answer):
            answer = _with_headers(answer, REPLAYED)
        if service is not None and demanded is not None:
            adapter = service.store.adapter
            if isinstance(answer, Answer):
                return _with_headers(answer, *position_headers(adapter, demanded))
            return told_positions(answer, adapter)
        return answer


def _with_headers(answer: Answer, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer with more headers."""
    return msgspec.structs.replace(answer, headers=(*answer.headers, *headers))


def _check_conditions(conditions: int, service: KeyValService) -> None:
    """Raise `LimitExceeded` for a filter that has more of them than it may."""
    most = service.config.limits.conditions
    if conditions > most:
        raise LimitExceeded(f"Filter too large: {conditions} conditions", "conditions", most)


def _once(keys: Sequence[bytes], *said: bytes) -> Once:
    """That of the request which says this. Raises `InvalidInput`."""
    if len(keys) > 1:
        raise InvalidInput(f"Idempotency-Key must be given once, received it {len(keys)} times")
    return Once(keys[0].decode("latin-1"), *said)


async def _relayed(
    service: KeyValService, elsewhere: Elsewhere, scope: Scope, content: bytes
) -> Answer | Response:
    """The answer of another worker, or ours if that one is gone."""

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    workers = service.store.peers.workers
    try:
        return await hand_over(
            workers, elsewhere.worker, starlette.requests.Request(scope, receive)
        )
    except ServiceUnavailable:
        return Answer(200, await elsewhere.here())


def _answer_error(error: Exception, service: KeyValService | None) -> Answer:
    """The one mapping from exceptions to answers."""
    if isinstance(error, InvalidInput):
        return Answer(400, error_json(str(error)))
    if isinstance(error, buntime_database.DatabaseUnavailable):
        error = database_down(error)
    elif isinstance(error, buntime_database.OutcomeUnknown):
        error = outcome_unknown(error)
    elif isinstance(error, buntime_database.StatementTimeout):
        error = RequestTooLong(str(error))
    if isinstance(error, KeyValError):
        headers = (RETRY_SOON,) if isinstance(error, _MAY_PASS_SOON) else ()
        return Answer(error.STATUS, error_json(error.message, error.CODE), headers=headers)
    if isinstance(error, (ClientGone, HttpError)):
        raise error  # nobody is left to be told, or the host answers: a body beyond its limit
    if service is not None:
        service.store.logger.error("KeyVal route error", exc_info=error)
    return Answer(500, error_json("Internal server error"))


def error_json(message: str, code: str | None = None) -> str:
    """The body of an error. The contract fixes it, to the letter for those without a code."""
    body = {"error": message} if code is None else {"error": message, "code": code}
    # A message may quote what cannot be encoded, such as half of a surrogate pair.
    return msgspec.json.encode(
        {name: text.encode("utf-8", "replace").decode() for name, text in body.items()}
    ).decode()
