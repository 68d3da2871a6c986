"""JSON bodies, coming and going."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from buntime_host import BadRequest
from starlette.responses import Response

T = TypeVar("T")


def decode_body(body: bytes, type: type[T]) -> T:
    """The body as the type says. Raises `BadRequest`."""
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid body: {error}", code="INVALID_BODY") from None


def json_response(content: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")
