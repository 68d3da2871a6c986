"""`on_request` and `on_response` around the plugins; built only when some plugin has one."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from buntime_host.access import EVERYONE, principal_of
from buntime_host.access.gate import ANONYMOUS
from buntime_host.errors import HttpError, ServiceUnavailable
from buntime_host.http.problem import problem_of, refuse_websocket, send_problem
from buntime_host.plugins.hooks import Hook
from buntime_host.routing.mounts import Mount

Serve = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RequestHook:
    """One plugin's `on_request` or `on_response`."""

    plugin: str
    hook: Hook
    fail_open: bool = False
    """Whether an `on_request` that raises lets the request pass, by `onRequestFailOpen`."""


class RequestHooks:
    """Runs the hooks of all plugins around one request."""

    def __init__(
        self,
        on_request: Sequence[RequestHook],
        on_response: Sequence[RequestHook],
        find: Callable[[Scope], Mount | None],
        serve: Serve,
        logger: logging.Logger,
    ) -> None:
        self._on_request = tuple(sorted(on_request, key=lambda item: item.hook.rank))
        self._on_response = tuple(sorted(on_response, key=lambda item: item.hook.rank))
        self._find = find
        self._serve = serve
        self._logger = logger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket, with the hooks before and after."""
        mount = self._find(scope)
        if mount is not None and mount.info is None:
            await self._serve(scope, receive, send)  # the host's own paths are not for plugins
            return
        replay = _Replay(receive)
        connection: HTTPConnection
        if scope["type"] == "websocket":
            connection = HTTPConnection(scope)
        else:
            connection = Request(scope, replay.record)
        info = mount.info if mount is not None else None
        # A sender with a key passes without the plugins' own checks: its permissions are known.
        is_known = principal_of(scope) not in (EVERYONE, ANONYMOUS)
        for item in () if is_known else self._on_request:
            answer = await self._ask(item, connection, info)
            if isinstance(answer, Response):
                await _answer(answer, connection, replay.receive, send)
                return
            if isinstance(answer, HTTPConnection):
                connection = answer
        if isinstance(connection, Request) and connection.receive != replay.record:
            receive = connection.receive  # a hook brought its own body
        else:
            receive = replay.receive
        scope = connection.scope
        mount = self._find(scope)
        if scope["type"] == "http" and mount is not None and mount.info and self._on_response:
            head = _ResponseHooks(self, mount, Request(scope), receive, send)
            try:
                await self._serve(scope, receive, head.send)
            except Exception as error:
                # Errors are responses, too, and a browser needs, say, their CORS headers.
                if head.started or problem_of(error).status == 500:
                    raise
                await send_problem(head.send, problem_of(error))
        else:
            await self._serve(scope, receive, send)

    async def _ask(self, item: RequestHook, request: HTTPConnection, info: Any) -> Any:
        try:
            answer = item.hook(request=request, app=info)
            if inspect.isawaitable(answer):
                answer = await answer
        except (HttpError, HTTPException, ClientDisconnect):
            raise  # meant as an answer, or not the hook's fault
        except Exception as error:
            self._logger.exception("on_request of %s failed", item.plugin)
            if item.fail_open:
                return None
            raise ServiceUnavailable(
                "A request hook failed", code="PLUGIN_ONREQUEST_FAILED"
            ) from error
        return answer

    async def respond(self, response: Response, mount: Mount, request: Request) -> Response:
        """Let every `on_response` see the response; one that raises changes nothing."""
        for item in self._on_response:
            kept = list(response.raw_headers), response.status_code
            try:
                answer = item.hook(response=response, app=mount.info, request=request)
                if inspect.isawaitable(answer):
                    answer = await answer
            except Exception:
                self._logger.exception("on_response of %s failed", item.plugin)
                response.raw_headers[:], response.status_code = kept
                continue
            if isinstance(answer, Response):
                response = answer
        return response


class _Replay:
    """Replays the part of a body that hooks have read to the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []

    async def record(self) -> Message:
        message = await self._receive()
        self._read.append(message)
        return message

    async def receive(self) -> Message:
        return self._read.pop(0) if self._read else await self._receive()


class _ResponseHooks:
    """Holds back the head of a response until the hooks have seen it; bodies stream through."""

    def __init__(
        self, hooks: RequestHooks, mount: Mount, request: Request, receive: Receive, send: Send
    ) -> None:
        self._hooks = hooks
        self._mount = mount
        self._request = request
        self._receive = receive
        self._send = send
        self._replaced = False
        self.started = False

    async def send(self, message: Message) -> None:
        if self._replaced:
            return  # the rest of a response that a hook has replaced
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        self.started = True
        head = Response(status_code=message["status"])
        head.raw_headers = list(message.get("headers", ()))
        response = await self._hooks.respond(head, self._mount, self._request)
        if response is head:
            changed = {"status": head.status_code, "headers": head.raw_headers}
            await self._send({**message, **changed})
            return
        self._replaced = True
        await response(self._request.scope, self._receive, self._send)


async def _answer(
    response: Response, connection: HTTPConnection, receive: Receive, send: Send
) -> None:
    """Send a hook's own response; to a websocket that means refusing the handshake."""
    scope = connection.scope
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        # Starlette's responses know how to refuse a handshake themselves.
        await response(scope, receive, send)
    else:
        await refuse_websocket(scope, send, problem_of(ServiceUnavailable()))
