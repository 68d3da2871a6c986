"""`{API}/admin/session` and `{API}/admin/tickets`: credentials for web pages.

A page sends its key once and has a cookie from then on, which no script can read. Event streams
and websockets of other programs in a browser get a ticket.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from buntime_host.access import principal_of
from buntime_host.access.credentials import SESSION_COOKIE, key_credential
from buntime_host.access.gate import ANONYMOUS, Gate, unauthorized
from buntime_host.access.permissions import ROLES
from buntime_host.access.principal import Principal
from buntime_host.access.signed import SESSION_SECONDS, Signed
from buntime_host.described import described
from buntime_host.errors import BadRequest
from buntime_host.routes.key_routes import json_response, read_body


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    key: str | None = None


class _TicketFor(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class SessionRoutes:
    """The endpoints. They handle the credential themselves."""

    def __init__(self, gate: Gate, signed: Signed) -> None:
        self._gate = gate
        self._signed = signed

    @described(body=_Login)
    async def login(self, request: Request) -> Response:
        """Make a session of the key in the body, or of the credential of the request."""
        body = await read_body(request, _Login)
        principal = principal_of(request.scope)
        if body.key is not None:
            key = body.key.encode("utf-8", "replace")
            peer = self._gate.peer_of(request.scope)
            principal = self._gate.principal(key_credential(key), peer)
        elif principal is ANONYMOUS:
            raise unauthorized()
        token, ends_at = self._signed.new_session(principal)
        response = json_response(
            {"success": True, "data": {**_shown(principal), "endsAt": ends_at}}
        )
        response.headers["set-cookie"] = _cookie(token, SESSION_SECONDS, request)
        return response

    def who(self, request: Request) -> Response:
        """Return the owner of the credential."""
        principal = principal_of(request.scope)
        if principal is ANONYMOUS:
            raise unauthorized()
        return json_response({"data": _shown(principal)})

    def logout(self, request: Request) -> Response:
        """Delete the session cookie of the browser."""
        response = json_response({"success": True})
        response.headers["set-cookie"] = _cookie("", 0, request)
        return response

    @described(body=_TicketFor, status=201)
    async def ticket(self, request: Request) -> Response:
        """Make a ticket for one stream or websocket."""
        wanted = await read_body(request, _TicketFor)
        # A client outside of the proxy may name the path as it is seen there.
        path = wanted.path.removeprefix(request.scope["app_root_path"])
        if not path.startswith("/") or "?" in path:
            raise BadRequest(
                'Invalid path: it begins with a slash and has no query, as "/keyval/api/watch"',
                code="INVALID_PATH",
            )
        principal = principal_of(request.scope)
        if principal is ANONYMOUS:
            raise unauthorized()
        ticket, ends_at = self._signed.new_ticket(principal, path)
        return json_response({"success": True, "data": {"ticket": ticket, "endsAt": ends_at}}, 201)


def _shown(principal: Principal) -> dict[str, object]:
    # A role by its scopes: pages look in them for permissions.
    scopes = [scope for text in principal.grant.texts for scope in ROLES.get(text, (text,))]
    return {"id": principal.id, "name": principal.name, "grant": scopes}


def _cookie(token: str, seconds: int, request: Request) -> str:
    is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    return (
        f"{SESSION_COOKIE.decode()}={token}; Path={request.scope['app_root_path'] or '/'};"
        f" Max-Age={seconds}; HttpOnly; SameSite=Strict" + ("; Secure" if is_secure else "")
    )
