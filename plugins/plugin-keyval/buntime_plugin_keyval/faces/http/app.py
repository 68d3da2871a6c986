"""The ASGI application below the plugin's base, which answers all requests and maps all errors.

A request takes three steps: its path is looked up in `routes.py`; the whole request is read, by the
route's shape and its endpoint, into an `Asked`; and that is run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from buntime_database import demand
from buntime_host import (
    Answer,
    AsgiRequest,
    DirectRequest,
    Forbidden,
    HttpError,
    NotFound,
    Promised,
    ServiceUnavailable,
    at_once,
    send_answer,
    settled,
)
from buntime_host.access import EVERYONE
from buntime_host.access.audit import DETAILS
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.canonical import WHOLE
from starlette.types import Receive, Scope, Send

from buntime_plugin_keyval.engine.once import Once, keyed
from buntime_plugin_keyval.faces.http.bodies import read_body
from buntime_plugin_keyval.faces.http.errors import error_json, told_error
from buntime_plugin_keyval.faces.http.positions import demand_of, position_headers, told_positions
from buntime_plugin_keyval.faces.http.routes import API_PATH, BELOW_API, Methods, StoreRoutes
from buntime_plugin_keyval.faces.http.scans import is_scan, run_scan
from buntime_plugin_keyval.features.feature import AnyFeature
from buntime_plugin_keyval.model import errors
from buntime_plugin_keyval.requests.answers import ClientGone, Elsewhere, Frames, Text
from buntime_plugin_keyval.requests.asked import AnyRoute, Asked, Ran, Request, Touched, read_large
from buntime_plugin_keyval.requests.shape import RequestShape

if TYPE_CHECKING:
    from starlette.responses import Response
from buntime_plugin_keyval.requests.sse import send_events
from buntime_plugin_keyval.service import FEATURES, KeyValService

JSON = "application/json"
REPLAYED = (b"idempotent-replayed", b"true")
RETRY_SOON = (b"retry-after", b"1")
_PRECONDITIONS = (b"if-match", b"if-none-match")
_AT_ONCE = frozenset({"get", "list", "paginate"})
"""Operations that an embedded engine mostly runs on the event loop, so that they need no task."""
_MAY_PASS_SOON = (
    errors.RequestUnderWay,
    errors.TooManyScans,
    errors.TooManyStreams,
    errors.TooManyStreamsOfClient,
    errors.TooManyStreamsOfKey,
)

_UNWANTED = Answer(499, error_json("The client has hung up, or sends nothing more", "CLIENT_GONE"))
"""The answer to a request that was given up because its client seems to have gone: no failure, and
hardly ever seen by anyone."""


Answering = Answer | Promised | Coroutine[Any, Any, Answer | Frames]
"""An answer, now or later."""


class _Remembered(AsgiRequest):
    """An ASGI request that notes its details for the audit log."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self._state = scope.get("state")

    def remember(self, asked: Asked) -> None:
        """Note what is asked for, for the audit log."""
        if self._state is not None:
            self._state[DETAILS] = Touched(asked)


class KeyValApp:
    """Serves a key-value service below `/api`; answers 503 while there is none."""

    def __init__(self, features: Sequence[AnyFeature] = FEATURES) -> None:
        self.table = StoreRoutes(features)
        """The routes and their endpoints."""
        self.route_of = self.table.route_of
        """See `TellsRoutes`."""
        self.service: KeyValService | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by ASGI, as `answer` does; the only way to serve streams."""
        if scope["type"] != "http":
            raise NotFound
        request = _Remembered(scope, receive)
        service = self.service
        try:
            if self._wants_body(request):
                request.body = await read_body(receive)
            answer = await settled(self.answer(request))
        except ClientGone:
            return
        except Elsewhere as elsewhere:
            relayed = await _relayed(service, elsewhere, request)
            if not isinstance(relayed, Answer):
                await relayed(scope, receive, send)
                return
            answer = relayed
        if isinstance(answer, Answer):
            await send_answer(send, answer)
        else:
            await send_events(receive, send, answer, request.principal.life)

    def is_direct(self, method: str, path: bytes) -> bool:  # noqa: ARG002 - see `DirectApp`
        """See `DirectApp`: everything but streams."""
        return path.startswith(BELOW_API) and path not in self.table.streams

    def answer(
        self,
        request: DirectRequest,
        given: RequestShape | None = None,
        *,
        is_admitted: bool = False,
    ) -> Answering:
        """The answer to a whole request, now or later; for a stream, its frames.

        `given` are the members of a large body that was read before, and `is_admitted` tells that
        the limits of its sender were checked. Raises `HttpError` for the host to answer, and
        `Elsewhere`.
        """
        # The raw path, since a %2F in a key must not become a separator.
        path = request.path
        if not path.startswith(API_PATH):
            return Answer(404, error_json("Not found"))
        path = path[len(API_PATH) :]
        head = request.method == "HEAD"
        method = "GET" if head else request.method
        methods = self.table.find(path, method)
        route = methods.get(method)
        if route is None:
            return _no_route(methods, method)
        service = self.service
        noticed = request.noticed
        content = request.body
        once = None
        try:
            if service is None:
                raise errors.KeyValUnavailable
            if noticed.precondition is not None and not route.has_conditions:
                raise errors.ConditionsNotSupported(noticed.precondition)
            if given is None:
                if len(content) > WHOLE:
                    return self._answer_large(service, route, request)
                given = route.read(request.query, content)
            if noticed.idempotency_keys and method != "GET":
                once = _once(request, path)
            asked = route.ask(service, Request(path, given, content, head, request, once))
            if asked.cost.conditions:
                _check_conditions(asked.cost.conditions, service)
            principal = request.principal
            if principal is not EVERYONE:
                if isinstance(request, _Remembered):
                    request.remember(asked)
                if not principal.unlimited:
                    asked.require(principal, guarded=service.guards_reserved)
                if principal.limits and not is_admitted:
                    return self._within_limits(service, asked, request, given)
            if noticed.foreign and asked.access != "read":
                raise Forbidden(code="ORIGIN_NOT_ALLOWED")
            if service.has_replicas:
                return _demanding(service, asked, request, given, once)
            if asked.cost.entries is None and is_scan(asked):
                ran: Ran = run_scan(service, asked, request)
            else:
                ran = asked.run()
        except (HttpError, Elsewhere):
            raise
        except Exception as error:  # noqa: BLE001 - every error has an answer, see the mapping
            return _answer_error(error, service)
        if isinstance(ran, Answer):
            return ran
        if isinstance(ran, asyncio.Future):
            return Promised(ran, partial(_conclude, service, asked.answer, once))
        if isinstance(ran, str | bytes):
            return Answer(200, ran)
        work: Coroutine[Any, Any, Any] = _awaited(service, asked, ran, once)
        if asked.operation in _AT_ONCE and service.is_embedded:
            return at_once(work)
        return work

    async def _within_limits(
        self, service: KeyValService, asked: Asked, request: DirectRequest, given: RequestShape
    ) -> Answer | Frames:
        try:
            admission = await service.quotas.admit(request.principal, asked, len(request.body))
        except Exception as error:  # noqa: BLE001 - as above
            return _answer_error(error, service)
        answer: Answer | Frames | None = None
        try:
            answer = await settled(self.answer(request, given, is_admitted=True))
        finally:
            if answer is None or isinstance(answer, Answer):
                admission.over()
        return answer if isinstance(answer, Answer) else admission.until_closed(answer)

    async def _answer_large(
        self, service: KeyValService, route: AnyRoute, request: DirectRequest
    ) -> Answer | Frames:
        """Answer a request with a large body, which is read in steps."""
        try:
            given = await read_large(service, service.store, route, request.query, request.body)
        except Exception as error:  # noqa: BLE001 - as above
            return _answer_error(error, service)
        return await settled(self.answer(request, given))

    def _wants_body(self, request: DirectRequest) -> bool:
        """Whether the body is needed: it is not if the request is refused by its head alone."""
        if self.service is None:
            return False
        method = "GET" if request.method == "HEAD" else request.method
        if not request.path.startswith(API_PATH):
            return False
        route = self.table.find(request.path[len(API_PATH) :], method).get(method)
        if route is None or (request.noticed.precondition and not route.has_conditions):
            return False
        return route.has_body or request.noticed.unasked_body


async def _relayed(
    service: KeyValService | None, elsewhere: Elsewhere, request: AsgiRequest
) -> Response | Answer:
    """The answer of another worker, or of this one if the other is gone."""
    from buntime_host import hand_over  # to other workers: a store in this process has none

    if service is None:
        raise ServiceUnavailable
    try:
        workers = service.store.peers.workers
        return await hand_over(workers, elsewhere.worker, request.whole())
    except ServiceUnavailable:
        try:
            return Answer(200, await elsewhere.here())
        except Exception as error:  # noqa: BLE001 - every error has an answer, see the mapping
            return _answer_error(error, service)


def _conclude(
    service: KeyValService,
    answer: Callable[[asyncio.Future[Any]], Answer],
    once: Once | None,
    future: asyncio.Future[Any],
) -> Answer:
    """The answer to a write that is done, or that is no longer waited for."""
    try:
        concluded = answer(future)
    except asyncio.CancelledError:
        return _answer_error(_cut_short(), service)
    except Exception as error:  # noqa: BLE001 - every error has an answer, see the mapping
        concluded = _answer_error(error, service)
    return concluded if once is None else _told_again(concluded, once)


async def _awaited(
    service: KeyValService, asked: Asked, ran: Ran, once: Once | None
) -> Answer | Frames:
    """The answer of an operation."""
    try:
        if isinstance(ran, asyncio.Future):
            answer: Text | Answer | Frames = await settled(Promised(ran, asked.answer))
        else:
            answer = ran if isinstance(ran, str | bytes | Answer) else await ran
    except asyncio.CancelledError:
        if asked.access == "read":
            raise
        answer = _answer_error(_cut_short(), service)
    except (HttpError, Elsewhere):
        raise  # without a variable, whose reference cycle would keep the request in memory
    except ClientGone:
        answer = _UNWANTED
    except Exception as error:  # noqa: BLE001 - every error has an answer, see the mapping
        answer = _answer_error(error, service)
    if isinstance(answer, str | bytes):
        answer = Answer(200, answer)
    return _told_again(answer, once) if isinstance(answer, Answer) else answer


async def _demanding(
    service: KeyValService, asked: Asked, request: DirectRequest, given: Any, once: Once | None
) -> Answer | Frames:
    """The answer where replicas may be read, with the position demanded and the one to report."""
    try:
        demanded = demand_of(request.headers, given)
    except InvalidInput as error:
        return _answer_error(error, service)
    demand(demanded)
    try:
        is_in_turn = asked.cost.entries is None and is_scan(asked)
        ran: Ran = run_scan(service, asked, request) if is_in_turn else asked.run()
    except Exception as error:  # noqa: BLE001 - as above
        answer: Answer | Frames = _answer_error(error, service)
    else:
        answer = await _awaited(service, asked, ran, once)
    adapter = service.store.adapter
    if isinstance(answer, Answer):
        return _with_headers(answer, *position_headers(adapter, demanded))
    return told_positions(answer, adapter)


def _cut_short() -> errors.OutcomeUnknown:
    """The error for a write that is no longer waited for."""
    # The write completes or fails before the store closes.
    return errors.OutcomeUnknown("the host is shutting down")


def _told_again(answer: Answer, once: Once | None) -> Answer:
    """The answer, with a header if it is the result of an earlier request."""
    return _with_headers(answer, REPLAYED) if once is not None and once.replayed else answer


def _no_route(methods: Methods, method: str) -> Answer:
    if not methods:
        return Answer(404, error_json("Not found"))
    allowed = set(methods)
    if "GET" in methods and methods["GET"].has_head:
        allowed.add("HEAD")
    allow = ", ".join(sorted(allowed))
    body = error_json(f"Method {method} not allowed, use {allow}")
    return Answer(405, body, headers=((b"allow", allow.encode()),))


def _with_headers(answer: Answer, *headers: tuple[bytes, bytes]) -> Answer:
    return msgspec.structs.replace(answer, headers=(*answer.headers, *headers))


def _check_conditions(conditions: int, service: KeyValService) -> None:
    """Raise `LimitExceeded` for a filter with too many conditions."""
    most = service.config.limits.conditions
    if conditions > most:
        raise errors.LimitExceeded(f"Filter too large: {conditions} conditions", "conditions", most)


def _quoted(request: DirectRequest, name: bytes) -> bytes:
    """A header and its values, without blanks."""
    values = (quote(value, safe="") for key, value in request.headers if key == name)
    return b"%b=%b" % (name, ",".join(values).encode())


def _once(request: DirectRequest, path: bytes) -> Once:
    """The `Once` of a request with an idempotency key. Raises `InvalidInput`."""
    noticed = request.noticed
    keys = noticed.idempotency_keys
    if len(keys) > 1:
        raise InvalidInput(f"Idempotency-Key must be given once, received it {len(keys)} times")
    query = request.query
    if noticed.precondition is not None:
        query = b" ".join((query, *(_quoted(request, name) for name in _PRECONDITIONS)))
    # Only the last part may have blanks.
    said = b" ".join((request.method.encode(), path, query, request.body))
    return keyed(keys[0].decode("latin-1"), said, request.principal.id)


def _answer_error(error: Exception, service: KeyValService | None) -> Answer:
    """The one mapping from exceptions to answers."""
    told = told_error(error)
    if isinstance(told, InvalidInput):
        return Answer(400, error_json(str(told)))
    if told is not None:
        headers = (RETRY_SOON,) if isinstance(told, _MAY_PASS_SOON) else ()
        if told.retry_after is not None:
            headers = ((b"retry-after", b"%d" % math.ceil(told.retry_after)),)
        more = {}
        if isinstance(told, errors.PreconditionFailed):
            more["versionstamp"] = told.versionstamp
        return Answer(told.STATUS, error_json(told.message, told.CODE, more=more), headers=headers)
    if service is not None:
        service.store.logger.error("KeyVal route error", exc_info=error)
    return Answer(500, error_json("Internal server error"))
