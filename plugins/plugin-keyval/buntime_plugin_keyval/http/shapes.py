"""What a request wants of entries, and what it says beside a value."""

from __future__ import annotations

from typing import Any

from buntime_keyval.wire import parse_expires_at, parse_expires_in, parse_metadata

from buntime_plugin_keyval.clock import Clock
from buntime_plugin_keyval.http.inputs import parse_flag
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.options import NO_OPTIONS, EntryOptions
from buntime_plugin_keyval.storage.selection import PLAIN, Shape


def query_shape(request: Request) -> Shape:
    """`values` and `details` of a query."""
    if not request.scope["query_string"]:
        return PLAIN
    return Shape(request.query("values") != "false", request.query("details") == "true")


def body_shape(body: dict[str, Any]) -> Shape:
    """`values` and `details` of a JSON body. Raises `InvalidInput`."""
    values = parse_flag("values", body.get("values"), default=True)
    return Shape(values, parse_flag("details", body.get("details")))


def query_options(request: Request, clock: Clock) -> EntryOptions:
    """`expiresIn`, `expiresAt` and `metadata` of a query. Raises `InvalidInput`."""
    if not request.scope["query_string"]:
        return NO_OPTIONS
    return EntryOptions(
        parse_expires_in(request.query("expiresIn", "expireIn")),
        parse_expires_at(request.query("expiresAt")),
        parse_metadata(request.query("metadata"), clock()),
    )
