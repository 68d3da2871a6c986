"""Turns exceptions into JSON responses: the only place that knows the shape of an error body."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec
from starlette.types import Send

from buntime_host.errors import HttpError
from buntime_host.http.statuses import PHRASES

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.responses import Response


class Problem(msgspec.Struct, frozen=True):
    """An error as a client sees it."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        """The JSON text, with both the old (`error`) and the new (`code`) form of the message."""
        return msgspec.json.encode(
            {"error": self.message, "code": self.code, "success": False, "message": self.message}
        )


def problem_of(error: BaseException) -> Problem:
    """Translate an exception. Unknown ones become a 500 that reveals nothing about the inside."""
    if isinstance(error, HttpError):
        headers = tuple((error.headers or {}).items())
        return Problem(error.status, error.error_code, error.message, headers)
    if _is_of_starlette(error):
        phrase = PHRASES.get(error.status_code)
        code = f"HTTP_{error.status_code}" if phrase is None else _code_of(phrase)
        headers = tuple((error.headers or {}).items())
        return Problem(error.status_code, code, error.detail or phrase or "Error", headers)
    return Problem(HttpError.status, HttpError.code, HttpError.default_message)


def _code_of(phrase: str) -> str:
    return phrase.upper().replace("'", "").replace("-", "_").replace(" ", "_")


def _is_of_starlette(error: BaseException) -> TypeGuard[HTTPException]:
    """Code that raises one has imported it: a store in this process has no Starlette."""
    module = sys.modules.get("starlette.exceptions")
    return module is not None and isinstance(error, module.HTTPException)


def problem_response(error: BaseException) -> Response:
    """The JSON response for `error`, for plugins that catch their own exceptions."""
    from starlette.responses import Response

    problem = problem_of(error)
    return Response(
        problem.body(),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type="application/json",
    )


async def send_problem(send: Send, problem: Problem, *extra: tuple[bytes, bytes]) -> None:
    """Send a whole error response, with `extra` headers."""
    body = problem.body()
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *(
            (name.lower().encode("latin-1"), text.encode("latin-1"))
            for name, text in problem.headers
        ),
        *extra,
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_websocket(scope: Any, send: Send, problem: Problem) -> None:
    """Refuse a handshake with the problem's status, or with 403 where the server cannot."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": problem.code})
        return
    body = problem.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send(
        {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
