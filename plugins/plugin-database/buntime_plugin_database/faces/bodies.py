"""JSON bodies, coming and going."""

from __future__ import annotations

import re
from typing import TypeVar, get_args

import msgspec
from buntime_host import BadRequest, find_doubled, has_doubled, unknown_parameter
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.amounts import check_values

T = TypeVar("T")

CHECKED_BYTES = 64 * 1024
"""Bodies up to this size are searched for members that they have twice; longer ones are rows."""

_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?", re.DOTALL)


def decode_body(body: bytes, type: type[T]) -> T:
    """The body as the type says. Raises `BadRequest`."""
    try:
        given = msgspec.json.decode(body, type=type)
        doubled = doubled_member(body)
    except msgspec.ValidationError as error:
        raise BadRequest(_explained(error, type), code="INVALID_BODY") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid body: {error}", code="INVALID_BODY") from None
    if doubled is not None:
        raise BadRequest(doubled, code="INVALID_BODY")
    return given


def doubled_member(text: bytes) -> str | None:
    """The error about a JSON text in which an object has a duplicate member; None if there is none.

    Of the two, the decoder silently keeps the last. Raises as the decoder does for a text that is
    not JSON.
    """
    if len(text) > CHECKED_BYTES or not has_doubled(text, msgspec.json.decode(text)):
        return None
    doubled = find_doubled(text)
    if doubled is None:
        return None
    place = f" in {doubled.place}" if doubled.place else ""
    return f"{doubled.name} is given twice{place}; it may be given once"


async def read_body(request: Request, type: type[T]) -> T:
    """The body of a request as the type says. Raises `BadRequest` and `TooMuch`."""
    body = await request.body()
    await check_values(body)
    return decode_body(body, type)


async def refuse_body(request: Request) -> None:
    """Raise `BadRequest` for a body where none is read, unless there is nothing in it."""
    if (await request.body()).strip() not in (b"", b"{}", b"null"):
        raise BadRequest("This route takes no body, its parameters are in the query")


def _explained(error: msgspec.ValidationError, type: type) -> str:
    """The error about a body; for an unknown member, with the one that was probably meant."""
    unknown = _UNKNOWN.fullmatch(str(error))
    if unknown is None:
        return f"Invalid body: {error}"
    place = f" in {unknown[2]}" if unknown[2] else ""
    return unknown_parameter(unknown[1], _names_of(type, nested=bool(place))) + place


def _names_of(type: type, *, nested: bool) -> list[str]:
    fields = msgspec.structs.fields(type)
    if not nested:
        return [field.encode_name for field in fields]
    inner = [kind for field in fields for kind in get_args(field.type) if _is_struct(kind)]
    return [field.encode_name for kind in inner for field in msgspec.structs.fields(kind)]


def _is_struct(kind: object) -> bool:
    """Whether this is the type of an object with declared members."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def json_response(content: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")
