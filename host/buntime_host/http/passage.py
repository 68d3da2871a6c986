"""The hook `passage()`: a plugin's view of every request, on the direct way as well.

`on_request` and `on_response` see requests as ASGI has them, which costs the direct way. A passage
sees a lean request instead, answers it or lets it pass, and may send a companion with it that sees
the answer. It costs nothing where no plugin has one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import msgspec
from starlette.types import Message, Scope, Send

from buntime_host.errors import HttpError, ServiceUnavailable
from buntime_host.http.cors import without, without_answer_headers
from buntime_host.http.direct import (
    BODILESS,
    TAG,
    Answer,
    DirectApp,
    DirectRequest,
    Header,
    NotDirect,
    Promised,
    PromisedWork,
    Reply,
    failed,
    pairs_of,
    send_answer,
)
from buntime_host.http.noticed import noticed_of

BARE_BASE = "buntime.bare_base"
"""In the scope of a request for the bare base of a plugin, to whose path the host adds a slash."""
WEBSOCKET = "WEBSOCKET"
"""The method of a handshake."""
MOST_HELD_BYTES = 16 * 1024 * 1024
"""Larger ASGI answers are streams for a companion."""
ARRIVED = "buntime.arrived"
"""In the state of an ASGI request: the same request of the direct way, if that has arrived."""

_SWITCHING = 101
_ANSWERS_OF_HANDSHAKES = frozenset({"websocket.accept", "websocket.http.response.start"})

logger = logging.getLogger("App")

Touched = Answer | Coroutine[Any, Any, Answer]


@runtime_checkable
class Companion(Protocol):
    """Accompanies one request, and sees its answer. One of both methods is called, once."""

    def answered(self, answer: Answer) -> Touched:
        """See a whole answer; return it, or another one. A coroutine gets a task."""

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        """See how a stream begins, or an answer without a body; return its headers."""


Arrival = Answer | Companion | None


@runtime_checkable
class RequestPassage(Protocol):
    """Sees all requests, also those for the host itself. Runs on the event loop."""

    def trusts(self, origin: bytes) -> bool:
        """Whether pages of an origin may change things, as those of `trustedOrigins` may.

        `preflight` and companions tell their browsers.
        """

    def takes_cookies(self, origin: bytes) -> bool:
        """Whether the host's session cookie counts in requests of pages of an origin that the
        passage trusts.
        """

    def preflight(self, request: DirectRequest) -> Answer | None:
        """Answer an `OPTIONS` before the sender is identified, or leave it to others."""

    def arrives(self, request: DirectRequest) -> Arrival:
        """See each request once: return an answer to it, a companion for it, or None to let it
        pass.

        Its `whole_path` is set, its body is not. Requests that the host refuses come as well,
        before their refusal leaves, and have no principal. Headers for its answer can be added to
        its `lines`. An `HttpError` is the answer; any other exception answers 503, since letting
        the request pass would skip what is checked here.
        """


class GuardedPassage(RequestPassage, Protocol):
    """A passage whose `arrives` raises nothing."""

    name: str
    """The name of its plugin."""

    @property
    def unguarded(self) -> Callable[[DirectRequest], Arrival]:
        """The same `arrives`, which may raise, without the call that handles that."""


def one_passage(passages: Sequence[tuple[str, RequestPassage]]) -> GuardedPassage | None:
    """Combine all passages into one, the first one outermost; None where there is none."""
    guarded = [_Guarded(name, passage) for name, passage in passages]
    if len(guarded) < 2:
        return guarded[0] if guarded else None
    return _Several(guarded)


class _Guarded:
    """A plugin's passage, whose errors are logged with its name."""

    def __init__(self, name: str, passage: RequestPassage) -> None:
        self.name = name
        self.trusts = passage.trusts
        self.takes_cookies = passage.takes_cookies
        self.preflight = passage.preflight
        self.unguarded = passage.arrives

    def arrives(self, request: DirectRequest) -> Arrival:
        try:
            return self.unguarded(request)
        except Exception as error:  # noqa: BLE001 - as `_refusal` says
            return _refusal(error, self.name)


def _refusal(error: Exception, name: str) -> Answer:
    """The answer to a request when the passage of a plugin raised."""
    if isinstance(error, HttpError):
        return failed(error)
    logger.error("The passage of %s failed", name, exc_info=error)
    return failed(ServiceUnavailable("A request hook failed", code="PLUGIN_PASSAGE_FAILED"))


class _Several:
    """Passages one behind the other."""

    def __init__(self, passages: Sequence[_Guarded]) -> None:
        self._passages = tuple(passages)
        self.name = ", ".join(passage.name for passage in passages)

    @property
    def unguarded(self) -> Callable[[DirectRequest], Arrival]:
        return self.arrives

    def trusts(self, origin: bytes) -> bool:
        return any(passage.trusts(origin) for passage in self._passages)

    def takes_cookies(self, origin: bytes) -> bool:
        return any(
            passage.trusts(origin) and passage.takes_cookies(origin) for passage in self._passages
        )

    def preflight(self, request: DirectRequest) -> Answer | None:
        for passage in self._passages:
            answer = passage.preflight(request)
            if answer is not None:
                return answer
        return None

    def arrives(self, request: DirectRequest) -> Arrival:
        companions: list[Companion] = []
        for passage in self._passages:
            arrival = passage.arrives(request)
            if isinstance(arrival, Answer):
                # The passages before it still see its answer.
                return _Early(arrival, _Row(companions)) if companions else arrival
            if arrival is not None:
                companions.append(arrival)
        if len(companions) < 2:
            return companions[0] if companions else None
        return _Row(companions)


class _Row:
    """Companions of one request; the last one is next to the plugin."""

    def __init__(self, companions: list[Companion]) -> None:
        self._companions = companions

    def answered(self, answer: Answer) -> Touched:
        return self._on(answer, len(self._companions))

    def _on(self, answer: Answer, left: int) -> Touched:
        while left:
            left -= 1
            touched = self._companions[left].answered(answer)
            if not isinstance(touched, Answer):
                return self._later(touched, left)
            answer = touched
        return answer

    async def _later(self, work: Coroutine[Any, Any, Answer], left: int) -> Answer:
        touched = self._on(await work, left)
        return touched if isinstance(touched, Answer) else await touched

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        for companion in reversed(self._companions):
            headers = companion.begun(status, headers)
        return headers


class _Early:
    """An answer of a passage, and the passages before it that see it."""

    def __init__(self, answer: Answer, row: _Row) -> None:
        self.answer = answer
        self.answered = row.answered
        self.begun = row.begun


class PassedApp:
    """A `DirectApp` behind a passage."""

    def __init__(
        self, app: DirectApp, base: bytes, passage: GuardedPassage, *, strips: bool
    ) -> None:
        """`strips` says whether the headers of applications about origins are dropped."""
        self._answer = _stripping(app.answer) if strips else app.answer
        self._base = base
        self._name = passage.name
        self._arrives = passage.unguarded
        self.is_direct = app.is_direct

    def answer(self, request: DirectRequest) -> Reply | PromisedWork:
        # Each call in here is a part of the cost of a request; a common one makes two of its own.
        request.whole_path = self._base + request.path
        try:
            arrival = self._arrives(request)
        except Exception as error:  # noqa: BLE001 - as `_refusal` says
            return _refusal(error, self._name)
        if arrival is None:
            return self._answer(request)
        # `isinstance` costs five times as much for the common answer.
        if type(arrival) is Answer:
            return arrival
        if type(arrival) is _Early:
            return _touched(arrival.answer, arrival)
        request.companion = arrival
        try:
            reply = self._answer(request)
        except NotDirect:
            raise
        except Exception as error:  # noqa: BLE001 - an error is an answer, for companions as well
            reply = _failed(error, request)
        if type(reply) is Answer:
            # As `_touched` does, which would be one more call.
            try:
                touched = arrival.answered(reply)
            except Exception:
                logger.exception("A companion of a request failed")
                return reply
            return touched if type(touched) is Answer else _whatever(touched, reply)
        if isinstance(reply, Promised):
            return PromisedWork(reply.future, _Touching(reply.answer, arrival, request).answer)
        return _touched_later(reply, arrival, request)


def _stripping(answer: Callable[[DirectRequest], Reply]) -> Callable[[DirectRequest], Reply]:
    """The same answers, without their headers about origins."""

    def without(answer: Answer) -> Answer:
        if not answer.headers:
            return answer
        headers = tuple(without_answer_headers(answer.headers))
        return msgspec.structs.replace(answer, headers=headers)

    async def later(work: Coroutine[Any, Any, Answer]) -> Answer:
        return without(await work)

    def stripped(request: DirectRequest) -> Reply:
        reply = answer(request)
        if isinstance(reply, Answer):
            return without(reply)
        if isinstance(reply, Promised):
            make = reply.answer
            return Promised(reply.future, lambda future: without(make(future)))
        return later(reply)

    return stripped


class _Touching:
    """Makes the answer of a future, and shows it to a companion."""

    def __init__(
        self,
        make: Callable[[asyncio.Future[Any]], Answer],
        companion: Companion,
        request: DirectRequest,
    ) -> None:
        self._make = make
        self._companion = companion
        self._request = request

    def answer(self, future: asyncio.Future[Any]) -> Touched:
        try:
            made = self._make(future)
        except NotDirect:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            made = _failed(error, self._request)
        return _touched(made, self._companion)


async def _touched_later(
    work: Coroutine[Any, Any, Answer], companion: Companion, request: DirectRequest
) -> Answer:
    try:
        answer = await work
    except NotDirect:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        answer = _failed(error, request)
    touched = _touched(answer, companion)
    return touched if isinstance(touched, Answer) else await _whatever(touched, answer)


def _failed(error: Exception, request: DirectRequest) -> Answer:
    answer = failed(error)
    if answer.status == HttpError.status:
        path = request.whole_path.decode("latin-1")
        logger.error("Unhandled exception at %s %s", request.method, path, exc_info=error)
    return answer


def _touched(answer: Answer, companion: Companion) -> Touched:
    """The answer as a companion changes it; one that raises changes nothing."""
    try:
        touched = companion.answered(answer)
    except Exception:
        logger.exception("A companion of a request failed")
        return answer
    return touched if isinstance(touched, Answer) else _whatever(touched, answer)


async def _whatever(work: Coroutine[Any, Any, Answer], otherwise: Answer) -> Answer:
    try:
        return await work
    except Exception:
        logger.exception("A companion of a request failed")
        return otherwise


class HeadOfAsgi(DirectRequest):
    """A passage's view of an ASGI request."""

    def __init__(self, scope: Scope) -> None:
        path = raw_path_of(scope)
        if BARE_BASE in scope:
            path = path[:-1]
        super().__init__(
            scope.get("method", WEBSOCKET),
            path,
            scope["query_string"],
            scope["headers"],
            noticed_of(scope),
        )
        self.whole_path = path
        self.client = scope.get("client")
        self.principal = scope["state"]["principal"]


def raw_path_of(scope: Scope) -> bytes:
    """The path as it was sent, below the prefix of the host itself."""
    raw: bytes | None = scope.get("raw_path")
    path = scope["path"].encode() if raw is None else raw
    root: str = scope.get("root_path") or ""
    return path.removeprefix(root.encode())


class Passing:
    """One ASGI request on its way through the passage, and its answer on the way back."""

    def __init__(self, passage: RequestPassage, scope: Scope, send: Send, *, strips: bool) -> None:
        """`strips` says whether the headers of applications about origins are dropped."""
        self._passage = passage
        self._scope = scope
        self._send = send
        self._strips = strips
        self._arrived: DirectRequest | None = scope["state"].pop(ARRIVED, None)
        self._is_refused = False
        self._early: Answer | None = None
        self._held: Message | None = None
        self._is_over = False
        """Whether the answer of the application is replaced."""

    async def answers(self) -> bool:
        """Let the request arrive; whether the passage has answered it already."""
        if self._arrived is None:
            await self._arrive()
        if self._early is None:
            return False
        if self._scope["type"] == "http":
            await send_answer(self._send, self._early)
        else:
            await _refuse(self._scope, self._send, self._early)
        return True

    async def _answers_refused(self) -> bool:
        """The same for a request that the host refuses."""
        self._is_refused = True
        return await self.answers()

    async def _arrive(self) -> None:
        self._arrived = head = HeadOfAsgi(self._scope)
        head.is_refused = self._is_refused
        arrival = self._passage.arrives(head)
        if isinstance(arrival, _Early):
            touched = _touched(arrival.answer, arrival)
            arrival = touched if isinstance(touched, Answer) else await touched
        if isinstance(arrival, Answer):
            self._early = self._with_lines(arrival, head)
        else:
            head.companion = arrival

    async def send(self, message: Message) -> None:
        """Send an answer, as the companion has it."""
        kind = message["type"]
        if kind == "http.response.start":
            await self._start(message)
        elif kind == "http.response.body":
            await self._continue(message)
        elif kind in _ANSWERS_OF_HANDSHAKES or (
            kind == "websocket.close" and self._arrived is None
        ):
            await self._start_websocket(message)
        elif not self._is_over:
            await self._send(message)

    async def _start_websocket(self, message: Message) -> None:
        """Send the answer to a handshake; refused ones arrive before that."""
        if self._arrived is None and await self._answers_refused():
            self._is_over = True
        elif message["type"] == "websocket.close":
            await self._send(message)
        else:
            status = message.get("status", _SWITCHING)
            await self._send({**message, "headers": self._begun(status, message)})

    async def _start(self, message: Message) -> None:
        if self._arrived is None and await self._answers_refused():
            self._is_over = True
        elif self._request.companion is not None and _is_whole(message, self._scope["method"]):
            self._held = message
        else:
            await self._send({**message, "headers": self._begun(message["status"], message)})

    @property
    def _request(self) -> DirectRequest:
        """The request that has arrived, as answers have when they begin."""
        return cast(DirectRequest, self._arrived)

    def _begun(self, status: int, message: Message) -> list[Header]:
        request = self._request
        headers = list(message.get("headers", ()))
        if self._strips:
            headers = without_answer_headers(headers)
        if request.companion is not None:
            try:
                headers = request.companion.begun(status, headers)
            except Exception:
                logger.exception("A companion of a request failed")
        if request.settled:
            headers = without(headers, request.settled)
        return headers + pairs_of(request.lines)

    @staticmethod
    def _with_lines(answer: Answer, request: DirectRequest) -> Answer:
        headers = answer.headers
        if request.settled:
            headers = tuple(without(headers, request.settled))
        return msgspec.structs.replace(answer, headers=headers, lines=answer.lines + request.lines)

    async def _continue(self, message: Message) -> None:
        if self._is_over:
            return
        held, self._held = self._held, None
        if held is None:
            await self._send(message)
        elif message.get("more_body", False):
            await self._send({**held, "headers": self._begun(held["status"], held)})
            await self._send(message)
        else:
            answer = _answer_of(held, message.get("body", b""), strips=self._strips)
            touched = _touched(answer, self._request.companion)
            if not isinstance(touched, Answer):
                touched = await touched
            await send_answer(self._send, self._with_lines(touched, self._request))


def _is_whole(message: Message, method: str) -> bool:
    """Whether the whole answer may be in its next message, judging by its head."""
    if method == "HEAD" or message["status"] in BODILESS:
        return False
    length = -1
    has_type = False
    for name, value in message.get("headers", ()):
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            has_type = True
    return has_type and 0 <= length <= MOST_HELD_BYTES


def _answer_of(head: Message, body: bytes, *, strips: bool) -> Answer:
    headers: list[Header] = []
    content_type = b""
    said: str = head.get(TAG, "")
    tag = ""
    for pair in head["headers"]:
        if pair[0] == b"content-type":
            content_type = pair[1]
        elif said and pair == (b"etag", b'"%b"' % said.encode("latin-1")):
            tag = said
        elif pair[0] != b"content-length":
            headers.append((bytes(pair[0]), bytes(pair[1])))
    if strips:
        headers = without_answer_headers(headers)
    text = content_type.decode("latin-1")
    return Answer(head["status"], bytes(body), text, None, tuple(headers), tag)


async def _refuse(scope: Scope, send: Send, answer: Answer) -> None:
    """Refuse a handshake with an answer, or with 403 where the server cannot say more."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = answer.content()
    start = {"status": answer.status, "headers": answer.all_headers(len(body))}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": body})
