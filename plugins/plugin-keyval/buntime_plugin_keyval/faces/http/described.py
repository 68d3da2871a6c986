"""Descriptions of the store's routes, for the host's OpenAPI document.

Texts are the docstrings of endpoints; members, their places and kinds are those of the declared
shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from buntime_host.described import Operation, Parameter, text_of

from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.requests.asked import AnyRoute
from buntime_plugin_keyval.requests.shape import Member, MemberPlace, RequestShape, members_of

_KEY = Parameter(
    name="key",
    place="path",
    required=True,
    schema={"type": "string", "minLength": 1, "examples": ["users/1"]},
    text="A key path: parts separated by slashes, each percent-encoded; digits alone are a number",
)
_ID = Parameter(name="id", place="path", required=True, schema={"type": "string", "minLength": 1})
_ONCE = Parameter(
    name="Idempotency-Key",
    place="header",
    schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
    text="The same request under the same key is carried out once, and answered the same",
)
_CONDITIONS = (
    Parameter(
        name="If-Match", place="header", text="Only if this versionstamp, in quotes, is the entry's"
    ),
    Parameter(
        name="If-None-Match",
        place="header",
        text="Only if it is not; `*` only if there is no entry",
    ),
)
_IN_QUERY = (MemberPlace.QUERY, MemberPlace.EITHER, MemberPlace.BESIDE_VALUE)
_IN_BODY = (MemberPlace.BODY, MemberPlace.OPTIONAL_BODY, MemberPlace.EITHER)


def describe_routes(table: StoreRoutes) -> Iterator[Operation]:
    """All routes of a store, those of keys first."""
    for method, route in KEY.items():
        yield _operation(method, "/api/keys/{key}", route)
    for path, methods in table.paths.items():
        for method, route in methods.items():
            yield _operation(method, f"/api{path}", route)


def _operation(method: str, path: str, route: AnyRoute) -> Operation:
    parameters = [_KEY] if "{key}" in path else [_ID] if "{id}" in path else []
    if route.place in _IN_QUERY:
        parameters += [_parameter(one) for one in _own_members(route.shape) if one.kind.of_text]
    if method != "GET":
        parameters.append(_ONCE)
    if route.has_conditions:
        parameters += _CONDITIONS
    return Operation(
        method=method,
        path=path,
        text=text_of(route.said or route.ask),
        parameters=parameters,
        body=_body(route),
        body_required=route.place in (MemberPlace.BODY, MemberPlace.BESIDE_VALUE),
        statuses=route.statuses,
        media_type="text/event-stream" if route.is_stream else route.media_type,
    )


def _own_members(shape: type[RequestShape]) -> list[Member]:
    """The members by their own names, without the aliases for older clients."""
    return [member for name, member in members_of(shape).items() if member.name == name]


def _parameter(member: Member) -> Parameter:
    return Parameter(
        name=member.name,
        schema=member.kind.schema or {"type": "string"},
        required=member.required,
        text=_said(member),
    )


def _body(route: AnyRoute) -> Mapping[str, Any] | None:
    if route.place is MemberPlace.BESIDE_VALUE:
        return {"description": "The value: any JSON"}
    if route.place not in _IN_BODY:
        return None
    shape = route.shape
    members = [member for member in _own_members(shape) if member.kind.of_json is not None]
    schemas = {one.name: {**one.kind.schema, "description": _said(one)} for one in members}
    found: dict[str, Any] = {"type": "object", "properties": schemas, "additionalProperties": False}
    required = [one.name for one in members if one.required]
    if required and route.place is not MemberPlace.EITHER:
        found["required"] = required
    if shape.OVERRIDES is not None:
        inner = {name: schemas[name] for name in sorted(shape.OVERRIDING) if name in schemas}
        found["properties"] = {
            **schemas,
            shape.OVERRIDES: {
                "type": "object",
                "description": "The same members, which win over those beside it",
                "properties": inner,
                "additionalProperties": False,
            },
        }
    return found


def _said(member: Member) -> str:
    text = member.kind.expected
    return text[:1].upper() + text[1:]
