"""`{API}/keys`: keys over HTTP, for senders with the permissions `keys:…`."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from buntime_host.access import principal_of
from buntime_host.access.administration import KeyAdministration, Wanted, row_of
from buntime_host.described import described
from buntime_host.errors import BadRequest, PayloadTooLarge

MAX_BODY_BYTES = 256 * 1024

T = TypeVar("T")


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    grace: str | None = None


class KeyRoutes:
    """The endpoints. Permissions were checked before."""

    def __init__(self, keys: KeyAdministration) -> None:
        self._keys = keys

    def list(self, _: Request) -> Response:
        """All keys, without their secrets."""
        return json_response({"keys": self._keys.all()})

    def meta(self, _: Request) -> Response:
        """The roles and permissions that a key may have."""
        return json_response(self._keys.meta())

    def show(self, request: Request) -> Response:
        """Show one key, without its secret."""
        return json_response(self._keys.one(request.path_params["id"]))

    @described(body=Wanted, status=201)
    async def create(self, request: Request) -> Response:
        """Make a key; the answer has its secret, this one time."""
        wanted = await read_body(request, Wanted)
        made = await self._keys.create(wanted, principal_of(request.scope))
        return json_response({"success": True, "data": row_of(made)}, 201)

    async def revoke(self, request: Request) -> Response:
        """Revoke a key: it is invalid from then on."""
        await self._keys.revoke(request.path_params["id"])
        return json_response({"success": True})

    @described(body=_Rotation)
    async def rotate(self, request: Request) -> Response:
        """Give a key another secret, which the answer has, this one time."""
        wanted = await read_body(request, _Rotation)
        key_id = request.path_params["id"]
        made = await self._keys.rotate(key_id, wanted.grace, principal_of(request.scope))
        return json_response({"success": True, "data": row_of(made)})


async def read_body(request: Request, shape: type[T]) -> T:
    """Decode the body as JSON of a shape; no body is an empty object. Raises `BadRequest`."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"A body may have {MAX_BODY_BYTES} bytes here")
    try:
        return msgspec.json.decode(bytes(content) or b"{}", type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid body: {error}", code="INVALID_BODY") from None


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON answer that must not be cached: it may have a secret."""
    headers = {"cache-control": "no-store"}
    content = msgspec.json.encode(value)
    return Response(content, status, headers, media_type="application/json")
